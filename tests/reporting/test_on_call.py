"""Guides for the on-call engineer: every promise has one, mistakes in the file are told, and the report shows them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from journals import READS, WRITES, record_of
from program import ROOT

from support.cli.lint import check_guides
from support.errors import UsageError
from support.reporting import on_call, promises
from support.reporting.pages import grid
from support.reporting.pages.grid import PromiseState
from support.reporting.pages.on_call import SAFE, TargetFact, causes, entries
from support.reporting.pages.site import DASHBOARD, ON_CALL, Knowledge, write_pages
from support.reporting.promises import Promise
from support.reporting.scenario import Scenario, ScenarioResult, Verdict

SETTINGS = Scenario("features/failover/durability.feature", "Settings", "They are on", tags=("id.PH-06",))
LISTED = """
[FO-02]
capability = "failover"
promise = "No acknowledged write is lost."
severity = "blocker"

[PF-01]
capability = "cache"
promise = "Reads are quick."
severity = "normal"

[PH-06]
capability = "failover"
promise = "Settings are safe."
severity = "critical"
"""
OWN_LISTED = """
[OW-01]
name = "logins"
capability = "cache"
promise = "Logins are kept."
severity = "minor"
"""
GUIDES = """
[failover]
means = "Down for too long."

[FO]
means = "A failover went wrong."
causes = ["nobody was fit"]

[FO-02]
means = "Customers lost <data>."
causes = ["`fsync` is off", "asynchronous replication"]
look = ["`patronictl list`"]
fixes = ["`synchronous_mode: true`"]
first = ["PH-06"]
facts = ["fsync", "Members"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / promises.FILE).write_text(LISTED)
    (tmp_path / on_call.FILE).write_text(GUIDES)
    return tmp_path


def promise(id: str, capability: str = "failover") -> Promise:
    return Promise(id, capability, "It holds.", "normal")


@pytest.mark.parametrize(
    ("id", "capability", "about"),
    [("FO-02", "failover", "FO-02"), ("FO-99", "failover", "FO"), ("ZZ-01", "failover", "failover")],
)
def test_the_nearest_guide_counts(folder: Path, id: str, capability: str, about: str) -> None:
    assert on_call.guide_for(promise(id, capability), on_call.load(folder / on_call.FILE)).about == about


def test_without_any_guide_the_promise_itself_is_told(folder: Path) -> None:
    guides = on_call.load(folder / on_call.FILE)
    assert on_call.guide_for(promise("AB-01", "cache"), guides).means == "This no longer holds: It holds."
    assert on_call.only_general(guides, promises.load(folder / promises.FILE)) == ["PF-01", "PH-06"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[FO-77]\nmeans = 'x'", "[FO-77] is about no promise"),
        ("[FO]\ncauses = ['x']", "[FO]: 'means' must be a text"),
        ("[FO]\nmeans = 'x'\ncause = ['x']", "[FO]: there is no key 'cause'"),
        ("[FO]\nmeans = 'x'\nlook = 'x'", "[FO]: 'look' must be a list of texts"),
        ("[FO\n", "not TOML"),
        ("means = 'x'", "'means' belongs to no table"),
        ("[FO]\nmeans = 'x'\nfirst = ['PH-77']", "[FO]: first: PH-77 is not in"),
    ],
)
def test_lint_finds_what_is_wrong_with_a_guide(folder: Path, text: str, told: str) -> None:
    (folder / on_call.FILE).write_text(text)
    assert any(told in str(finding) for finding in check_guides(folder))


def test_lint_finds_nothing_wrong_with_good_guides(folder: Path) -> None:
    assert list(check_guides(folder)) == []


def test_a_file_with_mistakes_is_told_and_not_read(folder: Path) -> None:
    (folder / on_call.FILE).write_text("[FO]\nmeans = 3")
    with pytest.raises(UsageError, match=r"\[FO\]: 'means' must be a text"):
        on_call.load(folder / on_call.FILE)


