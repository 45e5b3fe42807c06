"""The DCS, by a real etcd."""

import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from conftest import free_port

from support.cluster import etcd
from support.cluster.topology import Address, Login, Topology
from support.waiting import NotYet, eventually

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """A cluster of which there is nothing but one etcd."""
    directory: Path = tmp_path_factory.mktemp("etcd")
    clients, peers = Address("127.0.0.1", free_port()), f"http://127.0.0.1:{free_port()}"
    options = {
        "name": "one",
        "data-dir": str(directory),
        "listen-client-urls": f"http://{clients}",
        "advertise-client-urls": f"http://{clients}",
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"one={peers}",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    server = subprocess.Popen(["etcd", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = Topology("app", Login("app", ""), Address("127.0.0.1", 5432), dcs=(clients,), scope="accept")
    try:
        eventually(lambda: _require_healthy(found), within=15, subject="etcd answers")
        yield found
    finally:
        server.kill()
        server.wait()


def _require_healthy(topology: Topology) -> None:
    if not etcd.quorum(topology).healthy:
        raise NotYet("it is not healthy")


def put(topology: Topology, path: str, value: str) -> None:
    pair = {"key": b64encode(path.encode()).decode(), "value": b64encode(value.encode()).decode()}
    requests.post(f"http://{topology.dcs[0]}/v3/kv/put", json=pair, timeout=5).raise_for_status()


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
    with pytest.raises(NotYet, match="no member of etcd answered"):
        etcd.key(nowhere, "leader")


def test_keys(topology: Topology) -> None:
    assert etcd.key(topology, "leader") is None
    put(topology, "/service/accept/leader", "m1")
    put(topology, "/service/another/leader", "m2")
    assert etcd.key(topology, "leader") == "m1"


@pytest.mark.parametrize(
    ("voters", "healthy", "spare"), [(3, 3, 1), (3, 2, 0), (3, 1, -1), (5, 5, 2), (5, 4, 1), (1, 1, 0)]
)
def test_what_could_be_lost(voters: int, healthy: int, spare: int) -> None:
    assert etcd.Quorum(voters, frozenset(map(str, range(healthy))), {}).spare == spare
