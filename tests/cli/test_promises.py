"""The list of promises: its checks, the search, the documented page, and the promises in the report."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import step_code
from journals import READS, WRITES, record_of
from program import ROOT, copy
from small_suites import run_suite, write_suite

from support import own_folder
from support.cli import new, promises
from support.cli.feature_files import read
from support.cli.lint import check_promises
from support.cli.preflight import limits_by_id
from support.engine.limits import Stated
from support.errors import UsageError
from support.own_folder import OwnFolder
from support.reporting import on_call
from support.reporting.pages.site import DASHBOARD, Knowledge, write_pages
from support.reporting.promises import Promise, load, sentence_of
from support.reporting.scenario import EPICS, ScenarioResult, Verdict
from support.reporting.summary import markdown
from support.sabotage.catalogue import SABOTAGES, own_sabotages

LISTED = """
[FO-02]
capability = "failover"
promise = "No acknowledged write is lost in a failover."
severity = "critical"

[CO-01]
capability = "cache"
promise = "A cached value comes back unchanged."
severity = "minor"
"""
CRASH = """
@patroni @critical
Feature: Crashes
  @id.FO-02
  Scenario: An acknowledged write survives
    Then it is 42
  @id.FO-02 @normal
  Scenario Outline: So does <what>
    Then it is 42
    Examples:
      | what   |
      | a text |
    @vector
    Examples:
      | what    |
      | a table |
