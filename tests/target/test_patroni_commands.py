"""Whether Patroni accepts commands from here: asked of Patroni's own REST server, which has no cluster behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from conftest import free_port
from patroni.api import RestApiServer
from patronis import Member, patroni

from support import sql
from support.embedded.certificates import Authority
from support.errors import NotAvailable, RequirementMissing
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.discovery import logins, user_cluster
from support.target.patroni import PatroniApi
from support.target.patroni_commands import refusal, reload_configuration
from support.target.topology import PLAIN, Address, Login, MemberAddress, Topology, WebAccess

HOST = "127.0.0.1"
OPS = Login("ops", "right")
WITH_LOGIN = {"auth": "ops:right"}
ELSEWHERE = {"allowlist": ["192.0.2.1"]}


@contextmanager
def rest_server(access: WebAccess = PLAIN, **configured: object) -> Iterator[PatroniApi]:
    """Patroni's REST server as it is configured. Whatever a command would change is not there: that would be a 500."""
    at = Address(HOST, free_port())
    server = RestApiServer(SimpleNamespace(version="4"), {"listen": str(at), **configured})  # type: ignore[arg-type]
    server.start()
    try:
        yield PatroniApi(at, access)
    finally:
        server.shutdown()
        server.server_close()


def topology(login: Login | None, *rests: PatroniApi) -> Topology:
    nowhere = Address(HOST, 1)
    members = tuple(
        MemberAddress(f"pg{number}", nowhere, Address(HOST, int(one.url.rpartition(":")[2])))
        for number, one in enumerate(rests, 1)
    )
    return Topology("app", Login("app", ""), nowhere, members=members, patroni_login=login)


@pytest.mark.parametrize(("configured", "login"), [({}, None), (WITH_LOGIN, OPS), ({"allowlist": [HOST]}, None)])
def test_a_command_that_would_be_accepted_changes_nothing(configured: dict[str, Any], login: Login | None) -> None:
    with rest_server(**configured) as rest:
        assert refusal(rest, login) is None
        assert logins.commands_lacking(topology(login, rest), {}) == {}
        answer = requests.patch(f"{rest.url}/config", json={}, auth=("ops", "right"), timeout=5)
        assert answer.status_code == 400, "as Patroni answers before it asks for what it would change"


@pytest.mark.parametrize(
    ("configured", "login", "told"),
    [
        (WITH_LOGIN, None, "requires a login for commands: no auth header received (401); set PATRONI_RESTAPI_USERN"),
        (WITH_LOGIN, Login("ops", "wrong"), "refuses our login: not authenticated (401); check PATRONI_RESTAPI_USERN"),
        (ELSEWHERE, None, "refuses commands from this machine's address: Access is denied (403); add the address to "),
        (ELSEWHERE | WITH_LOGIN, OPS, "refuses commands from this machine's address: Access is denied (403)"),
    ],
)
def test_why_commands_are_refused(configured: dict[str, Any], login: Login | None, told: str) -> None:
    with rest_server(**configured) as rest:
        refused = refusal(rest, login)
        with pytest.raises(NotAvailable) as error:
            reload_configuration(Cluster(topology(login, rest)), "pg1")
    assert refused is not None
    assert refused.why.startswith(f"Patroni at {rest.url} {told}")
    assert refused.why == str(error.value)


def test_a_certificate_that_is_optional_for_questions_is_required_for_commands(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority")
    issued = authority.issue([HOST])
    files = {"certfile": issued.certificate, "keyfile": issued.key}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    trusted = str(authority.certificate)
    named = {name: str(tmp_path / name) for name in files}
    access = WebAccess("https", trusted)
    with rest_server(access, verify_client="optional", cafile=trusted, **named) as rest:
        refused = refusal(rest, None)
        own = PatroniApi(Address(HOST, int(rest.url.rpartition(":")[2])), WebAccess("https", trusted, *named.values()))
        assert refusal(own, None) is None
    assert refused is not None
    assert refused.why == (
        f"Patroni at {rest.url} refuses commands without a client's certificate: client certificate required (403); "
        "set PATRONI_CTL_CERTFILE and PATRONI_CTL_KEYFILE"
    )


def test_one_member_that_refuses_is_enough() -> None:
    with rest_server() as one, rest_server(**ELSEWHERE) as other:
        lacks = logins.commands_lacking(topology(None, one, other), {})
    assert list(lacks) == ["patroni_commands"]
    assert lacks["patroni_commands"].startswith(f"Patroni at {other.url} refuses commands from this machine's address")


def test_silence_is_no_refusal() -> None:
    with rest_server(**ELSEWHERE) as gone:
        pass
    assert logins.commands_lacking(topology(None, gone), {}) == {}


def test_a_login_that_every_member_refuses_is_a_wrong_declaration() -> None:
    with rest_server(**WITH_LOGIN) as one, rest_server(**WITH_LOGIN) as other:
        there = topology(Login("ops", "wrong"), one, other)
        with pytest.raises(RequirementMissing, match="PATRONI_RESTAPI_USERNAME declares something that does not exist"):
            logins.commands_lacking(there, {})


def test_without_patroni_there_are_no_commands() -> None:
    assert logins.commands_lacking(topology(None), {"patroni": "ENABLE_PATRONI=false"}) == {
        "patroni_commands": "ENABLE_PATRONI=false"
    }


def test_the_discovery_tells_it(postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    member = Member("pg1", "leader", f"{postgres.host}:{postgres.port}", f"{HOST}:1", postgres)
    about = {"ruvector_host": postgres.host, "ruvector_port": postgres.port, "ruvector_db": postgres.database}
    login = {"ruvector_user": postgres.user, "ruvector_password": postgres.password}
    lacks = []
    for member.denied in ("", "Access is denied"):
        with patroni(member, [member]) as port:
            said = {**about, **login, "patroni_hosts": f"{HOST}:{port}"}
            lacks.append(user_cluster.discover(Settings.load(said)).lacks)
    accepted, denied = lacks
    assert "patroni_commands" not in accepted
    assert "restapi.allowlist" in denied["patroni_commands"]
    assert "patroni" not in denied
