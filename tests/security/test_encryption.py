"""SE-03 against a real PostgreSQL with OpenSSL: what it offers, what it accepts, and which certificate it presents."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from conftest import free_port
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from servers import BINDIR
from servers import postgres as throw_away_postgres

from support import sql
from support.embedded.certificates import KEY, Authority, Issued
from support.embedded.programs import with_openssl
from support.engine.finding import Finding
from support.errors import ConnectFailed, Inconclusive
from support.security import certificates, logins
from support.security.checks import Validity, all_loaded, all_over_tls, all_refused, all_valid_for
from support.settings import Settings
from support.target.certificates import in_pem, presented_by_postgres
from support.target.cluster import Cluster
from support.target.discovery import database
from support.target.login import Answer, NoTls, certificate_error, log_in, offers_tls, salt
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually

T = TypeVar("T")
HOST = "127.0.0.1"


class Server:
    """A PostgreSQL with TLS, whose settings a test changes."""

    def __init__(self, superuser: sql.Endpoint, directory: Path) -> None:
        self.superuser, self.directory = superuser, directory
        self.authority = Authority.create(directory / "authority")

    def present(self, issued: Issued) -> None:
        """Present a certificate from now on."""
        for name, text in (("server.crt", issued.certificate), ("server.key", issued.key)):
            file = self.directory / "data" / name
            file.touch(mode=0o600)
            file.write_text(text)
        self.reload(ssl="on")

    def reload(self, **settings: str) -> None:
        """Change settings, and wait until new connections see them."""
        with sql.session(self.superuser) as session:
            for name, value in settings.items():
                sql.execute(session, f"ALTER SYSTEM SET {name} = '{value}'")
            sql.value(session, "SELECT pg_reload_conf()")
        if wanted := settings.get("ssl"):
            eventually(lambda: self._require_offered(wanted == "on"), within=10, subject=f"ssl is {wanted}")

    def access(self, *lines: str) -> None:
        """Set pg_hba.conf; the superuser is always let in, through the socket."""
        (self.directory / "data" / "pg_hba.conf").write_text(
            "\n".join(["local all postgres scram-sha-256", *lines, ""])
        )
        self.reload()

    def _require_offered(self, wanted: bool) -> None:
        assert offers_tls(self.superuser.at("it", HOST, self.superuser.port)) is wanted

    def cluster(self, mode: str = "verify-full") -> Cluster:
        """It as a cluster of one member, whose application requires TLS."""
        address = Address(HOST, self.superuser.port)
        return Cluster(
            Topology(
                database="postgres",
                application=Login("application", "secret"),
                write=address,
                members=(MemberAddress("m1", address),),
                options={"sslmode": mode, "sslrootcert": str(self.authority.certificate)},
            )
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory, bindir = tmp_path_factory.mktemp("encrypted"), with_openssl(BINDIR)
    assert bindir is not None
    with throw_away_postgres(directory, free_port(), bindir) as endpoint:
        sql.execute(endpoint, "CREATE ROLE application LOGIN PASSWORD 'secret'")
        yield Server(endpoint.at(endpoint.name, str(directory), endpoint.port), directory)


@pytest.fixture
def server(running: Server) -> Server:
    """As it should be."""
    running.access("hostssl all all all scram-sha-256")
    running.present(running.authority.issue([HOST]))
    return running


@pytest.mark.parametrize("where", ["endpoint", "member"])
def test_a_server_that_is_as_it_should_be_keeps_every_promise(server: Server, where: str) -> None:
    cluster = server.cluster()
    assert all_over_tls(logins.tls_logins(cluster, where)).holds
    assert all_over_tls(logins.verified_logins(cluster, where)).holds
    assert all_refused(logins.plain_logins(cluster, where)).holds
    assert all_refused(logins.mistrusting_logins(cluster, where)).holds


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("where", ["endpoint", "member"])
def test_one_that_offers_no_tls_breaks_the_promise(server: Server, where: str, mode: str) -> None:
    server.reload(ssl="off")
    for attempts in (
        logins.tls_logins(server.cluster(mode), where),
        logins.verified_logins(server.cluster(mode), where),
    ):
        finding = all_over_tls(attempts)
        assert finding.holds is False
        assert "it offers no TLS" in finding.words


def test_for_another_promise_one_that_offers_no_tls_proves_nothing(server: Server) -> None:
    server.reload(ssl="off")
    with pytest.raises(Inconclusive, match="offers no TLS, and sslmode=require needs it"):
        logins.require_right_login_accepted(server.cluster("require"), "member")


@pytest.mark.parametrize(
    ("mode", "line", "let_in"),
    [
        ("allow", "hostssl", True),
        ("prefer", "hostnossl", True),
        ("prefer", "hostssl", True),
        ("allow", "hostnossl", True),
        ("require", "hostnossl", False),
        ("disable", "hostssl", False),
    ],
)
def test_what_libpq_tries_twice_is_tried_twice(server: Server, mode: str, line: str, let_in: bool) -> None:
    """pg_hba.conf has lines only for connections with TLS, or only for those without; libpq itself is the reference."""
    server.access(f"{line} all all all scram-sha-256")
    endpoint = replace(server.cluster(mode).write, options={"sslmode": mode})
    eventually(lambda: _require_as_libpq(endpoint, let_in), within=5, subject="pg_hba.conf is read")
    answer = log_in(endpoint)
    assert (answer.authenticated, answer.asked_for) == ((True, "SCRAM") if let_in else (False, "nothing"))
    wrong = log_in(replace(endpoint, password="wrong"))
    assert (wrong.authenticated, wrong.refusal) == (False, "28P01" if let_in else "28000")
    assert bool(salt(endpoint))


def _require_as_libpq(endpoint: sql.Endpoint, let_in: bool) -> None:
    refused = sql.error_of(lambda: sql.value(endpoint, "SELECT 1"))
    if (refused is None) is not let_in:
        raise NotYet(str(refused))


def test_its_salt_is_known_all_the_same(server: Server) -> None:
    """By its salt, a member that has lost TLS is recognised as a member, and is judged."""
    endpoint = server.cluster("require").write
    before = salt(endpoint)
    server.reload(ssl="off")
    server.access("host all all all scram-sha-256")
    assert salt(endpoint) == before != ""


def test_one_that_also_accepts_logins_without_tls_is_noticed(server: Server) -> None:
    server.access("host all all all scram-sha-256")
    assert all_over_tls(logins.tls_logins(server.cluster(), "member")).holds
    assert all_refused(logins.plain_logins(server.cluster(), "member")).holds is False


@pytest.fixture
def monitoring(server: Server) -> Iterator[None]:
    """A further database of the server."""
    sql.execute(server.superuser, "CREATE DATABASE monitoring")
    yield
    sql.execute(server.superuser, "DROP DATABASE monitoring")


@pytest.mark.parametrize(
    ("where", "database", "tried"),
    [("endpoint", "monitoring", 4), ("member", "monitoring", 6), ("member", "template1", 6)],
)
@pytest.mark.usefixtures("monitoring")
def test_a_single_database_without_tls_is_noticed(server: Server, where: str, database: str, tried: int) -> None:
    """The application's password is worth the same there."""
    server.access(f"host {database} application all scram-sha-256", "hostssl all all all scram-sha-256")
    finding = all_refused(logins.plain_logins(server.cluster(), where))
    assert finding.holds is False
    assert finding.words.startswith(f"1 of {tried} were accepted")
    assert f"/{database} as application" in finding.words


