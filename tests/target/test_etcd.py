"""etcd's health, its leases and its namespaces, by real etcds."""

import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from conftest import free_port
from etcd_servers import Ensemble, ask, ensemble, put, require_login, secured
from http_servers import Handler, serving_with

from support.target import etcd
from support.target.cluster import Cluster
from support.target.discovery.host_capabilities import others_in_dcs
from support.target.health import require_quorum
from support.target.topology import Address, Topology
from support.waiting import NotYet, eventually

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """A cluster of which there is nothing but one dcs."""
    with ensemble(tmp_path_factory.mktemp("etcd"), 1) as alone:
        yield alone.topology(0)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """Three etcds that send clients to addresses which are not reached from here, as containers do."""
    with ensemble(tmp_path_factory.mktemp("three"), 3, "http://dcs.invalid:2379") as found:
        yield found


def test_one_voter_has_none_to_spare(topology: Topology) -> None:
    now = etcd.quorum(topology)
    assert (now.voters, now.needed, now.spare) == (1, 1, 0)


def test_a_member_that_does_not_answer_is_named(topology: Topology) -> None:
    gone = Address("127.0.0.1", free_port())
    now = etcd.quorum(replace(topology, dcs=(*topology.dcs, gone)))
    assert now.healthy == {str(topology.dcs[0])}
    assert "Connection refused" in now.unhealthy[str(gone)]


def test_nobody_answers(topology: Topology) -> None:
    nowhere = replace(topology, dcs=(Address("127.0.0.1", free_port()),))
    with pytest.raises(NotYet, match="no member of etcd answered"):
        etcd.quorum(nowhere)


def test_the_lock_tells_whether_it_was_renewed_and_whether_it_was_lost(topology: Topology) -> None:
    with pytest.raises(NotYet, match="no leader key that expires"):
        etcd.lock(topology)
    begun = time.monotonic()
    lease = take_lock(topology, "pg1")
    taken = etcd.lock(topology)
    assert taken.owner == "pg1"
    assert begun - 1.5 <= taken.renewed <= time.monotonic()

    def not_renewed() -> None:
        assert etcd.lock(topology).renewed < time.monotonic() - 1.4

    eventually(not_renewed, within=5, subject="the lock was not renewed for a while")
    renewed_at = time.monotonic()
    ask(topology, "/v3/lease/keepalive", {"ID": lease})
    renewed = etcd.lock(topology)
    assert renewed.renewed >= renewed_at - 1.1
    assert renewed.made == taken.made
    take_lock(topology, "pg1", lost=lease)
    assert etcd.lock(topology).made > taken.made


def test_a_coordinator_without_workers_has_its_keys_in_group_0(topology: Topology) -> None:
    """Patroni with Citus; nothing is known of worker groups."""
    alone = replace(topology, scope="sharded")
    lease = str(ask(alone, "/v3/lease/grant", {"TTL": 20})["ID"])
    key, value = (b64encode(text.encode()).decode() for text in (f"{alone.dcs_namespace}/sharded/0/leader", "c1"))
    ask(alone, "/v3/kv/put", {"key": key, "value": value, "lease": lease})
    assert etcd.lock(alone).owner == "c1"
    assert etcd.leases(alone) == {"leader": 20}
    with pytest.raises(NotYet, match="group 1 has no leader key"):
        etcd.lock(alone, group=1)


