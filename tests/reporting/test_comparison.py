"""Two runs, or two sets of runs, side by side: what differs, and what may be chance."""

from dataclasses import replace
from pathlib import Path

import pytest
from journals import READS, WRITES, record_of

from support.cli import compare as command
from support.cli.compare import side
from support.errors import UsageError
from support.reporting import merging, past
from support.reporting.chance import Change, chance_of
from support.reporting.comparison import Comparison, Side, compare
from support.reporting.pages.site import write_comparison
from support.reporting.past import Figure, PastRun
from support.reporting.scenario import Incident, Measure, ScenarioResult, Verdict


def run(number: int, verdict: str = "passed", value: float | None = None, **more: object) -> PastRun:
    measure = Measure("reads, 95 in 100", value or 0.0, "ms", 100.0)
    figures = (Figure("PF-01", "Reads", measure),) if value is not None else ()
    return PastRun(number, number + 1, "embedded cluster", 0, {"FO-02": verdict}, {}, figures, **more)  # type: ignore[arg-type]


def of(before: list[PastRun], now: list[PastRun]) -> Comparison:
    return compare(Side("a", tuple(before)), Side("b", tuple(now)))


def shown(before: list[PastRun], now: list[PastRun], folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of `accept compare`, whose page is in the folder `report` of that folder."""
    monkeypatch.setattr("support.cli.paths.STARTED_IN", folder)
    monkeypatch.setattr(command, "REPORT", folder / "report")
    for name, runs in (("before", before), ("now", now)):
        (folder / name).mkdir()
        past.write(folder / name / past.RUN, runs)
    return command.show("before", "now")


def test_one_run_against_another_does_not_tell_the_cause() -> None:
    """Each verdict is a fact: it is not the verdicts that may be chance."""
    found = of([run(1)], [run(2, "broken")])
    (row,) = found.verdicts
    assert (row.before, row.now, row.change) == ("passed", "broken", Change.UNCLEAR)
    fact = "each verdict holds for its own run; establishing whether a change between the runs is the cause takes"
    assert (row.label, row.words) == ("differs", f"{fact} 5 runs on each side")
    told = "1 verdict differs, and only more runs can tell whether a change is the cause."
    assert (found.worse, found.sentence) == (False, told)
    slower = of([run(1, value=10.0)], [run(2, "broken", value=30.0)])
    assert slower.sentence == f"{told.rstrip('.')}; 1 figure may differ by chance."
    assert of([run(1, value=10.0)], [run(2, value=30.0)]).sentence == (
        "No significant difference; 1 figure may differ by chance."
    )


def test_a_wrong_result_is_no_chance() -> None:
    found = of([run(1)], [run(2, "broken", wrong=("FO-02",))])
    assert (found.worse, found.sentence) == (True, "1 promise worse.")
    back = of([run(1, "broken", wrong=("FO-02",))], [run(2)])
    assert back.verdicts[0].words.startswith("a wrong result was seen before, and its absence now proves little")


def test_a_wrong_result_that_was_there_before_is_no_certain_change() -> None:
    """One of 5 runs saw it, and now 2: that may be chance."""
    wrong = ("FO-02",)
    good = [run(one) for one in range(5)]
    bad = [run(9 + one, "broken", wrong=wrong) for one in range(5)]
    found = of([*good[:4], bad[0]], [*good[:3], *bad[:2]])
    (row,) = found.verdicts
    assert (row.change, row.label, found.failed) == (Change.UNCLEAR, "differs", False)
    assert row.words.startswith("a wrong result was seen before as well; each verdict holds")
    late = run(19, "broken")
    assert of([*good[:4], late], [*good[:3], *bad[:2]]).worse, "a limit was exceeded before, and nothing was wrong"
    more, twice = [run(29 + one) for one in range(9)], [run(39 + one, "broken", wrong=wrong) for one in range(10)]
    assert of([*more, bad[0]], twice).worse, "far more often than before"


def test_what_must_never_be_is_no_chance_as_a_figure_either() -> None:
    def lost(number: int, value: float) -> PastRun:
        return replace(run(number), figures=(Figure("FO-02", "Crash", Measure("lost writes", value, "", 0.0)),))

    found = of([lost(1, 0)], [lost(2, 244)])
    assert (found.worse, found.sentence, found.figures[0].label) == (True, "1 figure worse.", "worse")
    assert not of([lost(1, 244)], [lost(2, 0)]).worse
    assert of([lost(1, 244)], [lost(2, 250)]).figures[0].change is not Change.WORSE


def test_what_tells_nothing_is_a_line_with_a_number(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = replace(run(1, value=10.0), promises={"FO-02": "passed", "FO-03": "passed", "FO-04": "passed"})
    now = replace(run(2, value=30.0), promises={"FO-02": "passed", "FO-03": "skipped"})
    found = of([before], [now])
    command._print(found, everything=False)
    told = capsys.readouterr().out
    assert told == (
        "not comparable: 2 promises judged on at most one side (--all)\nmay be chance: 1 figure (--all)\n"
        "the same: 1 promise, 0 figures\n"
    )
    command._print(found, everything=True)
    told = capsys.readouterr().out
    assert all(words in told for words in ("FO-03", "FO-04", "not comparable", "PF-01 reads", "may be chance"))
    assert "--all" not in told
    page = write_comparison(found, tmp_path / "compare.html", "Acceptance", {}).read_text()
    assert "<details><summary>2 not comparable: judged on at most one side</summary>" in page
    assert "<details><summary>1 may differ by chance</summary>" in page


def test_five_runs_on_each_side_can_tell() -> None:
    before, now = [run(one) for one in range(5)], [run(one, "broken") for one in range(5, 10)]
    assert of(before, now).verdicts[0].change is Change.WORSE
    assert of(now, before).verdicts[0].change is Change.BETTER
    assert of(before, [*now[:2], *before[:3]]).verdicts[0].change is Change.UNCLEAR
    assert of(before, [*now[:2], *before[:3]]).verdicts[0].words.endswith(" takes more runs")
    assert of(before, now).verdicts[0].now == "broken in 5 of 5"


def test_what_only_one_side_judged_cannot_be_compared() -> None:
    for now in ([run(2, "skipped")], [run(2, "skipped"), replace(run(3), promises={})]):
        found = of([run(1)], now)
        (row,) = found.verdicts
        assert (row.change, row.label, row.words) == (Change.NONE, "not comparable", "only one side judged it")
        assert (found.failed, found.empty) == (False, True)
    (row,) = of([run(1, "skipped")], [run(2, "error")]).verdicts
    assert (row.label, row.words) == ("not comparable", "neither side judged it")
    assert not of([run(1, "error")], [run(2)]).failed


@pytest.mark.parametrize(
    "now", [run(2, "skipped"), replace(run(2), promises={"PH-01": "passed"})], ids=["skipped", "another promise"]
)
def test_sides_with_nothing_in_common_are_not_the_same(
    now: PastRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipeline that compared nothing must not pass."""
    assert shown([run(1)], [now], tmp_path, monkeypatch) == 3
    told = "Nothing can be compared: no promise was judged on both sides, and they have no figure in common."
    output = capsys.readouterr().out
    assert told in output
    assert "No significant difference" not in output
    assert f'class="answer none">{told}' in (tmp_path / "report" / command.PAGE).read_text()


def test_a_promise_or_a_figure_in_common_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown([run(1)], [run(2)], tmp_path, monkeypatch) == 0
    assert 'class="answer kept">No significant difference.' in (tmp_path / "report" / command.PAGE).read_text()
    figure = [run(1, "skipped", 10.0)], [run(2, "skipped", 10.5)]
    assert (of(*figure).empty, of(*figure).sentence) == (False, "No significant difference.")


@pytest.mark.parametrize("verdict", ["error", "inconclusive", "interrupted", "not reached"])
def test_what_could_not_be_judged_any_more_is_not_the_same(
    verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, now = [run(one) for one in range(5)], [run(9 + one, verdict) for one in range(4)]
    now.append(run(13, "skipped"))
    found = of(before, now)
    (row,) = found.verdicts
    assert (row.label, row.style, found.worse) == ("not judged", "error", False)
    assert (found.failed, found.sentence) == (True, "1 promise could not be judged any more.")
    assert shown(before, now, tmp_path, monkeypatch) == 1
    told = capsys.readouterr().out
    assert f"{verdict} in 4 of 5" in told
    assert "1 promise could not be judged any more." in told
    page = (tmp_path / "report" / command.PAGE).read_text()
    assert 'class="answer broken">1 promise could not be judged any more.' in page
    assert f"{verdict} in 4 of 5" in page


def test_facts_of_a_run_itself_are_no_difference_and_no_factor_is_told_across_zero() -> None:
    facts = {"Seed": "1", "PostgreSQL": "16"}
    before = replace(run(1, value=-2.0), facts=facts)
    found = of([before], [replace(run(2, value=30.0), facts={**facts, "Seed": "2"})])
    assert (found.facts, found.figures[0].ratio) == ((), "")


def test_figures_of_one_name_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    def measured(number: int, *titles: str) -> PastRun:
        figures = (
            Figure("PF-06", title, Measure("operations", 900.0 * number, "/s", 1000.0, True)) for title in titles
        )
        return replace(run(number), figures=tuple(figures))

    command._print(of([measured(1, "Reads", "Writes")], [measured(2, "Reads", "Writes")]), everything=True)
    told = capsys.readouterr().out
    assert "PF-06 operations (Reads)" in told
    assert "PF-06 operations (Writes)" in told


def test_a_long_name_of_a_figure_has_the_whole_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(number: int, *titles: str) -> PastRun:
        figures = (
            Figure("PF-06", title, Measure("operations", 9e5 * number, "operations/s", 1e3, True)) for title in titles
        )
        return replace(run(number), figures=tuple(figures))

    monkeypatch.setattr(command.out, "_width", 80)
    long = "Reads of a key are as fast as they were, and faster"
    command._print(of([measured(1, long, "Writes")], [measured(2, long, "Writes")]), everything=True)
    lines = capsys.readouterr().out.splitlines()
    at = lines.index(f"PF-06 operations ({long})")
    assert lines[at + 1].split()[-4:] == ["2.00", "may", "be", "chance"]
    assert len(lines[at + 1]) == 80


def test_equal_sides_have_no_rows() -> None:
    found = of([run(1, value=10.0)], [run(2, value=10.5)])
    assert (found.verdicts, found.alike, [one.change for one in found.figures]) == ((), 1, [Change.NONE])
    assert found.sentence == "No significant difference."


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([10.0] * 5, [20.0] * 5, Change.WORSE),
        ([20.0] * 5, [10.0] * 5, Change.BETTER),
        ([10.0] * 5, [11.0] * 5, Change.NONE),
        ([10.0, 30.0, 12.0, 28.0, 11.0], [14.0, 31.0, 29.0, 13.0, 30.0], Change.UNCLEAR),
        ([10.0], [20.0], Change.UNCLEAR),
    ],
)
def test_figures_change_beyond_a_margin_and_beyond_chance(
    before: list[float], now: list[float], expected: Change
) -> None:
    (row,) = of(
        [run(one, value=v) for one, v in enumerate(before)], [run(9 + one, value=v) for one, v in enumerate(now)]
    ).figures
    assert row.change is expected


