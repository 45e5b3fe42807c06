"""Logins over PostgreSQL's protocol, against a real server that asks for each kind of proof."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import free_port

from support import sql
from support.cluster.black_hole import BlackHoleServer
from support.target.login import Answer, NoTls, ScramClient, log_in
from support.waiting import NotYet, eventually

METHODS = {
    "scram-sha-256": "SCRAM",
    "md5": "an MD5 hash",
    "password": "the password in the clear",
    "trust": "nothing",
}
PASSWORD = "a word, 'quoted' ü"


@pytest.fixture(scope="module")
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


def test_scram_is_that_of_rfc_7677() -> None:
    client = ScramClient("pencil", user="user", nonce="rOprNGfwEbeRWgbNEkqO")
    assert client.first == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert client.final(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096") == (
        f"c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