@pytest.mark.parametrize("where", ["endpoint", "member"])
@pytest.mark.parametrize("mode", ["require", "prefer", "verify-full"])
@pytest.mark.parametrize("role", ["postgres", "application"])
def test_who_is_trusted_without_tls_is_noticed(server: Server, where: str, mode: str, role: str) -> None:
    """The application itself may use TLS for all it does."""
    server.access("hostssl all all all scram-sha-256", f"hostnossl all {role} all trust")
    for wrong in ("a wrong password", "no password"):
        finding = all_refused(logins.wrong_logins(server.cluster(mode), where, wrong))
        assert finding.holds is False
        assert finding.words.count(" as ") == finding.words.count(f" as {role}) for a session without TLS")
    assert all_refused(logins.plain_logins(server.cluster(mode), where)).holds is False
    if role == "postgres":
        asked = logins.authentication_asked_for(server.cluster(mode), where)
        assert {row["asks for"] for name, row in asked.items() if "without TLS" in name} == {"nothing"}


@pytest.mark.parametrize("where", ["endpoint", "member"])
@pytest.mark.parametrize("role", ["postgres", "application"])
def test_who_is_trusted_with_tls_is_noticed(server: Server, where: str, role: str) -> None:
    """The application itself may do without TLS."""
    server.access(f"hostssl all {role} all trust", "host all all all scram-sha-256")
    cluster = server.cluster("disable")
    logins.require_right_login_accepted(cluster, where)
    finding = all_refused(logins.wrong_logins(cluster, where, "no password"))
    assert finding.holds is False
    assert finding.words.count(" as ") == finding.words.count(f" as {role}) for a session with TLS")


