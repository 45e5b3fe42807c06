"""What the terminal and the CI log show: the closing table, and the progress."""

import io
import signal
from pathlib import Path

import pytest
from rich.console import Console

from support.reporting.journal import Journal, RunRecord, Trouble, read
from support.reporting.scenario import Measure, Scenario, ScenarioResult, Verdict
from support.reporting.tally import UNFINISHED, tally
from support.reporting.terminal import Progress, show


def scenario(suite: str, name: str, *tags: str) -> Scenario:
    return Scenario(f"features/{suite}/f.feature", "F", name, tags=tags)


FAST = ScenarioResult(
    scenario("cluster", "Queries are fast", "id.PF-01"),
    Verdict.PASSED,
    seconds=1.25,
    measures=(Measure("p95", 12.3456, "ms", 100),),
)
WARM = ScenarioResult(
    scenario("cluster", "Queries are fast when warm", "id.PF-01"), Verdict.BROKEN, "took [red]\n2 s", 2.0
)
CACHED = ScenarioResult(scenario("cache", "The cache answers", "id.RC-01"), Verdict.SKIPPED, "no redis")
EVICTS = ScenarioResult(scenario("cache", "The cache evicts", "id.RC-03"), Verdict.SKIPPED, "no redis")
LEADS = ScenarioResult(scenario("failover", "There is a leader", "id.PH-02"), Verdict.ERROR, "etcd ended")
ALL = (FAST, WARM, CACHED, EVICTS, LEADS)


def record(*results: ScenarioResult, unreached: tuple[Scenario, ...] = (), **more: object) -> RunRecord:
    selected = (*(result.scenario for result in results), *unreached)
    return RunRecord(selected=selected, results=results, **more)  # type: ignore[arg-type]


def shown(of: RunRecord, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(of, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_promises_are_counted_not_scenarios() -> None:
    cluster, availability, cache = tally(record(*ALL))
    assert (cluster.name, cluster.promised, cluster.count(Verdict.PASSED), cluster.count(Verdict.BROKEN)) == (
        "Cluster",
        1,
        0,
        1,
    )
    assert (availability.name, availability.count(Verdict.ERROR)) == ("High availability", 1)
    assert (cache.promised, cache.count(Verdict.SKIPPED)) == (2, 2)


def test_a_promise_is_kept_when_all_its_scenarios_passed() -> None:
    also = ScenarioResult(scenario("cluster", "Also fast", "id.PF-01"), Verdict.PASSED)
    assert tally(record(FAST, also))[0].count(Verdict.PASSED) == 1
    assert tally(record(FAST, unreached=(scenario("cluster", "Not reached", "id.PF-01"),)))[0].count(*UNFINISHED) == 1


def test_the_table_says_what_failed_and_why() -> None:
    lines = [line.rstrip() for line in shown(record(*ALL)).splitlines()]
    assert max(map(len, lines)) <= 80
    assert "broken: PF-01 Queries are fast when warm" in lines
    assert "    took [red] 2 s" in lines
    assert "error: PH-02 There is a leader" in lines
    assert "skipped: RC-01, RC-03" in lines
    assert "    no redis" in lines
    assert any(line.split() == ["PF-01", "p95", "12.35", "ms", "100", "ms"] for line in lines)
    assert any(line.split() == ["all", "4", "0", "1", "1", "2", "3.2"] for line in lines)


def test_an_unfinished_run_has_a_column_for_it() -> None:
    text = shown(record(FAST, unreached=(scenario("cache", "Late", "id.CO-01"),), interrupted=True))
    assert "not reached: CO-01" in text
    assert "the run was stopped" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_required_and_is_missing_stands_out() -> None:
    missing = ScenarioResult(scenario("cache", "The cache answers", "id.RC-01", "redis"), Verdict.SKIPPED, "no redis")
    assert "required but missing: RC-01" in shown(record(FAST, missing, required=frozenset({"redis"})))


def test_the_troubles_of_the_run_are_shown() -> None:
    assert "the data could not be removed" in shown(record(FAST, troubles=(Trouble("the data could not be removed"),)))


def test_progress_in_a_log_is_a_line_at_each_start_and_end() -> None:
    console = Console(file=io.StringIO(), width=80)
    progress = Progress(2, console)
    progress.started(FAST.scenario)
    progress.ended(FAST)
    progress.started(WARM.scenario)
    progress.ended(WARM)
    progress.close()
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "[1/2] PF-01 Queries are fast ...",
        "    passed in 1.2 s, 1 left",
        "[2/2] PF-01 Queries are fast when warm ...",
        "    broken in 2.0 s, 0 left",
        "    took [red] 2 s",
    ]


def test_progress_on_a_terminal_gives_the_terminal_back() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    progress = Progress(2, console)
    progress.started(FAST.scenario)
    progress.ended(FAST)
    progress.close()
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Queries are fast" in written
    assert written.rindex("\x1b[?25h") > written.index("\x1b[?25l")


def test_ctrl_c_is_answered_in_the_view() -> None:
    """A line printed in its midst would be drawn over, and would leave an old frame behind."""
    before = signal.getsignal(signal.SIGINT)
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    progress = Progress(2, console)
    progress.started(FAST.scenario)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert "less than a minute left" in console.file.getvalue()  # type: ignore[attr-defined]
        assert "1 of 2 · 0:00 · stopping (Ctrl-C)" in shown_by(progress)
    finally:
        progress.close()
    assert signal.getsignal(signal.SIGINT) is before


def shown_by(progress: Progress) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(progress.view.render())
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_what_others_say_is_printed_above_the_view_while_there_is_one() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, highlight=False)
    progress = Progress(2, console)
    assert not progress.tell("cluster 1 is up"), "there is no view yet: the line belongs on standard error"
    progress.started(FAST.scenario)
    try:
        assert progress.tell("cluster 2 is up")
    finally:
        progress.close()
    assert not progress.tell("cluster 3 is up")
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert [number for number in "123" if f"cluster {number} is up" in written] == ["2"]