"""
CACHE = "@redis @minor\nFeature: Values\n  @id.CO-01\n  Scenario: A value comes back\n    Then it is 42\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_suite(tmp_path, {"failover/crash.feature": CRASH, "cache/values.feature": CACHE, "promises.toml": LISTED})
    return tmp_path / "features"


def changed(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))


def findings(folder: Path) -> list[str]:
    outlines, unreadable = read(sorted(folder.rglob("*.feature")))
    assert not unreadable
    return [str(one).replace(f"{folder}/", "") for one in check_promises(folder, outlines)]


def test_a_good_list_is_read(folder: Path) -> None:
    listed = load(folder / "promises.toml")
    assert list(listed) == ["FO-02", "CO-01"]
    sentence = "No acknowledged write is lost in a failover."
    assert listed["FO-02"] == Promise("FO-02", "failover", sentence, "critical", line=2)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[CO-01]", "[FO-02]", "promises.toml:7: FO-02 is already in line 2; list each id once"),
        ("[CO-01]", "[CO-1]", "promises.toml:7: [CO-1] is not an id of the form AB-12"),
        ("[FO-02]", "", "'capability' belongs to no promise: put it below a table such as [FO-01]"),
        ('promise = "A', '#promise = "A', "promises.toml:7: CO-01: 'promise' is missing"),
        (
            '"A cached value comes back unchanged."',
            '" "',
            "CO-01: promise = ' ': must be a text that",
        ),
        ('"A cached value comes back unchanged."', "3", "CO-01: promise = 3: must be a text"),
        ('"A cached value', '"A cached\\nvalue', "CO-01: promise: must be a single line"),
        (
            "severity",
            "severty",
            "there is no key 'severty'; did you mean 'severity'? (known: capability, promise, severity, name)",
        ),
        ('"minor"', '"mirror"', "severity = 'mirror': must be one of blocker, critical, normal, minor"),
        (
            '"cache"',
            '"cash"',
            "must be one of cluster, sharding, failover, isolation, cache, security",
        ),
        ('promise = "A', f'name = "{"long " * 9}"\npromise = "A', "must be a text of at most 28 characters"),
        ("[CO-01]", "[CO-01", "not TOML: "),
    ],
)
def test_each_mistake_in_the_list_is_reported(folder: Path, old: str, new: str, told: str) -> None:
    changed(folder, "promises.toml", old, new)
    with pytest.raises(UsageError) as error:
        load(folder / "promises.toml")
    assert told in str(error.value)
    assert any(told.removeprefix("promises.toml:") in one for one in findings(folder)), findings(folder)


def test_a_missing_list_is_reported(folder: Path) -> None:
    (folder / "promises.toml").unlink()
    assert findings(folder) == [
        "promises.toml:1: the file does not exist; it lists the promises that the scenarios prove"
    ]


def test_a_list_that_agrees_with_the_scenarios_has_no_findings(folder: Path) -> None:
    assert findings(folder) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("cache/values.feature", "@id.CO-01", "@id.FO-02", "promises.toml:7: CO-01 has no scenario"),
        ("cache/values.feature", "@id.CO-01", "@id.CO-02", "values.feature:4: @id.CO-02 is not listed in"),
        (
            "cache/values.feature",
            "@minor",
            "@normal",
            "@normal is more severe than CO-01 in promises.toml, which is minor",
        ),
        ("failover/crash.feature", "@normal", "@blocker", "crash.feature:8: @blocker is more severe than FO-02"),
        ("promises.toml", '"cache"', '"cluster"', "values.feature:4: CO-01 belongs to 'cluster' in promises.toml"),
    ],
)
def test_each_disagreement_is_found(folder: Path, file: str, old: str, new: str, found: str) -> None:
    changed(folder, file, old, new)
    assert any(found in one for one in findings(folder)), findings(folder)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("FO-02", ["FO-02"]),
        ("lost Acknowledged", ["FO-02"]),
        ("high availability", ["FO-02"]),
        ("cache", ["CO-01"]),
        ("value comes back", ["CO-01"]),
        ("survives", ["FO-02"]),
        ("", ["FO-02", "CO-01"]),
        ("cache failover", []),
    ],
)
def test_a_search_finds_all_words_in_any_order(folder: Path, words: str, found: list[str]) -> None:
    assert [one.promise.id for one in promises.search(words, promises.listed(folder))] == found


LIMITS = [Stated(*one, "seconds") for one in (("lag", 5), ("failover", 40), ("failover", 30), ("failover", 30))]


def test_the_page_has_a_row_for_each_promise(folder: Path) -> None:
    page = promises.markdown(promises.listed(folder), {"FO-02": LIMITS})
    (row,) = [line for line in page.splitlines() if line.startswith("| FO-02")]
    id, sentence, titles, needs, sabotages = row.strip("| ").split(" | ")
    told = "<br>limit `FO-02.failover`: 30 s or 40 s<br>limit `FO-02.lag`: 5 s"
    assert (id, sentence) == ("FO-02", "No acknowledged write is lost in a failover. *(critical)*" + told)
    assert titles == "An acknowledged write survives<br>So does \\<what\\>"
    assert needs == "the REST API of Patroni on each member<br>in part: a vector extension with an HNSW index"
    assert "`" in sabotages
    assert page.index("## High availability") < page.index("| FO-02") < page.index("## Cache") < page.index("| CO-01")


def test_the_page_marks_promises_without_a_sabotage(folder: Path) -> None:
    """A promise without a scenario is on the page, too; `lint` reports it."""
    with (folder / "promises.toml").open("a") as file:
        file.write('[CO-99]\ncapability = "cache"\npromise = "The cache is new."\nseverity = "minor"\n')
    page = promises.markdown(promises.listed(folder), {"FO-02": LIMITS})
    assert "| CO-99 | The cache is new. *(minor)* |  | a database and a login | none |" in page


def test_our_own_list_and_scenarios_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert findings(Path("features")) == []
    assert {one.capability for one in load(Path("features/promises.toml")).values()} == set(EPICS)


def test_the_documented_page_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    ours = Path("docs/promises.md").read_text(encoding="utf-8")
    limits = limits_by_id(step_code.scenarios())
    assert ours == promises.markdown(promises.listed(), limits), "run ./accept promises --markdown > docs/promises.md"


@pytest.mark.parametrize("word", ["failover", "quorum", "split brain", "fencing", "lease", "recovery time"])
def test_common_terms_find_our_promises(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.chdir(ROOT)
    sentences = [one.sentence.lower() for one in load(Path("features/promises.toml")).values()]
    assert any(word in sentence for sentence in sentences)


def test_the_command_line_searches_it(tmp_path: Path) -> None:
    program = copy(tmp_path)
    found = program.run("promises", "split", "brain")
    assert found.status == 0, str(found)
    assert "SB-01  High availability, blocker, 1 scenario\n    There is no split brain: " in found.out
    misspelt = program.run("promises", "quroum")
    assert misspelt.status == 1
    assert misspelt.complaints == [
        "accept: no promise contains 'quroum'; similar words: quorum "
        "(./accept promises lists them all; those of your own folder, too, with --features DIR)"
    ]
    assert program.run("promises", "--markdown").out == (ROOT / "docs/promises.md").read_text(encoding="utf-8")
    assert program.run("promises", "--markdown", "cache").status == 2
    shutil.rmtree(tmp_path / "features")
    gone = program.run("promises")
    assert (gone.status, len(gone.complaints)) == (2, 1), str(gone)


def test_an_id_tells_all_about_its_promise(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert promises.show("fo-02", as_markdown=False) == 0
    said = capsys.readouterr().out
    promise = load(Path("features/promises.toml"))["FO-02"]
    guide = on_call.load(Path("features/on-call.toml"))["FO-02"]
    (scenario,) = next(one for one in promises.listed() if one.promise == promise).scenarios
    assert said.startswith(f"FO-02  High availability, {promise.severity}\n    {promise.sentence}\n")
    for expected in (
        f"{scenario.name}  features/failover/crash.feature:{scenario.line}",
        "FO-02.failover: 30 s",
        guide.means,
        *(f"- {each}" for each in (*guide.causes, *guide.fixes)),
        *(f"{number}. {each}" for number, each in enumerate(guide.look, 1)),
        "as well\n    PH-06\n",
        "(./accept prove FO-02)\n",
        f"commits-acknowledged-early: {SABOTAGES['commits-acknowledged-early'].description}",
        "./accept run --tags @id.FO-02\n",
        "allure-report/on-call.html#FO-02 of that run",
    ):
        assert f" {expected}" in said, expected


def test_a_promise_of_an_own_folder_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    new.make(tmp_path / "mine")
    own = OwnFolder(tmp_path / "mine")
    monkeypatch.setenv(own_folder.VARIABLE, str(own.directory))
    (id, promise), *_ = load(own.promises).items()
    assert promises.show(" ".join(promise.sentence.split()[:3]), False, own) == 0
    assert f"{id}  " in capsys.readouterr().out, "a search finds it"
    assert promises.show(id, False, own) == 0
    said = capsys.readouterr().out
    assert promise.sentence in said
    assert f"{own.features}/" in said, "where its scenario is"
    assert f"./accept run --features {own.directory} --tags @id.{id}\n" in said
    (broken,) = own_sabotages(own.sabotages)
    assert f"(./accept prove --features {own.directory} {id})\n    {broken.name}: {broken.description}\n" in said
    guide = on_call.load(own.guides)[id]
    assert f"\nWhat it means when it is broken\n    {guide.means}\n" in said
    own.sabotages.unlink()
    own.guides.unlink()
    own_sabotages.cache_clear()
    assert promises.show(id, False, own) == 0
    said = capsys.readouterr().out
    assert f"(./accept prove --features {own.directory} SABOTAGE --also {id})\n    none yet\n" in said
    assert guide.means not in said
    monkeypatch.delenv(own_folder.VARIABLE)
    assert promises.show(id, False) == 1


def test_a_guide_in_an_own_folder_takes_the_place_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    new.make(tmp_path / "mine")
    own = OwnFolder(tmp_path / "mine")
    own.guides.write_text("[FO-02]\nmeans = 'Orders are lost.'\nlook = ['Call the warehouse.']\n")
    assert promises.show("FO-02", False, own) == 0
    said = capsys.readouterr().out
    assert "    Orders are lost.\n" in said
    assert "    1. Call the warehouse.\n" in said
    assert "./accept run --tags @id.FO-02\n" in said, "the scenario is ours"


@pytest.fixture
def told() -> tuple[ScenarioResult, ...]:
    lost = replace(WRITES, sentence="No *acknowledged* write is lost.")
    slow = replace(READS, sentence="Reads are quick.")
    return ScenarioResult(lost, Verdict.BROKEN, "3 writes lost"), ScenarioResult(slow, Verdict.SKIPPED, "no Redis")


def test_the_markdown_summary_shows_the_promise(tmp_path: Path, told: tuple[ScenarioResult, ...]) -> None:
    said = markdown(record_of(tmp_path, *told))
    assert "– 3 writes lost\n  - FO-02 promises: No \\*acknowledged\\* write is lost.\n" in said
    assert "– no Redis\n  - PF-01 promises: Reads are quick.\n" in said
    assert "promises: " not in markdown(
        record_of(tmp_path / "unlisted", ScenarioResult(WRITES, Verdict.BROKEN, "lost"))
    )


def test_the_dashboard_shows_the_promise(tmp_path: Path, told: tuple[ScenarioResult, ...]) -> None:
    write_pages(record_of(tmp_path, *told), tmp_path, tmp_path / "report", "Acceptance", Knowledge(tmp_path))
    page = (tmp_path / "report" / DASHBOARD).read_text()
    assert "<b>Promised:</b> No *acknowledged* write is lost." in page
    assert 'title="Reads are quick."' in page


def test_a_run_records_the_promise_of_each_scenario(folder: Path) -> None:
    ran = run_suite(folder.parent)
    sentence = "No acknowledged write is lost in a failover."
    assert {one.sentence for one in ran.record.selected if one.promise == "FO-02"} == {sentence}
    assert {one.scenario.sentence for one in ran.record.results if one.scenario.promise == "FO-02"} == {sentence}
    assert ran.settled()["An acknowledged write survives"]["description"] == f"**FO-02**: {sentence}"


def test_a_run_needs_no_list(folder: Path) -> None:
    (folder / "promises.toml").write_text("[FO-02\n")
    assert sentence_of("FO-02", folder / "failover/crash.feature") == ""
    assert sentence_of("FO-02", Path("elsewhere/crash.feature")) == ""
    ran = run_suite(folder.parent)
    assert {one.sentence for one in ran.record.selected} == {""}
    assert len(ran.record.of(Verdict.PASSED)) == 4
