"""What is wrong in scenarios, tags and limits is told before anything boots, with exit status 2."""

from collections.abc import Iterator

import pytest
from program import Ended, Program, copy

from support.cli import preflight, suites
from support.cli.behave_process import DryRun, Undefined, selected
from support.errors import UsageError
from support.settings import Settings

FEATURE = """
@patroni @hosts {tags}
Feature: A crash
  @id.FO-01 @critical
  Scenario: One is lost
    Given a healthy cluster
    When {when}
    Then {then}
"""
WHEN, THEN = "the host of the leader crashes", "another member leads within 30 seconds"
TYPOS = """
@patroni @hosts
Feature: Typos
  @id.FO-01 @critical
  Scenario: One
    Given a healthy cluster
    When the host of the replicca crashes
    Then another membr leads within 30 seconds

  @id.FO-02 @critical
  Scenario: Another
    Given a healthy cluster
    When the leader is cut off from the DSC
    Then the failoverr interrupts clients for less than 30 seconds
"""
TABLES = """
@patroni @hosts
Feature: Losses
  @id.FO-09 @critical
  Scenario: Some are lost
    When one leader after another is lost, each replaced and back before the next
      | how               |
      | its hosst crashes |
    Then another member leads within 30 seconds

  @id.FO-09 @critical
  Scenario: Others are lost
    When one leader after another is lost, each replaced and back before the next
      | hwo              |
      | its host crashes |
    Then every member is in the state that its role requires
      | member     | role   | PostgreSQL | replication | timeline     |
      | the leader | leader | runing     | none        | the leader's |
"""


