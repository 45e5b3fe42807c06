"""What the report says of each way in which a scenario can end, by real runs of behave with Allure.

Where allure-behave by itself says something else, the test says so first: it would notice that it is no longer needed.
"""

from pathlib import Path, PurePath

import pytest
from small_suites import SECRET, run_feature, run_suite, write_suite

from support.reporting.journal import exit_status
from support.reporting.scenario import Verdict, from_features

ONE = """
Feature: Answers
  Scenario: The answer is right
    {steps}
"""


@pytest.mark.parametrize(
    ("step", "verdict", "status", "message"),
    [
        ("Then it is 42", Verdict.PASSED, "passed", None),
        ("Then it is 7", Verdict.BROKEN, "failed", "the answer: expected 42, was 7"),
        ("Then there was no evidence", Verdict.INCONCLUSIVE, "failed", "inconclusive: nobody wrote"),
        ("Then the surroundings break", Verdict.ERROR, "broken", "OSError: the disk is full; the password was ••••••"),
        (
            "Then the database is corrupted",
            Verdict.BROKEN,
            "failed",
            'the database reports corruption: could not read block 8 in file "base/1/2"',
        ),
        (
            "Then the target cannot do that",
            Verdict.ERROR,
            "broken",
            "NotAvailable: this sandbox has no network to cut",
        ),
        ("Then it takes too long", Verdict.BROKEN, "failed", "no leader after 31 s (limit: 30 s)"),
        (
            "Given it takes too long",
            Verdict.INCONCLUSIVE,
            "failed",
            "inconclusive: a precondition does not hold: no leader after 31 s (limit: 30 s)",
        ),
        ("Then nobody wrote this step", Verdict.ERROR, "broken", "no step is defined for: Then nobody wrote this step"),
        ("", Verdict.INCONCLUSIVE, "failed", "inconclusive: the scenario has no step"),
    ],
)
def test_each_end_of_a_step_is_its_own_verdict(
    tmp_path: Path, step: str, verdict: Verdict, status: str, message: str | None
) -> None:
    ran = run_feature(tmp_path, ONE.format(steps=step))
    assert [result.verdict for result in ran.record.results] == [verdict]
    shown = ran.settled()["The answer is right"]
    assert shown["status"] == status
    assert shown["statusDetails"].get("message") == message


def test_an_error_before_a_scenario_is_not_skipped(tmp_path: Path) -> None:
    hooks = "def in_before_scenario(context, scenario): raise OSError('no world')"
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks)
    assert ran.raw()["The answer is right"]["status"] == "skipped"
    shown = ran.settled()["The answer is right"]
    assert shown["status"] == "broken"
    assert "no world" in shown["statusDetails"]["message"]
    assert "in_before_scenario" in shown["statusDetails"]["trace"]
    assert exit_status(ran.record) == 1


def test_an_error_after_a_scenario_is_not_passed(tmp_path: Path) -> None:
    hooks = "def in_after_scenario(context, scenario): raise OSError('the world stays open')"
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks)
    assert ran.raw()["The answer is right"]["status"] == "passed"
    shown = ran.settled()["The answer is right"]
    assert shown["status"] == "broken"
    assert "the world stays open" in shown["statusDetails"]["message"]
    assert exit_status(ran.record) == 1


@pytest.mark.parametrize("error", ["OSError('the world stays open')", "KeyboardInterrupt"])
def test_an_error_after_a_scenario_hides_no_broken_promise(tmp_path: Path, error: str) -> None:
    hooks = f"def in_after_scenario(context, scenario): raise {error}"
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 7"), hooks=hooks)
    assert [result.verdict for result in ran.record.results] == [Verdict.BROKEN]
    assert ran.settled()["The answer is right"]["status"] == "failed"
    assert exit_status(ran.record) == 1


