"""The journal: what survives a kill, and the exit status that it comes to."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from small_suites import ROOT

from support.reporting.following import Follower
from support.reporting.journal import Journal, RunRecord, exit_status, read
from support.reporting.scenario import Measure, Scenario, ScenarioResult, Verdict
from support.reporting.tally import counts_line, tally, unfinished

PASSED, BROKEN, ERROR, NOTHING, NOT = (
    Verdict.PASSED,
    Verdict.BROKEN,
    Verdict.ERROR,
    Verdict.INCONCLUSIVE,
    Verdict.SKIPPED,
)


def scenario(number: int, *tags: str) -> Scenario:
    return Scenario("features/cluster/one.feature", "One", f"scenario {number}", tags=tags)


def journal_of(
    path: Path,
    ends: Sequence[Verdict | None],
    *,
    interrupted: bool = False,
    required: Sequence[str] = (),
    trouble: str = "",
) -> RunRecord:
    """A run that ended; a scenario of `None` never got a verdict."""
    journal = Journal(path / "journal.jsonl")
    scenarios = [scenario(number, "redis") for number in range(len(ends))]
    journal.begin(scenarios, required=required)
    for one, end in zip(scenarios, ends, strict=True):
        journal.started(one)
        if end is not None:
            journal.record(ScenarioResult(one, end, "a reason"))
    if trouble:
        journal.trouble(trouble)
    journal.end(interrupted)
    return read(journal.path)


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ([PASSED, PASSED], 0),
        ([PASSED, NOT], 0),
        ([PASSED, BROKEN], 1),
        ([PASSED, ERROR], 1),
        ([PASSED, NOTHING], 1),
        ([BROKEN], 1),
        ([ERROR], 1),
        ([NOT, BROKEN], 1),
        ([PASSED, None], 1),
        ([None], 1),
        ([NOT], 3),
        ([NOT, NOT], 3),
        ([], 3),
    ],
)
def test_the_exit_status_of_a_run_that_ended(tmp_path: Path, ends: list[Verdict | None], status: int) -> None:
    assert exit_status(journal_of(tmp_path, ends)) == status


@pytest.mark.parametrize(
    ("ends", "status"),
    [([PASSED, None], 130), ([None], 130), ([NOT, None], 130), ([BROKEN, None], 1), ([PASSED, ERROR, None], 1)],
)
def test_ctrl_c_is_130_unless_something_failed(tmp_path: Path, ends: list[Verdict | None], status: int) -> None:
    assert exit_status(journal_of(tmp_path, ends, interrupted=True)) == status


@pytest.mark.parametrize(("ends", "status"), [([PASSED], 1), ([PASSED, NOT], 1), ([None], 3), ([NOT], 3)])
def test_trouble_with_the_run_itself_is_never_a_success(
    tmp_path: Path, ends: list[Verdict | None], status: int
) -> None:
    assert exit_status(journal_of(tmp_path, ends, trouble="the data could not be removed")) == status


@pytest.mark.parametrize(("required", "status"), [("redis", 1), ("citus", 0)])
def test_a_required_capability_that_is_missing_fails_the_run(tmp_path: Path, required: str, status: int) -> None:
    assert exit_status(journal_of(tmp_path, [PASSED, NOT], required=[required])) == status


def test_no_journal_means_that_nothing_was_judged(tmp_path: Path) -> None:
    assert exit_status(read(tmp_path / "none.jsonl")) == 3


def test_the_later_verdict_on_a_scenario_holds(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1)])
    journal.record(ScenarioResult(scenario(1), PASSED))
    journal.record(ScenarioResult(scenario(1), ERROR, "it did not close"))
    assert [result.verdict for result in read(journal.path).results] == [ERROR]


def test_a_wrong_result_is_never_replaced_by_a_better_one(tmp_path: Path) -> None:
    record = journal_of(tmp_path, [None])
    [one] = record.selected
    journal = Journal(tmp_path / "journal.jsonl")
    lost = ScenarioResult(one, BROKEN, "3 writes lost", final=True)
    journal.record(lost)
    assert read(journal.path).worth_rerunning == ()
    journal.rerun([lost])
    journal.record(ScenarioResult(one, PASSED))
    assert read(journal.path).results == (lost,)
    assert exit_status(read(journal.path)) == 1


@pytest.mark.parametrize("verdict", [NOTHING, ERROR, NOT])
def test_a_rerun_without_a_verdict_does_not_clear_what_was_broken(tmp_path: Path, verdict: Verdict) -> None:
    late = ScenarioResult(scenario(1), BROKEN, "it did not recover", never_came=True)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1), scenario(2)])
    journal.record(ScenarioResult(scenario(2), PASSED))
    journal.record(late)
    journal.rerun([late])
    journal.record(ScenarioResult(scenario(1), verdict, f"{verdict}: unhealthy before"))
    journal.end()
    record = read(journal.path)
    [broken] = record.failing
    assert (broken.verdict, exit_status(record)) == (BROKEN, 1)
    assert broken.reason_in_a_line == f"it did not recover and on the rerun: {verdict}: unhealthy before"
    assert record.earlier == {late.scenario.key: late}
    journal.record(ScenarioResult(scenario(1), ERROR, "it did not close"))  # behave corrects itself
    assert read(journal.path).verdict_on(late.scenario.key) is BROKEN


@pytest.mark.parametrize(
    ("before", "again"), [(BROKEN, PASSED), (BROKEN, BROKEN), (NOTHING, ERROR), (ERROR, NOTHING), (NOTHING, PASSED)]
)
def test_a_rerun_that_says_as_much_counts(tmp_path: Path, before: Verdict, again: Verdict) -> None:
    first, second = ScenarioResult(scenario(1), before, "first"), ScenarioResult(scenario(1), again, "second")
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1)])
    journal.record(first)
    journal.rerun([first])
    journal.record(second)
    assert read(journal.path).results == (second,)


@pytest.mark.parametrize("before", [BROKEN, NOTHING, ERROR])
@pytest.mark.parametrize("event", [Journal.rerun, Journal.alone])
def test_a_failure_is_not_excused_by_a_capability_that_was_lost_before_the_rerun(
    tmp_path: Path, before: Verdict, event: Callable[[Journal, Sequence[ScenarioResult]], None]
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1), scenario(2)])
    journal.record(ScenarioResult(scenario(2), PASSED))
    failed = ScenarioResult(scenario(1), before, "a reason")
    journal.record(failed)
    event(journal, [failed])
    journal.record(ScenarioResult(scenario(1), NOT, "no host can be reached"))
    journal.end()
    record = read(journal.path)
    assert (record.verdict_on(failed.scenario.key), exit_status(record)) == (before, 1)
    assert "skipped: no host can be reached" in record.failing[0].reason


def test_what_ran_again_alone_counts_as_it_ended_then_and_is_not_flaky(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1), scenario(2)], fail_on_flaky=True)
    slow = [ScenarioResult(scenario(number), BROKEN, "too late") for number in (1, 2)]
    for one in slow:
        journal.record(one)
    journal.alone(slow)
    journal.record(ScenarioResult(scenario(1), PASSED))
    journal.end()
    record = read(journal.path)
    assert record.crowded == {one.scenario.key: one for one in slow}
    assert [one.verdict for one in record.results] == [BROKEN, PASSED], "what did not run again counts"
    assert not record.flaky


def test_what_never_came_is_no_matter_of_the_other_clusters(tmp_path: Path) -> None:
    """Both pass alone: what was late beside others is as it is then, and what was never reached is flaky."""
    late = ScenarioResult(scenario(1), BROKEN, "too late")
    never = ScenarioResult(scenario(2), BROKEN, "the whole cluster is healthy: still not true", never_came=True)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1), scenario(2)], fail_on_flaky=True)
    journal.record(late)
    journal.record(never)
    journal.to_be_judged_alone(read(journal.path).worth_rerunning)
    for number in (1, 2):
        journal.record(ScenarioResult(scenario(number), PASSED))
    journal.end()
    record = read(journal.path)
    assert list(record.crowded.values()) == [late]
    assert list(record.earlier.values()) == [never]
    assert [one.scenario for one in record.flaky] == [scenario(2)]
    assert exit_status(record) == 1


def test_a_journal_of_an_older_version_says_as_well_what_never_came(tmp_path: Path) -> None:
    never = ScenarioResult(scenario(1), BROKEN, "the whole cluster is healthy: still not true", never_came=True)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1)])
    journal.record(never)
    written = journal.path.read_text(encoding="utf-8")
    assert read(journal.path).results == (never,)
    journal.path.write_text(written.replace('"never_came"', '"unreached"'), encoding="utf-8")
    assert written != journal.path.read_text(encoding="utf-8")
    assert read(journal.path).results == (never,)


@pytest.mark.parametrize(("fail_on_flaky", "status"), [(False, 0), (True, 1)])
def test_a_flaky_scenario_fails_only_the_run_that_asks_for_it(tmp_path: Path, fail_on_flaky: bool, status: int) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1)], fail_on_flaky=fail_on_flaky)
    late = ScenarioResult(scenario(1), BROKEN, "too late")
    journal.record(late)
    journal.rerun([late])
    journal.record(ScenarioResult(scenario(1), PASSED))
    journal.end()
    record = read(journal.path)
    assert [one.scenario for one in record.flaky] == [scenario(1)]
    assert exit_status(record) == status


def test_what_an_unfit_cluster_left_out_has_its_reason_until_it_is_run(tmp_path: Path) -> None:
    record = journal_of(tmp_path, [PASSED, None, None])
    journal = Journal(tmp_path / "journal.jsonl")
    why = "the cluster did not recover from: scenario 0"
    _, *left = record.selected
    journal.left_out([one.key for one in left], why)
    journal.record(ScenarioResult(left[0], PASSED))
    record = read(journal.path)
    assert unfinished(record) == {(Verdict.INTERRUPTED, why): [left[1]]}  # this journal says that each was started
    assert exit_status(record) == 1


def test_what_was_left_out_of_a_rerun_keeps_its_verdict(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1)])
    late = ScenarioResult(scenario(1), BROKEN, "too late")
    journal.record(late)
    journal.rerun([late])
    journal.left_out([scenario(1).key], "the cluster did not recover")
    record = read(journal.path)
    assert (record.left_out, record.verdict_on(scenario(1).key)) == ({}, BROKEN)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    one = Scenario("features/cache/c.feature", "C", "é <x>", (("x", "1"),), ("id.CO-01", "minor"), "why\nso")
    result = ScenarioResult(one, BROKEN, "a\nb", 1.5, 12.0, (Measure("p95", 3.0, "ms", 5.0),), "Traceback ...")
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([one], {"Redis": "7.0"}, ["redis"])
    journal.record(result)
    record = read(journal.path)
    assert (record.selected, record.results) == ((one,), (result,))
    assert (record.facts, record.required) == ({"Redis": "7.0"}, frozenset({"redis"}))


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1), scenario(2)])
    journal.record(ScenarioResult(scenario(1), PASSED))
    with journal.path.open("a") as file:
        file.write('{"event": "result", "scenario": {"pa')
    record = read(journal.path)
    assert [result.scenario.name for result in record.results] == ["scenario 1"]
    assert exit_status(record) == 130


def test_a_line_that_was_cut_off_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([scenario(1)])
    with journal.path.open("a") as file:
        file.write('{"event": "started", "key": "ab')
    journal.record(ScenarioResult(scenario(1), BROKEN, "lost", final=True))
    journal.end()
    assert exit_status(read(journal.path)) == 1
    follower = Follower(journal.path)
    follower.look()
    follower.close()


def test_an_event_of_which_a_part_was_written_is_an_error(tmp_path: Path) -> None:
    """As on a full disk."""
    journal = Journal(tmp_path / "journal.jsonl")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(OSError, match="bytes could be written"):
            journal.trouble("x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    journal.trouble("the disk is full")
    assert [one.message for one in read(journal.path).troubles] == ["the disk is full"]


def test_a_verdict_of_another_version_is_no_verdict_and_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal_of(tmp_path, [PASSED, BROKEN])
    path.write_text(path.read_text().replace('"passed"', '"proved"'))
    record = read(path)
    assert [result.verdict for result in record.results] == [BROKEN]
    (trouble,) = record.troubles
    assert trouble.message.startswith("unknown verdict 'proved' on 'scenario 0': another version wrote this journal")
    path.write_text(path.read_text().replace('"broken"', '"passed"'))
    assert exit_status(read(path)) == 1, "and never a success"


KILLED = """
import os, signal
from pathlib import Path
from test_reporting_journal import scenario
from support.reporting.journal import Journal
from support.reporting.scenario import ScenarioResult, Verdict