TWICE = """
@patroni @hosts @critical
Feature: Twice
  @id.FO-01
  Scenario: One is lost
    Given a healthy cluster

  @id.FO-02
  Scenario: One is lost
    Given a healthy cluster

  @id.FO-09
  Scenario Outline: <what> is lost
    Given a healthy cluster

    Examples: with a column that no step names
      | what | when  |
      | Two  | now   |
      | Two  | later |

    Examples: twice
      | what | when |
      # the same as above, with other blanks
      | Two | now   |
      | Six | now   |

    Examples: under other headings
      | what | then |
      | Two  | now  |
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


@pytest.fixture
def own(project: Program, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """The program, with its project as the working directory, and with a feature of its own beside ours."""
    monkeypatch.chdir(project.project)
    write(project, FEATURE.format(when=WHEN, then=THEN, tags="@own.nightly"))
    yield project
    project.project.joinpath("accept.toml").unlink(missing_ok=True)


def write(program: Program, text: str) -> None:
    (program.project / "features" / "failover" / "own.feature").write_text(text)


def require_refused(ended: Ended, program: Program, *words: str) -> None:
    assert ended.status == 2, str(ended)
    said = " ".join(ended.err.split())
    assert [word for word in words if word not in said] == [], str(ended)
    assert "Traceback" not in said
    assert not program.project.joinpath(".accept", "runs").exists(), "nothing has begun"


def test_steps_that_do_not_exist_are_told_with_what_was_meant(own: Program) -> None:
    write(own, TYPOS)
    expected = (
        "own.feature:7: undefined step 'When the host of the replicca crashes'; unknown role of a member",
        "did you mean 'a replica'?",
        "own.feature:8: undefined step",
        "did you mean one of these?",
        "Then another member leads within {seconds:g} seconds",
        "a new one belongs in steps/failover/recovery_steps.py",
        "own.feature:13: undefined step",
        "unknown part of the cluster to be cut off from 'the DSC'; did you mean 'the DCS'?",
        "own.feature:14: undefined step",
        "unknown event 'failoverr'; did you mean 'failover'?",
    )
    require_refused(own.run("run", "features/failover/own.feature"), own, *expected)
    linted = own.run("lint")
    assert linted.status == 1, str(linted)
    assert [word for word in expected if word not in linted.out] == [], str(linted)


def test_what_to_do_about_an_undefined_step_is_told_once() -> None:
    twice = tuple(Undefined("When pigs fly", f"features/cache/pigs.feature:{line}") for line in (3, 9))
    first, second = preflight.step_findings(DryRun((), twice))
    assert "a new one belongs in" in first.text
    assert second.text == "undefined step 'When pigs fly', as at features/cache/pigs.feature:3"


def test_tables_that_do_not_fit_their_step_are_told(own: Program) -> None:
    write(own, TABLES)
    expected = (
        "own.feature:6: unknown way to lose a leader 'its hosst crashes'; did you mean 'its host crashes'?",
        "own.feature:13: the table needs a column 'how', and has 'hwo'",
        "own.feature:16: unknown state of a PostgreSQL 'runing'; did you mean 'running'?",
    )
    require_refused(own.run("run", "features/failover/own.feature", "--plan"), own, *expected)
    linted = own.run("lint")
    assert linted.status == 1, str(linted)
    assert [word for word in expected if word not in linted.out] == [], str(linted)


def test_scenarios_that_a_report_could_not_tell_apart_are_told(own: Program) -> None:
    write(own, TWICE)
    selection = suites.select(["features/failover/own.feature"])
    with pytest.raises(UsageError) as caught:
        preflight.require_sound(selection, selected(selection), {})
    first, second = str(caught.value).splitlines()
    assert "own.feature:9: the title 'One is lost' is already used at " in first
    assert "features/failover/own.feature:5; reports could not tell them apart" in first
    assert "own.feature:24: the same row of 'Two is lost' is already used at " in second
    assert "own.feature:18; reports could not tell them apart" in second


def test_a_scenario_that_is_selected_twice_is_one_scenario(own: Program) -> None:
    selection = suites.select(["features/failover/own.feature", "./features/failover"])
    preflight.require_sound(selection, selected(selection), {})


@pytest.mark.parametrize(
    ("tags", "id", "words"),
    [
        ("@redsi", "FO-01", "own.feature:5: unknown tag @redsi; did you mean @redis?"),
        ("@xyzzy", "FO-01", "one of your own begins with @own."),
        ("@own.nightly", "FO-91", "@id.FO-91 is not in the list of promises; did you mean @id.FO-"),
    ],
)
def test_an_unknown_tag_of_a_scenario_is_told(own: Program, tags: str, id: str, words: str) -> None:
    write(own, FEATURE.format(when=WHEN, then=THEN, tags=tags).replace("FO-01", id))
    selection = suites.select(["features/failover/own.feature"])
    with pytest.raises(UsageError) as caught:
        preflight.require_sound(selection, selected(selection), {})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("@redis and not @slwo", "no scenario has the tag @slwo; did you mean @slow?"),
        ("not (@redsi or @slow)", "no scenario has the tag @redsi; did you mean @redis?"),
        ("@id.FO-77", "no scenario has the tag @id.FO-77"),
        ("@id.XY-*", "no scenario has the tag @id.XY-*"),
        ("@own.nighty", "no scenario has the tag @own.nighty; did you mean @own.nightly?"),
    ],
)
def test_an_unknown_tag_of_an_expression_is_told(own: Program, expression: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        preflight.require_known_tags(suites.select([], tags=[expression]))
    assert words in str(caught.value)


@pytest.mark.parametrize("expression", ["@redis and not (@slow or @id.FO-0*)", "@own.nightly", "@own.*", "not @minor"])
def test_a_known_tag_is_no_mistake(own: Program, expression: str) -> None:
    preflight.require_known_tags(suites.select(["performance"], tags=[expression]))


def test_a_wrong_limit_is_told(own: Program) -> None:
    selection = suites.select(["features/failover/own.feature"])
    plan = selected(selection)
    with pytest.raises(UsageError) as caught:
        preflight.require_sound(selection, plan, {"PF-99": 50, "DQ-03": 200, "DQ-03.recall": 2, "FO-01.leadr": 3})
    assert len(str(caught.value).splitlines()) == 4, "limits of promises that are not selected count as well"
    preflight.require_sound(selection, plan, {"FO-01": 50, "DQ-03.p95": 200, "DQ-03.recall": 0.9})
    own.project.joinpath("accept.toml").write_text("[limits]\nPF-99.p95 = 50\n")
    require_refused(own.run("run", "cluster"), own, '[limits] "PF-99.p95": no scenario has the id PF-99')


def test_an_unknown_tag_on_the_command_line_ends_the_program(own: Program) -> None:
    require_refused(own.run("run", "--tags", "not @slwo"), own, "did you mean @slow?")
    require_refused(own.run("run", "-t", "@id.FO-01 or @id.FO-99"), own, "no scenario has the tag @id.FO-99")


def test_what_behave_is_given_is_held_against_the_settings(own: Program) -> None:
    ended = own.run("run", "cache", "-D", "redis_hots=x", "-Druvector_hots=")
    require_refused(ended, own, "redis_hots", "did you mean redis_host?", "did you mean ruvector_host?")
    require_refused(own.run("run", "cache", "-Druvector_host="), own, "ruvector_host is empty")
    defined = suites.select(["cluster", "-D", "RUVECTOR_HOST=db", "-Down.tenant=acme", "--define=own.x"]).defined
    assert defined == {"ruvector_host": "db", "own.tenant": "acme", "own.x": "true"}
    assert Settings.load(defined).external, "no cluster of our own is booted in its place"


@pytest.mark.parametrize("variable", ["RUVECTOR_HOST", "ACCEPT_TARGET"])
def test_a_secret_that_is_not_set_boots_no_cluster_of_our_own(own: Program, variable: str) -> None:
    require_refused(own.run("run", "cluster", **{variable: ""}), own, f"{variable} in the environment is empty")


def test_a_pipeline_can_say_that_it_wants_a_cluster_of_our_own(own: Program) -> None:
    assert own.run("run", "cluster", "--plan", ACCEPT_TARGET="embedded").status == 0
