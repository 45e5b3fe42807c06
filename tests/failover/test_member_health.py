"""Members' roles by their own SQL, and how the primary waits for them, if Patroni is aware of that."""

from contextlib import ExitStack
from typing import Any

import pytest
from patronis import Member, patroni

from support.failover.member_health import _waits
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, Topology

STREAMS = [{"application_name": "pg2", "sync_state": "sync", "state": "streaming"}]


@pytest.mark.parametrize(
    ("configured", "waits"),
    [({"synchronous_mode": True}, {"pg2": "sync"}), ({"synchronous_mode": "quorum"}, {"pg2": "sync"}), ({}, {})],
)
def test_patroni_knows_no_synchronous_standby_of_postgresqls_own(
    configured: dict[str, Any], waits: dict[str, str]
) -> None:
    status = {"state": "running", "xlog": {"location": 1}, "timeline": 1, "replication": STREAMS}
    started = {"postmaster_start_time": "2026-01-01 00:00:00+00:00"}
    leader = Member("pg1", "leader", "pg1:5432", "pg1:8008", None, extra={**status, **started})
    leader.configuration = configured
    with ExitStack() as stack:
        rest = Address("127.0.0.1", stack.enter_context(patroni(leader, [leader])))
        at = Address("127.0.0.1", 1)
        members = (MemberAddress("pg1", at, rest),)
        assert _waits(Cluster(Topology("app", Login("app", ""), at, members=members))) == waits
