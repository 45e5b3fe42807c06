"""The catalogue of sabotages: complete, and well-formed; what counts as noticed; what a run of them comes to."""

import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import step_code

from support.cli.behave_process import Planned
from support.cli.prove import show_sabotages
from support.cli.prover import ON_A_BUSY_MACHINE, heard
from support.errors import UsageError
from support.hosts.processors import Usage
from support.reporting.journal import RunRecord
from support.reporting.scenario import Scenario, ScenarioResult, Verdict
from support.reporting.trust import HealthyRun, Heard, Proof, ScenarioUnderTest, Trust, note, page_of, read
from support.sabotage import broken_caches
from support.sabotage.catalogue import PARTS, SABOTAGES, chosen, tried_on
from support.sabotage.sabotage import Notice

PLANNED = Planned("A", "A crashed leader is replaced", "failover/a.feature:1", frozenset({"id.FO-01"}))
NOTICE = Notice("FO-01", r"leads: still not true after \d+")
BUSY = Usage(1.0, 2, ours=0.8, others=1.2, stolen=0.0, idle=0.0)
HEARD = Heard("FO-01", True, "broken", "A crashed leader", "nobody leads: still not true after 30 s")


@pytest.fixture(scope="module")
def scenarios() -> tuple[Planned, ...]:
    return step_code.scenarios()


def record(verdict: Verdict, reason: str = "", ids: tuple[str, ...] = ("id.FO-01",)) -> RunRecord:
    scenario = Scenario("failover/a.feature", "A", "A crashed leader is replaced", tags=ids)
    return RunRecord(selected=(scenario,), results=(ScenarioResult(scenario, verdict, reason),))


def only(notice: Notice, found: RunRecord) -> Heard:
    (said,) = heard(notice, found, (PLANNED,), {})
    return said


def test_names_are_unique_and_words_are_given() -> None:
    assert sum(map(len, PARTS.values())) == len(SABOTAGES)
    for name, one in SABOTAGES.items():
        assert re.fullmatch(r"[a-z0-9-]+", name), name
        assert one.description, name
        assert one.noticed_by, name


def test_every_notice_means_a_scenario_and_says_what_is_told(scenarios: tuple[Planned, ...]) -> None:
    for one in SABOTAGES.values():
        for notice in one.noticed_by:
            assert any(notice.applies_to(scenario.ids, scenario.name) for scenario in scenarios), (one.name, notice)
            assert len(notice.pattern) > 3, f"{one.name}: what does {notice.id} say?"
            re.compile(notice.pattern)


def test_every_scenario_has_a_sabotage_that_it_must_notice(scenarios: tuple[Planned, ...]) -> None:
    """Each row of an outline, too."""
    unseen = [
        f"{sorted(one.ids)} {one.name}"
        for one in scenarios
        if not any(
            notice.applies_to(one.ids, one.name) and not notice.skipped
            for sabotage in SABOTAGES.values()
            for notice in sabotage.noticed_by
        )
    ]
    assert not unseen


def test_titles_are_unique_because_scenarios_are_told_apart_by_them(scenarios: tuple[Planned, ...]) -> None:
    assert len({one.name for one in scenarios}) == len(scenarios)


def test_every_blocker_has_two_sabotages(scenarios: tuple[Planned, ...]) -> None:
    """Of those that an embedded cluster can keep without shards."""
    for scenario in scenarios:
        if scenario.is_blocker and "citus" not in scenario.tags:
            for id in scenario.ids:
                found = [one.name for one in SABOTAGES.values() if id in one.ids]
                assert len(found) >= 2, (id, found)


def test_every_broken_cache_is_a_sabotage() -> None:
    own = {
        name for name, one in vars(broken_caches).items() if getattr(one, "__module__", "") == broken_caches.__name__
    }
    used = {one.variables.get("ACCEPT_CACHE_REPOSITORY", "").rpartition(":")[2] for one in SABOTAGES.values()}
    assert {name for name in own if name.islower() and not name.startswith("_")} <= used | {"ignores_the_prefix"}


def test_an_id_asks_for_every_sabotage_that_it_must_notice_and_for_its_own_notice_alone() -> None:
    found = chosen(["PH-04"], {"PH-04"})
    assert {one.ids for one in found} == {("PH-04",)}
    assert "replica-down" in {one.name for one in found}
    assert chosen(["replica-down"], set()) == (SABOTAGES["replica-down"],)
    assert chosen([], set()) == tuple(SABOTAGES.values())


