"""What a cluster's replicas are for decides which scenarios can run, before any begins, and whoever leads."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from patronis import Member, patroni
from servers import BINDIR, postgres

from support.errors import Inconclusive
from support.expectations import Expectations
from support.failover.joint_loss import spare_replica
from support.failover.missed_wal import replica_to_rebuild
from support.faults.roles import member_by_role
from support.target.baseline import _modes_not_promised
from support.target.baseline_facts import Baseline
from support.target.cluster import Cluster
from support.target.patroni import MemberView
from support.target.patroni_configuration import PatroniConfiguration, parsed
from support.target.purposes import Purpose, candidates, prompt_replicas, purposes, purposes_by_leader, purposes_of
from support.target.reads import NOWHERE, Reads, reads_of
from support.target.replica_capabilities import DECIDED, lacking_replicas
from support.target.topology import Address, Login, MemberAddress, StatisticsPage, Topology

SYNCHRONOUS = PatroniConfiguration(synchronous=True)
ALL_READ = Reads({"pg2": "up", "pg3": "up"}, listed=True)
DR = {"nosync": True, "nofailover": True}


def known(leader: str = "pg1", delays: dict[str, str] | None = None, **tags: dict[str, Any]) -> dict[str, Purpose]:
    """What pg1, pg2, pg3 and whoever else is named are for, with these tags."""
    names = sorted({"pg1", "pg2", "pg3", *tags})
    members = [MemberView(name, "replica", "streaming", "", 0, 1, 0, tags.get(name, {})) for name in names]
    return purposes_of(leader, members, delays or {})


def lacks(
    *possible: dict[str, Purpose], configured: PatroniConfiguration | None = SYNCHRONOUS, reads: Reads = ALL_READ
) -> dict[str, str]:
    return dict(lacking_replicas({0: possible}, configured, reads))


def test_ordinary_replicas_lack_nothing() -> None:
    assert lacks(known()) == {}
    assert lacks(known(), configured=PatroniConfiguration()) == {}


@pytest.mark.parametrize(
    ("tags", "missing"),
    [
        (DR, {"several_candidates", "spare_standby"}),
        ({"nofailover": True}, {"several_candidates"}),
        ({"nosync": True}, {"spare_standby"}),
        ({"replicatefrom": "pg2"}, {"several_candidates", "spare_standby", "spare_direct_replica"}),
        ({"nostream": True}, {"several_candidates", "spare_standby", "spare_replica", "spare_direct_replica"}),
        ({"noloadbalance": True}, set()),
    ],
)
def test_a_replica_at_another_site_takes_nobodys_place(tags: dict[str, Any], missing: set[str]) -> None:
    found = lacks(known(pg3=tags), reads=Reads({"pg2": "up"}, listed=True))
    assert found.keys() == missing
    assert all("pg2" in why for why in found.values())


def test_words() -> None:
    found = lacks(known(pg3=DR))
    assert found["several_candidates"].startswith("only pg2 may lead and streams from the leader, and not pg3 (nofail")
    assert found["spare_standby"].startswith("only pg2 may be a synchronous standby, and not pg3 (nosync")
    nobody = known(pg2=DR, pg3=DR)
    assert lacks(nobody)["spare_standby"].startswith("no replica may be a synchronous standby, and not pg2, pg3")


def test_it_is_the_same_whoever_leads() -> None:
    """pg1 may be no synchronous standby, which is of no effect while it leads."""
    first, later = known("pg1", pg1={"nosync": True}), known("pg2", pg1={"nosync": True})
    assert "spare_standby" not in lacks(first)
    assert "spare_standby" in lacks(first, later)
    late = {"pg1": "1h", "pg3": "1h"}
    assert "prompt_replicas" not in lacks(known("pg1", late))
    assert "prompt_replicas" in lacks(known("pg1", late), known("pg2", late))


@pytest.mark.parametrize(
    ("configuration", "lacking"),
    [
        ({"synchronous_mode": "on", "synchronous_node_count": 2}, True),
        ({"synchronous_mode": "quorum", "synchronous_node_count": 2}, True),
        ({"synchronous_mode": "quorum"}, False),
        ({"synchronous_mode": "on"}, False),
        ({"synchronous_mode": "off", "synchronous_node_count": 2}, False),
    ],
)
def test_a_replica_that_no_commit_waits_for(configuration: dict[str, Any], lacking: bool) -> None:
    found = lacks(known(), configured=parsed(configuration))
    assert ("spare_replica" in found) is lacking
    if lacking:
        assert found["spare_replica"] == (
            "of the replicas, pg2 and pg3 can stream, and commits wait for 2 of them (synchronous_node_count is 2)"
        )
    assert "spare_replica" not in lacks(known(pg3={"nosync": True}), configured=parsed(configuration))


@pytest.mark.parametrize(
    ("more", "configured", "why"),
    [
        ({}, SYNCHRONOUS, "pg2 can stream from the leader with no other member streaming from it (pg4 "),
        ({"pg2": {"nosync": True}}, SYNCHRONOUS, ""),
        ({"pg5": {}}, SYNCHRONOUS, ""),
        ({"pg5": {"replicatefrom": "pg2"}}, SYNCHRONOUS, "none can stream from the leader with no other member"),
        ({}, PatroniConfiguration(), ""),
        ({"pg5": {"replicatefrom": "pg2"}}, PatroniConfiguration(), "commits wait for 0 of them"),
    ],
)
def test_a_replica_from_which_another_one_streams_is_needed(
    more: dict[str, dict[str, Any]], configured: PatroniConfiguration, why: str
) -> None:
    """pg4 streams from pg3: commits may wait for pg2."""
    tags: Any = {"pg4": {"replicatefrom": "pg3"}, **more}
    found = lacks(known(**tags), configured=configured)
    assert ("spare_direct_replica" in found) is bool(why)
    assert why in found.get("spare_direct_replica", "")
    assert "spare_replica" not in found


def test_replicas_that_read_the_archive() -> None:
    archive = known(pg2={"nostream": True}, pg3={"nostream": True})
    found = lacks(archive, reads=NOWHERE)
    assert found["streaming_replicas"] == "no replica is meant to stream (nostream)"
    assert {"prompt_replicas", "serving_replicas"} <= found.keys()
    worker = {"w1": Purpose(leads=True), "w2": Purpose(source="w1")}
    assert "streaming_replicas" not in dict(lacking_replicas({0: [archive], 1: [worker]}, None, NOWHERE))
    alone = {"w1": Purpose(leads=True)}
    assert "streaming_replicas" in dict(lacking_replicas({0: [archive], 1: [alone]}, None, NOWHERE))
    assert "streaming_replicas" not in dict(lacking_replicas({0: [alone]}, None, NOWHERE))


@pytest.mark.parametrize(
    ("positions", "lacking"),
    [
        ({"pg2": "up", "pg3": "up"}, True),
        ({"pg2": "up", "pg3": "up in near, down in far"}, True),
        ({"pg2": "up", "pg3": "down"}, False),
        ({"pg2": "up"}, False),
        ({}, False),
    ],
)
def test_late_members_behind_the_read_endpoint(positions: dict[str, str], lacking: bool) -> None:
    found = lacks(known(delays={"pg3": "1h"}), reads=Reads(positions, listed=True))
    assert ("prompt_reads" in found) is lacking
    assert "serving_replicas" not in found
    if lacking:
        assert "the read endpoint leads to pg3, whose readers see late what is committed" in found["prompt_reads"]


def test_reads_where_no_replica_is_meant_to_serve_any() -> None:
    late = known(delays={"pg2": "1h"}, pg3={"noloadbalance": True})
    led = lacks(late, reads=Reads({"pg1": "up", "pg2": "down"}, listed=True))
    assert led.keys() == {"serving_replicas"}, "the leader serves them"
    nowhere = lacks(late, reads=Reads({"pg2": "down"}, listed=True))
    assert nowhere.keys() == {"serving_replicas", "prompt_reads"}
    assert "leads nowhere" in nowhere["prompt_reads"]
    down = lacks(known(), reads=Reads({"pg2": "down", "pg3": "down"}, listed=True))
    assert down == {}, "replicas that should serve reads, and do not, are judged"


def test_a_member_that_never_leads_may_be_left_out_of_the_proxy() -> None:
    barred = known(pg2={"nofailover": True}, pg3={"noloadbalance": True})
    assert "serving_replicas" in lacks(barred, reads=Reads({"pg1": "up"}, listed=True))
    assert "serving_replicas" not in lacks(barred, reads=Reads({"pg1": "up", "pg2": "down"}, listed=True))
    assert "serving_replicas" in lacks(barred, reads=Reads({"pg1": "up", "pg2": "backup"}, listed=True))
    assert "serving_replicas" not in lacks(barred, reads=Reads({"pg1": "up"}))


def test_the_embedded_cluster_is_for_everything() -> None:
    topology = Topology("db", Login("app", ""), Address("h", 1))
    baseline = Baseline({0: SYNCHRONOUS}, {0: 3}, purposes={0: known(pg2=DR, pg3={"nostream": True})})
    assert dict(_modes_not_promised(topology, baseline, Expectations())).keys() & DECIDED
    embedded = replace(topology, sandbox=Path("sandbox"))
    assert not dict(_modes_not_promised(embedded, baseline, Expectations())).keys() & DECIDED


def test_other_leaders_are_part_of_the_baseline() -> None:
    topology = Topology("db", Login("app", ""), Address("h", 1))
    now, later = known("pg1", pg1={"nosync": True}), known("pg2", pg1={"nosync": True})
    baseline = Baseline({0: SYNCHRONOUS}, {0: 3}, purposes={0: now}, with_other_leaders={0: (later,)})
    assert "spare_standby" in dict(_modes_not_promised(topology, baseline, Expectations()))


# With Patroni


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def cluster(stack: ExitStack, waited_for: dict[str, str], count: int = 1, **tags: dict[str, Any]) -> Cluster:
    """pg1 leads pg2, pg3 and whoever else has tags; `waited_for` is replica -> how commits wait for it."""
    streams = [{"application_name": name, "sync_state": state} for name, state in waited_for.items()]
    status = {"state": "running", "postmaster_start_time": "2026-11-29 03:43:11+00:00", "xlog": {"location": 1}}
    configuration = {"synchronous_mode": True, "synchronous_node_count": count}
    members = [
        Member(
            name,
            "leader" if name == "pg1" else "replica",
            f"{name}:5432",
            f"{name}:8008",
            None,
            extra={**status, "replication": streams if name == "pg1" else []},
            tags=tags.get(name, {}),
            configuration=configuration,
        )
        for name in sorted({"pg1", "pg2", "pg3", *tags})
    ]
    ports = {one.name: stack.enter_context(patroni(one, members)) for one in members}
    places = [MemberAddress(name, Address("127.0.0.1", 1), Address("127.0.0.1", port)) for name, port in ports.items()]
    return Cluster(Topology("app", Login("app", ""), Address("127.0.0.1", free_port()), members=tuple(places)))


def test_each_leader_that_there_can_be(stack: ExitStack) -> None:
    there = cluster(stack, {}, pg1={"nosync": True}, pg3={"nofailover": True})
    now, later = purposes_by_leader(there)
    assert now == purposes(there)
    assert [name for name, one in later.items() if one.leads] == ["pg2"], "pg3 never leads"
    assert later["pg1"].may_be_synchronous is False


def test_candidates_stream_from_the_leader(stack: ExitStack) -> None:
    assert candidates(purposes(cluster(stack, {}))) == ("pg2", "pg3")
    assert candidates(purposes(cluster(stack, {}, pg3={"replicatefrom": "pg2"}))) == ("pg2",)


def test_the_spare_replica_is_one_that_no_commit_waits_for(stack: ExitStack) -> None:
    assert spare_replica(cluster(stack, {"pg2": "sync", "pg3": "async"})) == "pg3"
    assert spare_replica(cluster(stack, {"pg2": "quorum", "pg3": "quorum"})) == "pg3"
    assert spare_replica(cluster(stack, {"pg2": "async", "pg3": "async"})) == "pg3", "pg2 may lead meanwhile"
    assert spare_replica(cluster(stack, {"pg2": "async"}, pg2={"nofailover": True})) == "pg2"
    with pytest.raises(Inconclusive, match=r"commits wait for every replica that streams \(pg2, pg3\)"):
        spare_replica(cluster(stack, {"pg2": "sync", "pg3": "sync"}, count=2))
    with pytest.raises(Inconclusive, match="commits wait for every replica that streams"):
        spare_replica(cluster(stack, {"pg2": "sync"}, pg3={"nostream": True}))


def test_the_spare_replica_is_no_source_of_another_one(stack: ExitStack) -> None:
    cascade = cluster(stack, {"pg2": "sync", "pg3": "async"}, pg4={"replicatefrom": "pg3"})
    assert spare_replica(cascade) == "pg4"
    with pytest.raises(Inconclusive, match="each replica that streams from the leader is needed"):
        replica_to_rebuild(cascade)
    wider = cluster(stack, {"pg2": "sync", "pg3": "async"}, pg4={"replicatefrom": "pg3"}, pg5={})
    assert (spare_replica(wider), replica_to_rebuild(wider)) == ("pg4", "pg5")
    beyond = replace(cascade.topology, members=cascade.topology.members[:3])
    with pytest.raises(Inconclusive, match=r"others stream from each replica that no commit waits for \(pg3\)"):
        spare_replica(Cluster(beyond))


def test_a_replica_that_serves_reads(stack: ExitStack) -> None:
    assert member_by_role(cluster(stack, {}), "a replica that serves reads") == "pg2"
    assert member_by_role(cluster(stack, {}, pg2={"noloadbalance": True}), "a replica that serves reads") == "pg3"
    late = cluster(stack, {}, pg3={"nosync": True})
    late = Cluster(replace(late.topology, delays={"pg2": "1h"}))
    assert prompt_replicas(late) == ("pg3",)
    assert member_by_role(late, "a replica") == "pg3", "neither is ordinary, but pg3 shows what is committed"
    with pytest.raises(Inconclusive, match="no member is a replica that serves reads now"):
        member_by_role(
            Cluster(replace(late.topology, delays={"pg2": "1h", "pg3": "1h"})), "a replica that serves reads"
        )


def test_a_fault_of_a_replica_hits_rather_one_from_which_no_other_streams(stack: ExitStack) -> None:
    assert member_by_role(cluster(stack, {}), "a replica") == "pg2"
    assert member_by_role(cluster(stack, {}, pg4={"replicatefrom": "pg2"}), "a replica") == "pg3"
    only = cluster(stack, {}, pg3={"replicatefrom": "pg2"})
    assert member_by_role(only, "a replica") == "pg2", "the other one is no ordinary replica"


def test_without_a_page_sessions_tell_where_reads_go(stack: ExitStack, tmp_path: Path) -> None:
    server = stack.enter_context(postgres(tmp_path, free_port(), BINDIR))
    members = [Member("pg1", "leader", "pg1:5432", "pg1:8008", server, extra={"xlog": {"location": 1}})]
    rest = Address("127.0.0.1", stack.enter_context(patroni(members[0], members)))
    at = Address(*server.hosts[0])
    topology = Topology(
        server.database, Login(server.user, server.password), at, read=at, members=(MemberAddress("pg1", at, rest),)
    )
    assert reads_of(Cluster(topology)) == (Reads({"pg1": "up"}), False)
    assert reads_of(Cluster(replace(topology, read=Address("127.0.0.1", free_port())))) == (NOWHERE, False)
    silent = StatisticsPage(f"http://127.0.0.1:{free_port()}")
    assert reads_of(Cluster(replace(topology, statistics=silent))) == (NOWHERE, False)