def test_the_promises_of_the_project_have_guides_that_are_about_something() -> None:
    guides, listed = on_call.load(ROOT / "features" / on_call.FILE), promises.load(ROOT / "features" / promises.FILE)
    assert list(on_call.unknown(guides, listed)) == []
    assert [id for id, one in listed.items() if not on_call.guide_for(one, guides).about] == []
    assert [one.about for one in guides.values() if not (one.causes and one.look and one.fixes)] == []


def test_a_broken_promise_links_to_its_guide(folder: Path, tmp_path: Path) -> None:
    record = record_of(
        tmp_path / "run", ScenarioResult(WRITES, Verdict.BROKEN, "3 writes lost"), ScenarioResult(READS, Verdict.PASSED)
    )
    write_pages(record, tmp_path / "run", tmp_path, "Acceptance", Knowledge(folder, {"FO-02": ["fsync is off"]}))
    assert 'href="on-call.html#FO-02"' in (tmp_path / DASHBOARD).read_text()
    page = (tmp_path / ON_CALL).read_text()
    broken = page[page.index('id="FO-02"') : page.index('id="PF-01"')]
    for expected in (
        "Seen in this run:</b> 3 writes lost",
        "Customers lost &lt;data&gt;.",
        "<li><code>fsync</code> is off</li>",
        "<code>patronictl list</code>",
        "Known to look like this",
        f'href="index.html#{WRITES.key[:12]}"',
    ):
        assert expected in broken
    assert "This no longer holds: Reads are quick." in page


def test_the_users_own_folder_has_labels_and_guides_and_its_guides_come_first(folder: Path, tmp_path: Path) -> None:
    own, report = tmp_path / "own", tmp_path / "report"
    own.mkdir()
    (own / promises.FILE).write_text(OWN_LISTED)
    (own / on_call.FILE).write_text("[OW-01]\nmeans = 'Nobody can log in.'\n[FO-02]\nmeans = 'Orders are lost.'\n")
    kept = ScenarioResult(replace(READS, tags=("id.OW-01",)), Verdict.PASSED)
    record = record_of(tmp_path / "run", ScenarioResult(WRITES, Verdict.BROKEN, "3 writes lost"), kept)
    write_pages(record, tmp_path / "run", report, "Acceptance", Knowledge(folder, own=own))
    assert '<span class="name">logins</span>' in (report / DASHBOARD).read_text()
    page = (report / ON_CALL).read_text()
    assert "Nobody can log in." in page
    assert "Orders are lost." in page
    assert "Customers lost" not in page
    (own / promises.FILE).write_text("[OW-01")
    write_pages(record, tmp_path / "run", report, "Acceptance", Knowledge(folder, own=own))
    assert "Orders are lost." in (report / ON_CALL).read_text(), "each file is read by itself"


def states_of(tmp_path: Path, folder: Path, lost: bool, settings: Verdict) -> list[PromiseState]:
    found = ScenarioResult(WRITES, Verdict.BROKEN, "2 writes lost" if lost else "31 s", final=lost)
    record = record_of(tmp_path / "run", found, ScenarioResult(SETTINGS, settings, "fsync is off"))
    return list(grid.states(record, promises.load(folder / promises.FILE)))


def test_a_broken_promise_that_may_be_the_cause_is_named_and_comes_first(folder: Path, tmp_path: Path) -> None:
    guides = on_call.load(folder / on_call.FILE)
    states = states_of(tmp_path, folder, True, Verdict.BROKEN)
    assert causes(states, guides) == {"FO-02": ["PH-06"]}
    facts = {"fsync": "off", "Members of worker group 1": "w1", "Redis": "7"}
    first = entries(states, guides, {}, facts)[0]
    assert (first.state.promise.id, first.causes) == ("FO-02", ["PH-06"]), "it is graver"
    assert first.facts == [TargetFact("fsync", "off"), TargetFact("Members of worker group 1", "w1")]
    assert first.unjudged == []
    alike = [replace(one, promise=replace(one.promise, severity="normal")) for one in states]
    assert entries(alike, guides, {}, facts)[0].state.promise.id == "PH-06"