def test_a_world_that_does_not_close_is_an_error(tmp_path: Path) -> None:
    hooks = "def in_after_scenario(context, scenario): return [OSError('rows are left')]"
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks)
    [result] = ran.record.results
    assert (result.verdict, result.reason) == (
        Verdict.ERROR,
        "cleaning up after the scenario failed: rows are left",
    )


def test_a_world_that_does_not_close_hides_no_broken_promise(tmp_path: Path) -> None:
    hooks = "def in_after_scenario(context, scenario): return [OSError('rows are left')]"
    [result] = run_feature(tmp_path, ONE.format(steps="Then it is 7"), hooks=hooks).record.results
    assert result.verdict is Verdict.BROKEN
    assert "expected 42, was 7" in result.reason
    assert "but: was <7>" in result.trace, "as it was raised"
    assert "rows are left" in result.reason


TWO_WRITERS = """
from support.errors import LimitExceeded, PromiseBroken
def in_after_scenario(context, scenario):
    return [LimitExceeded("it did not recover"), PromiseBroken("SB-01", "two members accepted writes"), OSError("rows")]
"""


@pytest.mark.parametrize("step", ["Then it is 42", "Then it takes too long", "Then the surroundings break"])
def test_two_writers_noticed_while_cleaning_up_are_a_broken_promise(tmp_path: Path, step: str) -> None:
    [result] = run_feature(tmp_path, ONE.format(steps=step), hooks=TWO_WRITERS).record.results
    assert (result.verdict, result.final, result.also_broken) == (Verdict.BROKEN, True, ("SB-01",))
    assert result.reason.startswith("SB-01: two members accepted writes"), result.reason
    assert "it did not recover" in result.reason
    assert result.reason.endswith("and then cleaning up after the scenario failed: rows")


def test_two_writers_noticed_after_ctrl_c_are_a_broken_promise(tmp_path: Path) -> None:
    """What is late, or cannot be cleaned up, may be so because of Ctrl-C."""
    ran = run_feature(tmp_path, TWO.format(event="Ctrl-C is pressed"), hooks=TWO_WRITERS)
    [result] = ran.record.results
    assert (result.verdict, result.final, result.also_broken) == (Verdict.BROKEN, True, ("SB-01",))
    assert result.reason == "SB-01: two members accepted writes"
    assert ran.record.interrupted
    assert [scenario.name for scenario in ran.record.without_verdict] == ["Second"]
    assert {name: one["status"] for name, one in ran.settled().items()} == {"First": "failed", "Second": "unknown"}
    assert exit_status(ran.record) == 1


def test_after_ctrl_c_a_full_disk_proves_nothing(tmp_path: Path) -> None:
    hooks = TWO_WRITERS.replace("LimitExceeded, Promise", "LimitExceeded, NoRoom, Promise")
    hooks = hooks.replace('OSError("rows")', 'NoRoom("the disk is full")')
    ran = run_feature(tmp_path, TWO.format(event="Ctrl-C is pressed"), hooks=hooks)
    assert (ran.record.results, exit_status(ran.record)) == ((), 130)


def test_a_wrong_result_is_final_and_an_exceeded_limit_is_not(tmp_path: Path) -> None:
    for step, final in (
        ("Then it is 7", True),
        ("Then it takes too long", False),
        ("Then the database is corrupted", True),
    ):
        [result] = run_feature(tmp_path / step.replace(" ", "-"), ONE.format(steps=step)).record.results
        assert (result.verdict, result.final) == (Verdict.BROKEN, final), step


NEVER_HEALTHY = """
from support.errors import NotInTime
def in_after_scenario(context, scenario):
    return [NotInTime("the whole cluster is healthy", "pg2 does not stream", 120.4, 120)]
"""
FOUND_UNHEALTHY = """
from support.errors import UnhealthyCluster
def in_after_scenario(context, scenario):
    return [UnhealthyCluster("the cluster was unhealthy before any fault was injected")]
"""


