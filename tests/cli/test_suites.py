"""The scenarios that a command line selects, and the target that it names."""

import re
from pathlib import Path

import pytest
from program import ROOT

from support.cli import suites, targets
from support.cli.behave_process import DryRun, Planned, Undefined, dry_run, selected
from support.errors import NothingJudged, UsageError

SCENARIO = "  {tag}\n  Scenario: {name}\n    Given a\n"
FEATURES = {
    "cluster/a.feature": "Feature: A\n"
    + SCENARIO.format(tag="@fast", name="plain")
    + SCENARIO.format(tag="@slow", name="slow"),
    "cache/b.feature": "@destructive\nFeature: B\n"
    + SCENARIO.format(tag="@x", name="breaks")
    + SCENARIO.format(tag="@slow", name="both"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of four scenarios, as the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, text in FEATURES.items():
        file = tmp_path / "features" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "a_steps.py").write_text("from behave import given\n@given('a')\ndef a(context): ...\n")
    (tmp_path / "behave.ini").write_text("[behave]\ntag_expression_protocol = v2\n")
    return tmp_path


def names(*words: str, **filters: list[str]) -> list[str]:
    return [one.name for one in selected(suites.select(words, **filters)).scenarios]


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "selected"),
    [
        ([], ["both", "breaks", "plain", "slow"]),
        (["all"], ["both", "breaks", "plain", "slow"]),
        (["cluster"], ["plain", "slow"]),
        (["cluster", "cache"], ["both", "breaks", "plain", "slow"]),
        (["fast"], ["plain"]),
        (["slow"], ["both", "slow"]),
        (["destructive"], ["both", "breaks"]),
        (["slow", "destructive"], ["both", "breaks", "slow"]),
        (["cache", "slow"], ["both"]),
        (["features/cluster/a.feature"], ["plain", "slow"]),
        (["features/cluster/a.feature:6"], ["slow"]),
        (["features/cluster/a.feature", "cache"], ["both", "breaks", "plain", "slow"]),
        (["cluster", "sharding"], ["plain", "slow"]),
    ],
)
def test_suites_are_folders_and_kinds(project: Path, words: list[str], selected: list[str]) -> None:
    assert sorted(names(*words)) == selected


@pytest.mark.long
def test_tags_and_names_narrow_a_suite_down(project: Path) -> None:
    assert names("slow", tags=["not @destructive"]) == ["slow"]
    assert names("cluster", tags=["@slow or @fast"], names=["^pl"]) == ["plain"]
    assert names(tags=["@slow", "@destructive"]) == ["both"], "several expressions must all hold"


@pytest.mark.long
def test_the_short_options_of_behave_select_as_well(project: Path) -> None:
    assert names("slow", "-t", "not @destructive") == ["slow"]
    assert names("cluster", "--stop", "-t=@slow or @fast", "-n^pl") == ["plain"]
    with pytest.raises(UsageError, match=r"-t \(--tags\) needs a value"):
        suites.select(["cluster", "-t"])
    with pytest.raises(UsageError, match="uses the old style"):
        suites.select(["cluster", "-t", "~@slow"])


@pytest.mark.long
def test_each_of_several_patterns_must_match_a_title(project: Path) -> None:
    assert sorted(names(names=["plain", "^bo"])) == ["both", "plain"]
    with pytest.raises(UsageError, match="--name 'plian': no selected scenario has such a title"):
        names(names=["plain", "plian"])


def test_words_after_an_unknown_option_go_to_behave(project: Path) -> None:
    selection = suites.select(["cluster", "--stop", "-D", "x=fast"])
    assert selection.rest == ("--stop", "-D", "x=fast")
    assert [one.name for one in selected(selection).scenarios] == ["plain", "slow"]


@pytest.mark.parametrize("words", [["security"], ["sharding", "fast"]])
def test_a_suite_without_scenarios_is_an_error(project: Path, words: list[str]) -> None:
    with pytest.raises(NothingJudged, match=words[0]):
        names(*words)


def test_a_dry_run_knows_feature_tags_and_undefined_steps(project: Path) -> None:
    (project / "behave.ini").write_text("[behave]\nuse_nested_step_modules = true\n")
    known = "Then no slot of the leader is orphaned"
    file = project / "features/cluster/a.feature"
    file.write_text(f"@one\nFeature: A\n  @two\n  Scenario: c\n    Given unheard of\n    {known}\n")
    assert dry_run(["features/cluster"]) == DryRun(
        (Planned("A", "c", "features/cluster/a.feature:4", frozenset({"one", "two"})),),
        (Undefined("Given unheard of", "features/cluster/a.feature:5"),),
    )


def test_a_syntax_error_is_one_line(project: Path) -> None:
    (project / "features/cluster/a.feature").write_text("Feature: A\n  Scenario: c\n    Given a\n    nonsense\n")
    with pytest.raises(UsageError, match=r"a\.feature.*line 4") as caught:
        dry_run(["features/cluster"])
    assert "\n" not in str(caught.value)


def test_the_suites_are_those_of_the_features() -> None:
    assert suites.SUITES == (
        "all",
        "cluster",
        "sharding",
        "failover",
        "isolation",
        "cache",
        "security",
        "smoke",
        "fast",
        "slow",
        "destructive",
        "performance",
    )
    folders = {path.name for path in (ROOT / "features").iterdir() if path.is_dir()}
    assert folders <= set(suites.FOLDERS)


def test_a_database_address_becomes_settings() -> None:
    said, cluster = targets.choose("postgresql://jo%40x:p%2Fw@db.example:5433/claims?sslmode=verify-full")
    assert cluster is None
    assert said == {
        "ruvector_host": "db.example",
        "ruvector_port": 5433,
        "ruvector_db": "claims",
        "ruvector_user": "jo@x",
        "ruvector_password": "p/w",
        "ruvector_sslmode": "verify-full",
    }
    assert targets.choose("postgresql://db.example")[0] == {"ruvector_host": "db.example"}
    assert targets.choose(None) == ({}, None)


def test_the_text_of_a_target_file_becomes_settings() -> None:
    said, _ = targets.choose('ruvector_host = "db.example"\nruvector_password = "secret"\n')
    assert said == {"ruvector_host": "db.example", "ruvector_password": "secret"}
    with pytest.raises(UsageError, match="--target is not TOML") as caught:
        targets.choose("ruvector_password = secret")
    assert "secret" not in str(caught.value)


def test_each_of_our_scenarios_is_in_a_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    plan = dry_run(["features"])
    assert plan.scenarios
    assert any("id.PF-01" in one.tags for one in selected(suites.select(["performance"])).scenarios)
    for scenario in plan.scenarios:
        assert re.match(rf"features/({'|'.join(suites.FOLDERS)})/", scenario.location), scenario
    assert plan.undefined == ()


def test_smoke_is_a_few_scenarios_of_each_capability_and_one_failover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    chosen = selected(suites.select(["smoke"])).scenarios
    assert len(chosen) == 15
    assert {Path(one.location).parent.name for one in chosen} == set(suites.FOLDERS)
    assert len([one for one in chosen if one.is_destructive]) == 1
    assert [one.name for one in chosen if "slow" in one.tags] == ["An acknowledged write survives a leader crash"]
