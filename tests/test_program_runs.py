"""Whole runs of the program: exit statuses, what it leaves behind, Ctrl-C and kill -9 in the middle of a scenario."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from program import Program, busyness, copy, target

from support import sql
from support.waiting import NotYet, eventually

FEATURE = """
@normal
Feature: Sums
  @id.ZZ-01
  Scenario: {title}
    Given a sum
    When {seconds} seconds pass
    Then {claim}
"""


def feature(title: str, claim: str, seconds: int = 0, tags: str = "") -> str:
    text = FEATURE.format(title=title, claim=claim, seconds=seconds)
    return text.replace("@id.ZZ-01", f"@id.ZZ-01 {tags}").replace("Feature: Sums", f"Feature: {title}")


TRUE = feature("A true claim", "one and one are 2")
FALSE = feature("A false claim", "one and one are 3")
VAIN = feature("A claim without evidence", "nobody knows")
SHARDED = feature("A claim on shards", "one and one are 2", tags="@citus")
DISTURBING = feature("A claim after a disturbance", "one and one are 2", tags="@destructive")
LONG = feature("A claim that takes long", "one and one are 2", seconds=60)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


@pytest.fixture
def program(project: Program, postgres: sql.Endpoint) -> Program:
    """The program, pointed at a database that is not ours."""
    project.variables = target(postgres)
    return project


def test_all_passed_or_skipped_with_a_reason(program: Program, postgres: sql.Endpoint) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cache/b.feature": SHARDED, "failover/c.feature": DISTURBING})
    before = _schemas(postgres)
    ended = program.run("--seed", "4711")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 2 skipped"), str(ended)
    assert "citus is not installed" in ended.out, "a skip has a reason"
    assert "ACCEPT_DESTRUCTIVE" in ended.out, "a cluster that is not ours is not disturbed"
    assert "seed 4711" in ended.err
    assert _schemas(postgres) == before, "a schema of the run is still there"
    assert list(program.project.joinpath(".accept", "runs").iterdir()) == []
    assert len(list(program.project.joinpath("allure-results").glob("*-result.json"))) == 3
    everything = [path for name in ("allure-results", "allure-report", ".accept") for path in _files(program, name)]
    assert everything
    assert not [path for path in everything if postgres.password.encode() in path.read_bytes()]


def test_a_broken_promise_and_the_lack_of_evidence_fail_the_run(program: Program) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cache/b.feature": FALSE, "cache/c.feature": VAIN})
    ended = program.run()
    assert (ended.status, ended.last_line) == (1, "1 passed, 2 failed, 0 skipped"), str(ended)
    assert "one and one are 2, not 3" in ended.out
    assert "nobody looked" in ended.out
    dashboard = program.project / "allure-report" / "dashboard.html"
    dashboard.unlink()
    again = program.run("report")
    assert (again.status, again.last_line) == (ended.status, ended.last_line), again
    assert dashboard.exists()


def test_nothing_judged_is_no_success(program: Program) -> None:
    program.write_features({"cluster/a.feature": SHARDED})
    ended = program.run()
    assert (ended.status, ended.last_line) == (3, "0 passed, 0 failed, 1 skipped"), str(ended)


def test_destructive_scenarios_run_elsewhere_when_told_by_name(program: Program) -> None:
    program.write_features({"cluster/a.feature": DISTURBING})
    ended = program.run("destructive", ACCEPT_DESTRUCTIVE="postgres")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(ended)


def test_a_target_in_a_file_and_words_for_behave(project: Program, postgres: sql.Endpoint) -> None:
    project.variables = {}
    project.write_features({"cluster/a.feature": FALSE, "cluster/b.feature": TRUE})
    lines = [f"{name.lower()} = {json.dumps(value)}" for name, value in target(postgres).items()]
    project.project.joinpath("theirs.toml").write_text("\n".join(lines))
    ended = project.run("cluster", "--target", "theirs.toml", "--exclude", "a.feature")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(ended)


def test_ctrl_c_ends_soon_with_a_report_of_what_was_done(program: Program) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cluster/b.feature": LONG})
    with program.started("run") as running:
        family = _await_scenario(running, "A claim that takes long")
        begun = time.monotonic()
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        told, _ = running.communicate(timeout=20)
        elapsed = time.monotonic() - begun
    assert running.returncode == 130, told
    assert "stopped; this is what was done so far" in told
    assert "1 passed, 1 failed, 0 skipped" in told
    assert elapsed < 5 * busyness(), told
    _require_gone(family)


def test_nothing_survives_a_killed_program(program: Program) -> None:
    program.write_features({"cluster/b.feature": LONG})
    with program.started("run") as running:
        family = _await_scenario(running, "A claim that takes long")
        running.kill()
        running.wait()
        _require_gone(family)


def test_a_killed_behave_is_no_success(program: Program) -> None:
    program.write_features({"cluster/b.feature": LONG})
    with program.started("run") as running:
        for process in _await_scenario(running, "A claim that takes long")[1:]:
            process.kill()
        told, _ = running.communicate(timeout=20)
    assert running.returncode not in (0, None), told
    assert "0 passed, 1 failed, 0 skipped" in told


def _schemas(postgres: sql.Endpoint) -> list[sql.Row]:
    return sql.rows(postgres, "SELECT nspname FROM pg_namespace ORDER BY 1")


def _files(program: Program, name: str) -> Iterator[Path]:
    return (path for path in program.project.joinpath(name).rglob("*") if path.is_file())


def _await_scenario(running: "psutil.Popen", title: str) -> list[psutil.Process]:
    """Read what is told until a scenario runs; the program's processes then, itself first."""
    for line in running.stdout:
        if title in line:
            first = psutil.Process(running.pid)
            return [first, *first.children(recursive=True)]
    raise AssertionError(f"{title!r} never began")


def _require_gone(family: list[psutil.Process]) -> None:
    def gone() -> None:
        if left := [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]:
            raise NotYet(f"still there: {left}")

    eventually(gone, within=1, subject="the program and all that it started are gone")
