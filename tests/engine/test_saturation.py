"""Limits of time on a machine that others saturate: inconclusive; anything else that is broken stays broken."""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest
from other_programs import busy_machine

from support.engine import recovery, saturation
from support.engine.checks.availability import interrupted_for_less_than
from support.engine.checks.writers import learned_in_time
from support.engine.finding import Finding, broken_together
from support.engine.history import History, Operation, Outcome, WriterSample
from support.engine.ledger import APPEND
from support.engine.recovery import require_within
from support.engine.saturation import VARIABLE, Elsewhere, Period, SaturationWatch, excuse, watch_of, watched_for_all
from support.engine.world import World
from support.errors import Inconclusive, LimitExceeded, LimitFacts, NotInTime, PromiseBroken
from support.failover.consumer_checks import CHANGE, Received
from support.failover.full_disk import require_accepted_after_space
from support.failover.logical_consumer import Consumer, require_no_gap
from support.hosts.processors import ProcessTime, Reading, Selection, Usage, trees
from support.hosts.processors import busy_machine as busy_machine_told
from support.isolation.session_checks import FOLLOW, endpoints_follow
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet, eventually, pause

BUSY = Usage(1.0, 2, ours=0.1, others=1.9, stolen=0.0, idle=0.0)
FAULT, FAILED = 100.0, 130.0
LATE = LimitExceeded("commits waited for another standby after 30.0 s (limit: 20 s)")
REMOTE = Topology("db", Login("app", "secret"), Address("192.0.2.1", 5432))


def excused(error: BaseException | None, *busy: tuple[float, float]) -> Inconclusive | None:
    """Where others saturated the machine at these times."""
    periods = [Period(begun, ended, BUSY) for begun, ended in busy]
    return excuse(error, lambda: periods, FAULT, FAILED)


class TestExcuse:
    def test_a_limit_exceeded_on_a_saturated_machine_is_no_evidence(self) -> None:
        found = excused(LATE, (90, 105), (110, 113), (120, 150))
        assert str(found) == (
            "inconclusive: commits waited for another standby after 30.0 s (limit: 20 s), but in 18.0 s of that "
            "time other programs used 1.9 of 2 processors, other virtual machines 0.0, the suite and its cluster "
            "0.1; 0.0 were idle; that is 60% of the last 30.0 s"
        )
        assert busy_machine_told(str(found)) == "other programs used 95 % of the test machine's processors"

    @pytest.mark.parametrize("busy", [(), ((110, 111),), ((110, 117),), ((0, FAULT),), ((FAILED, 200),)], ids=str)
    def test_neither_a_blip_nor_another_time_is_an_excuse(self, busy: Sequence[tuple[float, float]]) -> None:
        assert excused(LATE, *busy) is None

    def test_a_wait_knows_itself_when_it_began(self) -> None:
        late = NotInTime("another member leads", "pg1 leads", elapsed=10.0, limit=10.0)
        assert excused(late, (100, 119)) is None, "that was before it"
        assert excused(late, (120, 124)) is not None

    def test_what_never_came_may_be_late_as_well(self) -> None:
        assert excused(LimitExceeded("no client was served", LimitFacts(never_came=True)), (100, 130)) is not None

    @pytest.mark.parametrize(
        "error",
        [
            PromiseBroken("SB-01", "two members accepted writes"),
            AssertionError("2 writes lost"),
            OSError("the disk is full"),
            LimitExceeded('no login: FATAL:  password authentication failed for user "app"'),
            None,
        ],
        ids=str,
    )
    def test_nothing_else_is_excused(self, error: BaseException | None) -> None:
        assert excused(error, (100, 130)) is None

    def test_what_was_measured_undisturbed_is_not_excused(self) -> None:
        with pytest.raises(LimitExceeded) as raised:
            Finding(False, "353 of 1000 a second", only_limit=True, undisturbed=True).require()
        assert excused(raised.value, (100, 130)) is None

    def test_the_traceback_of_the_step_is_kept(self) -> None:
        with pytest.raises(LimitExceeded) as raised:
            raise LATE
        found = excused(raised.value, (100, 130))
        assert found is not None
        assert found.__traceback__ is raised.value.__traceback__


