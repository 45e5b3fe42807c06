"""What members are for: their tags as Patroni reads them, and what is asked of each."""

import ast
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from patroni.tags import Tags  # its own rules
from patronis import Member, patroni

from support.engine.tables import as_tabled, of_each
from support.errors import Inconclusive, NotInTime, UsageError
from support.expectations import Expectations
from support.failover.member_health import routing_roles, serving_replicas
from support.failover.member_settings import may_differ, without_feedback
from support.failover.replication import await_received, require_delays_as_declared, require_received
from support.faults.roles import member_by_role
from support.target.cluster import Cluster
from support.target.discovery.identity import PatroniAnswer, patronis_at
from support.target.discovery.members import Group
from support.target.discovery.user_cluster import require_not_standby
from support.target.failover_readiness import Terms
from support.target.health import require_group, require_replicating
from support.target.leadership import await_streaming
from support.target.members import roles, status_of, status_table
from support.target.patroni import MemberView
from support.target.purposes import (
    FROM_ARCHIVE,
    Purpose,
    kept_from_reads,
    never_leads,
    never_synchronous,
    prompt_members,
    prompt_replicas,
    purposes_of,
    reads_the_archive,
)
from support.target.synchronous import standbys_asked_for
from support.target.topology import PLAIN, Address, Login, MemberAddress, Topology
from support.waiting import NotYet

ROOT = Path(__file__).parents[2]
STARTED = "2026-11-29 03:43:11.635676+00:00"


class PatronisTags(Tags):
    """Tags as Patroni reads them."""

    def __init__(self, tags: dict[str, Any]) -> None:
        self._tags = tags

    @property
    def tags(self) -> dict[str, Any]:
        return self._tags


VALUES = (None, True, False, 0, 1, 2, "0", "1", "true", "false", "on", "off", "yes", "no", "much")


@pytest.mark.parametrize("priority", VALUES)
@pytest.mark.parametrize("flag", VALUES)
def test_tags_are_read_as_patroni_reads_them(flag: object, priority: object) -> None:
    named = {"nofailover": flag, "failover_priority": priority, "nosync": flag, "sync_priority": priority}
    named |= {"noloadbalance": flag, "nostream": flag}
    tags = {name: value for name, value in named.items() if value is not None}
    true = PatronisTags(tags)
    assert never_leads(tags) is true.nofailover
    assert never_synchronous(tags) is true.nosync
    assert kept_from_reads(tags) is true.noloadbalance
    assert reads_the_archive(tags) is true.nostream


def view(name: str, **tags: Any) -> MemberView:
    return MemberView(name, "leader" if name == "pg1" else "replica", "streaming", "", 0, 1, 0, tags)


def purpose_of(name: str, *members: MemberView, **delays: str) -> Purpose:
    return purposes_of("pg1", [view("pg1"), *members], delays)[name]


class TestPurposes:
    def test_of_the_leader(self) -> None:
        found = purpose_of("pg1", pg1="1h")
        assert (found.leads, found.replication, found.source) == (True, "none", "")
        assert found.shows_at_once, "a delay is of no effect while it leads"

    def test_of_a_replica_without_tags(self) -> None:
        found = purpose_of("pg2", view("pg2"))
        assert found.ordinary
        assert (found.source, found.replication, found.delay) == ("pg1", "streaming", "")

    def test_of_one_that_replays_late(self) -> None:
        found = purpose_of("pg2", view("pg2"), pg2="1h")
        assert found.receives_at_once
        assert not found.shows_at_once
        assert found.replication == "streaming"

    def test_of_one_that_reads_the_archive_and_those_behind_it(self) -> None:
        members = [view("pg2", nostream=True), view("pg3", replicatefrom="pg2"), view("pg4", replicatefrom="pg3")]
        first, second, third = (purpose_of(name, *members) for name in ("pg2", "pg3", "pg4"))
        assert (first.source, first.archive, first.replication) == ("", True, "in archive recovery")
        assert (second.source, second.behind_archive, second.replication) == ("pg2", "pg2", "streaming")
        assert (third.source, third.behind_archive) == ("pg3", "pg2")
        assert not any(one.receives_at_once or one.shows_at_once for one in (first, second, third))

    def test_of_those_behind_one_that_replays_late(self) -> None:
        """It sends on what it has received, whether it has replayed it or not."""
        found = purpose_of("pg3", view("pg2"), view("pg3", replicatefrom="pg2"), pg2="1h")
        assert found.shows_at_once

    def test_of_members_that_name_each_other(self) -> None:
        members = [view("pg2", replicatefrom="pg3"), view("pg3", replicatefrom="pg2")]
        assert not purpose_of("pg2", *members).receives_at_once


