"""Logins over PostgreSQL's protocol, against a real server that asks for each kind of proof."""

import importlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import free_port

from support import sql
from support.cluster.black_hole import BlackHoleServer
from support.security import logins
from support.security.checks import all_refused
from support.target.cluster import Cluster
from support.target.login import TICKETS, Answer, NoTls, ScramClient, log_in, salt
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually

METHODS = {
    "scram-sha-256": "SCRAM",
    "md5": "an MD5 hash",
    "password": "the password in the clear",
    "trust": "nothing",
}
PASSWORD = "a word, 'quoted' ü"


@pytest.fixture
def roles(postgres: sql.Endpoint) -> Iterator[dict[str, sql.Endpoint]]:
    """A role for each method in pg_hba.conf, each with a password that the method can check."""
    access = Path(sql.value(postgres, "SHOW hba_file"))
    before = access.read_text()
    found = {}
    for number, method in enumerate(METHODS):
        role = f"by_{number}"
        with sql.session(postgres) as session:
            encryption = "md5" if method == "md5" else "scram-sha-256"
            sql.execute(session, f"SET password_encryption = '{encryption}'")
            sql.execute(session, f"CREATE ROLE {role} LOGIN PASSWORD %s", [PASSWORD])
        found[method] = postgres.as_user(role, PASSWORD)
    lines = [f"host all by_{number} 127.0.0.1/32 {method}\n" for number, method in enumerate(METHODS)]
    access.write_text("".join(lines) + before)
    sql.value(postgres, "SELECT pg_reload_conf()")
    eventually(lambda: _require_trusted(found["trust"]), within=5, subject="pg_hba.conf is read")
    yield found
    access.write_text(before)
    sql.value(postgres, "SELECT pg_reload_conf()")
    for endpoint in found.values():
        sql.execute(postgres, f"DROP ROLE {endpoint.user}")


def _require_trusted(endpoint: sql.Endpoint) -> None:
    if log_in(endpoint).asked_for != "nothing":
        raise NotYet("it asks for a proof")


@pytest.mark.parametrize(("method", "proof"), METHODS.items())
def test_the_right_password_is_accepted(roles: dict[str, sql.Endpoint], method: str, proof: str) -> None:
    assert log_in(roles[method]) == Answer(proof, authenticated=True)


@pytest.mark.parametrize(("method", "proof"), [pair for pair in METHODS.items() if pair[0] != "trust"])
@pytest.mark.parametrize("password", ["wrong", ""])
def test_another_password_is_refused(roles: dict[str, sql.Endpoint], method: str, proof: str, password: str) -> None:
    answer = log_in(replace(roles[method], password=password))
    assert (answer.asked_for, answer.authenticated, answer.refusal) == (proof, False, "28P01")
    assert "password" in answer.words


def test_trust_accepts_anybody(roles: dict[str, sql.Endpoint]) -> None:
    assert log_in(replace(roles["trust"], password="wrong")) == Answer("nothing", authenticated=True)


def test_an_unknown_role_is_refused(postgres: sql.Endpoint) -> None:
    answer = log_in(postgres.as_user("nobody", "any"))
    assert (answer.authenticated, answer.refusal) == (False, "28P01")


def test_an_authenticated_role_may_still_be_refused(roles: dict[str, sql.Endpoint]) -> None:
    nowhere = log_in(replace(roles["scram-sha-256"], database="nowhere"))
    assert (nowhere.authenticated, nowhere.refusal) == (True, "3D000")
    copies = log_in(roles["scram-sha-256"], replication=True)
    assert (copies.authenticated, copies.refusal) == (True, "42501")


def test_where_nobody_listens_there_is_no_answer(postgres: sql.Endpoint) -> None:
    with pytest.raises(OSError, match="refused"):
        log_in(replace(postgres, port=free_port()))


def test_a_server_that_closes_the_connection_gives_no_answer() -> None:
    with BlackHoleServer(patience=0.1) as host, pytest.raises(OSError, match=r"closed the connection|reset"):
        log_in(host.endpoint)


def test_tls_is_not_given_up_where_it_is_asked_for(postgres: sql.Endpoint) -> None:
    with pytest.raises(NoTls, match="offers no TLS"):
        log_in(replace(postgres, options={"sslmode": "require"}))


