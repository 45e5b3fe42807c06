"""Patroni before 3.0.4, such as that of Debian 12: only the sender of its WAL shows that a replica streams."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from conftest import free_port
from patronis import Member, patroni

from support.errors import Inconclusive
from support.faults.roles import member_by_role
from support.target.cluster import Cluster
from support.target.health import SILENT, require_replicating
from support.target.members import status_of, status_table
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet

STARTED = "2026-11-29 03:43:11.635676+00:00"
REPLICA = {
    "state": "running",
    "postmaster_start_time": STARTED,
    "xlog": {"received_location": 67109000, "replayed_location": 67109000, "paused": False},
    "timeline": 1,
}


def leader(*standbys: tuple[str, str]) -> dict[str, Any]:
    """What the leader says, to which these standbys are connected, each in this state."""
    connected = [{"application_name": name, "state": state, "sync_state": "async"} for name, state in standbys]
    running = {"state": "running", "postmaster_start_time": STARTED, "timeline": 1}
    return {**running, "xlog": {"location": 67109000}, "replication": connected}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def cluster(stack: ExitStack, members: list[Member]) -> Cluster:
    """A cluster with those members' REST APIs; one that is not `beside` anything gives its answers from `extra`."""
    ports = {one.name: stack.enter_context(patroni(one, members)) for one in members if one.extra}
    places = [
        MemberAddress(one.name, Address("127.0.0.1", 1), Address("127.0.0.1", ports.get(one.name, free_port())))
        for one in members
    ]
    topology = Topology(
        database="app",
        application=Login("app", ""),
        write=Address("127.0.0.1", 1),
        members=tuple(places),
    )
    return Cluster(topology)


def of(name: str, version: str, extra: dict[str, Any]) -> Member:
    role = "leader" if name == "m1" else "replica"
    return Member(name, role, f"{name}:5432", f"{name}:8008", None, version=version, extra=extra)


@pytest.mark.parametrize("state", ["streaming", "catchup"])
def test_a_replica_streams_if_the_leader_sends_to_it(stack: ExitStack, state: str) -> None:
    there = cluster(stack, [of("m1", "3.0.2", leader(("m2", state))), of("m2", "3.0.2", REPLICA)])
    row = {"PostgreSQL": "running", "timeline": "the leader's"}
    assert status_table(there) == {
        "m1": {"role": "leader", "replication": "none", **row},
        "m2": {"role": "replica", "replication": "streaming", **row},
    }


def test_a_replica_may_stream_from_another_replica(stack: ExitStack) -> None:
    upstream = REPLICA | {"replication": leader(("m3", "streaming"))["replication"]}
    members = [of("m1", "3.0.3", leader(("m2", "streaming"))), of("m2", "3.0.3", upstream), of("m3", "3.0.3", REPLICA)]
    assert status_of(cluster(stack, members), "m3").replication == "streaming"


@pytest.mark.parametrize("standbys", [(), (("m2", "startup"),), (("m2", "backup"),), (("m3", "streaming"),)])
def test_a_replica_to_which_nobody_sends_does_not_stream(stack: ExitStack, standbys: tuple[tuple[str, str]]) -> None:
    there = cluster(stack, [of("m1", "3.0.2", leader(*standbys)), of("m2", "3.0.2", REPLICA)])
    assert status_of(there, "m2").replication == "none"


def test_a_silent_member_leaves_it_untold(stack: ExitStack) -> None:
    there = cluster(stack, [of("m1", "3.0.2", {}), of("m2", "3.0.2", REPLICA)])
    assert status_of(there, "m2").replication == "not told (m1: no answer ([Errno 111] Connection refused))"


@pytest.mark.parametrize("version", ["3.0.4", "4.1.5", "4.0.0rc1", ""])
def test_a_newer_patroni_is_believed(stack: ExitStack, version: str) -> None:
    """A leader goes on listing a standby for a while after their connection broke; the standby itself knows better."""
    there = cluster(stack, [of("m1", version, leader(("m2", "streaming"))), of("m2", version, REPLICA)])
    assert status_of(there, "m2").replication == "none"


def test_a_cluster_is_healthy_if_the_leader_sends_to_its_replicas(stack: ExitStack) -> None:
    """/cluster of such a Patroni says "running" of a replica whether it streams or not."""
    there = cluster(stack, [of("m1", "3.0.2", leader(("m2", "streaming"))), of("m2", "3.0.2", REPLICA)])
    require_replicating(there, "m2")
    assert member_by_role(there, "a replica that may lead") == "m2"


def test_a_cluster_is_not_healthy_while_nobody_sends_to_a_replica(stack: ExitStack) -> None:
    there = cluster(stack, [of("m1", "3.0.2", leader()), of("m2", "3.0.2", REPLICA)])
    with pytest.raises(NotYet, match="m2 does not stream, it is running"):
        require_replicating(there, "m2")
    with pytest.raises(Inconclusive, match="no member is a replica that may lead"):
        member_by_role(there, "a replica that may lead")


def test_what_the_others_know_of_a_member_that_gives_no_answer_is_not_enough(stack: ExitStack) -> None:
    """For as long as `ttl` they still call a member streaming whose Patroni was killed."""
    killed = of("m2", "4.1.5", {})
    there = cluster(stack, [of("m1", "4.1.5", leader(("m2", "streaming"))), killed])
    with pytest.raises(SILENT):
        require_replicating(there, "m2")
    starting = cluster(
        stack, [of("m1", "4.1.5", leader(("m2", "streaming"))), of("m2", "4.1.5", {"state": "starting"})]
    )
    with pytest.raises(NotYet, match="PostgreSQL of m2 is starting"):
        require_replicating(starting, "m2")