def late(finding: Finding) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as raised:
        finding.require()
    return raised.value


class TestWhichTime:
    """The time that counts is that of the limit, where the check knows it; the fault was injected at 100."""

    def test_a_limit_that_began_when_the_machine_was_idle_again_was_exceeded_on_an_idle_machine(self) -> None:
        took = [WriterSample("pg1", at, at + 0.1, True) for at in (99, 121, 129)]
        finding = learned_in_time(took, "pg1", 120, 3)
        assert excused(late(finding), (101, 115)) is None, "half of the time since the fault, but not of the limit's"
        assert excused(late(finding), (121, 125)) is not None

    def test_a_gap_that_is_judged_again_later_is_still_one_on_a_saturated_machine(self) -> None:
        count = [Operation(0, "count", "a", at, Outcome.OK, at, at) for at in (69.0, 70.0, 110.0, 111.0)]
        found = excused(late(interrupted_for_less_than(30, History(count), "count", 70)), (70, 100))
        assert found is not None
        assert str(found).endswith("0.1; 0.0 were idle; that is 75% of 40.0 s")

    def test_each_time_in_which_one_was_exceeded_needs_its_excuse(self) -> None:
        error = late(Finding.too_late("2 of 3 clients waited", (100, 110), (115, 125)))
        assert excused(error, (100, 110)) is None
        assert excused(error, (115, 125)) is None
        assert excused(error, (100, 110), (115, 118)) is not None

    def test_a_second_outage_on_an_idle_machine_has_no_excuse(self) -> None:
        count = [Operation(0, "count", "a", at, Outcome.OK, at, at) for at in (100.0, 140.0, 141.0, 176.0)]
        error = late(interrupted_for_less_than(30, History(count), "count", 100))
        assert excused(error, (100, 115)) is None
        assert excused(error, (100, 115), (150, 160)) is not None

    def test_what_several_checks_say_together(self) -> None:
        one, other = Finding.too_late("one", (100, 110)), Finding.too_late("another", (115, 125))
        assert late(broken_together([one, other])).facts.during == ((100, 110), (115, 125))
        assert broken_together([one, Finding.false("wrong")]) == Finding.false("one; wrong")

    @pytest.mark.parametrize(("limits", "limit"), [((5, 8), 8), ((8, 5), 8), ((5, None), None)], ids=str)
    def test_the_limit_of_several_checks_is_the_largest(
        self, limits: Sequence[float | None], limit: float | None
    ) -> None:
        missed = [Finding.too_late("late", (100, 110), limit=one) for one in limits]
        assert late(broken_together(missed)).facts.limit == limit

    def test_writes_on_a_disk_that_has_space_again(self) -> None:
        """The last ones were acknowledged long after the first, which is what the limit is about."""
        acks = [Operation(0, APPEND, "a", at, Outcome.OK, at, at) for at in (99.0, 117.0, 129.0)]
        clients = SimpleNamespace(await_acknowledged=lambda count, within: None, history=History(acks))
        experiment = SimpleNamespace(heal=lambda: None, healing_since=110.0)
        world = SimpleNamespace(experiment=experiment, clients=clients, measure=lambda *_: None)
        with pytest.raises(LimitExceeded) as raised:
            require_accepted_after_space(cast(World, world), limit=5)
        assert raised.value.facts.during == ((110, 117),)

    def test_changes_that_a_consumer_has_not_got_yet(self) -> None:
        """It was waited for just now, and not since the fault."""
        acks = [Operation(0, CHANGE, "a", at, Outcome.OK, at, at) for at in (1, 2)]
        clients = SimpleNamespace(
            await_acknowledged=lambda count, within: None, stop=lambda: None, history=History(acks)
        )
        consumer = SimpleNamespace(received=[Received(0, 1, 1.5)], said="")
        world = SimpleNamespace(
            clients=clients,
            experiment=SimpleNamespace(injected_fault=SimpleNamespace(begun=1.2)),
            timing=SimpleNamespace(recovery=1.0),
            measure=lambda *_: None,
            evidence=SimpleNamespace(attach=lambda *_: None),
        )
        begun = time.monotonic()
        with pytest.raises(LimitExceeded) as raised:
            require_no_gap(cast(World, world), cast(Consumer, consumer), limit=0.2)
        ((since, until),) = raised.value.facts.during
        assert begun <= since < until <= time.monotonic()
        assert raised.value.facts.limit == 0.2

    def test_a_member_that_streams_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is done after that takes its time, too."""
        monkeypatch.setattr(recovery, "await_streaming", lambda *_: 7.0)
        experiment = SimpleNamespace(target_member="pg1", look_for_redundancy=lambda: pause(0.5))
        cluster = SimpleNamespace(group_with=lambda member: None, followers=lambda: ["pg1"])
        world = SimpleNamespace(experiment=experiment, cluster=cluster, measure=lambda *_: None)
        for require in (recovery.require_rejoined, recovery.require_all_streaming):
            begun = time.monotonic()
            with pytest.raises(LimitExceeded) as raised:
                require(cast(World, world), -1)
            ((_, ended),) = raised.value.facts.during
            assert ended - begun < 0.4

    def test_a_wait_that_succeeded_too_late(self) -> None:
        world = cast(World, SimpleNamespace(measure=lambda *_: None))
        with pytest.raises(LimitExceeded) as raised:
            require_within(world, "it took", 7.5, 5, ended=130.0)
        assert raised.value.facts.during == ((122.5, 130.0),)
        with pytest.raises(LimitExceeded) as raised:
            require_within(world, "it took", 7.5, 5)
        ((begun, ended),) = raised.value.facts.during
        assert (ended - begun, time.monotonic() - ended) == (pytest.approx(7.5), pytest.approx(0, abs=5))


class TestElsewhere:
    """The cluster is on other machines; only this one is saturated."""

    def excused(self, error: LimitExceeded, *busy: tuple[float, float]) -> bool:
        periods = Elsewhere(lambda: [Period(begun, ended, BUSY) for begun, ended in busy])
        return excuse(error, periods, FAULT, FAILED) is not None

    def interrupted(self, *acknowledged: float) -> LimitExceeded:
        count = [Operation(0, "count", "a", at, Outcome.OK, at, at) for at in (100.0, *acknowledged)]
        return late(interrupted_for_less_than(30, History(count), "count", 100))

    def test_an_outage_that_is_longer_than_the_suite_can_have_made_it_has_no_excuse(self) -> None:
        error = self.interrupted(150)
        assert not self.excused(error, (110, 123)), "the cluster failed for 37 s at least"
        assert self.excused(error, (110, 131)), "it may have failed for 29 s"
        assert excused(error, (110, 123)) is not None, "on this machine, it may have been slowed down"

    def test_each_outage_counts(self) -> None:
        error = self.interrupted(140, 190)
        assert not self.excused(error, (110, 125), (150, 163))
        assert self.excused(error, (110, 125), (150, 173))

    def test_a_blip_is_no_excuse_either(self) -> None:
        assert not self.excused(self.interrupted(131), (110, 112))

    def test_what_had_not_come_when_the_wait_was_over(self) -> None:
        error = NotInTime("another member leads", "pg1 leads", elapsed=30.0, limit=10.0)
        assert not self.excused(error, (100, 115))
        assert self.excused(error, (100, 121))

    def test_a_thawed_leader_that_learns_too_late(self) -> None:
        """A fault of fencing is none of this machine's."""
        taken = [WriterSample("pg1", at, at + 0.1, True) for at in (99, 121, 130)]
        error = late(learned_in_time(taken, "pg1", 120, 5))
        assert not self.excused(error, (120, 123)), "it took writes for 7.1 s at least"
        assert self.excused(error, (120, 126))

    def test_a_figure_that_is_held_against_its_limit(self) -> None:
        world = cast(World, SimpleNamespace(measure=lambda *_: None))
        with pytest.raises(LimitExceeded) as raised:
            require_within(world, "every replica streamed after", 20, 10, ended=130.0)
        assert not self.excused(raised.value, (110, 116))
        assert self.excused(raised.value, (110, 121))

    def test_an_endpoint_that_follows_too_late(self) -> None:
        asked = [Operation(0, FOLLOW, "the read endpoint", (12.0, 40), Outcome.OK, 110, 122)]
        error = late(endpoints_follow(History(asked), 5))
        assert not self.excused(error, (110, 115))
        assert self.excused(error, (110, 118))

    def test_where_the_limit_is_not_known_a_quarter_is_enough(self) -> None:
        assert self.excused(LATE, (100, 115))

    @pytest.fixture(autouse=True)
    def networks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """This machine is in no network but its own."""
        loopback = SimpleNamespace(family=socket.AF_INET, address="127.0.0.1", netmask="255.0.0.0")
        six = SimpleNamespace(family=socket.AF_INET6, address="::1", netmask="ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"lo": [loopback, six]})
        monkeypatch.delenv(VARIABLE, raising=False)

    @pytest.mark.parametrize(
        ("host", "elsewhere"),
        [("192.0.2.1", True), ("127.0.0.1", False), ("/run/postgresql", False), ("no-such-host.invalid", False)],
    )
    def test_where_the_cluster_is(self, host: str, elsewhere: bool) -> None:
        topology = replace(REMOTE, write=Address(host, 5432))
        assert isinstance(watch_of(topology)[1], Elsewhere) is elsewhere

    def test_a_part_of_it_here_is_enough(self) -> None:
        assert isinstance(watch_of(REMOTE)[1], Elsewhere)
        beside = replace(REMOTE, dcs=(Address("192.0.2.2", 2379), Address("localhost", 2379)))
        assert not isinstance(watch_of(beside)[1], Elsewhere)

    def test_a_neighbour_in_our_network_may_be_a_container_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bridge = SimpleNamespace(family=socket.AF_INET, address="192.0.2.254", netmask="255.255.255.0")
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"docker0": [bridge]})
        assert not isinstance(watch_of(REMOTE)[1], Elsewhere)