@pytest.mark.parametrize(
    ("step", "hooks", "never_came"),
    [
        ("Then it takes too long", "", False),
        ("Then it takes too long", NEVER_HEALTHY, True),
        ("Then it is 42", NEVER_HEALTHY, True),
        ("Then it is 42", FOUND_UNHEALTHY, True),
        ("Then it is 42", "", False),
    ],
)
def test_what_never_came_is_told_from_what_was_late(tmp_path: Path, step: str, hooks: str, never_came: bool) -> None:
    [result] = run_feature(tmp_path, ONE.format(steps=step), hooks=hooks).record.results
    assert (result.never_came, result.final) == (never_came, False)


@pytest.mark.parametrize("told", [True, False], ids=["told of it", "not told of it"])
def test_an_error_in_a_cleanup_is_not_passed(tmp_path: Path, told: bool) -> None:
    hooks = """
def in_before_scenario(context, scenario):
    context.add_cleanup(lambda: 1 / 0)
"""
    untold = "def in_before_all(context): context.on_cleanup_error = context.print_cleanup_error\n"
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks + ("" if told else untold))
    assert ran.raw()["The answer is right"]["status"] == "passed"
    shown = ran.settled()["The answer is right"]
    assert shown["status"] == "broken"
    assert ("division by zero" in shown["statusDetails"]["message"]) is told
    assert exit_status(ran.record) == 1


def test_scenarios_of_a_feature_that_cannot_begin_do_not_vanish(tmp_path: Path) -> None:
    hooks = "def before_feature(context, feature): raise OSError('no feature today')"
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks)
    assert ran.raw() == {}
    shown = ran.settled()["The answer is right"]
    assert shown["status"] == "broken"
    assert "no feature today" in shown["statusDetails"]["message"]
    assert shown["labels"]


def test_a_run_that_cannot_begin_leaves_a_report_that_says_so(tmp_path: Path) -> None:
    hooks = f"""
def in_before_all(context):
    error = OSError('the cluster is gone, {SECRET}')
    context.recorder.trouble(error)
    raise error
"""
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks)
    shown = ran.settled()["The answer is right"]
    assert (shown["status"], shown["statusDetails"]["message"]) == ("unknown", "it did not begin: the run was stopped")
    assert "the cluster is gone, ••••••" in (ran.results_directory / "run-globals.json").read_text()
    assert exit_status(ran.record) == 3


def test_the_reason_of_a_skip_is_shown(tmp_path: Path) -> None:
    hooks = "def in_before_scenario(context, scenario): scenario.skip('no redis: REDIS_HOST is not set')"
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks)
    assert "statusDetails" not in ran.raw()["The answer is right"]
    shown = ran.settled()["The answer is right"]
    assert (shown["status"], shown["statusDetails"]) == ("skipped", {"message": "no redis: REDIS_HOST is not set"})
    assert exit_status(ran.record) == 3


def test_a_skip_without_a_reason_is_no_account(tmp_path: Path) -> None:
    hooks = "def in_before_scenario(context, scenario): scenario.skip()"
    [result] = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks).record.results
    assert result.verdict is Verdict.INCONCLUSIVE


def test_a_pending_step_that_behave_lets_pass_is_an_error(tmp_path: Path) -> None:
    write_suite(
        tmp_path, {"cluster/one.feature": "Feature: F\n  @wip\n  Scenario: Half done\n    Given it is planned\n"}
    )
    with (tmp_path / "steps/all_steps.py").open("a") as steps:
        steps.write("from behave.api.pending_step import StepNotImplementedError\n")
        steps.write('@given("it is planned")\ndef planned(context): raise StepNotImplementedError()\n')
    ran = run_suite(tmp_path)
    assert "1 scenario passed" in ran.output
    assert [result.verdict for result in ran.record.results] == [Verdict.ERROR]


RULE = """
@patroni @critical
Feature: Rules
  Why they are there.

  Rule: They hold
    @id.FO-02 @blocker @slow
    Scenario: What is attached below a rule is there
      Given a note is attached
      And a text
        \"\"\"
        some text
        \"\"\"
      And a table
        | member | role   |
        | one    | leader |
      Then it takes 12 ms
"""