@contextmanager
def asking_for(number: int, *mechanisms: str) -> Iterator[sql.Endpoint]:
    """A server that asks every login for that method of authentication; SASL is 10, and names its mechanisms."""
    names = b"".join(f"{one}\0".encode() for one in (*mechanisms, "")) if mechanisms else b""
    request = b"R" + struct.pack("!ii", 8 + len(names), number) + names

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:  # it is closed
                return
            with client:
                client.settimeout(5)
                if len(client.recv(4096)) == 8:  # a request for TLS, which is not offered
                    client.sendall(b"N")
                    client.recv(4096)
                client.sendall(request)
                client.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            port: int = server.getsockname()[1]
            yield sql.Endpoint("a server", "127.0.0.1", port, "db", "jo", "x", {"sslmode": "disable"})
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


OTHERS = [
    (7, (), "GSSAPI"),
    (9, (), "SSPI"),
    (2, (), "Kerberos V5"),
    (99, (), "authentication method 99"),
    (10, ("OAUTHBEARER",), "SASL (OAUTHBEARER)"),
]


@pytest.mark.parametrize(("number", "mechanisms", "proof"), OTHERS)
def test_a_login_that_needs_another_proof_is_refused(number: int, mechanisms: tuple[str, ...], proof: str) -> None:
    with asking_for(number, *mechanisms) as there:
        answer = log_in(there)
    assert (answer.asked_for, answer.authenticated, answer.refusal) == (proof, False, "28000")
    assert proof in answer.words


@pytest.mark.parametrize(("number", "mechanisms", "proof"), OTHERS)
def test_there_is_no_salt_without_scram(number: int, mechanisms: tuple[str, ...], proof: str) -> None:
    with asking_for(number, *mechanisms) as there:
        assert salt(there.as_user("jo", "")) == "", proof


def test_scram_may_be_offered_among_others() -> None:
    """Then that proof is begun, to which this server says nothing."""
    several = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER")
    with asking_for(10, *several) as there, pytest.raises(OSError, match="without an answer"):
        log_in(there)


@pytest.mark.parametrize(("number", "mechanisms", "proof"), OTHERS)
def test_a_member_that_asks_for_another_proof_is_judged(
    postgres: sql.Endpoint, number: int, mechanisms: tuple[str, ...], proof: str
) -> None:
    """Beside one that asks for SCRAM, as where administrators log in otherwise; that is not a wrong login accepted."""
    with asking_for(number, *mechanisms) as there:
        addresses = {"m1": Address(postgres.host, postgres.port), "m2": Address(there.host, there.port)}
        cluster = Cluster(
            Topology(
                database="postgres",
                application=Login(postgres.user, postgres.password),
                write=addresses["m1"],
                members=tuple(MemberAddress(name, address) for name, address in addresses.items()),
                options={"sslmode": "disable"},
            )
        )
        for wrong in logins.WRONG:
            finding = all_refused(logins.wrong_logins(cluster, "member", wrong))
            assert finding.holds is True, finding
        asked = {row["asks for"] for row in logins.authentication_asked_for(cluster, "member").values()}
        context = SimpleNamespace(world=SimpleNamespace(cluster=cluster))
        with nullcontext() if proof in TICKETS else pytest.raises(AssertionError, match="expected SCRAM"):
            importlib.import_module("steps.security.security_steps").step_scram_is_asked_for(context, "member")
    assert asked == {"SCRAM", proof}


def test_scram_is_that_of_rfc_7677() -> None:
    client = ScramClient("pencil", user="user", nonce="rOprNGfwEbeRWgbNEkqO")
    assert client.first == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert client.final(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096") == (
        f"c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )


@pytest.mark.parametrize(
    "password",
    [
        "one\u00a0space",
        "soft\u00adhyphen",
        "zero\u200bwidth",
        "\u2168 and \ufb01ne",
        "forbidden \u0007 \u2168",
        "\u0627\u0031",
        "\u0627\u0628",
        "a\u00ad",
    ],
)
def test_a_password_is_prepared_as_the_server_prepared_it(postgres: sql.Endpoint, password: str) -> None:
    """Unusual spaces, invisible characters, compatibility characters, and forbidden ones, which stay unchanged."""
    with sql.session(postgres) as session:
        sql.execute(session, "CREATE ROLE unusual LOGIN PASSWORD %s", [password])
    try:
        assert log_in(postgres.as_user("unusual", password)) == Answer("SCRAM", True)
        assert not log_in(postgres.as_user("unusual", f"{password}x")).authenticated
    finally:
        sql.execute(postgres, "DROP ROLE unusual")