OWN, OTHERS, NOBODY = (2.0, 0.0, 0.0), (0.1, 1.9, 0.0), (0.1, 0.1, 0.0)
QUOTA = (0.5, 0.0, 0.5)
"""Processors that we and others use, and those that a quota withholds."""


class TestWatch:
    """On a machine where each second something else happens."""

    def watched(
        self, monkeypatch: pytest.MonkeyPatch, *seconds: tuple[float, float, float], elsewhere: bool = False
    ) -> tuple[SaturationWatch, list[bool]]:
        """A watch that has looked every second, and whether it asked then whose processes they are."""
        now, mine, theirs, withheld, asked = 0.0, 50.0, 70.0, 0.0, list[bool]()

        def read(ours: Selection | None) -> Reading:
            asked.append(ours is not None)
            table = {} if ours is None else {1: ProcessTime("us", 0, mine, 0)}
            idle = 2 * now - mine - theirs
            return Reading(now, 2, mine + theirs, idle, 0, None, table, ours is not None, withheld)

        monkeypatch.setattr(saturation, "read", read)
        monkeypatch.setattr(saturation, "_SHORTEST", 0.0)
        watch = SaturationWatch(trees({1}), elsewhere=elsewhere)
        watch.look()
        for used, others, throttled in seconds:
            now, mine, theirs, withheld = now + 1, mine + used, theirs + others, withheld + throttled
            watch.look()
        return watch, asked

    def test_only_what_others_saturate_is_a_period(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch, _ = self.watched(monkeypatch, OTHERS, OWN, NOBODY, OTHERS, OTHERS, OTHERS)
        found = [(one.begun, one.ended) for one in watch._periods]
        assert found == [(0, 1), (4, 5), (5, 6)], "of what begins after a quiet time, the first second is not seen"
        assert "other programs used 1.9 of 2" in str(watch._periods[0].usage)

    def test_a_quota_that_is_used_up_saturates_an_idle_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch, _ = self.watched(monkeypatch, QUOTA, NOBODY, QUOTA, QUOTA)
        assert [(one.begun, one.ended) for one in watch._periods] == [(0, 1), (3, 4)]
        assert "the suite's CPU quota withheld 0.5" in str(watch._periods[0].usage)

    def test_of_a_cluster_elsewhere_the_suite_itself_saturates_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As on a runner with few processors, all of which the suite uses."""
        watch, _ = self.watched(monkeypatch, OWN, NOBODY, elsewhere=True)
        (period,) = watch._periods
        assert (period.begun, period.ended) == (0, 1)
        late = LimitExceeded("it took 1 s (limit: 0.5 s)")
        found = excuse(late, Elsewhere(lambda: watch._periods), 0, 1)
        assert busy_machine_told(str(found)) == "the suite itself used 100 % of the test machine's processors"

    def test_on_a_quiet_machine_nobody_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch, asked = self.watched(monkeypatch, *[NOBODY] * 10)
        assert not watch._periods
        assert asked == [True, True, *[False] * 9]


@pytest.mark.long
class TestReally:
    """With real processes that use all processors."""

    def late(self) -> LimitExceeded:
        def closed() -> None:
            raise NotYet("it is closed")

        try:
            eventually(closed, within=3, subject="the door opens")
        except LimitExceeded as late:
            return late
        raise AssertionError("it was open")

    def test_a_time_beside_them_is_excused(self, tmp_path: Path) -> None:
        with busy_machine(tmp_path), SaturationWatch(trees({os.getpid()})) as watch:
            late = self.late()
            found = excuse(late, watch.periods, 0, time.monotonic())
        assert found is not None
        assert "limit: 3 s); last observed: it is closed, but in " in str(found)


@pytest.mark.long
class TestForAll:
    """One process watches for those that it starts."""

    def test_a_job_is_told_what_the_process_that_started_it_sees(self, tmp_path: Path) -> None:
        file = tmp_path / "seen.jsonl"
        with watched_for_all(file):
            assert os.environ[VARIABLE] == str(file)
            watch, periods = watch_of(REMOTE)
            with busy_machine(tmp_path), watch:
                eventually(lambda: require(len(periods()) >= 2), within=20, subject="a job is told")
        assert VARIABLE not in os.environ
        assert all(one.usage.saturated for one in periods())

    def test_a_line_that_is_half_written_is_left_for_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        line = saturation._ADAPTER.dump_json(Period(1.0, 2.0, BUSY))
        (tmp_path / "seen.jsonl").write_bytes(line + b"\n" + line[:20])
        monkeypatch.setenv(VARIABLE, str(tmp_path / "seen.jsonl"))
        assert watch_of(REMOTE)[1]() == [Period(1.0, 2.0, BUSY)]

    def test_the_first_process_watches_and_no_other(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(VARIABLE, str(tmp_path / "outer.jsonl"))
        with watched_for_all(tmp_path / "inner.jsonl"):
            assert os.environ[VARIABLE] == str(tmp_path / "outer.jsonl")
        assert not (tmp_path / "inner.jsonl").exists()
        assert os.environ[VARIABLE] == str(tmp_path / "outer.jsonl")


def require(holds: bool) -> None:
    if not holds:
        raise NotYet("not yet")