@pytest.mark.parametrize("where", ["endpoint", "member"])
def test_a_role_that_may_do_without_tls_is_noticed(server: Server, where: str) -> None:
    """Of a superuser, no password is known: to be asked for one without TLS is enough."""
    server.access("hostssl all all all scram-sha-256", "host all postgres all scram-sha-256")
    finding = all_refused(logins.plain_logins(server.cluster(), where))
    assert finding.holds is False
    assert "as postgres) for a session without TLS (asked for SCRAM)" in finding.words
    assert "as application" not in finding.words
    assert all_refused(logins.wrong_logins(server.cluster(), where, "no password")).holds is True


@contextmanager
def only_by_tls(server: Server) -> Iterator[int]:
    """A port that leads to the server, and closes each connection that does not begin with a request for TLS."""

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection((HOST, server.superuser.port)) as there:
            if len(first := client.recv(4096)) == 8:
                there.sendall(first)
                back = threading.Thread(target=carry, args=(there, client))
                back.start()
                carry(client, there)
                back.join(5)

    def carry(source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while some := source.recv(4096):
                to.sendall(some)
        with suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):  # it is closed
            while True:
                threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def test_nobody_gets_in_where_connections_without_tls_are_closed(server: Server) -> None:
    """Such as by a proxy that ends TLS."""
    with only_by_tls(server) as port:
        topology = replace(server.cluster("require").topology, write=Address(HOST, port))
        attempts = logins.wrong_logins(Cluster(topology), "endpoint", "no password")
    assert all_refused(attempts).holds is True, attempts
    assert all(name.endswith(" with TLS") for name in attempts)


def test_a_connection_that_is_closed_without_tls_is_a_refused_login(server: Server) -> None:
    """Of the application and of every other role."""
    with only_by_tls(server) as port:
        cluster = Cluster(replace(server.cluster("require").topology, write=Address(HOST, port)))
        attempts = logins.plain_logins(cluster, "endpoint")
    assert all_refused(attempts).holds is True, attempts
    assert any(" as application)" in name for name in attempts)
    assert any(" as postgres)" in name for name in attempts)


def test_a_closed_connection_proves_nothing_where_there_is_no_answer_with_tls_either(server: Server) -> None:
    server.reload(ssl="off")
    server.access("host all all all scram-sha-256")
    with only_by_tls(server) as port:
        cluster = Cluster(replace(server.cluster("prefer").topology, write=Address(HOST, port)))
        finding = all_refused(logins.plain_logins(cluster, "endpoint"))
    assert finding.holds is None
    assert "closed the connection" in finding.words


def test_a_certificate_that_is_not_valid_any_more_is_noticed(server: Server) -> None:
    server.present(server.authority.issue([HOST], until=datetime.now(UTC) - timedelta(days=1)))
    finding = all_over_tls(logins.verified_logins(server.cluster(), "member"))
    assert finding.holds is False
    assert "certificate verify failed: certificate has expired" in finding.words


def revocation_of(authority: Authority, issued: Issued) -> bytes:
    """The list of what the authority has revoked: that certificate."""
    issuer = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    signs = serialization.load_pem_private_key((authority.directory / KEY).read_bytes(), None)
    assert isinstance(signs, ec.EllipticCurvePrivateKey)
    serial, now = x509.load_pem_x509_certificate(issued.certificate.encode()).serial_number, datetime.now(UTC)
    revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(hours=1)).build()
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject).add_revoked_certificate(revoked)
    builder = builder.last_update(now - timedelta(hours=1)).next_update(now + timedelta(days=1))
    return builder.sign(signs, SHA256()).public_bytes(serialization.Encoding.PEM)


def _require_presented(server: Server, issued: Issued) -> None:
    assert presented_by_postgres(server.cluster().write) == in_pem(issued.certificate.encode())[0]


