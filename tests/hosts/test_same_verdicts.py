"""The same cluster, the same scenarios, two ways into its hosts: the suite's own sandbox, and ssh. Same verdicts."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from program import Program, copy
from user_clusters import as_superuser, as_users_own

from support.hosts import why_not_namespaces
from support.reporting.journal import read

NAME = "mine"
PROMISES = ("FO-02", "FO-05", "ME-03", "OU-01", "SB-02")
"""A crash, a freeze, logins from the members' hosts, a cache that dies, a network that is cut."""
_SELECTED = f"({' or '.join(f'@id.{one}' for one in PROMISES)}) and not @redis_failover"
_LONG = 900  # seconds
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * _LONG)]


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


def _verdicts(project: Path) -> Mapping[str, str]:
    """Scenario -> verdict, of the newest run."""
    newest = max(project.rglob("journal.jsonl"), key=lambda file: file.stat().st_mtime)
    return {one.scenario.name: one.verdict.value for one in read(newest).results}


def _both_ways(program: Program, folder: Path, *selected: str) -> tuple[Mapping[str, str], Mapping[str, str], str]:
    """The verdicts by the sandbox and by ssh, and what both runs printed. Hosts that the sandbox crashed have no sshd
    afterwards, so ssh is second.
    """
    ours = program.run("run", *selected, "--target", NAME, timeout=_LONG)
    by_sandbox = _verdicts(program.project)
    with as_users_own(program, NAME, folder) as described:
        by_ssh = described.run("run", *selected, timeout=_LONG)
    return by_sandbox, _verdicts(program.project), f"by the sandbox: {ours}\nby ssh: {by_ssh}"


def test_both_ways_come_to_the_same_verdicts(program: Program, tmp_path: Path) -> None:
    by_sandbox, by_ssh, printed = _both_ways(program, tmp_path, "--tags", _SELECTED)
    assert by_ssh == by_sandbox, printed
    assert set(by_sandbox.values()) == {"passed"}, printed


def test_what_is_broken_is_noticed_both_ways(program: Program, tmp_path: Path) -> None:
    """The password with which members log in to one another was changed in one place, and not in their files."""
    before = as_superuser(program, NAME, "SELECT rolpassword FROM pg_authid WHERE rolname = 'replicator'")
    as_superuser(program, NAME, "ALTER ROLE replicator PASSWORD 'changed'")
    try:
        by_sandbox, by_ssh, printed = _both_ways(program, tmp_path, "--tags", "@id.ME-03 and @member_files")
    finally:
        as_superuser(program, NAME, f"ALTER ROLE replicator PASSWORD '{before}'")
    assert by_ssh == by_sandbox, printed
    assert set(by_ssh.values()) == {"broken"}, printed
    assert printed.count("password authentication failed") >= 2, printed
