"""A configuration is in effect once every member has read it, regardless of their clocks."""

from contextlib import ExitStack

import pytest
from patronis import Member, patroni

from support.faults.patroni import ReadByEveryMember
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet


@pytest.mark.parametrize("wrong", [-3600, 0, 3600])
def test_it_is_read_when_each_member_has_looked_twice(wrong: int) -> None:
    members = [Member(name, role, f"{name}:5432", f"{name}:8008", None) for name, role in MEMBERS.items()]
    with ExitStack() as stack:
        rests = [Address("127.0.0.1", stack.enter_context(patroni(one, members))) for one in members]
        at = Address("127.0.0.1", 1)
        known = tuple(MemberAddress(one.name, at, rest) for one, rest in zip(members, rests, strict=True))
        cluster, effect = Cluster(Topology("app", Login("app", ""), at, members=known)), ReadByEveryMember()

        def looked(*seconds: int) -> None:
            for one, when in zip(members, seconds, strict=True):
                one.extra["dcs_last_seen"] = 1_800_000_000 + wrong + when

        for seconds, stale in (((0, 0), "pg1, pg2"), ((1, 1), "pg1, pg2"), ((2, 1), "pg2"), ((3, 1), "pg2")):
            looked(*seconds)
            with pytest.raises(NotYet, match=f"^{stale} may not have read it"):
                effect(cluster)
        looked(3, 2)
        effect(cluster)


MEMBERS = {"pg1": "leader", "pg2": "replica"}