@pytest.mark.parametrize("place", ["named", "in its usual place"])
@pytest.mark.parametrize("where", ["endpoint", "member"])
def test_a_certificate_that_was_revoked_is_noticed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, place: str
) -> None:
    """By an application that has the list."""
    issued = server.authority.issue([HOST])
    server.present(issued)
    eventually(lambda: _require_presented(server, issued), within=10, subject="the certificate is loaded")
    monkeypatch.setenv("HOME", str(tmp_path))
    revocations = tmp_path / ".postgresql" / "root.crl" if place == "in its usual place" else tmp_path / "revoked.pem"
    revocations.parent.mkdir(exist_ok=True)
    revocations.write_bytes(revocation_of(server.authority, issued))
    topology = server.cluster().topology
    options = {**topology.options, **({"sslcrl": str(revocations)} if place == "named" else {})}
    cluster = Cluster(replace(topology, options=options))
    finding = all_over_tls(logins.verified_logins(cluster, where))
    assert finding.holds is False
    assert "certificate verify failed: certificate revoked" in finding.words


def test_a_certificate_that_was_not_revoked_is_accepted_with_a_list(server: Server, tmp_path: Path) -> None:
    revocations = tmp_path / "revoked.pem"
    revocations.write_bytes(revocation_of(server.authority, server.authority.issue([HOST])))
    for name in (str(revocations), str(tmp_path / "missing.pem")):  # libpq does without
        topology = server.cluster().topology
        listing = Cluster(replace(topology, options={**topology.options, "sslcrl": name}))
        assert certificate_error(listing.write) == ""
        assert all_over_tls(logins.verified_logins(listing, "member")).holds is True


