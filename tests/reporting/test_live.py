"""The view of a run on a terminal: progress, time left by earlier runs, and what the running scenario does."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from support.reporting import live
from support.reporting.live import LiveView, Moment, Running, expected_seconds
from support.reporting.scenario import Scenario, ScenarioResult, Verdict

CRASH = Scenario("features/failover/crash.feature", "Crashes", "The leader's host crashes", tags=("id.FO-01", "slow"))
FAST = Scenario("features/cache/redis.feature", "Redis", "Redis answers", tags=("id.RC-01",))
KNOWN = {(CRASH.path, CRASH.name): 300.0}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the view, in a list of one."""
    clock = [1000.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    return clock


def shown(view: LiveView, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(view.render())
    lines: list[str] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line for line in lines if len(line) > width] == []
    return [line.rstrip() for line in lines]


def test_the_time_left_goes_by_earlier_runs(now: list[float]) -> None:
    view = LiveView(2, [CRASH, FAST], KNOWN)
    assert view.seconds_left == 301
    view.begins(CRASH)
    now[0] += 100
    assert view.seconds_left == 201
    now[0] += 500
    assert view.seconds_left == 1, "a scenario that takes longer than ever has no time left, but takes none from others"
    view.ended(ScenarioResult(CRASH, Verdict.BROKEN))
    assert view.seconds_left == 1
    assert shown(view)[0] == "1 of 2 · 1 failed · 10:00 · less than a minute left"


def test_what_no_earlier_run_tells_goes_by_the_tags() -> None:
    assert expected_seconds(CRASH, KNOWN) == 300
    assert expected_seconds(CRASH, {}) == 10
    assert expected_seconds(FAST, {}) == 1


def test_the_running_scenario_is_seen_at_work(now: list[float]) -> None:
    view = LiveView(2, [CRASH, FAST], KNOWN)
    view.begins(CRASH)
    now[0] += 12
    view.observe(lambda: Moment({"pg1": None, "pg2": True, "pg3": False}, 1240.0, "the host of pg1 crashes", 7.2))
    head, scenario, members, fault, writes = shown(view)
    assert head == "1 of 2 · 0:12 · about 5 min left"
    assert scenario.endswith("12 s · FO-01 The leader's host crashes")
    assert members.split() == ["pg1", "silent", "pg2", "leads", "pg3"]
    assert writes == "  1,240 operations/s acknowledged"
    assert fault == "  the host of pg1 crashes, for 7 s"
    view.begins(FAST)
    assert len(shown(view)) == 2, "what is known of one scenario is not shown for the next"


def test_a_scenario_that_has_ended_is_no_longer_shown(now: list[float]) -> None:
    view = LiveView(2, [CRASH, FAST], KNOWN)
    view.begins(CRASH)
    view.ended(ScenarioResult(CRASH, Verdict.PASSED))
    now[0] += 30
    assert shown(view) == ["1 of 2 · 0:30 · less than a minute left"]


def test_several_clusters_share_the_time_left(now: list[float]) -> None:
    quick = [replace(FAST, name=f"quick {number}") for number in range(600)]
    fast = replace(FAST, name="Queries are fast")
    view = LiveView(602, [CRASH, *quick, fast], KNOWN)
    view.clusters, view.alone = (lambda: 4), {fast.key}
    assert view.seconds_left == 300 + 1, "900 s are 225 s on each of 4, but the longest takes 300 s, and one runs alone"
    view.clusters = lambda: 2
    assert view.seconds_left == 450 + 1
    view.running = (Running(CRASH, now[0] - 100), Running(quick[0], now[0] - 0.5))
    assert view.seconds_left == pytest.approx((900 - 100 - 0.5) / 2 + 1)


def test_each_cluster_has_its_line(now: list[float]) -> None:
    view = LiveView(2, [CRASH, FAST], KNOWN)
    at_work = Moment({"pg1": None, "pg2": True}, 1240.0, "the host of pg1 crashes", 7.2)
    view.running = (
        Running(CRASH, now[0] - 12, lambda: at_work, "cluster 1"),
        Running(FAST, now[0] - 3, lambda: None, "cluster 3"),
    )
    _, first, details, second = shown(view, 120)
    assert first.endswith(" cluster 1 · 12 s · FO-01 The leader's host crashes")
    assert details == (
        "  pg1 silent  pg2 leads     the host of pg1 crashes, for 7 s     1,240 operations/s acknowledged"
    )
    assert second.endswith(" cluster 3 · 3 s · RC-01 Redis answers")


def test_long_lines_are_cut_at_the_width() -> None:
    view = LiveView(1, [CRASH], {})
    view.begins(replace(CRASH, name="The leader's host crashes " * 5))
    view.observe(lambda: Moment({f"member-{number}": False for number in range(20)}, None, "a fault " * 20, 1.0))
    assert len(shown(view, 40)) == 4


def test_a_look_that_fails_does_not_end_the_run() -> None:
    view = LiveView(1, [CRASH], {})
    view.begins(CRASH)

    def broken() -> Moment:
        raise RuntimeError("the world is closed")

    view.observe(broken)
    assert len(shown(view)) == 2
