"""SE-06 beside PostgreSQL: the certificates of a real etcd and a real Redis, and of Patroni's REST API."""

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from conftest import free_port
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from etcd_servers import secured
from patronis import Member, patroni
from redis_servers import running as running_redis

from support.embedded.certificates import Authority, Issued
from support.hosts import Host
from support.security import certificates
from support.security.checks import Validity, all_valid_for
from support.target.certificates import Certificate, presented
from support.target.cluster import Cluster
from support.target.discovery.dcs import peers_unread
from support.target.member_files import files_of
from support.target.topology import Address, Login, MemberAddress, RedisAddress, RedisTls, Topology, WebAccess
from support.waiting import eventually

HOST = "127.0.0.1"
NO_FILES = {"member_files": "the test has no hosts"}
PLAIN = Topology("app", Login("app", ""), Address(HOST, 1), scope="main", lacks=NO_FILES)
ETCD = pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")


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


@ETCD
def test_that_of_etcd_also_if_it_asks_for_the_clients(tmp_path: Path) -> None:
    with secured(tmp_path, client_certificates=True) as found:
        topology = found.topology(0)
        assert days_of(topology) == {f"etcd at {found.clients[0]}": 30}
        gone = Address(HOST, free_port())
        both = certificates.in_use(Cluster(replace(topology, dcs=(*topology.dcs, gone))))
        finding = all_valid_for(14, certificates.validity(both))
    assert finding.holds is None
    assert f"etcd at {gone}: no answer" in finding.words


@ETCD
def test_those_that_members_of_etcd_present_to_one_another(tmp_path: Path) -> None:
    """A client sees another one."""
    until = datetime.now(UTC) + timedelta(days=10)
    with secured(tmp_path, peer=Authority.create(tmp_path / "peers").issue([HOST], until=until)) as found:
        topology = found.topology(0)
        assert peers_unread(topology) == ""
        assert days_of(topology) == {f"etcd at {found.clients[0]}": 30}
        finding = all_valid_for(14, certificates.validity(certificates.of_peers(Cluster(topology))))
        assert finding.holds is False
        told = rf"1 of 1 certificates expire too soon: etcd's etcd-0 at {HOST}:\d+: expires in 10 days"
        assert re.search(told, finding.words)
    gone = all_valid_for(14, certificates.validity(certificates.of_peers(Cluster(topology))))
    assert gone.holds is None
    assert "etcd does not tell where its members reach one another: no member" in peers_unread(topology)


@ETCD
def test_where_members_of_etcd_present_none_to_us(tmp_path: Path) -> None:
    """They use no TLS among them, or a network that is closed to others."""
    for name in ("plain", "closed"):
        (tmp_path / name).mkdir()
    with secured(tmp_path / "plain") as found:
        assert peers_unread(found.topology(0)) == "etcd's members reach one another without TLS"
    peer = Authority.create(tmp_path / "peers").issue([HOST])
    elsewhere = f"https://{HOST}:{free_port()}"
    with secured(tmp_path / "closed", peer=peer, listen_peer_urls=elsewhere) as found:
        told = peers_unread(found.topology(0))
    assert re.search(rf"reach one another \({HOST}:\d+: it refuses connections\)", told)
    assert "no etcd is known" in peers_unread(PLAIN)


def test_those_with_which_a_member_logs_in(tmp_path: Path, files: tuple[str, str]) -> None:
    """By what its Patroni is configured with; a file that is not there is none."""
    own = {"etcd3": {"cert": files[0]}, "ctl": {"certfile": files[0]}}
    logins = {"replication": {"sslcert": f"{tmp_path}/both.pem"}, "rewind": {"sslcert": f"{tmp_path}/gone.crt"}}
    (tmp_path / "both.pem").write_text(f"{BELOW.pem}{BETWEEN.pem}")
    (tmp_path / "patroni.yml").write_text(yaml.safe_dump({**own, "postgresql": {"authentication": logins}}))
    host = Host(tmp_path, "pg1", 1, HOST, tmp_path)
    found = certificates.validity(certificates._named_in(files_of(host), "pg1"))
    assert [round(one.days) for one in found.values()] == [30, 90, 400]
    assert [name.partition(" (")[0] for name in found] == [
        f"{files[0]} of pg1",
        *[f"{tmp_path}/both.pem of pg1"] * 2,
    ]


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