@pytest.mark.parametrize("error", [None, OSError("no answer"), NoTls("it offers no TLS")])
def test_what_libpq_does_not_verify_is_noticed_even_if_no_reason_is_found(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """The certificate may be accepted, or the server be gone, when the reason is looked for."""

    def second_look(endpoint: sql.Endpoint) -> str:
        if error:
            raise error
        return ""

    issued = Authority.create(tmp_path, "another authority").issue([HOST])
    server.present(issued)
    eventually(lambda: _require_presented(server, issued), within=10, subject="the certificate is loaded")
    monkeypatch.setattr(logins, "certificate_error", second_look)
    finding = all_over_tls(logins.verified_logins(server.cluster(), "member"))
    assert finding.holds is False
    assert "certificate verify failed: member m1" in finding.words


def test_a_certificate_by_another_authority_is_noticed(server: Server, tmp_path: Path) -> None:
    server.present(Authority.create(tmp_path, "another authority").issue([HOST]))
    finding = all_over_tls(logins.verified_logins(server.cluster(), "endpoint"))
    assert finding.holds is False
    assert "unable to get local issuer certificate" in finding.words


@pytest.mark.parametrize(("mode", "noticed"), [("verify-full", True), ("verify-ca", False)])
def test_a_certificate_for_another_host_counts_where_the_application_verifies_the_host(
    server: Server, mode: str, noticed: bool
) -> None:
    server.present(server.authority.issue(["elsewhere.example"]))
    finding = all_over_tls(logins.verified_logins(server.cluster(mode), "member"))
    assert finding.holds is not noticed
    assert ("IP address mismatch" in finding.words) is noticed


def test_a_login_that_is_refused_for_another_reason_proves_nothing(server: Server) -> None:
    shut = Cluster(replace(server.cluster().topology, application=Login("application", "forgotten")))
    assert all_over_tls(logins.tls_logins(shut, "member")).holds is None
    assert all_over_tls(logins.verified_logins(shut, "member")).holds is None


def test_a_server_that_is_gone_proves_nothing(server: Server) -> None:
    gone = Cluster(replace(server.cluster().topology, write=Address(HOST, free_port())))
    assert all_over_tls(logins.tls_logins(gone, "endpoint")).holds is None
    assert all_over_tls(logins.verified_logins(gone, "endpoint")).holds is None


def test_nothing_tried_proves_nothing() -> None:
    assert all_over_tls({}).holds is None


def test_the_reason_is_looked_up_with_the_authority_that_libpq_would_use(server: Server) -> None:
    endpoint = server.cluster().write
    assert certificate_error(endpoint) == ""
    system = replace(endpoint, options={"sslmode": "verify-full", "sslrootcert": "system"})
    assert certificate_error(system) == "unable to get local issuer certificate"


def test_a_certificate_that_ends_soon_is_told(server: Server) -> None:
    server.present(server.authority.issue([HOST], until=datetime.now(UTC) + timedelta(days=10)))
    found = certificates.validity(certificates.in_use(server.cluster()))
    assert sorted(round(one.days) for one in found.values()) == [10, 10, 30]  # the authority's own comes last
    ending = all_valid_for(14, found)
    assert ending.holds is False
    assert "2 of 3 certificates expire too soon" in ending.words
    assert "expires in 10 days" in ending.words
    assert all_valid_for(9, found).holds is True


def test_a_certificate_that_is_not_loaded_is_told(server: Server) -> None:
    server.present(server.authority.issue([HOST]))
    cluster = replace_administrator(server)

    def judged() -> Finding:
        presented, in_files = certificates.of_members(cluster), certificates.in_members_files(cluster)
        unread = certificates.unread(presented) | certificates.unread(in_files)
        return all_loaded(certificates.fingerprints(presented), certificates.fingerprints(in_files), unread)

    eventually(lambda: judged().require(), within=10, subject="the certificate is loaded")
    renewed = server.authority.issue([HOST])
    file = server.directory / "data" / "server.crt"
    before = file.read_text()
    file.write_text(renewed.certificate)
    assert judged().holds is False
    assert "renewed but not loaded: member m1" in judged().words
    file.write_text(before)
    assert judged().holds is True


def replace_administrator(server: Server) -> Cluster:
    """The cluster, whose superuser is known."""
    administrator = Login(server.superuser.user, server.superuser.password)
    return Cluster(replace(server.cluster().topology, administrator=administrator))


def test_what_cannot_be_read_is_unknown() -> None:
    assert all_valid_for(14, {}).holds is None
    assert all_valid_for(14, {"a": Validity(20), "b": Validity(unknown="no answer")}).holds is None
    assert all_valid_for(14, {"a": Validity(-1), "b": Validity(unknown="no answer")}).holds is False
    assert all_loaded({}, {}, {}).holds is None
    assert all_loaded({"a": "1"}, {}, {"a": "permission denied"}).holds is None
    assert all_loaded({"a": "1", "b": "2"}, {"b": "3"}, {"a": "permission denied"}).holds is False


@pytest.fixture(params=["named", "named without its key", "in its usual place"])
def certified(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """The cluster of an application that has a client certificate; the server can verify it."""
    issued, options = server.authority.issue(["application"]), dict[str, str]()
    named = {"named": ("sslcert", "sslkey"), "named without its key": ("sslcert",)}.get(request.param, ())
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".postgresql").mkdir()
    for name, file, text in (
        ("sslcert", "postgresql.crt", issued.certificate),
        ("sslkey", "postgresql.key", issued.key),
    ):
        place = tmp_path / (name if name in named else f".postgresql/{file}")
        place.touch(mode=0o600)
        place.write_text(text)
        options |= {name: str(place)} if name in named else {}
    server.reload(ssl_ca_file=str(server.authority.certificate))
    topology = server.cluster().topology
    yield Cluster(replace(topology, options={**topology.options, **options}))
    server.access("hostssl all all all scram-sha-256")
    server.reload(ssl_ca_file="")


def test_a_key_with_a_password_is_used_by_every_session(server: Server, certified: Cluster) -> None:
    """Its password is told with the first login, and never shown."""
    options = certified.topology.options
    key = Path(options.get("sslkey", Path.home() / ".postgresql/postgresql.key"))
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"of the key")
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.write_bytes(plain.private_bytes(*form, locked))
    server.access("hostssl all all all cert")
    given = {**options, "sslpassword": "of the key"}
    said = {"ruvector_host": HOST, "ruvector_port": server.superuser.port, "ruvector_user": "application"}
    found = database.find(Settings.load({**said, "ruvector_options": given}))
    cluster = Cluster(replace(certified.topology, options=found.options))
    assert sql.value(cluster.of_member("m1"), "SELECT 1") == 1
    assert log_in(cluster.of_member("m1")).authenticated
    assert "of the key" in cluster.topology.secrets
    with pytest.raises(OSError, match=r"(?i)decrypt|password|pem"):  # instead of asking the user for it
        log_in(certified.of_member("m1"))


_ANOTHER_PROOF = ["cert", "scram-sha-256 clientcert=verify-full"]


@pytest.mark.parametrize("where", ["endpoint", "member"])
@pytest.mark.parametrize("method", _ANOTHER_PROOF)
@pytest.mark.parametrize("wrong", logins.WRONG)
def test_a_client_certificate_is_a_proof(
    server: Server, certified: Cluster, where: str, method: str, wrong: str
) -> None:
    server.access(f"hostssl all all all {method}")
    logins.require_right_login_accepted(certified, where)
    attempts = logins.wrong_logins(certified, where, wrong)
    assert all_refused(attempts).holds, attempts


