"""The catalogue of sabotages: complete, and well-formed; what counts as noticed; what a run of them comes to."""

import re
from pathlib import Path

import pytest

from support.cli.behave_process import Planned, dry_run
from support.cli.prover import heard
from support.errors import UsageError
from support.reporting.journal import RunRecord
from support.reporting.scenario import Scenario, ScenarioResult, Verdict
from support.reporting.trust import HealthyRun, Heard, Proof, Trust, note, page_of, read
from support.sabotage import broken_caches
from support.sabotage.catalogue import PARTS, SABOTAGES, chosen
from support.sabotage.sabotage import Notice

NOTICE = Notice("FO-01", r"leads: not so after \d+")
HEARD = Heard("FO-01", True, "broken", "A crashed leader", "nobody leads: not so after 30 s")


@pytest.fixture(scope="module")
def scenarios() -> tuple[Planned, ...]:
    return dry_run(["features"]).scenarios


def record(verdict: Verdict, reason: str = "", ids: tuple[str, ...] = ("id.FO-01",)) -> RunRecord:
    scenario = Scenario("failover/a.feature", "A", "A crashed leader is replaced", tags=ids)
    return RunRecord(selected=(scenario,), results=(ScenarioResult(scenario, verdict, reason),))


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


def test_every_promise_has_its_sabotages(scenarios: tuple[Planned, ...]) -> None:
    """Those that an embedded cluster can keep without shards: one each, two where it is a blocker."""
    for scenario in scenarios:
        if "citus" not in scenario.tags:
            for id in scenario.ids:
                found = [one.name for one in SABOTAGES.values() if id in one.ids]
                assert len(found) >= (2 if scenario.is_blocker else 1), (id, found)


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


@pytest.mark.parametrize(("word", "why"), [("ZZ-01", "no sabotage is to be noticed by it"), ("typo", "no promise and")])
def test_an_unknown_word_is_told(word: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        chosen([word], {"ZZ-01"})


def test_a_broken_promise_that_says_so_is_noticed() -> None:
    assert heard(NOTICE, record(Verdict.BROKEN, "another member leads: not so after 30 s")).noticed


@pytest.mark.parametrize(
    ("verdict", "reason", "why"),
    [
        (Verdict.PASSED, "", "passed all the same"),
        (Verdict.BROKEN, "the whole cluster is well: not so after 120 s", "does not match"),
        (Verdict.ERROR, "KeyError: leads: not so after 30 s", "KeyError"),
        (Verdict.INCONCLUSIVE, "inconclusive: nobody wrote", "nobody wrote"),
        (Verdict.SKIPPED, "no citus", "no citus"),
    ],
)
def test_nothing_else_counts(verdict: Verdict, reason: str, why: str) -> None:
    said = heard(NOTICE, record(verdict, reason))
    assert not said.noticed
    assert said.verdict == verdict
    assert why in said.message


def test_another_promise_does_not_count() -> None:
    said = heard(NOTICE, record(Verdict.BROKEN, "leads: not so after 30 s", ids=("id.FO-02",)))
    assert (said.noticed, said.verdict) == (False, "no verdict")


def test_skipped_is_honest_where_it_is_said_to_be() -> None:
    notice = Notice("FO-01", "asynchronously", skipped=True)
    assert heard(notice, record(Verdict.SKIPPED, "it replicates asynchronously")).noticed
    assert not heard(notice, record(Verdict.BROKEN, "it replicates asynchronously")).noticed


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


def test_the_page_shows_who_noticed_who_did_not_and_what_they_said() -> None:
    silent = Heard("FO-02", False, "passed", "An acknowledged write", "it passed <all> the same")
    page = page_of(
        Trust((Proof("slow", "Patroni", "it is slow", (HEARD, silent), others=("FO-03",)),), planned=("slow",))
    )
    assert page.count("✓") == page.count("✗") == 2, "one cell each, and the legend"
    assert "nobody leads: not so after 30 s" in page
    assert "passed &lt;all&gt; the same" in page