def test_those_of_the_servers_that_sentinels_name_and_the_applications_own(
    tmp_path: Path, files: tuple[str, str]
) -> None:
    """And not of the Sentinels alone."""
    port, sentinel, authority = free_port(), free_port(), str(tmp_path / "authority" / "authority.pem")
    options = ["--tls-cert-file", files[0], "--tls-key-file", files[1], "--tls-auth-clients", "no"]
    options += ["--tls-ca-cert-file", authority, "--tls-replication", "yes"]
    watching = tmp_path / "sentinel"
    watching.mkdir()
    told = [f"tls-port {sentinel}", "port 0", "bind 127.0.0.1", f"dir {watching}"]
    told += [" ".join(options[at : at + 2]).removeprefix("--") for at in range(0, len(options), 2)]
    told += [f"sentinel monitor cache {HOST} {port} 1", ""]
    (watching / "sentinel.conf").write_text("\n".join(told))
    redis = RedisAddress(
        Address(HOST, sentinel),
        tls=RedisTls(authorities=authority, certificate=files[0], key=files[1]),
        mode="sentinel",
        service="cache",
    )
    with running_redis(tmp_path, free_port(), ["--tls-port", str(port), *options]), sentinel_of(watching):
        found = days_of(replace(PLAIN, redis=redis))
    gone = certificates.validity(certificates.in_use(Cluster(replace(PLAIN, redis=redis))))
    assert found == {
        f"Redis at {HOST}:{port}": 30,
        f"Redis at {HOST}:{sentinel}": 30,
        "the authority that the application trusts for Redis": 30,
        "the application, for Redis": 30,
    }
    assert "which servers of Redis there are" in gone["Redis (of all its servers)"].unknown


@contextmanager
def sentinel_of(directory: Path) -> Iterator[None]:
    process = subprocess.Popen(["redis-server", str(directory / "sentinel.conf"), "--sentinel"])
    port = int(re.search(r"tls-port (\d+)", (directory / "sentinel.conf").read_text())[1])  # type: ignore[index]

    def listens() -> None:
        socket.create_connection((HOST, port), 1).close()

    try:
        eventually(listens, within=10, subject="the Sentinel listens", retry_on=(OSError,), pause=0.05)
        yield
    finally:
        process.kill()
        process.wait()


def test_those_that_libpq_finds_in_its_usual_places(
    tmp_path: Path, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / ".postgresql"
    usual.mkdir()
    shutil.copy(files[0], usual / "postgresql.crt")
    shutil.copy(files[0], usual / "root.crt")
    monkeypatch.setenv("HOME", str(tmp_path))
    nobody = replace(PLAIN, write=Address(HOST, free_port()))
    assert days_of(replace(nobody, options={"sslmode": "require"})) == {
        "the authority that the application trusts": 30,
        "the application": 30,
    }
    assert days_of(nobody) == {}


class Made:
    """A certificate of an authority or a server, and its key, with which others are issued."""

    def __init__(
        self, name: str, days: float, issuer: "Made | None" = None, key: ec.EllipticCurvePrivateKey | None = None
    ) -> None:
        """`issuer` is None for a root. `key`: of one that is renewed."""
        self.key, self.name = key or ec.generate_private_key(ec.SECP256R1()), name
        signs, now = issuer.key if issuer else self.key, datetime.now(UTC)
        self.content = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(issuer.name if issuer else name))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=100))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signs.public_key()), critical=False)
            .sign(signs, SHA256())
        )
        self.read = Certificate(self.content)
        self.pem = self.content.public_bytes(serialization.Encoding.PEM).decode()

    def sending(self, *authorities: "Made") -> Certificate:
        """As a server presents it that sends these along."""
        return replace(self.read, sent_along=tuple(one.read for one in authorities))

    def issued(self) -> Issued:
        """As a server needs it."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Issued(self.pem, key.decode())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


ROOT, ENDED, UNUSED = Made("root", 500), Made("ended", -3), Made("unused", 900)
BETWEEN = Made("in between", 400, ROOT)
BELOW = Made("server", 90, BETWEEN)
OLD_KEY, NEW_KEY = Made("rolled over", 3), Made("rolled over", 800)
BEFORE, RENEWED = ROOT, Made("root", 600, key=ROOT.key)
CROSS_SIGNED = Made("root", 60, ENDED, key=ROOT.key)
"""An older root, which has ended since, once made the newer one known to clients that did not have it yet."""
ENDING = Made("in between", 1, ROOT, key=BETWEEN.key)
"""The certificate that BETWEEN renews."""


def named(trusted: Sequence[Made], presented: Sequence[Certificate]) -> tuple[list[Made], list[Made]]:
    """Which of the trusted ones are judged, and which are in doubt."""
    found = certificates.relied_on([one.read for one in trusted], presented)
    in_doubt = [one.certificate for one in found if isinstance(one, certificates.Doubtful)]
    return [one for one in trusted if one.read in found], [one for one in trusted if one.read in in_doubt]


@pytest.mark.parametrize(
    ("trusted", "presented", "judged"),
    [
        ([ENDED, ROOT], [Made("server", 90, ROOT).read], [ROOT]),
        ([ENDED, ROOT], [Made("server", 90, ENDED).read], [ENDED]),
        ([ENDED, BETWEEN, ROOT], [BELOW.read], [BETWEEN, ROOT]),
        ([ENDED, UNUSED, ROOT], [BELOW.sending(BETWEEN)], [ROOT]),
        ([ENDED, UNUSED, ROOT], [BELOW.sending(BETWEEN, CROSS_SIGNED)], [ROOT]),
        ([UNUSED, ENDED], [BELOW.sending(BETWEEN, CROSS_SIGNED)], [ENDED]),
        ([BEFORE, RENEWED, UNUSED], [BELOW.sending(BETWEEN)], [RENEWED]),
        ([BEFORE, RENEWED, BEFORE], [Made("server", 90, UNUSED).read], [RENEWED]),
        ([OLD_KEY, NEW_KEY], [Made("server", 90, OLD_KEY).read], [OLD_KEY]),
        ([OLD_KEY, NEW_KEY], [Made("server", 90, NEW_KEY).read], [NEW_KEY]),
        ([OLD_KEY, NEW_KEY], [Made("a", 90, OLD_KEY).read, Made("b", 90, NEW_KEY).read], [OLD_KEY, NEW_KEY]),
        ([ENDED, UNUSED], [], [UNUSED]),
        ([ENDED], [], [ENDED]),
        ([ENDED], [BELOW.read], [ENDED]),
        ([ENDED, ROOT], [ROOT.read], [ROOT]),
    ],
)
def test_the_authorities_that_are_judged(
    trusted: Sequence[Made], presented: Sequence[Certificate], judged: Sequence[Made]
) -> None:
    """A file of many authorities, such as a distribution's, contains some that nobody relies on."""
    assert named(trusted, presented) == (judged, [])