def test_attachments_and_tables_below_a_rule_are_there(tmp_path: Path) -> None:
    ran = run_feature(tmp_path, RULE)
    shown = ran.settled()["What is attached below a rule is there"]
    names = [attachment["name"] for step in shown["steps"] for attachment in step.get("attachments", [])]
    assert names == ["note", "facts", ".text", ".table"]
    assert shown["status"] == "passed"


def test_allure_alone_ends_the_run_at_a_table_below_a_rule(tmp_path: Path) -> None:
    write_suite(tmp_path, {"cluster/one.feature": RULE})
    environment = tmp_path / "environment.py"
    environment.write_text(environment.read_text().replace("patch_allure()", ""))
    assert "KeyError: None" in run_suite(tmp_path).output


def test_an_attachment_outside_of_any_scenario_ends_nothing(tmp_path: Path) -> None:
    hooks = "def in_before_all(context): Evidence(REDACTOR).attach('topology', 'three members')"
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks)
    assert exit_status(ran.record) == 0
    assert [path for path in ran.results_directory.glob("*-attachment.txt") if path.read_text() == "three members"]


def test_a_result_says_what_it_is_about(tmp_path: Path) -> None:
    shown = run_feature(tmp_path, RULE).settled()["What is attached below a rule is there"]
    labels = [(label["name"], label["value"]) for label in shown["labels"]]
    for expected in [
        ("epic", "Cluster"),
        ("feature", "Rules"),
        ("severity", "blocker"),
        ("promise", "FO-02"),
        ("verdict", "passed"),
    ]:
        assert expected in labels
    assert [value for name, value in labels if name == "tag"] == ["FO-02", "slow", "patroni"]
    assert shown["description"] == "Why they are there.\n\n- measured p95: 12 ms (limit: 100 ms)"
    assert shown["titlePath"] == ["Cluster", "Rules"]


def test_equal_names_in_two_files_do_not_hide_each_other(tmp_path: Path) -> None:
    right, wrong = ONE.format(steps="Then it is 42"), ONE.format(steps="Then it is 7")
    write_suite(tmp_path, {"cluster/one.feature": right, "cache/two.feature": wrong})
    ran = run_suite(tmp_path)
    keys = {result.scenario.key: result.verdict for result in ran.record.results}
    assert sorted(keys.values()) == [Verdict.BROKEN, Verdict.PASSED]


def test_rows_of_an_outline_have_each_their_own_stable_history(tmp_path: Path) -> None:
    outline = """
Feature: Outlines
  Scenario Outline: The answer <answer> is right
    Then it is <answer>
    Examples:
      | answer |
      | 42     |
      | 7      |
"""
    first = run_feature(tmp_path, outline).settled()
    again = run_feature(tmp_path, outline.replace("Outlines\n", "Outlines\n\n")).settled()
    assert len({one["historyId"] for one in first.values()}) == 2
    assert {one["historyId"] for one in first.values()} == {one["historyId"] for one in again.values()}
    assert {one["parameters"][0]["value"]: one["status"] for one in first.values()} == {"42": "passed", "7": "failed"}


FULL_FOR_A_WHILE = """
import os, resource

def after_scenario(context, scenario):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat("journal.jsonl").st_size, before[1]))
    try:
        context.recorder.ended(scenario)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
"""


def test_a_verdict_for_which_there_was_no_room_is_written_as_soon_as_there_is(tmp_path: Path) -> None:
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 7"), hooks=FULL_FOR_A_WHILE)
    assert "File too large" in ran.output
    assert [(one.verdict, one.reason) for one in ran.record.results] == [
        (Verdict.BROKEN, "the answer: expected 42, was 7")
    ]
    assert exit_status(ran.record) == 1


