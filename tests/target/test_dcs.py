"""The DCS, by a real dcs."""

import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from booting import boots
from conftest import free_port

from support.errors import RequirementMissing
from support.target import dcs
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually, pause

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")


@dataclass
class Ensemble:
    """Some etcds of one cluster, and where clients reach each."""

    clients: list[Address]
    servers: list["subprocess.Popen[bytes]"]

    def topology(self, *given: int) -> Topology:
        """A cluster of which there is nothing but those of the etcds that are given."""
        addresses = tuple(self.clients[number] for number in given)
        return Topology("app", Login("app", ""), Address("127.0.0.1", 5432), dcs=addresses, scope="accept")


@boots
@contextmanager
def ensemble(directory: Path, count: int, advertised: str = "http://{}") -> Iterator[Ensemble]:
    """So many etcds, gone at the end. `advertised` is the URL to which each sends its clients."""
    clients = [Address("127.0.0.1", free_port()) for _ in range(count)]
    peers = {f"etcd-{number}": f"http://127.0.0.1:{free_port()}" for number in range(count)}
    started = Ensemble(clients, [])
    try:
        for (name, peer), client in zip(peers.items(), clients, strict=True):
            options = {
                "name": name,
                "data-dir": str(directory / name),
                "listen-client-urls": f"http://{client}",
                "advertise-client-urls": advertised.format(client),
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": ",".join(f"{one}={url}" for one, url in peers.items()),
                "heartbeat-interval": "50",
                "election-timeout": "500",
            }
            arguments = [f"--{name}={value}" for name, value in options.items()]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started.servers.append(subprocess.Popen(["etcd", *arguments], **quiet))
        everyone = started.topology(*range(count))
        eventually(lambda: _require_healthy(everyone), within=20, subject="etcd answers")
        yield started
    finally:
        for server in started.servers:
            server.kill()
            server.wait()


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


def _require_healthy(topology: Topology) -> None:
    if len(dcs.quorum(topology).healthy) < len(topology.dcs):
        raise NotYet("not every one is healthy")


def put(topology: Topology, path: str, value: str) -> None:
    pair = {"key": b64encode(path.encode()).decode(), "value": b64encode(value.encode()).decode()}
    requests.post(f"http://{topology.dcs[0]}/v3/kv/put", json=pair, timeout=5).raise_for_status()


def test_one_voter_has_none_to_spare(topology: Topology) -> None:
    now = dcs.quorum(topology)
    assert (now.voters, now.needed, now.spare) == (1, 1, 0)


def test_a_member_that_does_not_answer_is_named(topology: Topology) -> None:
    gone = Address("127.0.0.1", free_port())
    now = dcs.quorum(replace(topology, dcs=(*topology.dcs, gone)))
    assert now.healthy == {str(topology.dcs[0])}
    assert "Connection refused" in now.unhealthy[str(gone)]


def test_nobody_answers(topology: Topology) -> None:
    nowhere = replace(topology, dcs=(Address("127.0.0.1", free_port()),))
    with pytest.raises(NotYet, match="no member of etcd answered"):
        dcs.quorum(nowhere)
    with pytest.raises(NotYet, match="no member of etcd answered"):
        dcs.key(nowhere, "leader")


def test_keys(topology: Topology) -> None:
    assert dcs.key(topology, "leader") is None
    put(topology, "/service/accept/leader", "m1")
    put(topology, "/service/another/leader", "m2")
    assert dcs.key(topology, "leader") == "m1"


def test_keys_of_a_group(topology: Topology) -> None:
    put(topology, "/service/sharded/0/leader", "c1")
    put(topology, "/service/sharded/1/leader", "w1")
    alone = replace(topology, scope="sharded")
    assert dcs.key(alone, "leader") == "c1"
    members = tuple(MemberAddress(f"m{group}", Address("db", 5432), None, group) for group in (0, 1))
    assert dcs.key(replace(alone, members=members), "leader", 1) == "w1"


def test_several_keys_are_read_at_one_revision(topology: Topology) -> None:
    put(topology, "/service/ordered/leader", "m1")
    put(topology, "/service/ordered/members/m1", "{}")
    put(topology, "/service/ordered0/failover", "of another cluster")
    ordered = replace(topology, scope="ordered")
    assert dcs.keys(ordered, ("failover", "leader")) == {"failover": None, "leader": "m1"}
    put(topology, "/service/ordered/failover", "{}")
    assert dcs.keys(ordered, ("failover", "leader")) == {"failover": "{}", "leader": "m1"}
    put(topology, "/service/ordered/1/leader", "w1")
    members = tuple(MemberAddress(f"m{group}", Address("db", 5432), None, group) for group in (0, 1))
    assert dcs.keys(replace(ordered, members=members), ("leader",), 1) == {"leader": "w1"}