@pytest.mark.parametrize(("lost", "settings"), [(False, Verdict.BROKEN), (True, Verdict.PASSED)])
def test_no_cause_is_named_for_a_limit_of_time_or_where_it_is_kept(
    folder: Path, tmp_path: Path, lost: bool, settings: Verdict
) -> None:
    assert causes(states_of(tmp_path, folder, lost, settings), on_call.load(folder / on_call.FILE)) == {}


def page_with(tmp_path: Path, folder: Path, *ends: ScenarioResult, **facts: str) -> str:
    run = tmp_path / f"run-{len([*tmp_path.iterdir()])}"
    record = replace(record_of(run, *ends), facts=facts, options="--target mine.toml")
    write_pages(record, run, run, "Acceptance", Knowledge(folder))
    page = (run / ON_CALL).read_text()
    return page[page.index('id="FO-02"') : page.index("</section>")]


LOST = ScenarioResult(WRITES, Verdict.BROKEN, "2 writes lost", final=True)


def test_a_possible_cause_that_was_not_judged_is_named_with_the_command_that_does(folder: Path, tmp_path: Path) -> None:
    told = "PH-06 may be the cause, and was not judged in this run: "
    assert f"{told}<code>./accept run --target mine.toml --tags @id.PH-06</code>" in page_with(tmp_path, folder, LOST)
    unclear = page_with(tmp_path, folder, LOST, ScenarioResult(SETTINGS, Verdict.INCONCLUSIVE, "pg2 is silent"))
    assert f"{told}<code>" in unclear
    skipped = page_with(tmp_path, folder, LOST, ScenarioResult(SETTINGS, Verdict.SKIPPED, "no login"))
    assert f"{told}the target lacks what" in skipped
    for judged in (Verdict.PASSED, Verdict.BROKEN):
        assert told not in page_with(tmp_path, folder, LOST, ScenarioResult(SETTINGS, judged, "fsync is off"))
    slow = ScenarioResult(WRITES, Verdict.BROKEN, "31 s")
    assert told not in page_with(tmp_path, folder, slow), "a limit of time has other causes"


def test_a_setting_that_is_not_safe_comes_first_and_is_marked(folder: Path, tmp_path: Path) -> None:
    (folder / on_call.FILE).write_text("[FO-02]\nmeans = 'x'\nfacts = ['fsync', 'synchronous_commit', 'Members']")
    page = page_with(tmp_path, folder, LOST, fsync="on", synchronous_commit="off", Members="pg1")
    facts = page[page.index("As this run found it") :]
    assert facts.index("synchronous_commit") < facts.index("fsync") < facts.index("Members")
    assert "<code>off</code> <b" in facts
    assert facts.count("not safe") == 1
    assert "PH-06 asks for on or remote_apply or remote_write" in facts
    assert "not safe" not in page_with(tmp_path, folder, LOST, fsync="on", synchronous_commit="remote_apply")


def test_what_counts_as_safe_is_what_the_scenario_asks_for() -> None:
    table = (ROOT / "features/failover/durability.feature").read_text()
    rows = re.findall(r"\| (\w+) +\| ([a-z_ ]+?) +\|", table)
    asked = {name: frozenset(values.split(" or ")) for name, values in rows}
    assert {name: values for name, values in asked.items() if name in SAFE} == SAFE


def test_promises_that_did_not_fail_are_folded(folder: Path, tmp_path: Path) -> None:
    failed = ScenarioResult(WRITES, Verdict.BROKEN, "3 writes lost")
    for name, ends in {"one": [failed], "none": []}.items():
        record = record_of(tmp_path / name, *ends, ScenarioResult(READS, Verdict.PASSED))
        write_pages(record, tmp_path / name, tmp_path / name, "Acceptance", Knowledge(folder))
        page = (tmp_path / name / ON_CALL).read_text()
        fold = page.index("<details data-fold")
        assert (page.index('id="FO-02"') < fold, page.index('id="PF-01"') > fold) == (bool(ends), True)
        assert page[fold:].startswith("<details data-fold>") is bool(ends)
