"""What the page for management says, for runs that never were: the answer, the costs, what changed, how sure it is."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from journals import READS, WRITES, record_of

from support.errors import NotAvailable, ProcessFailed
from support.reporting import merging, past, trust
from support.reporting.fault_record import NAME, Event, FaultRecord, MemberState, Rates
from support.reporting.journal import Journal, RunRecord, read
from support.reporting.pages import costs, grid, printing, trends
from support.reporting.pages.dashboard import about, answer, summary, took
from support.reporting.pages.glance import glance
from support.reporting.pages.site import DASHBOARD, SCENARIOS, Knowledge, write_pages
from support.reporting.past import Figure, PastRun
from support.reporting.promises import Promise
from support.reporting.scenario import Incident, Measure, Scenario, ScenarioResult, Verdict

LISTED = {
    "FO-02": Promise("FO-02", "failover", "No acknowledged write is lost.", "blocker"),
    "PF-01": Promise("PF-01", "cache", "Reads are quick.", "normal"),
    "SE-01": Promise("SE-01", "security", "A wrong password is refused.", "blocker"),
}
CRASH = Incident("the host of the leader crashes", "the host pg1 crashes", 100.0, 21.5, 20.0, 4.0, 900, 0, 3, 30.0)
P95 = Measure("reads, 95 in 100", 12.0, "ms", 100.0)


def page_of(record: RunRecord, folder: Path, known: tuple[PastRun, ...] = (), proved: Path | None = None) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "promises.toml").write_text(
        "\n".join(
            f'[{one.id}]\ncapability = "{one.capability}"\npromise = "{one.sentence}"\nseverity = "{one.severity}"'
            for one in LISTED.values()
        )
    )
    knowledge = Knowledge(folder, {"FO-02": ["fsync is off"]}, proved)
    write_pages(record, folder, folder / "report", "Acceptance", knowledge, known)
    return " ".join((folder / "report" / DASHBOARD).read_text().split())


def run(began: float, promises: dict[str, str], *values: float, **more: object) -> PastRun:
    figures = tuple(Figure("PF-01", READS.name, replace(P95, value=one)) for one in values)
    return PastRun(began, began + 1, "embedded cluster", 0, promises, {}, figures, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ends", "sentence", "style"),
    [
        ((Verdict.PASSED, Verdict.PASSED), "Yes: the cluster keeps both promises that were tested.", "kept"),
        ((Verdict.PASSED, Verdict.SKIPPED), "Yes: the cluster keeps the one promise that was tested.", "kept"),
        ((Verdict.BROKEN, Verdict.ERROR), "No: the cluster breaks 1 promise.", "broken"),
        ((Verdict.PASSED, Verdict.ERROR), "Not certain: 1 promise could not be judged.", "error"),
        ((Verdict.INCONCLUSIVE, Verdict.PASSED), "Not certain: 1 promise could not be judged.", "error"),
        ((Verdict.SKIPPED, Verdict.SKIPPED), "Unknown: this run judged no promise.", "error"),
    ],
)
def test_the_first_sentence_answers_the_question(
    tmp_path: Path, ends: tuple[Verdict, Verdict], sentence: str, style: str
) -> None:
    record = record_of(
        tmp_path, *(ScenarioResult(one, end, "why") for one, end in zip((WRITES, READS), ends, strict=True))
    )
    found = answer(record, grid.states(record, LISTED))
    assert (found.sentence, found.style) == (sentence, style)


def test_a_run_that_was_stopped_is_no_yes(tmp_path: Path) -> None:
    record = record_of(tmp_path, ScenarioResult(READS, Verdict.PASSED), WRITES)
    assert answer(record, grid.states(record, LISTED)).sentence == "1 promise kept, but the run did not finish."


def test_every_promise_of_the_list_has_a_word_and_a_green_run_paints_nothing_red(tmp_path: Path) -> None:
    record = record_of(
        tmp_path, ScenarioResult(WRITES, Verdict.PASSED), ScenarioResult(READS, Verdict.SKIPPED, "no Redis")
    )
    words = {one.promise.id: (one.word, one.why) for one in grid.states(record, LISTED)}
    assert words == {
        "FO-02": ("kept", ""),
        "PF-01": ("skipped", "no Redis"),
        "SE-01": ("not run", "it was not selected for this run"),
    }
    page = page_of(record, tmp_path / "page")
    body = page.partition("</head>")[2]
    assert re.findall(r'class="[^"]*\bbroken\b[^"]*"', body) == []
    assert "1 skipped</b>: no Redis" in page


def test_one_line_counts_the_promises_and_no_percentage_flatters(tmp_path: Path) -> None:
    record = record_of(tmp_path, ScenarioResult(WRITES, Verdict.PASSED), ScenarioResult(READS, Verdict.BROKEN, "slow"))
    page_of(record, tmp_path / "page")
    for name in (DASHBOARD, SCENARIOS):
        page = (tmp_path / "page" / "report" / name).read_text()
        text = re.sub(r"<(style|script).*?</\1>|style=\"[^\"]*\"", "", page, flags=re.DOTALL)
        assert text.count("3 promises: 1 kept, 1 broken, 1 not run.") == 1
        assert re.findall(r"[\d.]+ ?%", text) == []


def test_a_promise_that_another_scenario_found_broken_says_so(tmp_path: Path) -> None:
    found = ScenarioResult(WRITES, Verdict.BROKEN, "two writers", also_broken=("PF-01",))
    record = record_of(tmp_path, found, ScenarioResult(READS, Verdict.PASSED))
    states = {one.promise.id: one for one in grid.states(record, LISTED)}
    assert (states["PF-01"].word, states["PF-01"].why) == ("broken", "two writers")


def test_what_was_lost_is_told_in_words_with_the_limit(tmp_path: Path) -> None:
    lost = replace(CRASH, kind="the leader freezes", without_writes=31.0, lost=2, acknowledged=10)
    record = record_of(
        tmp_path,
        ScenarioResult(WRITES, Verdict.PASSED, incident=CRASH),
        ScenarioResult(READS, Verdict.BROKEN, "2 writes lost", incident=lost),
    )
    page = page_of(record, tmp_path / "page")
    assert "When the leader freezes, writes stop for 31.0 s (limit: 30 s)." in page
    assert "Acknowledged writes were lost: 2 of 10 when the leader freezes." in page
    assert "6 writes ended without an answer" in page
    assert 'class="bar over"' in page


def test_without_a_loss_the_number_of_writes_that_were_checked_is_told() -> None:
    found = costs.costs([CRASH, replace(CRASH, without_writes=18.0, redundant_after=None)])
    assert [(one.times, one.without_writes, one.redundant_after, one.acknowledged) for one in found] == [
        (2, 21.5, 4.0, 1800)
    ]
    assert costs.told(found, [CRASH])[:2] == [
        "When the host of the leader crashes, writes stop for 21.5 s (limit: 30 s).",
        "No acknowledged write was lost: 1,800 writes checked, none missing.",
    ]
    # one that may take long does not exceed the limit of another
    (quick,) = costs.costs([CRASH, replace(CRASH, without_writes=29.0, limit=None), replace(CRASH, limit=2.0)])
    assert (quick.exceeded, quick.without_writes, quick.bound) == (True, 29.0, 2.0)
    assert quick.allowance == "without a limit; 21.5 s of 2 s allowed in another scenario"
    (long,) = costs.costs(
        [CRASH, replace(CRASH, without_writes=0.5, limit=2.0), replace(CRASH, without_writes=90.0, limit=None)]
    )
    assert (long.exceeded, long.without_writes, long.bound) == (False, 90.0, None)
    unchecked = costs.costs([replace(CRASH, lost=None, acknowledged=None)])
    assert "Whether acknowledged writes were lost was not checked in this run." in costs.told(unchecked, [CRASH])


def test_key_figures_show_what_is_nearest_to_its_limit_and_say_what_is_missing() -> None:
    slow, quick = (
        Figure("PF-06", title, Measure("operations", value, "/s", 1000.0, True))
        for title, value in (("writes", 1100.0), ("reads", 9000.0))
    )
    shown = costs.key_figures([Figure("PF-01", "Reads", P95), quick, slow])
    assert [(one.words, one.value, one.bound, one.measure.within) for one in shown] == [
        ("95 of 100 simple queries are answered within", "12 ms", "at most 100 ms", True),
        ("Cache operations a second, one client", "1,100/s", "at least 1,000/s", True),
    ]
    assert costs.not_measured(shown) == ["vector searches", "cached reads", "replication lag"]
    assert not Measure("operations", 900.0, "/s", 1000.0, True).within


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ([], "broken, and first judged in this run"),
        (["skipped"], "broken, and first judged in this run"),
        (["passed"], "newly broken; kept on"),
        (["passed", "broken"], "broken since 02 Jan 1970"),
        (["broken", "broken"], "no run on record found it kept"),
        (["passed", "skipped"], "newly broken; kept on"),
    ],
)
def test_since_when_a_promise_is_broken(verdicts: list[str], told: str) -> None:
    before = [run(number * 86_400.0, {"FO-02": one}) for number, one in enumerate(verdicts)]
    assert told in str(trends.broken_since(run(1e6, {"FO-02": "broken"}), before)["FO-02"])


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        ([10, 11, 10, 12, 11, 10], 30, True),
        ([10, 11, 10, 12, 11, 10], 11, False),
        ([10, 11], 30, False),
        ([10, 11, 10, 12, 11, 10, 11, 10, 30, 31], 32, True),
    ],
    ids=["worse than ever", "as before", "too few", "worse for three runs"],
)
def test_a_figure_is_newly_slow_only_beyond_chance(before: list[float], now: float, worse: bool) -> None:
    runs = [run(float(number), {}, value) for number, value in enumerate(before)]
    assert bool(trends.slower(run(99.0, {}, now), runs)) is worse


def test_a_throughput_is_slower_when_it_falls() -> None:
    def rate(value: float) -> tuple[Figure, ...]:
        return (Figure("PF-06", "reads", Measure("operations", value, "/s", 1000.0, True)),)

    runs = [replace(run(float(number), {}), figures=rate(5000.0 + number)) for number in range(6)]
    assert trends.slower(replace(run(99.0, {}), figures=rate(2000.0)), runs)
    assert not trends.slower(replace(run(99.0, {}), figures=rate(9000.0)), runs)


def test_runs_are_kept_and_only_those_of_the_same_target_count(tmp_path: Path) -> None:
    file = tmp_path / past.PAST
    for began in (1.0, 2.0, 2.0):
        past.add(file, run(began, {"FO-02": "passed"}))
    past.add(file, replace(run(3.0, {}), target="another"))
    file.write_text(file.read_text() + "{broken\n")
    known = past.read(file)
    assert [one.began for one in known] == [1.0, 2.0, 3.0]
    assert [one.began for one in past.before(run(9.0, {}), known)] == [1.0, 2.0]


def test_short_runs_in_between_hide_neither_when_a_promise_was_kept_nor_how_fast_it_was(tmp_path: Path) -> None:
    """A smoke run on every change and a whole run at night, in one history."""
    file = tmp_path / past.PAST
    whole = [run(float(number), {"FO-02": "passed"}, 3.0) for number in range(6)]
    smoke = [replace(run(100.0 + number, {"PF-01": "passed"}), figures=()) for number in range(past.KEPT + 9)]
    for one in (*whole, *smoke):
        past.add(file, one)
    known = past.read(file)
    assert [one.began for one in known][:2] == [5.0, 109.0], "the last that judged FO-02, and the last of all"
    now = run(1e6, {"FO-02": "broken"}, 30.0)
    assert trends.broken_since(now, past.before(now, known))["FO-02"].newly
    since = trends.slower(now, [*whole, *smoke[: past.SHOWN]])
    assert [figure.promise for figure, _ in since] == ["PF-01"]


def test_a_speed_without_enough_earlier_figures_is_not_called_as_before(tmp_path: Path) -> None:
    record = record_of(tmp_path, ScenarioResult(READS, Verdict.PASSED, measures=(P95,)))
    smoke = [replace(run(float(number), {"FO-02": "passed"}), figures=()) for number in range(6)]
    page = page_of(record, tmp_path / "page", smoke)
    assert "slower than before? not known yet: needs 5 runs that measured them, has 0" in page
    assert "not known yet (it takes 5 earlier runs that measured the same)" in page


def test_a_promise_that_was_tested_in_part_says_so(tmp_path: Path) -> None:
    """One of several scenarios needs what the target lacks: that the others passed is told as well."""
    other = replace(WRITES, name="Writes again")
    record = record_of(
        tmp_path / "run", ScenarioResult(WRITES, Verdict.PASSED), ScenarioResult(other, Verdict.SKIPPED, "no replica")
    )
    state = grid.states(record, LISTED)[0]
    assert (state.word, state.in_part) == ("skipped", "in part: 1 of 2 scenarios passed")
    page = page_of(record, tmp_path / "page")
    assert "skipped in part</span>" in page
    assert "FO-02</span> (in part: 1 of 2 scenarios passed)" in page


def test_a_promise_that_was_seen_broken_counts_although_it_was_not_selected(tmp_path: Path) -> None:
    wrong = ScenarioResult(WRITES, Verdict.BROKEN, "two members accepted writes", final=True, also_broken=("SE-01",))
    record = record_of(tmp_path / "run", wrong)
    assert record.selected == (WRITES,)
    found = {one.promise.id: one for one in grid.states(record, LISTED)}
    assert (found["SE-01"].word, found["SE-01"].seen) == ("broken", ["two members accepted writes"])
    assert past.run_of(record).promises["SE-01"] == "broken"
    assert "the cluster breaks 2 promises" in page_of(record, tmp_path / "page")


def test_the_page_compares_with_the_runs_before(tmp_path: Path) -> None:
    slow = ScenarioResult(READS, Verdict.PASSED, measures=(P95,))
    record = record_of(tmp_path, ScenarioResult(WRITES, Verdict.BROKEN, "lost"), slow)
    before = tuple(run(float(number), {"FO-02": "passed", "PF-01": "broken"}, 3.0) for number in range(6))
    page = page_of(record, tmp_path / "page", before)
    assert "Compared with the last 6 runs" in page
    assert '<b>Newly broken:</b> <span class="broken">FO-02</span>' in page
    assert "first judged" not in page
    assert '<b>fixed:</b> <span class="kept">PF-01</span>' in page
    assert "reads, 95 in 100: 12 ms (usually 3 ms; worse than in each of 6 earlier runs; limit: 100 ms)" in page


def test_what_no_earlier_run_judged_is_not_newly_broken(tmp_path: Path) -> None:
    """It may have been broken all along."""
    record = record_of(tmp_path, ScenarioResult(WRITES, Verdict.BROKEN, "lost"))
    page = page_of(record, tmp_path / "page", [run(float(number), {"PF-01": "passed"}) for number in range(5)])
    assert "compared with 5 earlier runs; broken, and first judged in this run:" in page
    assert "<b>Newly broken:</b> nothing · <b>broken, and first judged in this run:</b> <span" in page
    assert "<b>Broken, and first judged in this run.</b>" in page, "beside what was seen"


def test_the_step_that_failed_is_told_in_words(tmp_path: Path) -> None:
    """Colours and marks are not read out, and get lost when the page is copied."""
    record = record_of(tmp_path, ScenarioResult(WRITES, Verdict.BROKEN, "lost"))
    steps = [
        {"name": f"it {status}", "status": status} for status in ("passed", "failed", "broken", "skipped", "unknown")
    ]
    (tmp_path / "one-result.json").write_text(json.dumps({"historyId": WRITES.key, "steps": steps}))
    write_pages(record, tmp_path, tmp_path / "report", "Acceptance", Knowledge(tmp_path))
    page = (tmp_path / "report" / SCENARIOS).read_text()
    told = re.sub("<[^>]+>", " ", page[page.index('<ul class="steps">') : page.index("</ul>", page.index("<ul class"))])
    assert " ".join(told.split()) == (
        "it passed it failed (failed here) it broken (failed here) it skipped (not run) it unknown (not run)"
    )


def test_how_sure_it_is_comes_from_what_was_proved(tmp_path: Path) -> None:
    noted = tmp_path / "trust.jsonl"
    heard = (trust.Heard("FO-02", True, "broken", "Writes"),)
    trust.note(noted, "plan", trust.Trust(planned=("fsync-off", "slow")))
    trust.note(noted, "proof", trust.Proof("fsync-off", "PostgreSQL", "fsync is off", heard))
    trust.note(noted, "proof", trust.Proof("slow", "PostgreSQL", "slow", (trust.Heard("PF-01", False, "passed"),)))
    record = record_of(tmp_path / "run", ScenarioResult(WRITES, Verdict.PASSED))
    page = page_of(record, tmp_path / "page", proved=noted)
    assert "Kept promises: with caution. On" in page
    assert "broken on purpose in 2 ways. The scenarios noticed 1 of 2, with 0 false alarms" in page
    assert "and every promise kept was seen to fail." in page
    assert "Not noticed by every scenario that should have: slow." in page
    assert "1 sabotage made it fail" in page


def test_flaky_scenarios_are_told_with_how_they_failed_at_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    failed = ScenarioResult(WRITES, Verdict.BROKEN, "31 s")
    journal.begin([WRITES])
    journal.record(failed)
    journal.rerun([failed])
    journal.record(ScenarioResult(WRITES, Verdict.PASSED))
    journal.end()
    page = page_of(read(journal.path), tmp_path / "page")
    assert "at first: 31 s" in page


def test_one_scenario_is_not_called_all_1_scenarios(tmp_path: Path) -> None:
    page_of(record_of(tmp_path / "alone", ScenarioResult(WRITES, Verdict.PASSED)), tmp_path / "one")
    assert "<h2>The scenario</h2>" in (tmp_path / "one" / "report" / SCENARIOS).read_text()
    both = record_of(tmp_path, ScenarioResult(WRITES, Verdict.PASSED), ScenarioResult(READS, Verdict.PASSED))
    page_of(both, tmp_path / "two")
    assert "<h2>Both scenarios</h2>" in (tmp_path / "two" / "report" / SCENARIOS).read_text()


def test_a_scenario_says_how_to_run_just_it_again(tmp_path: Path) -> None:
    odd = Scenario("features/cache/x.feature", "X", "It's (50 %) done", tags=("id.CO-01",))
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([odd])
    journal.record(ScenarioResult(odd, Verdict.BROKEN, "no"))
    journal.asked("--target mine.toml")
    journal.end()
    page_of(read(journal.path), tmp_path / "page")
    page = (tmp_path / "page" / "report" / SCENARIOS).read_text()
    assert "./accept run --target mine.toml --tags @id.CO-01 --name &#39;^It&#39;&#34;" in page


def test_the_first_questions_are_answered_at_a_glance(tmp_path: Path) -> None:
    record = record_of(
        tmp_path,
        ScenarioResult(WRITES, Verdict.BROKEN, "lost", incident=replace(CRASH, lost=2)),
        ScenarioResult(READS, Verdict.PASSED, measures=(P95,)),
    )
    before = tuple(run(float(number), {"FO-02": "passed"}, 11.0) for number in range(6))
    now = past.run_of(record)
    found = glance(grid.states(record, LISTED), now, before, trends.broken_since(now, before))
    assert [(one.value, one.note, one.style) for one in found] == [
        ("2", "2 of 900 when the host of the leader crashes; checked after 1 fault", "broken"),
        (
            "21.5 s",
            "when the host of the leader crashes; limit: 30 s; the longest of 1 unplanned fault with clients writing",
            "kept",
        ),
        ("1 of 1", "newly slow: nothing", "kept"),
        ("FO-02", "compared with 6 earlier runs", "broken"),
    ]
    nothing = glance(grid.states(record, LISTED), run(1.0, {}), (), {})
    assert [one.value for one in nothing] == ["not checked", "not tried", "none measured", "unknown"]


def test_the_page_for_qa_stays_small_whatever_is_attached(tmp_path: Path) -> None:
    scenarios = [
        Scenario(f"features/failover/{n % 9}.feature", f"F{n % 9}", f"Scenario {n}", tags=("id.FO-02",))
        for n in range(250)
    ]
    periods = tuple(MemberState(f"pg{n % 3}", "writes", float(n), n + 1.0) for n in range(60))
    slices = tuple((n / 2, 1000 + n) for n in range(120))
    events = tuple(
        Event(float(n), "pg1", f"INFO: line {n} of a log that says more than one expects") for n in range(150)
    )
    data = FaultRecord("FO-02", 1.0, 60.0, periods, (), Rates(0.5, slices, slices, slices), (0.0, 20.0), events).json
    for number, one in enumerate(scenarios):
        attached = [("log of pg1", "log"), ("SQL and its plan", "sql"), *([(NAME, "data")] if number < 70 else [])]
        for name, kind in attached:
            (tmp_path / f"{one.key}-{kind}.txt").write_text(data if name == NAME else "x" * 100_000)
        result = {
            "historyId": one.key,
            "attachments": [{"name": n, "source": f"{one.key}-{k}.txt"} for n, k in attached],
        }
        (tmp_path / f"{one.key}-result.json").write_text(json.dumps(result))
    verdicts = [Verdict.BROKEN if number < 20 else Verdict.PASSED for number in range(250)]
    record = record_of(
        tmp_path, *(ScenarioResult(one, end, "why") for one, end in zip(scenarios, verdicts, strict=True))
    )
    page_of(record, tmp_path)
    assert (tmp_path / "report" / SCENARIOS).stat().st_size < 3_000_000
    assert (tmp_path / "report" / DASHBOARD).stat().st_size < 3_000_000
    assert len(list((tmp_path / "report" / "attachments").rglob("*.txt"))) == 570


def test_printing_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "BROWSERS", ("no-such-browser",))
    with pytest.raises(NotAvailable, match="no browser is installed"):
        printing.print_page(tmp_path / "a.html", tmp_path / "a.pdf")
    monkeypatch.setattr(printing, "BROWSERS", ("true",))
    with pytest.raises(ProcessFailed, match="printed nothing: exit status 0; open the page in a browser of your own"):
        printing.print_page(tmp_path / "a.html", tmp_path / "a.pdf")


def test_an_earlier_run_is_read_whatever_its_titles_hold(tmp_path: Path) -> None:
    """A title may contain characters that Python takes for the end of a line."""
    odd = replace(READS, name="a line\u2028and another\x85one")
    earlier = past.run_of(record_of(tmp_path, ScenarioResult(odd, Verdict.PASSED, measures=(P95,))))
    past.write(tmp_path / "past", [earlier])
    assert past.read(tmp_path / "past") == (earlier,)


DISTURBING = replace(WRITES, tags=(*WRITES.tags, "destructive"))


@pytest.mark.parametrize(
    ("end", "disturbed"),
    [
        (None, True),
        (Verdict.PASSED, True),
        (Verdict.INCONCLUSIVE, True),
        (Verdict.SKIPPED, False),
    ],
)
def test_a_scenario_that_disturbs_need_not_say_what_it_cost(
    tmp_path: Path, end: Verdict | None, disturbed: bool
) -> None:
    """The scenario was interrupted, or it breaks something without a workload, such as Redis."""
    results = (ScenarioResult(DISTURBING, end),) if end else ()
    record = RunRecord((DISTURBING,), results, {DISTURBING.key: 100.0}, {"Target": "prod"}, interrupted=not end)
    assert ("and ran scenarios that inject faults." in about(record)) is disturbed
    assert ("injected no fault" in about(record)) is not disturbed
    assert ("This run broke nothing on purpose" in page_of(record, tmp_path)) is not disturbed
    assert not replace(record, started={}, results=()).disturbed, "it was not reached"


def test_only_clusters_of_ours_are_thrown_away(tmp_path: Path) -> None:
    ours = {"Target": "embedded cluster", "Sandbox": "namespaces"}
    parts = []
    for name, facts in {"a": ours, "b": ours, "prod": {"Target": "db1"}}.items():
        journal = Journal(tmp_path / f"{name}.jsonl")
        journal.begin([WRITES], facts)
        journal.end()
        parts.append(merging.Part(name, tmp_path, read(journal.path)))
    assert "throw-away cluster" in about(merging.merged(parts[:2]))
    told = about(merging.merged(parts))
    assert "throw-away" not in told
    assert told.startswith("These runs tested several clusters, embedded cluster (a); embedded cluster (b); db1 (prod)")


def test_the_head_says_whose_cluster_it_is_and_what_to_do_next(tmp_path: Path) -> None:
    ours = RunRecord(facts={"Target": "embedded cluster", "Sandbox": "namespaces"})
    assert "throw-away cluster" in about(ours)
    theirs = RunRecord(facts={"Target": "db.example.org:5432"})
    assert about(theirs) == (
        "This run tested your cluster db.example.org:5432: it wrote only its own rows there, and injected no fault."
    )
    hit = replace(theirs, results=(ScenarioResult(WRITES, Verdict.PASSED, incident=CRASH),))
    assert about(hit).endswith("and injected faults.")
    assert about(RunRecord()) == ""
    timed = replace(ours, began=100.0, ended=790.0, facts={"Tested from": "ci-7, 8 cores"})
    assert took(timed) == "took 12 min; run from ci-7, 8 cores"


def test_the_summary_says_what_was_lost_and_what_comes_first(tmp_path: Path) -> None:
    lost = ScenarioResult(WRITES, Verdict.BROKEN, "lost", final=True, incident=replace(CRASH, lost=2))
    record = record_of(tmp_path / "lost", lost, ScenarioResult(READS, Verdict.BROKEN, "slow"))
    states, now = grid.states(record, LISTED), past.run_of(record)
    risk = (
        "Data is at risk: 2 acknowledged writes lost after faults. Wrong results: FO-02. Time or speed limits "
        "exceeded: PF-01. Next: "
    )
    once_more = "run PF-01 again, and fix what fails again"
    assert summary(record, states, now, {}) == f"{risk}fix FO-02; {once_more}."
    caused = summary(record, states, now, {"FO-02": ["PF-01"]})
    assert caused == f"{risk}{once_more}, then run FO-02 again (PF-01 may be the cause)."
    slow = record_of(tmp_path / "slow", ScenarioResult(WRITES, Verdict.BROKEN, "late", incident=CRASH))
    told = summary(slow, grid.states(slow, LISTED), past.run_of(slow), {})
    assert told == (
        "Time or speed limits exceeded: FO-02. No acknowledged write was lost. Next: run FO-02 again, and fix what "
        "fails again."
    )
    unclear = record_of(tmp_path / "unclear", ScenarioResult(READS, Verdict.INCONCLUSIVE, "busy"))
    told = summary(unclear, grid.states(unclear, LISTED), past.run_of(unclear), {})
    assert told == "Next: run PF-01 again, which could not be judged."


def test_a_limit_that_is_not_the_promised_one_is_told_with_its_source(tmp_path: Path) -> None:
    limits = ("12 s: [limits] FO-02.failover; the scenario states 30", "40 s: another one")
    late = ScenarioResult(WRITES, Verdict.BROKEN, "interrupted for 12.06 s (limit: 12 s)", other_limits=limits)
    page = page_of(record_of(tmp_path / "run", late), tmp_path / "page")
    assert "The limit in force is not the one that is promised. 12 s: [limits] FO-02.failover; the scenario" in page
    assert "another one" not in page


def test_what_was_not_run_says_what_was_asked_for_and_how_much_of_each_capability_ran(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([WRITES])
    journal.record(ScenarioResult(WRITES, Verdict.PASSED))
    journal.asked("", "failover --tags @smoke")
    journal.end()
    record = read(journal.path)
    states = grid.states(record, LISTED)
    assert [(one.why, one.word) for one in states][1:] == [
        ("the run was limited to failover --tags @smoke", "not run")
    ] * 2
    assert grid.extent(states) == [("Cache", 0, 1), ("Security", 0, 1)]
    assert "Run: Cache 0 of 1, Security 0 of 1" in page_of(record, tmp_path / "page")


def test_a_box_bears_the_name_of_its_promise(tmp_path: Path) -> None:
    (tmp_path / "promises.toml").write_text(
        '[FO-02]\nname = "crash loses nothing"\n'
        'capability = "failover"\npromise = "No write is lost."\nseverity = "blocker"\n'
    )
    record = record_of(tmp_path, ScenarioResult(WRITES, Verdict.PASSED))
    write_pages(record, tmp_path, tmp_path / "report", "Acceptance", Knowledge(tmp_path))
    assert '<span class="name">crash loses nothing</span></button>' in (tmp_path / "report" / DASHBOARD).read_text()