def test_less_throughput_is_worse_and_a_count_is_neither() -> None:
    def sides(measure: Measure) -> tuple[list[PastRun], list[PastRun]]:
        before = [replace(run(one), figures=(Figure("X", "s", measure),)) for one in range(5)]
        fewer = replace(measure, value=measure.value / 2)
        return before, [replace(run(9 + one), figures=(Figure("X", "s", fewer),)) for one in range(5)]

    assert of(*sides(Measure("operations", 5000.0, "/s", 1000.0, True))).figures[0].change is Change.WORSE
    assert of(*sides(Measure("shards", 32.0, ""))).figures == ()


def test_the_exact_test_counts_as_it_should() -> None:
    assert chance_of(5, 5, 0, 5) == pytest.approx(1 / 252)
    assert chance_of(1, 1, 0, 1) == pytest.approx(1 / 2)
    assert chance_of(0, 5, 0, 5) == 1


def test_folders_and_runs_on_record_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "STATE", tmp_path)
    monkeypatch.setattr("support.cli.paths.STARTED_IN", tmp_path)
    with pytest.raises(UsageError, match="no run is on record yet"):
        side("last")
    for began in range(3):
        past.add(tmp_path / past.PAST, run(began))
    assert [one.began for one in side("last").runs] == [2]
    assert [one.began for one in side("last~1").runs] == [1]
    assert [one.began for one in side("last~2..1").runs] == [0, 1]
    with pytest.raises(UsageError, match="the oldest is last~2"):
        side("last~3")
    with pytest.raises(UsageError, match="'lst' is neither a folder with a run"):
        side("lst")
    record_of(tmp_path / "runs/one/allure-results", ScenarioResult(WRITES, Verdict.PASSED))
    record_of(tmp_path / "runs/two", ScenarioResult(WRITES, Verdict.BROKEN, "lost", final=True))
    assert [len(side(word).runs) for word in ("runs", "runs/one", "runs/two")] == [2, 1, 1]
    assert side("runs/two").runs[0].wrong == ("FO-02",)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there is no run in it"):
        side("empty")


