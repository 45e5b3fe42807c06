"""A real cluster from `accept up` to `accept down`, and the commands that use it."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program import Program, copy

from support.hosts import alive
from support.target.topology import Topology
from support.waiting import NotYet, eventually

TRUE = """
@normal @cluster
Feature: Sums
  @id.ZZ-01 @patroni @hosts
  Scenario: A true claim
    Given a sum
    Then one and one are 2
"""
LONG = TRUE.replace("    Then", "    When 30 seconds pass\n    Then")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = copy(tmp_path_factory.mktemp("project"))
    program.write_features({"cluster/a.feature": TRUE})
    return program


@pytest.fixture(scope="module")
def up(program: Program):
    """The output of `accept up`, with a single member."""
    ended = program.run("up", "--name", "tried", "--members", "1", "--etcd", "1")
    try:
        yield ended
    finally:
        program.run("down", "tried")
        assert not alive(program.project / ".accept/clusters/tried/sandbox")


def test_up_returns_when_the_cluster_is_ready_and_prints_how_to_connect(program: Program, up) -> None:
    assert up.status == 0, up
    assert "ready" in up.err
    command = next(line for line in up.out.splitlines() if line.startswith("write endpoint")).split(maxsplit=2)[2]
    answer = subprocess.run(
        [*command.split()[1:], "-Atc", "SELECT current_user"],
        env={**program.environment, **dict([command.split()[0].split("=", 1)])},
        capture_output=True,
        text=True,
    )
    assert answer.stdout.strip() == "accept_app", answer


def test_up_refuses_the_name_of_a_running_cluster(program: Program, up) -> None:
    again = program.run("up", "--name", "tried")
    assert again.status == 2
    assert "already up" in again.err


def test_status_shows_members_and_memory(program: Program, up) -> None:
    ended = program.run("status")
    assert ended.status == 0, str(ended)
    assert re.search(r"pg1 +10\S+ +patroni +leader +running +1 .* MB", ended.out), str(ended)
    assert re.search(r"^[1-9]\d* MB in total", ended.out, re.M), str(ended)


@pytest.mark.parametrize("where", ["write", "pg1"])
def test_psql_logs_in_as_the_application(program: Program, up, where: str) -> None:
    ended = program.run("psql", where, "-At", "-c", "SELECT current_user || ' of ' || current_database()")
    assert ended.out.strip() == "accept_app of accept", str(ended)


def test_psql_has_no_password_in_its_arguments(program: Program, up) -> None:
    shown = program.run("psql", "write", "-c", r"\! tr '\0' ' ' </proc/$PPID/cmdline")
    assert "psql" in shown.out, shown
    assert _password(program) not in shown.out


def test_psql_refuses_unknown_endpoints(program: Program, up) -> None:
    ended = program.run("psql", "pg7")
    assert ended.status == 2
    assert "write, read, pg1" in ended.err


def test_the_shell_runs_on_its_host(program: Program, up) -> None:
    shell = subprocess.run(
        [*program.argv, "shell", "etcd1"],
        cwd=program.project,
        env=program.environment,
        input="hostname; id -u\n",
        capture_output=True,
        text=True,
    )
    assert shell.stdout.split()[:2] == ["etcd1", "1000"], shell


def test_logs_come_from_the_host(program: Program, up) -> None:
    ended = program.run("logs", "pg1", "--lines", "2000")
    assert ended.status == 0
    assert "initialized a new cluster" in ended.out or "bootstrap" in ended.out, str(ended)


def test_scenarios_run_on_it(program: Program, up) -> None:
    ended = program.run("run", "--target", "tried")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(ended)
    assert program.run("status").status == 0, "the cluster is still up"


def test_ctrl_c_lets_the_running_scenario_clean_up(program: Program, up) -> None:
    program.write_features({"cluster/a.feature": LONG})
    try:
        with program.started("run", "--target", "tried") as running:
            eventually(lambda: _require_begun(program), within=30, subject="a scenario runs")
            os.kill(running.pid, signal.SIGINT)
            out, _ = running.communicate(timeout=20)
    finally:
        program.write_features({"cluster/a.feature": TRUE})
    assert running.returncode == 130, out
    events = [json.loads(line) for line in (program.project / "allure-results" / "journal.jsonl").open()]
    assert [one["interrupted"] for one in events if one["event"] == "end"] == [True], "behave came to its own end"


def test_ctrl_c_ends_a_statement_and_not_psql(program: Program, up) -> None:
    with program.started("psql", "write", "-At", "-c", "SELECT pg_sleep(60)") as running:
        eventually(lambda: _require_asleep(program), within=20, subject="the statement runs")
        os.killpg(running.pid, signal.SIGINT)
        out, _ = running.communicate(timeout=10)
    assert "canceling statement due to user request" in out


def test_plain_behave_runs_on_it(program: Program, up) -> None:
    behave = subprocess.run(
        [program.argv[0], "-m", "behave"],
        cwd=program.project,
        env=program.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert behave.returncode == 0, behave.stdout + behave.stderr
    assert "1 scenario passed, 0 failed" in behave.stdout


def test_doctor_shows_what_it_offers(program: Program, up) -> None:
    ended = program.run("doctor", "--target", "up")
    assert ended.status == 0
    assert re.search(r"^replicas +no +.*single member", ended.out, re.M), str(ended)
    assert "1 of 1 scenario can run" in ended.out


def test_a_kept_cluster_stays_up_after_the_run(tmp_path: Path) -> None:
    program = copy(tmp_path)
    program.write_features({"cluster/a.feature": TRUE})
    with program.started("run", "--keep", "--members", "1", "--etcd", "1", "--workers", "0") as running:

        def kept() -> str:
            found = program.run("status")
            if found.status:
                raise NotYet(found.err)
            return found.out

        assert "pg1" in eventually(kept, within=60, subject="a cluster is up that the program finds")
        eventually(lambda: _require_reported(program), within=60, subject="the run has its report")
        assert program.run("status").status == 0
        os.killpg(running.pid, signal.SIGINT)
        said, _ = running.communicate(timeout=30)
    assert (running.returncode, "the cluster stays up until Ctrl-C" in said) == (0, True), said
    assert program.run("status").status == 2


def _password(program: Program) -> str:
    topology = Topology.load(program.project / ".accept/clusters/tried/topology.json")
    return topology.application.password


def _require_begun(program: Program) -> None:
    journals = (program.project / ".accept" / "runs").glob("*/journal.jsonl")
    if not any('"event": "started"' in journal.read_text() for journal in journals):
        raise NotYet("none has begun")


def _require_asleep(program: Program) -> None:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    if (found := program.run("psql", "write", "-At", "-c", asked).out.strip()) != "1":
        raise NotYet(f"{found} sleep")


def _require_reported(program: Program) -> None:
    if not (program.project / "allure-report" / "junit.xml").exists():
        raise NotYet("there is none")


@contextmanager
def _starting(program: Program, name: str, nodes: int = 1) -> Iterator["subprocess.Popen[str]"]:
    """`accept up` while its cluster, of so many members and etcd nodes, is being booted."""
    size = ("--members", str(nodes), "--etcd", str(nodes), "--workers", "0")
    with program.started("up", "--name", name, *size) as booting:
        eventually(lambda: _require_sandbox(program, name), within=60, subject="a sandbox is there", pause=0.05)
        yield booting


def _require_sandbox(program: Program, name: str) -> None:
    if not alive(program.project / f".accept/clusters/{name}/sandbox"):
        raise NotYet("there is none")


def _require_none(program: Program, name: str) -> None:
    if alive(program.project / f".accept/clusters/{name}/sandbox"):
        raise NotYet("it lives")


def test_a_cluster_does_not_come_up_if_accept_up_is_terminated_before(program: Program) -> None:
    with _starting(program, "early") as booting:
        booting.terminate()
        assert booting.wait(30) == 130
    eventually(lambda: _require_none(program, "early"), within=30, subject="its sandbox is gone", pause=0.05)
    assert not (program.project / ".accept/clusters/early/topology.json").exists()


def test_a_cluster_that_is_still_starting_can_be_stopped(program: Program) -> None:
    with _starting(program, "early", nodes=3) as booting:
        ended = program.run("down", "early")
        assert (ended.status, "cluster early is down" in ended.err + ended.out) == (0, True), ended
        told, _ = booting.communicate(timeout=30)
        came_up = "run --target early" in told  # before `down` had begun, on a busy machine
        assert (booting.returncode == 0) is came_up, told
    _require_none(program, "early")
