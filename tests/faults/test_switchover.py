"""A switchover: what Patroni refuses is final, and what it has not finished yet is waited for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from patronis import Member, patroni

from support.errors import NotInTime
from support.faults.patroni import Switchover
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, MemberAddress, Topology

UNKNOWN = "Switchover status unknown", "Switchover status unknown after 20 seconds; operation may still be in progress"


class Quick(Timing):
    """No test waits for as long as a fault may take."""

    @property
    def effect(self) -> float:
        return 0.5


@contextmanager
def switchover(status: int, words: str, *, ends: bool = False) -> Iterator[Switchover]:
    """pg1 leads, and Patroni answers like that; where it `ends`, pg2 leads soon after."""
    pg1 = Member("pg1", "leader", "pg1:5432", "pg1:8008", None, replies={"/switchover": (status, words)})
    pg2 = Member("pg2", "replica", "pg2:5432", "pg2:8008", None)

    def hand_over() -> None:
        pg1.role, pg2.role = "replica", "leader"

    with patroni(pg1, [pg1, pg2]) as api:
        here = Address("127.0.0.1", 1)
        members = tuple(MemberAddress(name, here, Address("127.0.0.1", api)) for name in ("pg1", "pg2"))
        cluster = Cluster(Topology("app", Login("app", ""), here, members=members, timing=Quick()))
        fault, later = Switchover(cluster), threading.Timer(0.1, hand_over)
        if ends:
            later.start()
        yield fault
        later.cancel()


@pytest.mark.parametrize("words", UNKNOWN)
def test_one_that_takes_longer_than_patroni_waits_is_not_refused(words: str) -> None:
    with switchover(503, words, ends=True) as fault:
        fault.inject()


@pytest.mark.parametrize("words", UNKNOWN)
def test_one_that_does_not_come_to_an_end_is_late(words: str) -> None:
    with switchover(503, words) as fault, pytest.raises(NotInTime) as raised:
        fault.inject()
    assert f"pg1 hands over to any other member, of which Patroni says: {words} (503): still not true" in str(
        raised.value
    )


@pytest.mark.parametrize(("status", "words"), [(503, "Switchover failed"), (412, "no good candidates have been found")])
def test_one_that_is_refused_is_over(status: int, words: str) -> None:
    with switchover(status, words, ends=True) as fault, pytest.raises(AssertionError) as raised:
        fault.inject()
    assert str(raised.value) == f"pg1 hands over to any other member: refused: {words} ({status})"
    assert not isinstance(raised.value, NotInTime)
