"""Progress of scenarios that run in other processes: what each does now, and what all of them still have to do."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from behave.parser import parse_feature

from support.reporting import following
from support.reporting.following import Follower, Teller
from support.reporting.journal import Journal
from support.reporting.live import LiveView, Moment
from support.reporting.recorder import Recorder
from support.reporting.scenario import Scenario, ScenarioResult, Verdict
from support.waiting import NotYet, eventually

CRASH, LATER, FAST = (
    Scenario("features/failover/crash.feature", "Crashes", name, tags=("id.FO-01", "slow"), line=line)
    for line, name in enumerate(("The leader's host crashes", "The leader's host crashes again", "Queries are fast"))
)
AT_WORK = Moment({"pg1": None, "pg2": True}, 1240.0, "the host of pg1 crashes", 7.2)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Teller]]:
    """Tellers, each with a file of its own."""
    monkeypatch.setattr(following, "_EVERY", 0.05)
    made: list[Teller] = []

    def teller(name: str) -> Teller:
        made.append(Teller(tmp_path / name))
        return made[-1]

    yield teller
    for one in made:
        one.close()


def view_of(follower: Follower) -> LiveView:
    assert follower._progress is not None
    return follower._progress.view


def shown(follower: Follower) -> Mapping[str, tuple[str, Moment | None]]:
    """Cluster -> the title of the scenario there, and what it does."""
    follower.look()
    return {one.cluster: (one.scenario.name, one.look()) for one in view_of(follower).running}


def test_what_each_process_tells_is_shown(tmp_path: Path, told: Callable[[str], Teller]) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([CRASH, LATER, FAST])
    living = {"cluster 1": tmp_path / "one", "cluster 2": tmp_path / "two"}
    follower = Follower(journal.path, tellers=lambda: living)
    first, second = told("one"), told("two")
    for teller, scenario in ((first, CRASH), (second, FAST)):
        teller.begins(scenario)
        journal.started(scenario)
    assert shown(follower) == {"cluster 1": (CRASH.name, None), "cluster 2": (FAST.name, None)}
    first.observe(lambda: AT_WORK)

    def seen() -> None:
        if shown(follower)["cluster 1"] != (CRASH.name, AT_WORK):
            raise NotYet("it is not shown")

    eventually(seen, within=10, subject="what the scenario does is shown")
    second.ended()
    journal.record(ScenarioResult(FAST, Verdict.PASSED))
    assert list(shown(follower)) == ["cluster 1"], "the other one has ended"
    living.pop("cluster 1")
    assert shown(follower) == {}, "its process is gone, killed perhaps"
    follower.close()


def test_what_was_told_long_ago_says_nothing_of_now(
    tmp_path: Path, told: Callable[[str], Teller], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs, or is stopped."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([CRASH])
    follower = Follower(journal.path, tellers=lambda: {"cluster 1": tmp_path / "one"})
    teller = told("one")
    teller.begins(CRASH)
    teller.observe(lambda: AT_WORK)
    monkeypatch.setattr(following, "_TOO_OLD", -1.0)
    assert shown(follower) == {"cluster 1": (CRASH.name, None)}
    follower.close()


def test_a_look_that_fails_is_told_as_nothing(tmp_path: Path, told: Callable[[str], Teller]) -> None:
    def broken() -> Moment:
        raise RuntimeError("the world is closed")

    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([CRASH])
    teller = told("one")
    teller.observe(broken)
    teller.begins(CRASH)
    teller.observe(broken)
    teller._tell()
    follower = Follower(journal.path, tellers=lambda: {"cluster 1": tmp_path / "one"})
    assert shown(follower) == {"cluster 1": (CRASH.name, None)}
    follower.close()


def test_a_later_round_shows_only_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([CRASH, LATER, FAST])
    for one in (CRASH, LATER, FAST):
        journal.started(one)
        journal.record(ScenarioResult(one, Verdict.BROKEN, "it took too long"))
    follower = Follower(
        journal.path,
        selected=lambda one: one.line in {LATER.line, FAST.line},
        alone=lambda one: one.line == FAST.line,
        clusters=lambda: 4,
        since=journal.path.stat().st_size,
    )
    journal.begin([CRASH, LATER, FAST])
    journal.started(LATER)
    journal.record(ScenarioResult(LATER, Verdict.PASSED))
    follower.close()
    printed = capfd.readouterr().out.splitlines()
    assert [line.strip() for line in printed] == [
        "[1/2] FO-01 The leader's host crashes again ...",
        "passed in 0.0 s, 1 left",
    ]
    view = view_of(follower)
    assert (view.alone, view.clusters()) == ({FAST.key}, 4)


def test_the_recorder_tells_until_the_scenario_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "moment.json"
    feature = parse_feature(
        "Feature: Redis\n  Scenario: Redis answers\n    Given Redis", filename="features/cache/r.feature"
    )
    (model,) = feature.scenarios
    recorder = Recorder(tmp_path / "journal.jsonl", [model], told_in=file)
    follower = Follower(tmp_path / "journal.jsonl", tellers=lambda: {"cluster 1": file})
    recorder.started(model)
    recorder.observe(lambda: AT_WORK)

    def seen() -> None:
        if shown(follower) != {"cluster 1": ("Redis answers", AT_WORK)}:
            raise NotYet("it is not shown")

    eventually(seen, within=10, subject="what the scenario does is shown")
    model.skip("it is enough")
    recorder.ended(model)
    assert shown(follower) == {}
    recorder.finished()
    follower.close()
    assert not file.exists()
