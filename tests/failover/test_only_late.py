"""What a busy machine explains is late (PH-03, PH-05); what no load brings about is wrong."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import pytest
from patronis import Member, patroni

from steps.failover.member_steps import step_dcs_knows_members, step_failover_is_on
from support.engine.world import Context
from support.errors import LimitExceeded
from support.expectations import Expectations
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, MemberAddress, Topology


class Quick(Timing):
    """No test waits for as long as a cluster may take."""

    @property
    def notice(self) -> float:
        return 0.1


@contextmanager
def context(
    known: Collection[str], *, paused: bool = False, expectations: Expectations | None = None
) -> Iterator[Context]:
    """A cluster of pg1 and pg2, whose DCS knows these members."""
    told = [
        Member(name, "leader" if name == "pg1" else "replica", f"{name}:5432", f"{name}:8008", None) for name in known
    ]
    told[0].paused = paused
    with patroni(told[0], told) as api:
        here = Address("127.0.0.1", 1)
        members = tuple(MemberAddress(name, here, Address("127.0.0.1", api)) for name in ("pg1", "pg2"))
        login, given = Login("app", ""), expectations or Expectations()
        cluster = Cluster(Topology("app", login, here, members=members, timing=Quick(), expectations=given))
        yield cast(Context, SimpleNamespace(world=SimpleNamespace(cluster=cluster)))


def error_of(step: Callable[[Context], None], given: Context) -> AssertionError:
    with pytest.raises(AssertionError) as raised:
        step(given)
    return raised.value


def test_a_member_too_many_is_not_late() -> None:
    with context(["pg1", "pg2", "pg3"]) as given:
        error = error_of(step_dcs_knows_members, given)
    assert "the DCS also knows pg3" in str(error)
    assert not isinstance(error, LimitExceeded)


def test_a_member_that_is_missing_may_be_late() -> None:
    with context(["pg1"]) as given:
        error = error_of(step_dcs_knows_members, given)
    assert "the DCS does not know pg2" in str(error)
    assert isinstance(error, LimitExceeded)


def test_the_members_that_were_known() -> None:
    with context(["pg1", "pg2"]) as given:
        step_dcs_knows_members(given)
        step_failover_is_on(given)


@pytest.mark.parametrize(
    ("declared", "late"),
    [(3, True), (1, False), (("pg1", "pg2", "pg3"), True), (("pg1",), False), (("pg1", "pg9"), False)],
    ids=str,
)
def test_the_members_that_were_declared(declared: int | tuple[str, ...], late: bool) -> None:
    with context(["pg1", "pg2"], expectations=Expectations(members=declared)) as given:
        error = error_of(step_dcs_knows_members, given)
    assert "members were declared" in str(error)
    assert isinstance(error, LimitExceeded) is late


def test_a_paused_patroni_is_not_late() -> None:
    with context(["pg1", "pg2"], paused=True) as given:
        error = error_of(step_failover_is_on, given)
    assert "Patroni is paused" in str(error)
    assert not isinstance(error, LimitExceeded)