def cluster(stack: ExitStack, members: list[Member], delays: Mapping[str, str]) -> Cluster:
    ports = {one.name: stack.enter_context(patroni(one, members)) for one in members}
    places = [MemberAddress(name, Address("127.0.0.1", 1), Address("127.0.0.1", port)) for name, port in ports.items()]
    nobody = Address("127.0.0.1", free_port())
    return Cluster(Topology("app", Login("app", ""), nobody, members=tuple(places), delays=delays))


def member(name: str, received: int = 100, **tags: Any) -> Member:
    role = "leader" if name == "pg1" else "replica"
    xlog = {"location": 100} if role == "leader" else {"received_location": received}
    status = {"state": "running", "postmaster_start_time": STARTED, "xlog": xlog, "timeline": 1}
    replication = FROM_ARCHIVE if tags.get("nostream") else "streaming"
    status |= {"replication_state": replication} if role == "replica" else {}
    state = replication if role == "replica" else ""
    return Member(name, role, f"{name}:5432", f"{name}:8008", None, extra=status, tags=tags, state=state)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def late(stack: ExitStack) -> Cluster:
    """pg2 replays an hour late, pg3 reads the archive, pg4 is kept from reads, and pg5 is ordinary."""
    members = [member("pg1"), member("pg2"), member("pg3", nostream=True), member("pg4", noloadbalance=True)]
    return cluster(stack, [*members, member("pg5")], {"pg2": "1h"})


def test_what_is_claimed_of_every_replica_is_claimed_of_those_that_show_it_at_once(late: Cluster) -> None:
    assert prompt_replicas(late) == ("pg4", "pg5")
    assert prompt_members(late) == ("pg1", "pg4", "pg5")


def test_late_replicas_need_not_serve_reads(late: Cluster) -> None:
    assert serving_replicas(late) == [
        "pg4",
        "pg5",
    ]  # what Patroni's own health check says of pg4 is not its answer here
    assert routing_roles(late) == {
        "pg1": "the leader",
        "pg2": "a late replica",
        "pg3": "a late replica",
        "pg4": "an excluded replica",
        "pg5": "a replica",
    }


def test_a_fault_of_any_replica_is_one_of_an_ordinary_replica(late: Cluster) -> None:
    assert member_by_role(late, "a replica") == "pg5"
    assert member_by_role(late, "a replica that serves reads") == "pg5"


@pytest.mark.parametrize(
    ("tags", "asked"),
    [
        ({}, 2),
        ({"nosync": True}, 1),
        ({"sync_priority": 0}, 1),
        ({"nostream": True}, 1),
        ({"replicatefrom": "pg2"}, 1),
        ({"nofailover": True}, 2),
    ],
)
def test_commits_wait_for_no_more_standbys_than_may_be_chosen(
    stack: ExitStack, tags: dict[str, object], asked: int
) -> None:
    configuration = {"synchronous_mode": True, "synchronous_node_count": 2}
    members = [
        replace(one, configuration=configuration) for one in (member("pg1"), member("pg2"), member("pg3", **tags))
    ]
    there = cluster(stack, members, {})
    assert standbys_asked_for(there) == asked
    declared = replace(there.topology, expectations=Expectations(synchronous_standbys=2))
    assert standbys_asked_for(Cluster(declared)) == 2
    assert standbys_asked_for(Cluster(replace(there.topology, sandbox=Path("sandbox")))) == 2


PH_03 = {
    "the leader": {"replication": "none"},
    "a replica": {"replication": "streaming"},
    "a replica that reads the archive": {"replication": "in archive recovery"},
}


def test_a_replica_that_reads_the_archive_need_not_stream(late: Cluster) -> None:
    found = {name: {"replication": row["replication"]} for name, row in status_table(late).items()}
    as_tabled(of_each(roles(late), PH_03), found).require()
    for name in ("pg2", "pg3", "pg4", "pg5"):
        require_replicating(late, name)
        await_streaming(late, name, within=5)
    assert obstacles_to_lead(late)["pg3"] == []
    assert without_feedback(late) == {"pg3"}
    assert may_differ(["hot_standby_feedback"], {"pg1": False, "pg3": True}, (), (), {"pg3"}) == {
        "hot_standby_feedback": {"pg1", "pg3"}
    }


def obstacles_to_lead(cluster: Cluster) -> dict[str, list[str]]:
    terms = Terms(timeline=1, written=100, allowed_lag=0, synchronous=False)
    return {one.name: terms.obstacles_of(one, status_of(cluster, one.name)) for one in cluster.view().replicas}


def test_one_that_should_read_the_archive_and_streams(stack: ExitStack) -> None:
    streaming = replace(member("pg2"), tags={"nostream": True})
    with pytest.raises(NotYet, match="pg2 reads no archive, it is streaming"):
        require_replicating(cluster(stack, [member("pg1"), streaming], {}), "pg2")