@pytest.mark.parametrize(("word", "why"), [("ZZ-01", "no sabotage is to be noticed by it"), ("typo", "promise nor")])
def test_an_unknown_word_is_told(word: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        chosen([word], {"ZZ-01"})


def test_a_broken_promise_that_says_so_is_noticed() -> None:
    assert only(NOTICE, record(Verdict.BROKEN, "another member leads: still not true after 30 s")).noticed


@pytest.mark.parametrize(
    ("verdict", "reason", "why"),
    [
        (Verdict.PASSED, "", "passed all the same"),
        (Verdict.BROKEN, "the whole cluster is healthy: still not true after 120 s", "does not match"),
        (Verdict.ERROR, "KeyError: leads: still not true after 30 s", "KeyError"),
        (Verdict.INCONCLUSIVE, "inconclusive: nobody wrote", "nobody wrote"),
        (Verdict.SKIPPED, "no citus", "no citus"),
    ],
)
def test_nothing_else_counts(verdict: Verdict, reason: str, why: str) -> None:
    said = only(NOTICE, record(verdict, reason))
    assert not said.noticed
    assert said.verdict == verdict
    assert why in said.message


def test_another_promise_does_not_count() -> None:
    said = only(NOTICE, record(Verdict.BROKEN, "leads: still not true after 30 s", ids=("id.FO-02",)))
    assert (said.noticed, said.verdict) == (False, "no verdict")


def test_a_notice_of_nobody_is_not_noticed() -> None:
    (said,) = heard(NOTICE, record(Verdict.BROKEN, "leads: still not true after 30 s"), (), {})
    assert (said.noticed, said.verdict) == (False, "no verdict")


def test_each_scenario_that_a_notice_stands_for_has_to_notice() -> None:
    """One of them does not vouch for the other."""
    other = replace(PLANNED, name="A frozen leader is replaced")
    both = RunRecord(
        results=(
            *record(Verdict.BROKEN, "another member leads: still not true after 30 s").results,
            ScenarioResult(Scenario("failover/a.feature", "A", other.name, tags=("id.FO-01",)), Verdict.PASSED, ""),
        )
    )
    said = heard(NOTICE, both, (PLANNED, other), {})
    assert [(one.scenario, one.noticed) for one in said] == [(PLANNED.name, True), (other.name, False)]
    assert [one.noticed for one in heard(replace(NOTICE, scenario="crashed"), both, (PLANNED, other), {})] == [True]


def test_a_machine_that_was_busy_is_told_from_a_scenario_that_noticed_nothing() -> None:
    late = f"10 of 10 sightings came after 5 s, but in the busiest 1.0 s of that time {BUSY}"
    said = only(NOTICE, record(Verdict.INCONCLUSIVE, late))
    assert (said.label, said.mark, said.noticed) == ("INCONCLUSIVE", "?", False)
    assert said.message == f"{late}; {ON_A_BUSY_MACHINE}"
    assert only(NOTICE, record(Verdict.INCONCLUSIVE, "nobody wrote")).message == "nobody wrote"
    assert only(NOTICE, record(Verdict.PASSED)).label == "NOT NOTICED"
    trust = Trust((Proof("frozen", "p", "w", (said,)),), planned=("frozen",))
    assert not trust.passed
    assert "(0 of 1 notices); 1 inconclusive; 0 false alarms" in trust.score


def test_skipped_is_honest_where_it_is_said_to_be() -> None:
    notice = Notice("FO-01", "asynchronously", skipped=True)
    assert only(notice, record(Verdict.SKIPPED, "it replicates asynchronously")).noticed
    assert not only(notice, record(Verdict.BROKEN, "it replicates asynchronously")).noticed


def test_trust_needs_every_notice_every_sabotage_and_no_false_alarm() -> None:
    good = Trust((Proof("a", "p", "w", (HEARD,)),), (HealthyRun(9),), planned=("a",))
    silent = Proof("b", "p", "w", (HEARD, Heard("FO-02", False, "passed")))
    assert good.passed
    assert not Trust().passed, "nothing was done"
    assert not Trust((*good.proofs, silent), planned=("a", "b")).passed
    assert not Trust((Proof("a", "p", "w", (HEARD,), failed="not well"),), planned=("a",)).passed
    assert not Trust(good.proofs, (HealthyRun(9, ("FO-01: broken",)),), planned=("a",)).passed
    assert not Trust(good.proofs, planned=("a", "not come to")).passed
    assert not Trust(good.proofs, planned=("a",), uncovered={"FO-03": "0 of 1"}).passed


def test_a_scenario_that_was_never_seen_to_fail_is_told_and_fails_the_proof() -> None:
    crashed, frozen = (ScenarioUnderTest("FO-01", title) for title in (HEARD.scenario, "A frozen leader"))
    good = Trust((Proof("a", "p", "w", (HEARD,)),), planned=("a",), scenarios=(crashed,))
    assert good.passed
    assert good.noticed_by == {HEARD.scenario: ("a",)}
    assert "1 of 1 scenarios seen to fail" in good.score
    unseen = replace(good, scenarios=(crashed, frozen))
    assert (unseen.never_seen, unseen.passed) == ((frozen,), False)
    assert "1 of 2 scenarios seen to fail" in unseen.score
    assert "never seen to fail" in page_of(unseen)
    assert "never seen to fail" not in page_of(good)
    impossible = replace(good, scenarios=(crashed, replace(frozen, lacking="no TLS")))
    assert impossible.passed
    assert "cannot run here: no TLS" in page_of(impossible)


@pytest.mark.parametrize(
    "proof",
    [
        Proof("a", "p", "w", (replace(HEARD, noticed=False),)),
        Proof("a", "p", "w", (replace(HEARD, verdict="skipped"),)),
        Proof("a", "p", "w", (HEARD,), failed="it took no effect"),
    ],
    ids=["unnoticed", "skipped", "failed"],
)
def test_only_a_noticed_failure_shows_that_a_scenario_can_fail(proof: Proof) -> None:
    assert not Trust((proof,), scenarios=(ScenarioUnderTest("FO-01", HEARD.scenario),)).noticed_by


def test_a_healthy_run_that_was_planned_has_to_be_done() -> None:
    good = Trust((Proof("a", "p", "w", (HEARD,)),), planned=("a",), planned_healthy=("run 1",))
    assert (good.missing, good.passed) == (("run 1",), False)
    done = replace(good, healthy=(HealthyRun(9), HealthyRun(3, name="run 1", destructive=3)))
    assert (done.missing, done.passed) == ((), True)
    assert "0 false alarms in 2 healthy runs of 12 scenarios (3 of them destructive)" in done.score


def test_an_inconclusive_scenario_is_a_false_alarm_unless_it_passes_when_repeated() -> None:
    good = Trust((Proof("a", "p", "w", (HEARD,)),), planned=("a",))
    busy = HealthyRun(9, inconclusive={"Reads are fast": "the machine was busy"})
    assert replace(good, healthy=(busy,)).alarms == ("Reads are fast: inconclusive: the machine was busy",)
    assert not replace(good, healthy=(busy, HealthyRun(1, passed=("Reads are fast",)))).passed, "not a repetition"
    settled = replace(good, healthy=(busy, HealthyRun(1, passed=("Reads are fast",), repeated=True)))
    assert settled.passed
    assert "1 inconclusive at first, and repeated" in settled.score
    again = HealthyRun(1, inconclusive={"Reads are fast": "still busy"}, repeated=True)
    assert replace(good, healthy=(busy, again)).alarms == ("Reads are fast: inconclusive: still busy",)


def test_the_second_attempt_counts() -> None:
    unclear = Proof("a", "p", "w", (HEARD, replace(HEARD, noticed=False, verdict="inconclusive")))
    assert unclear.inconclusive
    assert not replace(unclear, failed="not well").inconclusive
    assert not Proof("a", "p", "w", (replace(HEARD, noticed=False, verdict="passed"),)).inconclusive


def test_what_was_noted_is_read_again_in_the_order_of_the_plan(tmp_path: Path) -> None:
    file = tmp_path / "trust.jsonl"
    proofs = {name: Proof(name, "p", "w", (HEARD,), seconds=1.5) for name in ("a", "b")}
    note(file, "plan", Trust(planned=("a", "b"), facts={"PostgreSQL": "16"}))
    note(file, "healthy", HealthyRun(9, ("alarm",)))
    note(file, "proof", proofs["b"])
    note(file, "proof", proofs["a"])
    with file.open("a") as torn:
        torn.write('{"kind": "pro')
    found = read(file)
    assert found.proofs == (proofs["a"], proofs["b"])
    assert (found.alarms, found.facts, found.missing) == (("alarm",), {"PostgreSQL": "16"}, ())


def test_what_follows_a_fact_that_was_cut_off_is_not_lost(tmp_path: Path) -> None:
    """Such as a false alarm after the disk was full: without it, the proof would pass."""
    file = tmp_path / "trust.jsonl"
    note(file, "proof", Proof("a", "p", "w", (HEARD,)))
    with file.open("a") as torn:
        torn.write('{"kind": "healthy", "fact": {"scen')
    note(file, "healthy", HealthyRun(9, ("alarm",)))
    assert (len(read(file).proofs), read(file).alarms) == (1, ("alarm",))


def test_a_fact_of_which_a_part_was_written_is_an_error(tmp_path: Path) -> None:
    """As on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # Python ignores the signal
        with pytest.raises(OSError, match="bytes could be written"):
            note(tmp_path / "trust.jsonl", "healthy", HealthyRun(9, ("x" * 2000,)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("line", ['{"kind": "dream", "fact": {}}', '{"kind": "healthy", "fact": {"runs": 9}}', "{}"])
def test_what_another_version_noted_is_passed_over(tmp_path: Path, line: str) -> None:
    file = tmp_path / "trust.jsonl"
    file.write_text(f"{line}\n")
    note(file, "healthy", HealthyRun(9, ("alarm",)))
    assert read(file) == Trust(healthy=(HealthyRun(9, ("alarm",)),))


def test_the_page_shows_who_noticed_who_did_not_and_what_they_said() -> None:
    silent = Heard("FO-02", False, "passed", "An acknowledged write", "it passed <all> the same")
    page = page_of(
        Trust((Proof("slow", "Patroni", "it is slow", (HEARD, silent), others=("FO-03",)),), planned=("slow",))
    )
    body = page.partition("</head>")[2]
    assert body.count("✓") == body.count("✗") == 2, "one cell each, and the legend"
    assert "nobody leads: still not true after 30 s" in page
    assert "passed &lt;all&gt; the same" in page


def test_the_page_says_how_much_of_what_is_known_was_tried() -> None:
    one = Trust((Proof("slow", "Patroni", "it is slow", (HEARD,)),), planned=("slow",))
    answer = "As far as it was tried, yes: of 1 way to break the cluster, the scenarios noticed 1. 80 ways are known."
    assert answer in page_of(one, known=80)
    assert ">Yes: of 1 way to break the cluster, the scenarios noticed 1.<" in page_of(one, known=1)
    assert ">Yes: " in page_of(replace(one, passed_over={"tls-off": "no TLS"}), known=2), "it cannot be tried here"
    assert ">Not yet: of 1 way" in page_of(replace(one, uncovered={"FO-03": "0 of 1"}), known=80)


def test_a_sabotage_is_tried_on_another_promise() -> None:
    (tried,) = tried_on(chosen(["fsync-off"], ()), ["FO-01"], {"FO-01", "FO-02"})
    assert tried.ids == ("FO-01",)
    assert tried.noticed_by[0].matches("whatever was seen to be broken")
    with pytest.raises(UsageError, match=r"--also FO-0l: no scenario has the tag @id.FO-0l; did you mean FO-01\?"):
        tried_on((), ["FO-0l"], {"FO-01"})


@pytest.mark.long
def test_the_list_shows_what_the_words_select(capsys: pytest.CaptureFixture[str]) -> None:
    """With all that must notice, not only the promise that was named."""
    show_sabotages(["FO-02"])
    listed = [line.split() for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert [name for name, *_ in listed] == [one.name for one in SABOTAGES.values() if "FO-02" in one.ids]
    assert [ids for _, *ids in listed] == [[*SABOTAGES[name].ids] for name, *_ in listed]
    show_sabotages(["fsync-off"])
    assert capsys.readouterr().out == f"fsync-off  PH-06\n    {SABOTAGES['fsync-off'].description}\n"
    with pytest.raises(UsageError, match="'FO-O2': neither a promise nor a sabotage; did you mean"):
        show_sabotages(["FO-O2"])
