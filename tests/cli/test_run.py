"""`accept run` on one database: exit statuses, leftovers, Ctrl-C and kill -9 in a scenario."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from bounds import takes_less_than
from database_runs import await_scenario, kill_in_a_scenario, require_gone
from program import FALSE, LONG, TRUE, Program, copy, feature, target

from support import sql

VAIN = feature("A claim without evidence", "nobody knows")

SHARDED = feature("A claim on shards", "one and one are 2", tags="@citus")

DISTURBING = feature("A claim after a disturbance", "one and one are 2", tags="@destructive")

CACHED = feature("A claim about the cache", "one and one are 2", tags="@redis")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


@pytest.fixture
def program(project: Program, postgres: sql.Endpoint) -> Program:
    """The program, pointed at a user's database."""
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


def test_a_false_claim_is_broken_where_python_is_told_to_leave_out_asserts(program: Program) -> None:
    program.write_features({"cache/b.feature": FALSE})
    ended = program.run(PYTHONOPTIMIZE="1")
    assert (ended.status, ended.last_line) == (1, "0 passed, 1 failed, 0 skipped"), str(ended)
    assert "one and one are 2, not 3" in ended.out


def test_a_broken_and_an_inconclusive_scenario_fail_the_run(program: Program) -> None:
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


def test_a_run_without_a_verdict_is_not_a_success(program: Program) -> None:
    program.write_features({"cluster/a.feature": SHARDED})
    ended = program.run()
    assert (ended.status, ended.last_line) == (3, "0 passed, 0 failed, 1 skipped"), str(ended)


def test_destructive_scenarios_run_on_a_named_cluster_of_the_user(program: Program) -> None:
    program.write_features({"cluster/a.feature": DISTURBING})
    ended = program.run("destructive", ACCEPT_DESTRUCTIVE="postgres")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(ended)


def test_a_capability_that_the_target_had_in_its_last_run_is_told(program: Program) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cache/b.feature": CACHED})
    first = program.run()
    assert first.last_line == "1 passed, 0 failed, 1 skipped", str(first)
    assert "lost since the previous run" not in first.out
    known = program.project / ".accept" / "capabilities.json"
    known.write_text(known.read_text().replace(": [", ': ["redis", ', 1))  # as if its last run had found one
    second = program.run()
    assert (second.status, second.last_line) == (0, "1 passed, 0 failed, 1 skipped"), str(second)
    assert "lost since the previous run: redis: " in " ".join(second.out.split()), str(second)
    assert "lost since the previous run" not in program.run().out, "it is told once"


def test_a_target_file_and_options_for_behave(project: Program, postgres: sql.Endpoint) -> None:
    project.variables = {}
    project.write_features({"cluster/a.feature": FALSE, "cluster/b.feature": TRUE})
    lines = [f"{name.lower()} = {json.dumps(value)}" for name, value in target(postgres).items()]
    project.project.joinpath("theirs.toml").write_text("\n".join(lines))
    ended = project.run("cluster", "--target", "theirs.toml", "--exclude", "a.feature")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(ended)


def test_ctrl_c_ends_soon_with_a_report_of_what_was_done(program: Program) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cluster/b.feature": LONG})
    with program.started("run") as running:
        family = await_scenario(running, "A claim that takes long")
        with takes_less_than(5):
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does
            told, _ = running.communicate(timeout=100)
    assert running.returncode == 130, told
    assert "stopped; this is what was done so far" in told
    assert "1 passed, 0 failed, 0 skipped, 1 interrupted" in told
    require_gone(family)


def test_nothing_survives_a_killed_program(program: Program) -> None:
    kill_in_a_scenario(program)


def test_a_killed_behave_is_not_a_success(program: Program) -> None:
    program.write_features({"cluster/b.feature": LONG})
    with program.started("run") as running:
        for process in await_scenario(running, "A claim that takes long")[1:]:
            process.kill()
        told, _ = running.communicate(timeout=20)
    assert running.returncode == 3, f"nobody interrupted it: {told}"
    assert "0 passed, 0 failed, 0 skipped, 1 interrupted" in told
    assert "behave was killed, with status" in told
    assert "./accept heal undoes them" in " ".join(told.split())


def _schemas(postgres: sql.Endpoint) -> list[sql.Row]:
    return sql.rows(postgres, "SELECT nspname FROM pg_namespace ORDER BY 1")


def _files(program: Program, name: str) -> Iterator[Path]:
    return (path for path in program.project.joinpath(name).rglob("*") if path.is_file())
