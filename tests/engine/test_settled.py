"""When a cluster has settled after a fault: both what must be seen for it, and what must not."""

from dataclasses import replace

import pytest

from support.engine.checks.settled import GroupLook, settled
from support.engine.settling import Settling
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

EARLIER = GroupLook(102.0, "b", 7, 101.0, {}, 2)
LATER = GroupLook(103.5, "b", 7, 102.5, {}, 2)


def judged(earlier: GroupLook = EARLIER, later: GroupLook = LATER, since: float = 100.0) -> bool | None:
    return settled(earlier, later, since, loop_wait=1).holds


def test_a_leader_that_renewed_its_lock_twice_and_is_followed_has_settled() -> None:
    assert judged() is True


@pytest.mark.parametrize(
    ("earlier", "later", "why"),
    [
        (EARLIER, replace(LATER, renewed=101.9), "renew its lock twice"),
        (replace(EARLIER, renewed=99.9), LATER, "renew its lock twice"),
        (EARLIER, replace(LATER, owner="c"), "which c then acquired"),
        (EARLIER, replace(LATER, made=8), "which b then acquired"),
        (EARLIER, replace(LATER, term=3), "the DCS elected a leader meanwhile, which extended the lock of b"),
        (EARLIER, replace(LATER, wrong={"c": "no answer"}), "not every member follows b: c: no answer"),
        (replace(EARLIER, wrong={"c": "a replica"}), LATER, "not every member follows b"),
        (EARLIER, replace(LATER, at=102.9), "a loop apart"),
    ],
)
def test_nothing_less_tells_that_it_has(earlier: GroupLook, later: GroupLook, why: str) -> None:
    finding = settled(earlier, later, 100.0, loop_wait=1)
    assert finding.holds is None
    assert why in finding.words


def test_what_was_renewed_before_service_came_back_does_not_count() -> None:
    assert judged(since=101.5) is None


def test_after_an_election_of_the_dcs_the_leader_has_to_renew_its_lock_again(monkeypatch: pytest.MonkeyPatch) -> None:
    extended = replace(LATER, at=103.5, renewed=103.4, term=3)
    renewed = replace(LATER, at=105.0, renewed=104.5, term=3)
    looks = iter([EARLIER, extended, replace(extended, at=104.6), renewed])
    monkeypatch.setattr(Settling, "_look", lambda *_: next(looks))
    cluster = Cluster(Topology("app", Login("app", ""), Address("db", 5432), dcs=(Address("dcs", 2379),)))
    settling = Settling(cluster, (), since=100.0)
    assert [settling._settled(cluster) for _ in range(4)] == [False, False, False, True]