def of_application(asked: Mapping[str, T]) -> list[T]:
    """What is asked of its role; the superuser logs in otherwise."""
    return [row for name, row in asked.items() if " as application" in name]


@pytest.mark.parametrize(("method", "proof"), [(_ANOTHER_PROOF[0], logins.CERTIFICATE), (_ANOTHER_PROOF[1], "SCRAM")])
def test_which_proof_is_asked_for(server: Server, certified: Cluster, method: str, proof: str) -> None:
    server.access(f"hostssl all all all {method}")
    asked = logins.authentication_asked_for(certified, "member")
    assert of_application(asked) == [{"asks for": proof}] * 2  # at template1, too


def test_a_server_that_trusts_is_noticed_although_a_certificate_is_shown(server: Server, certified: Cluster) -> None:
    server.access("hostssl all application all trust")
    for wrong in ("a wrong password", "no password"):
        assert all_refused(logins.wrong_logins(certified, "member", wrong)).holds is False
    asked = logins.authentication_asked_for(certified, "member")
    assert of_application(asked) == [{"asks for": "nothing"}] * 2


def test_a_certificate_by_which_others_get_in_is_noticed(server: Server, certified: Cluster) -> None:
    """With any certificate of that authority, everybody is who he says he is."""
    access = server.directory / "data" / "pg_hba.conf"
    with sql.session(server.superuser) as session:
        before = access.read_text()
        access.write_text("hostssl all all all trust clientcert=verify-ca\n")
        sql.value(session, "SELECT pg_reload_conf()")
        try:
            intruder = certified.write.as_user("postgres", "")
            eventually(lambda: sql.value(intruder, "SELECT 1"), within=5, retry_on=(ConnectFailed,), subject="it is in")
            finding = all_refused(logins.wrong_logins(certified, "member", "no password"))
        finally:
            access.write_text(before)
            sql.value(session, "SELECT pg_reload_conf()")
            usual = server.superuser
            eventually(lambda: sql.value(usual, "SELECT 1"), within=5, retry_on=(ConnectFailed,), subject="as before")
    assert finding.holds is False
    assert "as postgres" in finding.words
    assert "as application" not in finding.words


@contextmanager
def tls_first(server: Server, version: ssl.TLSVersion, directory: Path) -> Iterator[int]:
    """The port of a router in front of the server, which speaks TLS at once, demands a client certificate, and passes
    on PostgreSQL's protocol only."""
    issued = server.authority.issue([HOST])
    for name, text in (("crt", issued.certificate), ("key", issued.key)):
        (directory / f"router.{name}").write_text(text)
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(server.authority.certificate))
    secure.maximum_version, secure.verify_mode = version, ssl.CERT_REQUIRED
    secure.load_cert_chain(directory / "router.crt", directory / "router.key")
    secure.set_alpn_protocols(["postgresql"])

    class Router(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), secure.wrap_socket(self.request, server_side=True) as client:
                if client.selected_alpn_protocol() != "postgresql":
                    return
                with socket.create_connection((HOST, server.superuser.port)) as behind:
                    threading.Thread(target=self.copy, args=(behind, client), daemon=True).start()
                    self.copy(client, behind)

        def copy(self, source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):
                while some := source.recv(4096):
                    sink.sendall(some)
                sink.shutdown(socket.SHUT_RDWR)

    with socketserver.ThreadingTCPServer((HOST, 0), Router) as router:
        router.daemon_threads = True
        threading.Thread(target=router.serve_forever, daemon=True).start()
        yield router.server_address[1]
        router.shutdown()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_begins_at_once_where_it_is_not_asked_for(
    server: Server, certified: Cluster, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """With sslnegotiation=direct, by libpq and by the suite's own client."""
    server.access("hostnossl all application all scram-sha-256")
    with tls_first(server, version, tmp_path) as port:
        options = {**certified.topology.options, "sslnegotiation": "direct"}
        way = replace(certified.write, port=port, options=options)
        assert sql.value(way, "SELECT 1") == 1
        assert log_in(way) == Answer("SCRAM", authenticated=True)
        assert bool(salt(way))
        assert certificate_error(way) == ""
        assert presented_by_postgres(way).issued_by(in_pem(server.authority.certificate.read_bytes())[0])
        stranger = replace(way, options={**options, "sslrootcert": "system"})
        assert certificate_error(stranger) != ""
