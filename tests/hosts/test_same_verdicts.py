"""The same cluster, the same scenarios, two ways into its hosts: the suite's own sandbox, and ssh. Same verdicts."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from program import Program, copy
from user_clusters import Described, as_users_own

from support.hosts import why_not_namespaces
from support.reporting.journal import read

NAME = "mine"
PROMISES = ("FO-02", "FO-11", "SB-01", "ME-03", "OU-01")
"""A crash, a destroyed data directory, a partition, logins from the members' hosts, and a cache that dies."""
_SELECTED = " or ".join(f"@id.{one}" for one in PROMISES)
_LONG = 1500  # seconds


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    if why := why_not_namespaces():
        pytest.skip(why)
    found = copy(tmp_path_factory.mktemp("same") / "project")
    ended = found.run("up", "--name", NAME, "--workers", "0", "--members", "3", timeout=240)
    try:
        assert ended.status == 0, ended
        yield found
    finally:
        found.run("down", NAME)


@pytest.fixture(scope="module")
def described(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    with as_users_own(program, NAME, tmp_path_factory.mktemp("described")) as found:
        yield found


def _verdicts(project: Path) -> Mapping[str, str]:
    """Scenario -> verdict, of the newest run."""
    newest = max(project.rglob("journal.jsonl"), key=lambda file: file.stat().st_mtime)
    return {f"{one.scenario.name}": one.verdict.value for one in read(newest).results}


@pytest.mark.slow
def test_both_ways_come_to_the_same_verdicts(program: Program, described: Described) -> None:
    ours = program.run("run", "--tags", _SELECTED, "--target", NAME, timeout=_LONG)
    by_sandbox = _verdicts(program.project)
    by_ssh_run = described.run("run", "--tags", _SELECTED, timeout=_LONG)
    by_ssh = _verdicts(program.project)
    assert by_ssh == by_sandbox, f"{ours}\n{by_ssh_run}"
    assert set(by_sandbox.values()) == {"passed"}, ours


@pytest.mark.slow
def test_what_is_broken_is_noticed_both_ways(program: Program, described: Described) -> None:
    """The password with which members log in to one another was changed in one place, and not in their files."""
    selected = ("run", "--tags", "@id.ME-03 and @member_files")
    before = described.as_superuser("SELECT rolpassword FROM pg_authid WHERE rolname = 'replicator'")
    described.as_superuser("ALTER ROLE replicator PASSWORD 'changed'")
    try:
        ours = program.run(*selected, "--target", NAME, timeout=_LONG)
        by_sandbox = _verdicts(program.project)
        by_ssh_run = described.run(*selected, timeout=_LONG)
        by_ssh = _verdicts(program.project)
    finally:
        described.as_superuser(f"ALTER ROLE replicator PASSWORD '{before}'")
    assert by_ssh == by_sandbox, f"{ours}\n{by_ssh_run}"
    assert set(by_ssh.values()) == {"broken"}
    for ended in (ours, by_ssh_run):
        assert "password authentication failed" in ended.out
