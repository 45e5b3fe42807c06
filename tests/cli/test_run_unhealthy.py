"""`accept run` after a scenario that left its cluster unhealthy: one finding, and the rest on another cluster."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from bounds import takes_less_than
from program import Ended, Program, copy
from sandboxes import require
from traces import traces_of
from unhealthy import SMALL, STEPS, sound, wrecking

from support.reporting.journal import RunRecord, read
from support.reporting.scenario import Verdict
from support.waiting import eventually

LONGEST = 240  # seconds
REPLACED = "another one takes its place"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONGEST + 20)]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    require("namespaces")
    return copy(tmp_path)


def write(program: Program, *features: dict[str, str]) -> None:
    program.write_features({path: text for one in features for path, text in one.items()})
    (program.project / "steps" / "wreck_steps.py").write_text(STEPS, encoding="utf-8")


def run(program: Program, *arguments: str) -> Ended:
    jobs = () if "--jobs" in arguments else ("--jobs", "1")
    return program.run("run", *SMALL, *jobs, *arguments, timeout=LONGEST)


def record(program: Program) -> RunRecord:
    return read(program.project / "allure-results" / "journal.jsonl")


def verdicts(program: Program) -> dict[str, Verdict]:
    """The verdict on each scenario, by title."""
    found = record(program)
    return {one.name: found.verdict_on(one.key) for one in found.selected}


def require_nothing_left(program: Program) -> None:
    """No folder of a run, and no process of the program."""
    assert list(program.project.glob(".accept/runs/*")) == []
    words = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert [one for one in words if str(program.project) in one] == []


@pytest.mark.parametrize("kind", ["namespaces", "loopback"])
def test_the_scenarios_that_are_left_run_on_another_cluster(program: Program, kind: str) -> None:
    write(program, wrecking("A", 1), sound("B", 2))
    ended = run(program, "--sandbox", kind)
    assert (ended.status, ended.last_line) == (1, "4 passed, 1 failed, 1 skipped"), str(ended)
    assert ended.err.count(REPLACED) == 1, str(ended)
    (broken,) = record(program).failing
    assert (broken.scenario.name, broken.verdict) == ("A wrecks the cluster", Verdict.BROKEN)
    assert "the whole cluster is healthy: still not true after" in broken.reason
    require_nothing_left(program)


def test_a_rerun_begins_on_a_healthy_cluster_and_keeps_the_finding(program: Program) -> None:
    """Also if the cluster before cannot be ended: what is left of it ends with the run."""
    sandbox, begin = program.project / "support" / "hosts" / "sandbox.py", "    def close(self) -> None:\n"
    assert begin in sandbox.read_text()
    hangs = f'{begin}        raise ProcessFailed("a process cannot be killed")\n'
    sandbox.write_text(sandbox.read_text().replace(begin, hangs))
    write(program, wrecking("A", 1))
    ended = run(program, "--rerun", "--name", "wrecks the cluster")
    assert "1 failed; rerunning" in ended.err, str(ended)
    assert ended.err.count("ready, in a sandbox") == 2, str(ended)
    (broken,) = record(program).failing
    assert "the whole cluster is healthy: still not true after" in broken.reason, "on the rerun, too"
    assert broken.scenario.key in record(program).earlier
    assert ended.status == 1, str(ended)
    require_nothing_left(program)


def test_a_job_goes_on_with_the_queue(program: Program) -> None:
    write(program, wrecking("A", 1), *(sound(name, at, seconds=2) for at, name in enumerate("BCDE", 2)))
    ended = run(program, "--jobs", "2")
    assert (ended.status, ended.last_line) == (1, "7 passed, 1 failed, 1 skipped"), str(ended)
    assert [one.scenario.name for one in record(program).failing] == ["A wrecks the cluster"], str(ended)
    require_nothing_left(program)


def test_a_cluster_that_is_not_the_runs_own_is_not_disturbed_any_further(program: Program) -> None:
    write(program, wrecking("A", 1), sound("B", 2))
    up = program.run("up", "--name", "theirs", *SMALL, timeout=LONGEST)
    try:
        assert up.status == 0, str(up)
        ended = program.run("run", "--target", "theirs", timeout=LONGEST)
    finally:
        program.run("down", "theirs")
    assert (ended.status, ended.last_line) == (1, "2 passed, 1 failed, 1 skipped, 2 not reached"), str(ended)
    assert REPLACED not in ended.err
    assert "the cluster did not recover from: A wrecks the cluster" in " ".join(ended.out.split()), str(ended)
    found = verdicts(program)
    assert found["A is quiet after"] is Verdict.PASSED
    assert found["A needs shards"] is Verdict.SKIPPED, "that has another reason"
    assert found["A disturbs after"] is found["B is sound"] is Verdict.NOT_REACHED
    assert all("did not recover from" in why for why in record(program).left_out.values())


def test_a_rerun_does_not_disturb_what_did_not_recover(program: Program) -> None:
    """Not even by a scenario that does not ask for a healthy cluster. What was broken stays broken."""
    before = "\n  @id.ZZ-19 @destructive @hosts\n  Scenario: A fails before\n    Given a sum\n    Then nobody knows\n"
    [(path, text)] = wrecking("A", 1).items()
    write(program, {path: text.replace("\n  @id.ZZ-10\n", f"{before}\n  @id.ZZ-10\n")})
    up = program.run("up", "--name", "theirs", *SMALL, timeout=LONGEST)
    try:
        assert up.status == 0, str(up)
        names = ("--name", "A fails before", "--name", "A wrecks the cluster")
        ended = program.run("run", "--target", "theirs", "--rerun", *names, timeout=LONGEST)
    finally:
        program.run("down", "theirs")
    assert ended.status == 1, str(ended)
    assert ended.out.count("A fails before ...") == 1, str(ended)
    assert ended.out.count("A wrecks the cluster ...") == 1, str(ended)
    assert verdicts(program)["A wrecks the cluster"] is Verdict.BROKEN


def test_no_more_than_a_few_clusters_are_replaced(program: Program) -> None:
    module = program.project / "support" / "cli" / "cluster_under_test.py"
    module.write_text(module.read_text().replace("MOST_REPLACEMENTS = 3", "MOST_REPLACEMENTS = 1"))
    write(program, wrecking("A", 1), wrecking("B", 2), sound("C", 3))
    ended = run(program)
    assert (ended.status, ended.last_line) == (1, "4 passed, 2 failed, 1 skipped, 4 not reached"), str(ended)
    assert "2 clusters did not recover; the 4 scenarios left did not run" in " ".join(ended.out.split())
    assert set(record(program).left_out.values()) == {"the cluster did not recover from: B wrecks the cluster"}
    require_nothing_left(program)


def test_without_another_cluster_what_was_found_is_reported(program: Program) -> None:
    """Nothing can be written where its folder would be."""
    write(program, wrecking("A", 1))
    steps = program.project / "steps" / "wreck_steps.py"
    steps.write_text(f'{STEPS}    (context.world.run.directory / "beside").touch()\n')
    ended = run(program)
    assert (ended.status, ended.last_line) == (1, "1 passed, 1 failed, 0 skipped, 3 not reached"), str(ended)
    assert "the cluster could not be replaced" in ended.out, str(ended)
    require_nothing_left(program)


@pytest.mark.parametrize("moment", [REPLACED, "B is sound"])
def test_ctrl_c_leaves_the_report_and_nothing_else(program: Program, moment: str) -> None:
    """While the other cluster boots, and in a scenario on it."""
    write(program, wrecking("A", 1), sound("B", 2, seconds=60))
    with program.started("run", *SMALL, "--jobs", "1", "--name", "wrecks", "--name", "sound") as running:
        _await(running, moment)
        traces = traces_of(running.pid)
        with takes_less_than(5):
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does
            told, _ = running.communicate(timeout=100)
    assert running.returncode == 1, told
    assert "stopped; this is what was done so far" in told
    assert "0 passed, 1 failed, 0 skipped, 1" in told
    assert traces.left() == []
    require_nothing_left(program)


def test_nothing_survives_a_kill_while_another_cluster_is_up(program: Program) -> None:
    write(program, wrecking("A", 1), sound("B", 2, seconds=60))
    with program.started("run", *SMALL, "--jobs", "1", "--name", "wrecks", "--name", "sound") as running:
        _await(running, "B is sound")
        traces = traces_of(running.pid)
        running.kill()
        running.wait()
        eventually(lambda: _require_nothing(traces.left()), within=10, subject="all is gone")
    assert list(program.project.glob(".accept/runs/*")), "its folder is left for the next run to remove"
    program.run("run", "--target", "postgresql://u:p@127.0.0.1:1/d")
    require_nothing_left(program)


def _await(running: "subprocess.Popen[str]", words: str) -> None:
    """Wait until the program prints these words."""
    assert running.stdout is not None
    printed = []
    for line in running.stdout:
        printed.append(line)
        if words in line:
            return
    raise AssertionError(f"it never printed {words!r}:\n{''.join(printed)}")


def _require_nothing(left: list[str]) -> None:
    assert left == []