def test_a_lock_that_has_expired_was_not_renewed_just_now(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two questions: etcd then says of its lease that it is gone."""
    short = replace(topology, scope="short")
    take_lock(short, "pg1")
    posted = etcd._post
    gone = {"ID": "1", "TTL": "-1"}
    monkeypatch.setattr(etcd, "_post", lambda *said: gone if said[2].endswith("timetolive") else posted(*said))
    with pytest.raises(NotYet, match="has expired"):
        etcd.lock(short)
    assert etcd.leases(short) == {}


def test_what_etcd_extends_after_an_election_was_not_renewed_by_anybody(tmp_path: Path) -> None:
    """An etcd that starts elects itself, and knows the lease from before."""
    slow = {"heartbeat-interval": "150", "election-timeout": "1500"}
    with ensemble(tmp_path, 1, **slow) as found:
        topology = found.topology(0)
        take_lock(topology, "pg1")
        before = etcd.lock(topology)
        found.servers[0].kill()
        found.servers[0].wait()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        found.servers[0] = subprocess.Popen(found.servers[0].args, **quiet)

        def elected() -> None:
            with pytest.raises(NotYet, match="etcd itself extended the leader key"):
                etcd.lock(topology)

        eventually(elected, within=10, subject="etcd elects a leader", retry_on=(AssertionError, pytest.fail.Exception))
        after = eventually(lambda: etcd.lock(topology), within=10, subject="what was granted has begun to run out")
    assert after.made == before.made
    assert after.term > before.term > 0


def take_lock(topology: Topology, owner: str, lost: str = "") -> str:
    """Make the leader key with a new lease, whose id is returned, as Patroni does; `lost` is the one to end first."""
    if lost:
        ask(topology, "/v3/kv/lease/revoke", {"ID": lost})
    lease = str(ask(topology, "/v3/lease/grant", {"TTL": 20})["ID"])
    key, value = (
        b64encode(text.encode()).decode() for text in (f"{topology.dcs_namespace}/{topology.scope}/leader", owner)
    )
    ask(topology, "/v3/kv/put", {"key": key, "value": value, "lease": lease})
    return lease


def test_the_namespaces_are_found(topology: Topology) -> None:
    for namespace, identifier in (("/db", "4711"), ("/team/a", "4712")):
        put(topology, f"{namespace}/shop/initialize", identifier)
    put(topology, "/citus/sharded_shop/0/initialize", "4713")
    assert etcd.namespaces(replace(topology, scope="shop")) == {"/db": "4711", "/team/a": "4712"}
    assert etcd.namespaces(replace(topology, scope="sharded_shop")) == {"/citus": "4713"}


def test_other_clusters_in_the_same_etcd_are_found(topology: Topology) -> None:
    """Those whose Patronis renew their keys; what a cluster has left behind that is gone harms nobody."""
    own = replace(topology, scope="among", dcs_namespace="/neighbours")
    with pytest.raises(NotYet, match="does not show the keys of Patroni's cluster among"):
        etcd.other_clusters(own)
    before = {"/neighbours/among/0", "/neighbours/among/1", "/neighbours/billing", "/neighbours/deep/among"}
    for path in (*before, "/neighbours/gone"):
        put(topology, f"{path}/initialize", "4711")
    put(topology, "/neighbours/among/0/leader", "pg1")
    put(topology, "/neighbours/among/1/members/pg2", "{}")
    put(topology, "/neighbours/billing/leader", "pg1")
    put(topology, "/neighbours/deep/among/members/pg1", "{}")
    put(topology, "/neighbours/application/leader", "no Patroni")
    assert [one for one in etcd.other_clusters(own) if one.startswith("/neighbours/")] == [
        "/neighbours/billing",
        "/neighbours/deep/among",
    ]


def test_other_keys_may_be_any_bytes(topology: Topology) -> None:
    """Other applications keep theirs in the same etcd, and not all write text."""
    mixed = replace(topology, scope="mixed")
    put(mixed, "/db/mixed/initialize", "4711")
    for key in (b"/counters/\xff\xfe", b"/\xff/mixed/initialize", b"/service/mixed/\xff"):
        ask(mixed, "/v3/kv/put", {"key": b64encode(key).decode(), "value": b64encode(b"\xff").decode()})
    assert etcd.namespaces(mixed)["/db"] == "4711"
    lease = take_lock(mixed, "pg1")
    strange = b64encode(b"/service/mixed/\xff").decode()
    ask(mixed, "/v3/kv/put", {"key": strange, "value": b64encode(b"\xff").decode(), "lease": lease})
    assert etcd.leases(mixed)["leader"] == 20


def test_by_tls_and_with_a_login(tmp_path: Path) -> None:
    with secured(tmp_path) as found:
        topology = found.topology(0)
        assert etcd.quorum(topology).spare == 0
        assert found.clients[0].host in etcd.leader(topology)
        require_login(topology, "secret")
        with pytest.raises(NotYet, match="user name is empty"):
            etcd.namespaces(topology)
        assert "user name is empty" in others_in_dcs(topology)[1]
        found.access = {**found.access, "username": "root", "password": "secret"}
        assert etcd.namespaces(found.topology(0)) == {}
        found.access = {**found.access, "password": "wrong"}
        with pytest.raises(NotYet, match="refuses the login of root"):
            etcd.namespaces(found.topology(0))


def test_what_was_not_given_is_told_by_the_others(three: Ensemble) -> None:
    now = eventually(lambda: _whole(three.topology(0)), within=10, subject="one of etcd sees the others")
    assert now.healthy == {str(three.clients[0]), "etcd-1", "etcd-2"}
    assert now.spare == 1


def test_what_members_tell_others_to_connect_to_is_known(three: Ensemble) -> None:
    """Whoever answers knows it of all; the first that is asked need not."""
    gone = Address("127.0.0.1", free_port())
    topology = replace(three.topology(2), dcs=(gone, three.clients[2]))
    expected = {f"etcd-{number}": ["dcs.invalid", "127.0.0.1"] for number in range(3)}
    assert etcd.advertised(topology) == expected
    with pytest.raises(NotYet, match="no member of etcd answered"):
        etcd.advertised(replace(topology, dcs=(gone,)))


def test_all_given_are_asked_themselves(three: Ensemble) -> None:
    now = etcd.quorum(three.topology(0, 1, 2))
    assert now.healthy == frozenset(map(str, three.clients))
    twice = replace(three.topology(0), dcs=(three.clients[0], Address("localhost", three.clients[0].port)))
    assert etcd.quorum(twice).spare == 1


def test_one_that_is_lost_is_missed_by_the_others(tmp_path: Path) -> None:
    with ensemble(tmp_path, 3, "http://dcs.invalid:2379") as found:
        found.servers[2].kill()

        def missed() -> None:
            now = etcd.quorum(found.topology(0, 1))  # which may be electing a leader
            assert (now.spare, dict(now.unhealthy), now.unjudged) == (
                0,
                {"etcd-2": "the other members have lost it"},
                frozenset(),
            )

        eventually(missed, within=20, subject="the other members have lost it")
        silent = etcd.quorum(found.topology(0, 1, 2))
        assert (silent.spare, set(silent.unhealthy)) == (0, {str(found.clients[2])})


@contextmanager
def without_metrics(at: Address) -> Iterator[Address]:
    """A gateway in front of an etcd, which passes everything on but its metrics."""

    class Gateway(Handler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self.answer(404)
            else:
                self._pass_on(requests.get(f"http://{at}{self.path}", timeout=5))

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            self._pass_on(requests.post(f"http://{at}{self.path}", data=asked, timeout=5))

        def _pass_on(self, answer: requests.Response) -> None:
            self.answer(answer.status_code, answer.content)

    with serving_with(Gateway) as gateway:
        yield gateway


def test_a_quorum_is_not_denied_for_members_of_which_nothing_is_known(tmp_path: Path) -> None:
    """No cluster would be healthy where one address was given, and neither the others nor the metrics are reached."""
    with ensemble(tmp_path, 3, "http://dcs.invalid:2379") as found, without_metrics(found.clients[0]) as gateway:
        topology = replace(found.topology(0), dcs=(gateway,))
        now = etcd.quorum(topology)
        assert (now.healthy, now.unjudged) == ({str(gateway)}, {"etcd-1", "etcd-2"})
        require_quorum(Cluster(topology))
        for server in found.servers[1:]:
            server.kill()

        def lost() -> None:
            assert not etcd.quorum(topology).healthy
            with pytest.raises(NotYet, match="0 of 3 nodes are healthy"):
                require_quorum(Cluster(topology))

        eventually(lost, within=20, subject="the quorum is lost")


def _whole(topology: Topology) -> etcd.Quorum:
    now = etcd.quorum(topology)
    assert len(now.healthy) == now.voters
    return now


@pytest.mark.parametrize(
    ("voters", "healthy", "spare"), [(3, 3, 1), (3, 2, 0), (3, 1, -1), (5, 5, 2), (5, 4, 1), (1, 1, 0)]
)
def test_what_could_be_lost(voters: int, healthy: int, spare: int) -> None:
    assert etcd.Quorum(voters, frozenset(map(str, range(healthy))), {}).spare == spare