def test_the_lock_tells_whether_it_was_renewed_and_whether_it_was_lost(topology: Topology) -> None:
    with pytest.raises(NotYet, match="no leader key that expires"):
        dcs.lock(topology)
    begun = time.monotonic()
    lease = take_lock(topology, "pg1")
    taken = dcs.lock(topology)
    assert taken.owner == "pg1"
    assert begun - 1.5 <= taken.renewed <= time.monotonic()
    pause(2.5)
    assert dcs.lock(topology).renewed < time.monotonic() - 1.4  # nobody has renewed it
    renewed_at = time.monotonic()
    ask(topology, "/v3/lease/keepalive", {"ID": lease})
    renewed = dcs.lock(topology)
    assert renewed.renewed >= renewed_at - 1.1
    assert renewed.made == taken.made
    take_lock(topology, "pg1", lost=lease)
    assert dcs.lock(topology).made > taken.made


def take_lock(topology: Topology, owner: str, lost: str = "") -> str:
    """Make the leader key with a new lease, whose id is returned, as Patroni does; `lost` is the one to end first."""
    if lost:
        ask(topology, "/v3/kv/lease/revoke", {"ID": lost})
    lease = str(ask(topology, "/v3/lease/grant", {"TTL": 20})["ID"])
    key, value = (b64encode(text.encode()).decode() for text in (f"{topology.dcs_namespace}/accept/leader", owner))
    ask(topology, "/v3/kv/put", {"key": key, "value": value, "lease": lease})
    return lease


def ask(topology: Topology, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
    answer = requests.post(f"http://{topology.dcs[0]}{path}", json=question, timeout=5)
    answer.raise_for_status()
    decoded: dict[str, Any] = answer.json()
    return decoded


def test_the_namespace_is_found(topology: Topology) -> None:
    for namespace, identifier in (("/db", "4711"), ("/team/a", "4712")):
        put(topology, f"{namespace}/shop/initialize", identifier)
        put(topology, f"{namespace}/shop/leader", f"the leader of {identifier}")
    put(topology, "/citus/sharded_shop/0/initialize", "4713")
    assert dcs.namespaces(replace(topology, scope="shop")) == {"/db": "4711", "/team/a": "4712"}
    found, lacks = dcs.discover(replace(topology, scope="shop"), "4712")
    assert (found.dcs_namespace, lacks) == ("/team/a", {})
    assert dcs.key(found, "leader") == "the leader of 4712"
    assert dcs.discover(replace(topology, scope="sharded_shop"), "4713")[0].dcs_namespace == "/citus"


def test_keys_that_are_not_there_are_lacking(topology: Topology) -> None:
    _, lacks = dcs.discover(replace(topology, scope="nobody"), "1")
    assert "no keys of Patroni's cluster nobody" in lacks["dcs_keys"]
    assert "dcs" not in lacks
    _, lacks = dcs.discover(replace(topology, scope="shop"), "another")
    assert lacks["dcs_keys"] == "several clusters are called shop, in /db and /team/a"


def test_an_etcd_that_is_declared_and_not_there() -> None:
    nowhere = Topology("app", Login("app", ""), Address("db", 1), dcs=(Address("127.0.0.1", free_port()),), scope="x")
    with pytest.raises(RequirementMissing, match="ETCD_HOSTS declares what is not there"):
        dcs.discover(nowhere, "")


def test_what_was_not_given_is_told_by_the_others(three: Ensemble) -> None:
    now = eventually(lambda: _whole(three.topology(0)), within=10, subject="one of etcd sees the others")
    assert now.healthy == {str(three.clients[0]), "etcd-1", "etcd-2"}
    assert now.spare == 1


def test_all_given_are_asked_themselves(three: Ensemble) -> None:
    now = dcs.quorum(three.topology(0, 1, 2))
    assert now.healthy == frozenset(map(str, three.clients))
    twice = replace(three.topology(0), dcs=(three.clients[0], Address("localhost", three.clients[0].port)))
    assert dcs.quorum(twice).spare == 1


def test_one_that_is_lost_is_missed_by_the_others(tmp_path: Path) -> None:
    with ensemble(tmp_path, 3, "http://dcs.invalid:2379") as found:
        found.servers[2].kill()

        def missed() -> None:
            now = dcs.quorum(found.topology(0, 1))  # which may be electing a leader
            assert (now.spare, dict(now.unhealthy), now.unjudged) == (
                0,
                {"etcd-2": "the other members have lost it"},
                frozenset(),
            )

        eventually(missed, within=20, subject="the other members have lost it")
        silent = dcs.quorum(found.topology(0, 1, 2))
        assert (silent.spare, set(silent.unhealthy)) == (0, {str(found.clients[2])})


def _whole(topology: Topology) -> dcs.Quorum:
    now = dcs.quorum(topology)
    assert len(now.healthy) == now.voters
    return now


@pytest.mark.parametrize(
    ("voters", "healthy", "spare"), [(3, 3, 1), (3, 2, 0), (3, 1, -1), (5, 5, 2), (5, 4, 1), (1, 1, 0)]
)
def test_what_could_be_lost(voters: int, healthy: int, spare: int) -> None:
    assert dcs.Quorum(voters, frozenset(map(str, range(healthy))), {}).spare == spare