@pytest.mark.parametrize(
    ("presented", "judged", "in_doubt"),
    [
        ([BELOW.read], [], [ENDED, ROOT, UNUSED]),
        ([BELOW.read, Made("other", 90, UNUSED).read], [UNUSED], [ENDED, ROOT]),
        ([BELOW.read, BELOW.sending(BETWEEN)], [ROOT], [ENDED, UNUSED]),
    ],
)
def test_without_the_authority_in_between_each_root_may_be_the_one(
    presented: Sequence[Certificate], judged: Sequence[Made], in_doubt: Sequence[Made]
) -> None:
    assert named([ENDED, ROOT, UNUSED], presented) == (judged, in_doubt)


def test_what_is_in_doubt_breaks_no_promise_and_keeps_none() -> None:
    found = certificates.relied_on([ENDED.read, ROOT.read], [BELOW.read])
    validity = certificates.validity({str(number): one for number, one in enumerate(found)})
    finding = all_valid_for(14, validity)
    assert finding.holds is None
    assert "1 of 2 certificates have expired or soon will, but it is not known whether the servers" in finding.words
    assert "0: expired 3 days ago" in finding.words
    assert all_valid_for(-10, validity).holds is True
    certain = all_valid_for(14, {**validity, "server": Validity(5)})
    assert certain.words.startswith("1 of 3 certificates expire too soon")


def test_what_another_component_presents_puts_no_authority_in_doubt() -> None:
    """Other components than PostgreSQL may have an authority that the application need not trust."""
    found = certificates.relied_on(
        [ENDED.read, ROOT.read], [Made("server", 90, ROOT).read], [Made("etcd", 90, UNUSED).read]
    )
    assert found == (ROOT.read,)