def test_a_wrong_result_of_the_cleanup_is_written_as_soon_as_there_is_room(tmp_path: Path) -> None:
    found = "ended(scenario, (), [PromiseBroken('SB-01', 'two members accepted writes')])"
    hooks = "from support.errors import PromiseBroken\n" + FULL_FOR_A_WHILE.replace("ended(scenario)", found)
    [result] = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks).record.results
    assert (result.verdict, result.final, result.also_broken) == (Verdict.BROKEN, True, ("SB-01",))


TWO = """
Feature: Two
  Scenario: First
    Then it is 42
    Given {event}
  @other
  Scenario: Second
    Then it is 42
"""


def test_only_what_was_selected_is_in_the_report(tmp_path: Path) -> None:
    ran = run_feature(tmp_path, TWO.format(event="all is well"), "--tags", "@other")
    assert list(ran.settled()) == ["Second"]
    assert exit_status(ran.record) == 0


@pytest.mark.parametrize("event", ["Ctrl-C is pressed", "the runner is killed"])
def test_a_stopped_run_reports_what_it_did_and_what_it_did_not(tmp_path: Path, event: str) -> None:
    ran = run_feature(tmp_path, TWO.format(event=event))
    record = ran.record
    assert record.interrupted
    assert [scenario.name for scenario in record.without_verdict if scenario.key in record.started] == ["First"]
    assert [scenario.name for scenario in record.without_verdict] == ["First", "Second"]
    assert {name: one["status"] for name, one in ran.settled().items()} == {"First": "unknown", "Second": "unknown"}
    assert exit_status(record) == 130


def test_what_is_required_and_missing_fails_the_run(tmp_path: Path) -> None:
    feature = ONE.format(steps="Then it is 42") + "\n  @partitions\n  Scenario: Shards\n    Then it is 42\n"
    accounted = run_feature(tmp_path / "accounted", feature)
    assert exit_status(accounted.record) == 0
    assert exit_status(run_feature(tmp_path / "required", feature, "-D", "required=partitions").record) == 1


def test_no_password_is_left_in_what_is_reported(tmp_path: Path) -> None:
    steps = "Given a note is attached\n    And a text\n      '''\n      correct-horse-battery\n      '''\n"
    ran = run_feature(tmp_path, ONE.format(steps=steps + "    Then the surroundings break"))
    ran.settled()
    files = [path for path in ran.results_directory.iterdir() if path.is_file()]
    assert len(files) > 5
    assert not [path.name for path in files if SECRET.encode() in path.read_bytes()]
    assert SECRET not in (tmp_path / "journal.jsonl").read_text()


def test_settling_twice_changes_nothing(tmp_path: Path) -> None:
    ran = run_feature(tmp_path, RULE)
    once = ran.settled()
    assert ran.settled() == once


def test_facts_of_the_run_are_properties_that_allure_can_read(tmp_path: Path) -> None:
    ran = run_feature(tmp_path, RULE)
    ran.settled()
    lines = (ran.results_directory / "environment.properties").read_text().splitlines()
    assert "PostgreSQL = 16.14" in lines
    assert "Path\\:\\ C = a=b" in lines


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/home/me/features/mine/features/cache/a.feature", "features/cache/a.feature"),
        ("features/cache/a.feature", "features/cache/a.feature"),
        ("../mine/features/a.feature", "features/a.feature"),
        ("/home/me/a.feature", "/home/me/a.feature"),
        ("/home/me/features", "/home/me/features"),
    ],
)
def test_the_path_of_a_feature_begins_at_the_nearest_folder_of_features(path: str, found: str) -> None:
    """A rerun looks for it there, in the user's own folder."""
    assert from_features(PurePath(path)) == found


def test_a_clock_that_is_set_makes_no_scenario_longer(tmp_path: Path) -> None:
    hooks = """
import time
def in_after_scenario(context, scenario):
    now = time.time
    time.time = lambda: now() + 9000
"""
    ran = run_feature(tmp_path, ONE.format(steps="Then it is 42"), hooks=hooks)
    (result,) = ran.record.results
    assert result.seconds < 600
