"""SE-06 beside PostgreSQL: the certificates of a real etcd and a real Redis, and of Patroni's REST API."""

import shutil
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import free_port
from etcd_servers import secured
from patronis import Member, patroni
from redis_servers import running as running_redis

from support.embedded.certificates import Authority
from support.security import certificates
from support.security.checks import all_valid_for
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, RedisAddress, RedisTls, Topology, WebAccess

HOST = "127.0.0.1"
PLAIN = Topology("app", Login("app", ""), Address(HOST, 1), scope="main")


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """The certificate of a server and its key."""
    issued = Authority.create(tmp_path / "authority").issue([HOST])
    for kind, text in (("crt", issued.certificate), ("key", issued.key)):
        (tmp_path / f"server.{kind}").write_text(text)
    return f"{tmp_path}/server.crt", f"{tmp_path}/server.key"


def days_of(topology: Topology) -> dict[str, int]:
    found = certificates.validity(certificates.in_use(Cluster(topology)))
    return {name: round(one.days) for name, one in found.items() if not one.unknown}


def test_without_tls_there_is_none() -> None:
    assert certificates.in_use(Cluster(PLAIN)) == {}
    assert all_valid_for(14, {}).holds is None


@pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")
def test_that_of_etcd_also_if_it_asks_for_the_clients(tmp_path: Path) -> None:
    with secured(tmp_path, client_certificates=True) as found:
        topology = found.topology(0)
        assert days_of(topology) == {f"etcd at {found.clients[0]}": 30}
        gone = Address(HOST, free_port())
        both = certificates.in_use(Cluster(replace(topology, dcs=(*topology.dcs, gone))))
        finding = all_valid_for(14, certificates.validity(both))
    assert finding.holds is None
    assert f"etcd at {gone}: no answer" in finding.words


def test_those_of_patroni_and_of_redis(tmp_path: Path, files: tuple[str, str]) -> None:
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(*files)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", files[0], "--tls-key-file", files[1]]
    alone = Member("pg1", "leader", f"{HOST}:5432", f"{HOST}:1", None)
    with (
        patroni(alone, [alone], secure) as rest,
        running_redis(tmp_path, free_port(), [*options, "--tls-auth-clients", "no"]),
    ):
        topology = replace(
            PLAIN,
            members=(MemberAddress("pg1", Address(HOST, 1), Address(HOST, rest)),),
            patroni_access=WebAccess("https"),
            redis=RedisAddress(Address(HOST, port), tls=RedisTls()),
        )
        assert days_of(topology) == {"Patroni's REST API of pg1": 30, f"Redis at {HOST}:{port}": 30}
