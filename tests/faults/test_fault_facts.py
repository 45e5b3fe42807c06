"""The properties of faults by which the experiment judges the cluster meanwhile."""

from collections.abc import Collection
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest

from support.failover.power_failure import PowerFailure
from support.failover.switchover import DYING, HalfwaySwitchover
from support.faults.clock import ClockJumps, OwnClock
from support.faults.hanging_start import HangingStart
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.faults.network import Partition, PoorLinks
from support.faults.patroni import Switchover
from support.faults.process import (
    Freeze,
    HostCrash,
    Kill,
    PatroniFrozen,
    PostgresHangs,
    PostgresKilled,
    PostmasterHangs,
    Restart,
)
from support.faults.replay import ReplayStuck
from support.hosts import Host
from support.hosts.interface import Site, SiteHost, SiteProgram
from support.target.cluster import Cluster
from support.waiting import NotYet


@dataclass
class Named:
    """The parts of a host that a fault needs before it is injected."""

    name: str


ONE, TWO = (cast(SiteHost, Named(name)) for name in ("pg1", "pg2"))
OWN = cast(Host, ONE)
CLOCK = cast(OwnClock, None)
CLUSTER = cast(Cluster, SimpleNamespace(leader=lambda: "pg1"))
CLIENT, LEADER = DYING


@pytest.mark.parametrize(
    ("fault", "unaware", "silences"),
    [
        (HostCrash(ONE), False, ["pg1"]),
        (HostCrash(ONE, TWO), False, ["pg1", "pg2"]),
        (PowerFailure([OWN], []), False, ["pg1"]),
        (Freeze(ONE), True, ["pg1"]),
        (PatroniFrozen(ONE), True, ["pg1"]),
        (PostgresHangs(ONE), True, ["pg1"]),
        (PostmasterHangs(ONE), False, []),
        (HangingStart(ONE), False, []),
        (ClockJumps(CLOCK, "two hours back"), True, []),
        (ClockJumps(CLOCK, "two hours ahead"), False, []),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Fault) else "",
)
def test_who_does_not_know_and_who_is_silent(fault: Fault, unaware: bool, silences: list[str]) -> None:
    assert (fault.unaware, [*fault.silences]) == (unaware, silences)


@pytest.mark.parametrize(
    ("fault", "target_member"),
    [
        (HostCrash(ONE), "pg1"),
        (HostCrash(TWO, ONE), "pg2"),
        (PostgresHangs(ONE), "pg1"),
        (PostgresKilled(ONE), "pg1"),
        (HangingStart(ONE), "pg1"),
        (Kill(cast(SiteProgram, SimpleNamespace(name="redis", host="cache"))), "cache"),
        (Partition(cast(Site, None), ["pg1"], ["pg2", "pg3"]), "pg1"),
        (Switchover(CLUSTER), "pg1"),
        (ReplayStuck(CLUSTER, "pg2", 1), "pg2"),
        (ClockJumps(cast(OwnClock, SimpleNamespace(member="pg1")), "two hours back"), "pg1"),
        (PowerFailure([OWN], []), ""),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Fault) else "",
)
def test_a_fault_tells_what_it_hits(fault: Fault, target_member: str) -> None:
    assert fault.target_member == target_member


@pytest.mark.parametrize(
    ("fault", "planned"),
    [
        (HostCrash(ONE), False),
        (Switchover(CLUSTER, "pg2"), True),
        (HalfwaySwitchover(CLUSTER, "pg2", CLIENT), True),
        (HalfwaySwitchover(CLUSTER, "pg2", LEADER), False),
    ],
    ids=["crash", "switchover", "its client dies", "its leader dies"],
)
def test_only_a_leader_that_survives_hands_over_as_planned(fault: Fault, planned: bool) -> None:
    assert fault.planned is planned


@pytest.mark.parametrize(
    ("fault", "hosts"),
    [
        (HostCrash(ONE), ["pg1"]),
        (HostCrash(ONE, TWO), ["pg1", "pg2"]),
        (PowerFailure([OWN], []), ["pg1"]),
        (Freeze(ONE), ["pg1"]),
        (Partition(cast(Site, None), ["pg1"], ["pg2", "pg3"]), ["pg1"]),
        (PostgresKilled(ONE), []),
        (HangingStart(ONE), []),
        (PostgresHangs(ONE), []),
        (PatroniFrozen(ONE), []),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Fault) else "",
)
def test_whose_other_programs_are_hit_as_well(fault: Fault, hosts: list[str]) -> None:
    """Such as a member of the DCS beside a PostgreSQL."""
    assert [*fault.whole_hosts] == hosts


@dataclass
class Hosts:
    """The parts of a site that a fault needs for its words."""

    hosts: Collection[str] = ("pg1", "pg2", "pg3")


SITE = cast(Site, Hosts())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (HostCrash(ONE), "the host pg1 crashes"),
        (HostCrash(ONE, TWO), "the hosts pg1 and pg2 crash at once"),
        (PoorLinks(SITE, ["pg1", "pg2", "pg3"], latency=0.1), "100 ms more latency everywhere"),
        (PoorLinks(SITE, ["pg1", "pg2", "pg3"], loss=0.1), "packet loss of 10% everywhere"),
        (
            PoorLinks(SITE, ["pg1", "pg3"], latency=0.1, loss=0.2),
            "100 ms more latency and packet loss of 20% between pg1 and pg3",
        ),
    ],
    ids=str,
)
def test_a_fault_says_what_it_does_and_nothing_that_it_does_not(fault: Fault, words: str) -> None:
    assert str(fault) == words


def test_a_fault_of_hosts_does_to_them_what_a_plan_rehearses() -> None:
    done = list[str]()

    class Noted(Restart):
        def on_hosts(self) -> None:
            done.append("on hosts")

    class Prepared(Noted):
        def inject(self) -> None:
            done.append("elsewhere")
            super().inject()

    program = cast(SiteProgram, SimpleNamespace(name="redis", host="cache", pid=1))
    Noted(program).inject()
    Prepared(program).on_hosts()
    Prepared(program).inject()
    assert done == ["on hosts", "on hosts", "elsewhere", "on hosts"]


def test_hosts_that_have_not_crashed_are_named() -> None:
    on, off, other = (
        cast(SiteHost, SimpleNamespace(name=name, powered=name != "pg2")) for name in ("pg1", "pg2", "pg3")
    )
    HostCrash(off).require_in_effect()
    with pytest.raises(NotYet, match=r"^pg1 is on$"):
        HostCrash(on).require_in_effect()
    with pytest.raises(NotYet, match=r"^pg1 is on; pg3 is on$"):
        HostCrash(on, off, other).require_in_effect()


def test_a_fault_without_its_parts_cannot_be_made() -> None:
    class Healless(Fault):
        def told(self, names: Names) -> str:
            return "nobody can undo it"

        def inject(self) -> None: ...

        def require_in_effect(self) -> None: ...

    with pytest.raises(TypeError, match="heal"):
        Healless()  # type: ignore[abstract]
