"""SE-06 beside PostgreSQL: the certificates of a real etcd and a real Redis, and of Patroni's REST API."""

import shutil
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import free_port
from etcd_servers import secured
from patronis import Member, patroni
from redis_servers import running as running_redis

from support.embedded.certificates import Authority
from support.security import certificates
from support.security.checks import all_valid_for
from support.target.certificates import Certificate, in_pem
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


def authority(name: str, days: float, issuer: str = "") -> Certificate:
    return Certificate(name, datetime.now(UTC) + timedelta(days=days), name, issuer or name)


ENDED, OURS, ABOVE = authority("ended", -3), authority("ours", 5, issuer="above"), authority("above", 9)


@pytest.mark.parametrize(
    ("trusted", "presented", "judged"),
    [
        ((ENDED, OURS), [authority("server", 90, issuer="ours")], (OURS,)),
        ((ENDED, OURS, ABOVE), [authority("server", 90, issuer="ours")], (OURS, ABOVE)),
        ((ENDED, OURS), [authority("server", 90, issuer="ended")], (ENDED,)),
        ((ENDED, OURS), [authority("server", 90, issuer="in between")], (OURS,)),
        ((ENDED,), [], (ENDED,)),
        ((authority("ours", -1), OURS), [authority("server", 90, issuer="ours")], (OURS,)),
    ],
)
def test_the_authorities_that_are_judged(
    trusted: tuple[Certificate, ...], presented: list[Certificate], judged: tuple[Certificate, ...]
) -> None:
    """A file of many authorities, such as a distribution's, contains some that nobody relies on."""
    assert certificates.relied_on(trusted, presented) == judged


def test_an_authority_that_issued_nothing_may_end(tmp_path: Path) -> None:
    ours, other = (Authority.create(tmp_path / name) for name in ("ours", "other"))
    issued, foreign = ours.issue([HOST]), other.issue([HOST])
    ((server,), (unused,)) = (in_pem(one.certificate.encode())[:1] for one in (issued, foreign))
    (root,) = in_pem(ours.certificate.read_bytes())
    assert server.issuer == root.subject
    assert certificates.relied_on((unused, root), [server]) == (root,)
