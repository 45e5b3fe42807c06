"""A leader that was replaced while it could not know: who it was, and what it acknowledged in vain."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from support.engine.fencing import Replaced, replaced_leaders
from support.engine.history import WriterSample
from support.engine.world import World
from support.expectations import AcceptedLoss
from support.faults.nemesis import InjectedFault
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, Topology

SOME = AcceptedLoss(100, 10.0, "known limit", 0)
FROZEN = InjectedFault("pg1 freezes", 10.0, 10.5, healing=38.0, over=40.0)
LATER = InjectedFault("pg2 crashes", 60.0, 60.5)


def samples(taken_over: float, learned: float) -> Iterator[WriterSample]:
    """One a second, of pg1 until it freezes and when it thaws, and of pg2; `other` is of a worker group."""
    for second in range(70):
        if not 10 <= second < 40:
            yield WriterSample("pg1", second, second + 0.1, second < learned)
        yield WriterSample("pg2", second, second + 0.1, second >= taken_over)
        yield WriterSample("other", second, second + 0.1, True)


def replaced(
    losses: dict[int, AcceptedLoss], *, taken_over: float = 30, learned: float = 43, last: InjectedFault = FROZEN
) -> list[Replaced]:
    address = Address("h", 5432)
    members = tuple(MemberAddress(name, address, None, group) for name, group in (("pg1", 0), ("pg2", 0), ("other", 1)))
    topology = Topology("d", Login("jo", "x"), address, members=members, accepted_loss=losses)
    watch = SimpleNamespace(samples=list(samples(taken_over, learned)))
    experiment = SimpleNamespace(watch=watch, frozen=[("pg1", FROZEN)], injected_fault=last)
    return list(replaced_leaders(cast(World, SimpleNamespace(cluster=Cluster(topology), experiment=experiment))))


def test_it_is_one_of_a_group_that_may_lose_writes() -> None:
    (found,) = replaced({0: SOME})
    assert (found.member, found.accepted, found.taken_over, found.thawed) == ("pg1", SOME, 30.1, 40.0)
    assert found.led_no_more == float("inf")
    assert not replaced({}), "nothing may be lost of what it acknowledges"
    assert not replaced({1: SOME}), "another group's loss is no excuse"


@pytest.mark.parametrize(("taken_over", "count"), [(30, 1), (42, 1), (44, 1), (50, 0), (100, 0)])
def test_it_was_replaced_before_it_had_time_to_learn(taken_over: float, count: int) -> None:
    """If nobody took over, or another fault made it lose its place later, it acknowledged nothing in vain."""
    assert len(replaced({0: SOME}, taken_over=taken_over)) == count


def test_after_a_further_fault_it_may_lead_again_once_it_has_learned() -> None:
    (found,) = replaced({0: SOME}, last=LATER)
    assert found.led_no_more == 43.1