def test_a_signature_that_cannot_be_verified_is_told_by_the_identifiers_of_the_keys() -> None:
    """The name may be written in another case, or the key may be of another kind."""
    shouting = Made("IN BETWEEN", 400, ROOT, key=BETWEEN.key)
    assert BELOW.read.issued_by(shouting.read)
    assert not BELOW.read.issued_by(Made("IN BETWEEN", 400, ROOT).read)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_demands_a_certificate_is_shown_the_components(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """With TLS 1.2, a handshake without it fails before the client sees anything."""
    authority = Authority.create(tmp_path / "authority")
    for name in ("server", "client"):
        issued = authority.issue([HOST])
        (tmp_path / f"{name}.crt").write_text(issued.certificate)
        (tmp_path / f"{name}.key").write_text(issued.key)
    both = tmp_path / "both.pem"
    both.write_text((tmp_path / "client.crt").read_text() + (tmp_path / "client.key").read_text())
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    secure.maximum_version, secure.verify_mode = version, ssl.CERT_REQUIRED
    secure.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    files = {"certificate": str(tmp_path / "client.crt"), "key": str(tmp_path / "client.key")}
    alone = Member("pg1", "leader", f"{HOST}:5432", f"{HOST}:1", None)
    with patroni(alone, [alone], secure) as port:
        at = Address(HOST, port)
        cluster = Cluster(
            Topology(
                "app",
                Login("app", ""),
                Address(HOST, 5432),
                members=(MemberAddress("pg1", Address(HOST, 5432), at),),
                patroni_access=WebAccess("https", **files),
                redis=RedisAddress(at, tls=RedisTls(**files)),
                dcs=(at,),
                dcs_access={"etcd3": {"hosts": str(at), "protocol": "https", "cert": str(both)}},
                lacks=NO_FILES,
            )
        )
        found = certificates.in_use(cluster)
    assert len(found) == 4, "those three, and the application's own"
    assert not certificates.unread(found)


@contextmanager
def sent_by_a_server(directory: Path, *chain: Made) -> Iterator[Address]:
    """A server that speaks TLS from the beginning, with its own certificate and those that it sends along."""
    server = chain[0].issued()
    for name, text in (("crt", "".join(one.pem for one in chain)), ("key", server.key)):
        (directory / f"server.{name}").write_text(text)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(directory / "server.crt", directory / "server.key")
    alone = Member("pg1", "leader", f"{HOST}:5432", f"{HOST}:1", None)
    with patroni(alone, [alone], secure) as port:
        yield Address(HOST, port)


def test_the_authorities_in_between_that_a_server_sends(tmp_path: Path) -> None:
    """By a server of the web's protocol."""
    with sent_by_a_server(tmp_path, Made(HOST, 90, BETWEEN), BETWEEN) as there:
        found = presented(there)
    assert found.issued_by(BETWEEN.read)
    assert found.sent_along == (BETWEEN.read,)
    assert named([ENDED, ROOT, UNUSED], [found]) == ([ROOT], [])


@pytest.mark.parametrize(
    ("trusted", "sent", "needed"),
    [
        ([ROOT], [BETWEEN], [BETWEEN]),
        ([ENDED, UNUSED, ROOT], [BETWEEN, CROSS_SIGNED], [BETWEEN]),
        ([UNUSED, ENDED], [BETWEEN, CROSS_SIGNED], [BETWEEN, CROSS_SIGNED]),
        ([BETWEEN, ROOT], [ENDING], []),
        ([ROOT], [ENDING], [ENDING]),
        ([ROOT], [ENDING, BETWEEN], [BETWEEN]),
        ([ROOT], [BETWEEN, ENDING], [BETWEEN]),
        ([ROOT], [BETWEEN, ROOT], [BETWEEN]),
        ([UNUSED], [BETWEEN], []),
        ([], [BETWEEN], []),
    ],
)
def test_the_intermediate_certificates_that_clients_need(
    trusted: Sequence[Made], sent: Sequence[Made], needed: Sequence[Made]
) -> None:
    found = certificates.needed_intermediates(BELOW.sending(*sent), [one.read for one in trusted])
    assert found == [one.read for one in needed]


def test_an_intermediate_certificate_that_ends_soon_breaks_the_promise(tmp_path: Path) -> None:
    """As what PostgreSQL presents, at an endpoint and on a member, and Patroni's REST API."""
    authorities = tmp_path / "authorities.pem"
    authorities.write_text(ROOT.pem)
    with sent_by_a_server(tmp_path, Made(HOST, 90, BETWEEN), ENDING, CROSS_SIGNED) as there:
        topology = replace(
            PLAIN,
            write=there,
            options={"sslmode": "verify-full", "sslrootcert": str(authorities), "sslnegotiation": "direct"},
            members=(MemberAddress("pg1", there, there),),
            patroni_access=WebAccess("https", str(authorities)),
        )
        found = certificates.validity(certificates.in_use(Cluster(topology)))
    assert sorted(round(one.days) for one in found.values()) == [1, 90, 90, 90, 500]
    finding = all_valid_for(14, found)
    assert finding.holds is False
    assert "1 of 5 certificates expire too soon: the intermediate certificate (CN=in between, " in finding.words
    assert all(name in finding.words for name in ("the write endpoint", "member pg1", "Patroni's REST API of pg1"))
