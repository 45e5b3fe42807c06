"""What `accept init` finds about a proxy: its ports and statistics page, with a real HAProxy among other servers."""

import shutil
import ssl
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from booting import boots
from conftest import free_port
from patronis import Member, patroni

from support import sql
from support.embedded.certificates import Authority
from support.errors import TargetUnreachable, UsageError
from support.settings import Settings
from support.target import haproxy
from support.target.discovery import user_cluster
from support.target.survey import endpoints, services
from support.target.survey.endpoints import look
from support.target.survey.services import PageFound
from support.target.survey.survey import Survey, _own_page, page_host, survey
from support.target.survey.target_file import text
from support.target.topology import Address, Login, StatisticsPage
from support.waiting import eventually

needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed")
OWNER = Login("admin", "hush")
CONFIGURATION = r"""
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
listen guarded
    bind 127.0.0.1:{guarded}
    stats enable
    stats uri /haproxy?stats
    stats realm Strictly\ Private
    stats auth admin:hush
listen open
    bind 127.0.0.1:{open}
    bind 127.0.0.2:{open}
    stats enable
    stats uri /admin?stats
listen write
    mode tcp
    bind 127.0.0.1:{write}
    server pg1 127.0.0.1:{postgres}
"""


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without accept.toml and without the developer's environment variables."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
@boots
def ports(tmp_path_factory: pytest.TempPathFactory, postgres: sql.Endpoint) -> Iterator[Mapping[str, int]]:
    """Those of a HAProxy that runs in front of a PostgreSQL."""
    found = {name: free_port() for name in ("guarded", "open", "write")}
    file: Path = tmp_path_factory.mktemp("haproxy") / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(postgres=postgres.port, **found))
    proxy = subprocess.Popen(["haproxy", "-db", "-f", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    page = StatisticsPage(f"http://127.0.0.1:{found['open']}/admin?stats")
    try:
        eventually(lambda: haproxy.servers(page), within=30, subject="HAProxy answers", retry_on=(OSError,))
        yield found
    finally:
        proxy.kill()
        proxy.wait()


@dataclass(frozen=True)
class Web:
    """A web server, and the logins that were sent to it."""

    port: int
    logins: list[str | None]


@contextmanager
def web_server(context: ssl.SSLContext | None = None) -> Iterator[Web]:
    logins: list[str | None] = []

    class Asking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            logins.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="objects"')
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asking)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Web(server.server_port, logins)
    finally:
        server.shutdown()
        server.server_close()


@needs_haproxy
def test_the_login_is_sent_to_a_page_that_haproxy_guards_and_to_no_other_server(
    ports: Mapping[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with web_server() as other:
        monkeypatch.setattr(services, "_PAGES", (other.port, ports["guarded"]))
        found = services.statistics(["127.0.0.1"], "", OWNER)
        refused = services.statistics(["127.0.0.1"], "", Login("admin", "wrong"))
        asked = services.statistics(["127.0.0.1"], "", None)
    url = f"http://127.0.0.1:{ports['guarded']}/haproxy?stats"
    assert found == PageFound((StatisticsPage(url, OWNER),))
    assert refused.why.startswith(f"{url} refuses admin: check HAPROXY_STATS_USER")
    assert asked.why.startswith(f"{url} asks for a login: set HAPROXY_STATS_USER")
    assert other.logins
    assert set(other.logins) == {None}


@needs_haproxy
def test_the_login_is_not_for_a_page_that_asks_for_none(
    ports: Mapping[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another owner's."""
    monkeypatch.setattr(services, "_PAGES", (ports["open"], ports["guarded"]))
    found = services.statistics(["127.0.0.1"], "", OWNER)
    assert [page.login for page in found.pages] == [None, OWNER]


@needs_haproxy
def test_a_page_that_was_given_is_asked_as_it_was_given(ports: Mapping[str, int]) -> None:
    url = f"http://127.0.0.1:{ports['guarded']}/haproxy?stats"
    assert services.statistics([], url, OWNER).page == StatisticsPage(url, OWNER)
    assert services.statistics([], url, None).why.startswith(f"{url} asks for a login")
    with web_server() as other:  # accepted as it is: the user says that it is the page
        assert "refuses admin" in services.statistics([], f"http://127.0.0.1:{other.port}", OWNER).why
    assert other.logins[0] is not None


@needs_haproxy
def test_a_page_is_found_at_each_address_of_its_own(ports: Mapping[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_PAGES", (ports["open"],))
    found = services.statistics(["127.0.0.1", "127.0.0.2"], "", None)
    assert [page.url for page in found.pages] == [
        f"http://127.0.0.{last}:{ports['open']}/admin?stats" for last in (1, 2)
    ]


def test_a_page_behind_tls_is_told_from_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "own")
    issued = authority.issue(["127.0.0.1"])
    for name, content in (("crt", issued.certificate), ("key", issued.key)):
        (tmp_path / name).write_text(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    with web_server(context) as encrypted:
        monkeypatch.setattr(services, "_PAGES", (encrypted.port,))
        assert "speaks TLS: if that is it, give its URL" in services.statistics(["127.0.0.1"], "", None).why
        given = services.statistics([], f"http://127.0.0.1:{encrypted.port}/stats", None)
    assert given.why.endswith("it speaks TLS: write https://")
    assert "speaks TLS" not in services.statistics(["127.0.0.1"], "", None).why


@needs_haproxy
def test_a_page_counts_if_sessions_of_ours_show_in_it(ports: Mapping[str, int], postgres: sql.Endpoint) -> None:
    pages = PageFound(
        tuple(StatisticsPage(f"http://127.0.0.{last}:{ports['open']}/admin?stats") for last in (1, 2)),
    )
    through, beside = (Address("127.0.0.1", port) for port in (ports["write"], postgres.port))
    both = {at: look(postgres, at) for at in (through, beside)}
    ours, proxied = _own_page(postgres, both, pages, given=False)
    assert (ours, proxied) == (pages, {through})
    found = cast(Any, SimpleNamespace(statistics=ours, endpoints=SimpleNamespace(write=both[through], read=None)))
    assert page_host(cast(Survey, found)) == "127.0.0.2", "the endpoint may be at a virtual address"
    found.statistics = PageFound(pages.pages[:1])
    assert page_host(cast(Survey, found)) == ""

    of_another, proxied = _own_page(postgres, {beside: both[beside]}, pages, given=False)
    assert (of_another.page, proxied) == (None, None)
    assert "shows none of our sessions: it is another HAProxy's" in of_another.why
    given, proxied = _own_page(postgres, {beside: both[beside]}, PageFound(pages.pages[:1]), given=True)
    assert (given.page, proxied) == (pages.pages[0], None)
    assert "shows none of our sessions" in given.why


@pytest.mark.parametrize("host", ["", "localhost"])
def test_the_read_endpoint_that_was_given_is_in_the_file(
    postgres: sql.Endpoint, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "USUAL", (postgres.port,))
    said: dict[str, object] = {
        "ruvector_host": "127.0.0.1",
        "ruvector_password": postgres.password,
        "haproxy_replica_host": host or None,
    }
    with ExitStack() as stack:
        members = [Member("a", "leader", f"127.0.0.1:{postgres.port}", "127.0.0.1:1", postgres)]
        said["patroni_hosts"] = [f"127.0.0.1:{stack.enter_context(patroni(members[0], members))}"]
        found = survey(Settings.load({**said, "haproxy_replica_port": postgres.port}), "", lambda line: None)
        without = survey(Settings.load(said), "", lambda line: None)
    written = tomllib.loads(text(found, {}, "today", secrets=True))
    assert (written["haproxy_primary_port"], written["haproxy_replica_port"]) == (postgres.port, postgres.port)
    assert written.get("haproxy_replica_host", "") == host
    assert found.topology.read == Address(host or "127.0.0.1", postgres.port)
    assert "haproxy" not in found.topology.lacks
    assert without.settings.keys().isdisjoint({"haproxy_replica_host", "haproxy_replica_port"})
    assert any("HAPROXY_REPLICA_HOST is left out" in note for note in without.notes) == bool(host)
    if host:
        with pytest.raises(UsageError, match=r"^HAPROXY_REPLICA_HOST says"):
            survey(Settings.load({**said, "ruvector_port": postgres.port}), "", lambda line: None)


@pytest.mark.parametrize("variable", ["HAPROXY_HOST", "HAPROXY_REPLICA_HOST"])
def test_a_host_of_haproxy_in_the_environment_needs_no_port_there(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The survey finds the port of the write endpoint, and the settings that it writes are read beside that host."""
    monkeypatch.setattr(endpoints, "USUAL", (postgres.port,))
    monkeypatch.setenv(variable, "127.0.0.1")
    found = survey(
        Settings.load({"ruvector_host": "127.0.0.1", "ruvector_password": postgres.password}), "", lambda line: None
    )
    written = tomllib.loads(text(found, {}, "today", secrets=True))
    assert written["haproxy_primary_port"] == postgres.port
    assert Settings.load(written).haproxy_primary_port == postgres.port
    for environment in (True, False):
        if not environment:
            monkeypatch.delenv(variable)
        topology = user_cluster.discover(Settings.load(written))
        assert (topology.write, topology.read) == (Address("127.0.0.1", postgres.port), None)
    assert any("HAPROXY_REPLICA_HOST is left out" in note for note in found.notes) == (variable != "HAPROXY_HOST")


def test_a_read_endpoint_that_does_not_answer_is_told(postgres: sql.Endpoint) -> None:
    said = {"ruvector_host": "127.0.0.1", "ruvector_port": postgres.port, "ruvector_password": postgres.password}
    closed = free_port()
    with pytest.raises(TargetUnreachable, match=f"{closed}.*HAPROXY_REPLICA_PORT"):
        survey(Settings.load({**said, "haproxy_replica_port": closed}), "", lambda line: None)