journal = Journal(Path("journal.jsonl"))
journal.begin([scenario(number) for number in range(3)])
journal.started(scenario(0))
journal.record(ScenarioResult(scenario(0), Verdict.PASSED))
journal.started(scenario(1))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_journal_survives_kill_9(tmp_path: Path) -> None:
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert killed.returncode == -signal.SIGKILL
    record = read(tmp_path / "journal.jsonl")
    assert [result.scenario.name for result in record.results] == ["scenario 0"]
    assert [(one.name, record.verdict_on(one.key)) for one in record.without_verdict] == [
        ("scenario 1", Verdict.INTERRUPTED),
        ("scenario 2", Verdict.NOT_REACHED),
    ]
    assert exit_status(record) == 130


def test_only_its_owner_can_read_a_journal(tmp_path: Path) -> None:
    journal_of(tmp_path, [PASSED])
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o077 == 0


def test_the_line_for_ci_does_not_count_what_has_no_verdict_as_failed(tmp_path: Path) -> None:
    told = counts_line(journal_of(tmp_path, [PASSED, PASSED, BROKEN, NOT, None]))
    assert told == "2 passed, 1 failed, 1 skipped, 1 interrupted"


def test_a_promise_seen_to_be_broken_by_another_scenario_is_broken(tmp_path: Path) -> None:
    own = Scenario("features/failover/a.feature", "A", "one", tags=("id.FO-08",))
    other = Scenario("features/failover/a.feature", "A", "two", tags=("id.SB-01",))
    record = RunRecord(
        selected=(own, other),
        results=(ScenarioResult(own, BROKEN, final=True, also_broken=("SB-01",)), ScenarioResult(other, PASSED)),
    )
    [suite] = tally(record)
    assert suite.promises == {"FO-08": BROKEN, "SB-01": BROKEN}