@pytest.mark.parametrize("tags", [{"nosync": True}, {"sync_priority": 0}, {"nostream": True}])
def test_a_synchronous_group_is_healthy_without_a_standby_if_none_may_be_one(
    stack: ExitStack, tags: dict[str, object]
) -> None:
    """Patroni lets commits wait for nobody then."""
    state = FROM_ARCHIVE if "nostream" in tags else ""
    leader, replica = (
        replace(one, configuration={"synchronous_mode": True})
        for one in (member("pg1"), replace(member("pg2", **tags), state=state))
    )
    there = cluster(stack, [leader, replica], {})
    assert require_group(there) == "pg1"
    with pytest.raises(NotYet, match="the roles are"):
        require_group(Cluster(replace(there.topology, sandbox=Path("sandbox"))))
    with pytest.raises(NotYet, match="the roles are"):
        require_group(cluster(stack, [leader, replace(replica, tags={}, state="")], {}))


@pytest.mark.parametrize(
    ("followed", "told"),
    [({"host": "10.0.0.1,10.0.0.2", "port": 6432}, r" \(10.0.0.1:6432, 10.0.0.2:6432\)"), ({}, "")],
)
def test_a_standby_cluster_is_refused(stack: ExitStack, followed: dict[str, object], told: str) -> None:
    leading = Member("pg1", "standby_leader", "pg1:5432", "pg1:8008", None, configuration={"standby_cluster": followed})
    at = Address("127.0.0.1", stack.enter_context(patroni(leading, [leading])))
    (answer,) = patronis_at([at], PLAIN).values()
    assert isinstance(answer, PatroniAnswer)
    with pytest.raises(
        UsageError, match=f"cluster test is a standby cluster, .*the cluster that it follows{told} instead"
    ):
        require_not_standby([Group((), answers={"pg1": answer})], PLAIN)


def test_without_a_leader_nobody_knows_who_shows_what(stack: ExitStack) -> None:
    there = cluster(stack, [member("pg2")], {})
    with pytest.raises(NotYet, match="no leader"):
        prompt_replicas(there)
    with pytest.raises(Inconclusive, match="no member is the leader"):
        member_by_role(there, "the leader")


@pytest.mark.parametrize(("received", "late"), [(100, False), (99, True)])
def test_a_late_replica_has_to_receive_in_time(stack: ExitStack, received: int, late: bool) -> None:
    there = cluster(stack, [member("pg1"), member("pg2", received), member("pg3", 1, nostream=True)], {"pg2": "1h"})
    with pytest.raises(NotYet, match="pg2 has received 99") if late else nullcontext():
        require_received(there, 100)


@dataclass
class Blinking(Member):
    """One whose REST API breaks off the first requests for its state, so many of them."""

    breaks_off: float = 0

    def status(self) -> dict[str, Any]:
        self.breaks_off -= 1
        if self.breaks_off >= 0:
            raise ConnectionAbortedError("the host is gone for a moment")
        return super().status()


@pytest.mark.parametrize(
    ("who", "breaks_off", "in_time"), [("pg1", 2, True), ("pg2", 2, True), ("pg2", math.inf, False)]
)
def test_who_does_not_answer_for_a_moment_is_asked_again(
    stack: ExitStack, who: str, breaks_off: float, in_time: bool
) -> None:
    both = [member("pg1"), member("pg2", 100)]
    members = [Blinking(**{**vars(one), "breaks_off": breaks_off if one.name == who else 0}) for one in both]
    there = cluster(stack, members, {"pg2": "1h"})
    with nullcontext() if in_time else pytest.raises(NotInTime, match="have received what was written"):
        await_received(there, 1.0)


def test_a_declared_delay_that_is_not_there(late: Cluster) -> None:
    expected = replace(late.topology.expectations, delayed_replicas=("pg2", "pg5"))
    with pytest.raises(AssertionError, match=r"pg5 was declared to replay late \(\[expect\] delayed_replicas\)"):
        require_delays_as_declared(Cluster(replace(late.topology, expectations=expected)))
    require_delays_as_declared(late)


WHATEVER_THEY_ARE_FOR = {
    "purposes.py": "where that is settled",
    "failover_readiness.py": "each is asked by Patroni's rules",
    "full_disk.py": "each is tagged",
    "joint_loss.py": "each is lost, or left",
    "succession.py": "those of the embedded cluster are for everything",
    "recovery.py": "each replicates again, as it is meant to",
    "postgres.py": "a sabotage",
    "patroni.py": "a sabotage",
    "process.py": "each crashes",
    "routing_steps.py": "sessions may be on any of them",
    "transaction_steps.py": "what was rolled back is on none of them",
}
"""File -> why it may ask for the replicas without asking what each is for."""


def test_nobody_takes_all_replicas_to_be_alike() -> None:
    """What a replica shows, and when, depends on what it is for: a claim of all of them asks for that."""
    found = {
        path.name
        for path in [*(ROOT / "support").rglob("*.py"), *(ROOT / "steps").rglob("*.py")]
        for text in [path.read_text()]
        if "followers" in text or "replicas" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("followers", "replicas")
    }
    assert found == WHATEVER_THEY_ARE_FOR.keys()