def test_a_report_is_a_run_as_well_and_the_same_run_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.cli.paths.STARTED_IN", tmp_path)
    record = record_of(tmp_path / "both/allure-results", ScenarioResult(READS, Verdict.PASSED))
    (tmp_path / "both/allure-report").mkdir()
    past.write(tmp_path / "both/allure-report" / past.RUN, [past.run_of(record)])
    assert len(side("both").runs) == 1
    assert len(side("both/allure-report").runs) == 1


@pytest.mark.parametrize("again", [False, True], ids=["without a report", "with its report made again"])
def test_a_run_that_left_no_results_is_not_compared_by_those_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr("support.cli.paths.STARTED_IN", tmp_path)
    monkeypatch.setattr(command, "REPORT", tmp_path / "report")
    record_of(tmp_path / "before", ScenarioResult(WRITES, Verdict.PASSED))
    earlier = record_of(tmp_path / "now/allure-results", ScenarioResult(WRITES, Verdict.PASSED))
    (tmp_path / "now/allure-results" / merging.SUPERSEDED).touch()
    if again:
        (tmp_path / "now/allure-report").mkdir()
        past.write(tmp_path / "now/allure-report" / past.RUN, [past.run_of(earlier)])
    assert [one.verdict("FO-02") for one in side("now").runs] == ["not reached"]
    assert command.show("before", "now") == 1


def test_the_page_shows_costs_and_what_was_tested(tmp_path: Path) -> None:
    crash = Incident("the host of the leader crashes", "the host pg1 crashes", 1.0, 21.5, lost=0)
    before = replace(run(1, value=10.0), incidents=(crash,), facts={"PostgreSQL": "16.13"})
    now = replace(
        run(2, "broken", 30.0), incidents=(replace(crash, without_writes=41.0, lost=7),), facts={"PostgreSQL": "16.14"}
    )
    page = write_comparison(of([before], [now]), tmp_path / "compare.html", "Acceptance", {"FO-02": "Nothing is lost."})
    text = " ".join(page.read_text().split())
    for expected in (
        "41.0 s, 7 lost",
        "21.5 s, 0 lost",
        "16.13",
        "FO-02</b> Nothing is lost.",
        "differs",
        "3.00",
    ):
        assert expected in text