def test_progress_moves_on_a_terminal_that_is_not_utf_8() -> None:
    """Where every character that it lacks is an error."""
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding="iso-8859-15", errors="strict")
    progress = Progress(2, Console(file=file, width=80, force_terminal=True))
    progress.started(FAST.scenario)
    progress.ended(FAST)
    progress.close()
    assert b"Queries are fast" in written.getvalue()


@pytest.mark.parametrize("plain", [{"no_color": True}, {"force_terminal": False}])
def test_progress_is_plain_lines_where_nothing_should_move(plain: dict[str, bool]) -> None:
    console = Console(**{"file": io.StringIO(), "width": 80, "force_terminal": True, "highlight": False, **plain})  # type: ignore[arg-type]
    progress = Progress(1, console)
    progress.started(FAST.scenario)
    progress.ended(FAST)
    progress.close()
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[1/1] PF-01 Queries are fast ..." in written
    assert "\x1b[?25l" not in written, "the cursor is not hidden"


@pytest.mark.parametrize(
    ("again", "told"),
    [
        (
            ScenarioResult(FAST.scenario, Verdict.PASSED, began=9.0),
            "passed when it ran alone; alongside other clusters:",
        ),
        (
            ScenarioResult(FAST.scenario, Verdict.SKIPPED, "no host"),
            "should have been judged alone, but was not; alongside",
        ),
        (None, "should have been judged alone, but was not; alongside other clusters: too late"),
    ],
)
def test_only_what_was_judged_alone_is_said_to_have_been(
    tmp_path: Path, again: ScenarioResult | None, told: str
) -> None:
    journal, late = Journal(tmp_path / "journal.jsonl"), ScenarioResult(FAST.scenario, Verdict.BROKEN, "too late")
    journal.begin([FAST.scenario])
    journal.record(late)
    journal.alone([late])
    if again:
        journal.record(again)
    journal.end()
    console = Console(file=io.StringIO(), width=200)
    show(read(journal.path), console)
    assert told in console.file.getvalue()  # type: ignore[attr-defined]
