"""Which of HAProxy's backends are behind the endpoints: pages as HAProxy wrote them, and one that runs."""

import shutil
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from patronis import Member, patroni
from servers import postgres as throw_away_postgres

from support import sql
from support.errors import UsageError
from support.target import haproxy
from support.target.discovery import proxy
from support.target.discovery.identity import server_at
from support.target.discovery.proxy import ProxyContext, ProxySettings
from support.target.topology import Address, Login, StatisticsPage
from support.waiting import NotYet, eventually, pause

PAGES = Path(__file__).parents[1] / "haproxy_pages"
APART = """
defaults
    mode tcp
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    default-server inter 200ms fall 1 rise 1
listen stats
    bind 127.0.0.1:{page}
    mode http
    stats enable
    stats uri /
    {legends}
frontend to_the_primary
    bind 127.0.0.1:{write}
    default_backend postgres_primary_backend
frontend to_replicas
    bind 127.0.0.1:{read}
    default_backend postgres_replica_backend
backend postgres_primary_backend
    option httpchk GET /leader
    server one 127.0.0.1:{a} check port {api_a}
    server two 127.0.0.1:{b} check port {api_b}
backend postgres_replica_backend
    balance {balance}
    option httpchk GET {reads}
    server one 127.0.0.1:{a} check port {api_a}
    server two 127.0.0.1:{b} check port {api_b}
backend whoever_leads
    option httpchk GET /leader
    server {leader_alone} 127.0.0.1:{a} check port {api_a}
backend all_nodes
    option httpchk GET /health
    server one 127.0.0.1:{a} check port {api_a}
    server two 127.0.0.1:{b} check port {api_b}
"""


def shown(name: str) -> haproxy.Statistics:
    return haproxy.parsed((PAGES / f"{name}.csv").read_text())


@pytest.mark.parametrize(
    ("page", "names", "writes", "reads"),
    [
        ("listen", "patroni", ["primary"], ["replicas"]),
        ("apart_leastconn_legends", "coordinator", ["postgres_primary_backend"], ["postgres_replica_backend"]),
        ("leader_serves_reads", "coordinator", ["postgres_primary_backend"], []),
        ("source", "coordinator", ["postgres_primary_backend"], ["postgres_replica_backend"]),
    ],
)
def test_what_the_state_of_servers_tells(page: str, names: str, writes: list[str], reads: list[str]) -> None:
    known = StatisticsPage("", servers={f"{names}-{number}": f"pg{number}" for number in (1, 2, 3)})
    assert proxy.backends_by_state(shown(page).servers, known, "pg2") == (writes, reads)


def test_the_algorithm_is_shown_with_legends_only() -> None:
    assert shown("apart_leastconn_legends").algorithms["postgres_replica_backend"] == "leastconn"
    assert shown("listen").algorithms == {}


def test_servers_are_told_by_their_address() -> None:
    ports = {"pg1": 5435, "pg2": 5433, "pg3": 5434}
    places = {name: {Address("127.0.0.1", port), Address(name, 5432)} for name, port in ports.items()}
    found = proxy.members_of_servers(shown("apart_leastconn_legends").servers, places, {})
    assert {key: found[key] for key in found if key.startswith("postgres_primary_backend/")} == {
        f"postgres_primary_backend/coordinator-{number}": f"pg{number}" for number in (1, 2, 3)
    }
    assert proxy.members_of_servers(shown("source").servers, places, {}) == {}


def test_a_pooler_beside_a_member_is_told_by_the_host() -> None:
    rows = [row("read", name, address=at) for name, at in (("a", "10.0.0.1:6432"), ("b", "10.0.0.2:6432"))]
    places = {"pg1": [Address("10.0.0.1", 5432)], "pg2": [Address("10.0.0.2", 5432)]}
    assert proxy.members_of_servers(rows, places, {}) == {"read/a": "pg1", "read/b": "pg2"}
    of_one_host = {name: [Address("10.0.0.1", port)] for name, port in (("pg1", 5433), ("pg2", 5434))}
    assert proxy.members_of_servers(rows, of_one_host, {}) == {}


@pytest.mark.parametrize(
    ("server", "members", "member"),
    [
        ("db_patroni-1", ["patroni_1", "patroni-2"], "patroni_1"),
        ("patroni2.local", ["patroni_1", "patroni-2"], "patroni-2"),
        ("x", ["x1", "y1"], ""),
        ("pg-10", ["pg1", "pg10"], "pg10"),
        ("node11-pgb", ["node1", "node11"], "node11"),
        ("node1_5432", ["node1", "node15"], "node1"),
        ("replica-east-1", ["replica", "replica-east"], "replica-east"),
        ("pg1", ["demo-pg1", "demo-pg11"], "demo-pg1"),
        ("replica", ["a", "b"], ""),
        ("a", ["a", "b"], "a"),
        ("1", ["pg-primary-1", "pg-replica-2"], ""),
        ("primary", ["pg-primary-1", "pg-replica-2"], ""),
        ("primary1", ["pg-primary-1", "pg-replica-2"], ""),
        ("primary", ["primary", "standby"], "primary"),
    ],
)
def test_servers_are_told_by_a_name_that_holds_one_members_name(server: str, members: list[str], member: str) -> None:
    assert proxy.member_named(server, members) == member


def test_rows_about_listeners_are_no_servers() -> None:
    """As with `option socket-stats`."""
    assert {one.server for one in shown("backup_socket_stats").servers} == {"db1", "db2", "db3", "db4"}


def test_a_backup_server_is_in_reserve_while_another_is_up() -> None:
    found = {f"{one.proxy}/{one.server}": one.position for one in shown("backup_socket_stats").servers}
    assert {key: position for key, position in found.items() if position != "down"} == {
        "pg-primary/db1": "up",
        "pg-replica/db1": "backup",
        "pg-replica/db2": "up",
        "pg-replica/db3": "up",
        "pg-replica/db4": "backup",
        "pg-offline/db3": "up",  # the others are down
    }
    page = StatisticsPage("")
    assert proxy.backends_by_state(shown("backup_socket_stats").servers, page, "db1") == (
        ["pg-primary"],
        ["pg-replica", "pg-offline"],
    )


def row(backend: str, server: str, status: str = "UP", address: str = "") -> haproxy.ServerRow:
    return haproxy.ServerRow(backend, server, status, "", 0, address=address)


THREE: Mapping[str, Collection[Address]] = {f"db{last}": [Address(f"127.0.1.{last}", 25432)] for last in (1, 2, 3)}


@pytest.mark.parametrize(
    ("rows", "write", "read", "found"),
    [
        (shown("consul").servers, "postgres-rw", "postgres-ro", ["postgres-rw", "postgres-ro"]),
        (shown("consul_legends").servers, "postgres-rw", "postgres-ro", ["postgres-rw", "postgres-ro"]),
        ([row("w", "s1"), row("w", "s2", "DOWN"), row("w", "s3", "DOWN"), row("r", "s2")], "w", "r", []),
        ([row("w", "vip"), row("r", "s1"), row("r", "s2")], "w", "r", ["w"]),  # the leader has that address
        ([row("w", "pgbouncer", "no check"), row("r", "db2")], "w", "r", ["w"]),
        ([row("w", "db1"), row("r", "db2"), row("r", "db3")], "w", "r", []),  # writes could not reach the others
        # a member whose name cannot be resolved, among fixed others
        ([row("w", "s1"), row("w", "s2", "DOWN"), row("w", "s3", "MAINT (resolution)")], "w", "r", []),
        ([row("w", "s1", "DOWN")], "w", "r", []),
    ],
)
def test_servers_that_are_one_member_and_then_another(
    rows: Sequence[haproxy.ServerRow], write: str, read: str, found: list[str]
) -> None:
    named = {one for one in rows if proxy.member_named(one.server, THREE)}
    assert proxy._taking_turns(rows, named, (write,), (read,), len(THREE)) == found


@pytest.mark.parametrize(
    ("told", "servers"),
    [
        ({"w/s1": "db1", "r/s2": "db2"}, {"s1": "db1", "s2": "db2"}),
        ({"w/s1": "db1", "r/s1": "db2"}, {"w/s1": "db1", "r/s1": "db2"}),  # one name, two members
        ({"w/s1": "db1", "w/s2": "db2", "r/s2": "db3"}, {"w/s1": "db1", "w/s2": "db2", "r/s2": "db3"}),
        ({"w/s1": "db1", "r/s2": "db1"}, {"w/s1": "db1", "r/s2": "db1"}),  # one member would be two servers
    ],
)
def test_a_name_means_the_same_member_in_every_backend_unless_that_cannot_be(
    told: dict[str, str], servers: dict[str, str]
) -> None:
    rows = [row(backend, server) for backend in "wr" for server in ("s1", "s2")]
    assert proxy._names(rows, told, THREE, ()) == servers
    assert proxy._names(rows, told, THREE, {"s1", "s2"}) in ({}, {k: m for k, m in servers.items() if "/" not in k})


def test_a_server_with_the_name_of_another_member_is_nobody() -> None:
    """As with `server-template db 3`, whose servers happen to have members' names."""
    rows = [row("w", name, "UP" if name == "db1" else "DOWN") for name in THREE]
    observed = {"w/db1": "db2"}
    assert proxy._by_name(rows, THREE, observed) == {}
    names = proxy._names(rows, observed, THREE, ())
    assert names == {"db1": "db2", "w/db2": "w/db2", "w/db3": "w/db3"}
    assert StatisticsPage("", servers=names).member("w", "db1") == "db2"
    assert proxy._by_name(rows, THREE, {"w/db1": "db1"}) == {f"w/{name}": name for name in THREE}


@dataclass(frozen=True)
class Running:
    """A HAProxy that runs, before two PostgreSQLs of which one leads."""

    page: StatisticsPage
    known: ProxyContext


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sql.Endpoint, sql.Endpoint]]:
    with ExitStack() as both:
        found = [
            both.enter_context(throw_away_postgres(tmp_path_factory.mktemp(name), free_port())) for name in ("a", "b")
        ]
        yield found[0], found[1]


@contextmanager
def running(
    pair: tuple[sql.Endpoint, sql.Endpoint], directory: Path, *, balance: str = "roundrobin", **said: str
) -> Iterator[Running]:
    if shutil.which("haproxy") is None:
        pytest.skip("HAProxy is not installed")
    a, b = pair
    members = [Member("a", "leader", "a.invalid:5432", "", a), Member("b", "replica", "b.invalid:5432", "", b)]
    with ExitStack() as opened:
        apis = [opened.enter_context(patroni(member, members)) for member in members]
        ports = {name: free_port() for name in ("page", "write", "read")}
        file = directory / "haproxy.cfg"
        texts = {"reads": "/replica", "legends": "", "balance": balance, "leader_alone": "pgrw1", **said}
        file.write_text(APART.format(a=a.port, b=b.port, api_a=apis[0], api_b=apis[1], **ports, **texts))
        process = opened.enter_context(subprocess.Popen(["haproxy", "-db", "-f", file], stderr=subprocess.DEVNULL))
        opened.callback(process.kill)
        page = StatisticsPage(f"http://127.0.0.1:{ports['page']}")

        def checked() -> None:
            if any(not row.check.startswith("L7") for row in haproxy.servers(page)):
                raise NotYet("not every server was checked")

        eventually(checked, within=10, subject="HAProxy has checked", retry_on=(OSError,))
        yield Running(
            page,
            ProxyContext(
                write=replace(a, name="the write endpoint", port=ports["write"]),
                read=replace(a, name="the read endpoint", port=ports["read"]),
                members={server_at(a): "a", server_at(b): "b"},
                places={"a": (), "b": ()},
                leader="a",
            ),
        )


def test_backends_and_servers_are_told_by_where_sessions_go(
    pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path
) -> None:
    with running(pair, tmp_path) as there:
        page, lacks = proxy.identify(there.page, ProxySettings(), there.known)
        assert (page.write_backends, page.read_backends) == (
            ("postgres_primary_backend",),
            ("postgres_replica_backend",),
        )
        assert page.servers == {"one": "a", "two": "b"}
        assert lacks == {}
        assert haproxy.positions(page, ["a", "b"]) == {
            "a": {"write": "up", "read": "down"},
            "b": {"write": "down", "read": "up"},
        }


def test_reads_that_the_leader_serves_show(pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path) -> None:
    with running(pair, tmp_path, reads="/health") as there:
        page, lacks = proxy.identify(there.page, ProxySettings(), there.known)
        assert page.read_backends == ("postgres_replica_backend",)
        assert lacks == {}
        expected = {"a": {"write": "up", "read": "down"}, "b": {"write": "down", "read": "up"}}
        assert haproxy.positions(page, ["a", "b"], expected)["a"]["read"] == "up"


def test_others_come_and_go_meanwhile(pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path) -> None:
    with running(pair, tmp_path, reads="/health") as there, ThreadPoolExecutor() as others:
        came, over = threading.Event(), threading.Event()

        def come_and_go() -> None:
            while not over.is_set():
                server_at(there.known.write)
                came.set()
                pause(0.05)

        done = others.submit(come_and_go)
        try:
            assert came.wait(20)
            traffic = proxy.follow(there.page, there.known.read or there.known.write, there.known.members)
        finally:
            over.set()
        done.result()
        assert traffic.backends == ("postgres_replica_backend",)


def test_one_replica_for_each_client_cannot_be_told_from_one_replica_for_all(
    pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path
) -> None:
    with running(pair, tmp_path, reads="/health", balance="source") as there:
        _, lacks = proxy.identify(there.page, ProxySettings(), there.known)
        assert "HAPROXY_BALANCE" in lacks["spread"]
        _, lacks = proxy.identify(there.page, ProxySettings(balance="source"), there.known)
        assert lacks["spread"].startswith("HAProxy balances reads by source")
        _, lacks = proxy.identify(there.page, ProxySettings(balance="first"), there.known)
        assert "spread" not in lacks
    with running(pair, tmp_path, reads="/health", balance="first", legends="stats show-legends") as there:
        _, lacks = proxy.identify(there.page, ProxySettings(), there.known)
        assert "spread" not in lacks


def test_what_the_settings_say_counts(pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path) -> None:
    with running(pair, tmp_path) as there:
        said = ProxySettings(("all_nodes",), ("postgres_replica_backend", "all_nodes"), {"one": "b"})
        page, _ = proxy.identify(there.page, said, there.known)
        assert (page.write_backends, page.read_backends) == (said.write, said.read)
        assert page.servers["one"] == "b"
        of_one = replace(said, servers={"all_nodes/one": "b"})
        assert proxy.identify(there.page, of_one, there.known)[0].member("all_nodes", "one") == "b"
        for wrong, words in (
            (ProxySettings(write=("primary",)), "HAPROXY_WRITE_BACKEND names primary"),
            (ProxySettings(read=("primary",)), "HAPROXY_READ_BACKEND names primary"),
            (ProxySettings(servers={"three": "a"}), "HAPROXY_SERVERS names three"),
            (ProxySettings(servers={"nodes/one": "a"}), "HAPROXY_SERVERS names nodes/one"),
            (ProxySettings(write=("all_nodes/one",)), "HAPROXY_WRITE_BACKEND names all_nodes/one"),
        ):
            with pytest.raises(UsageError, match=words):
                proxy.identify(there.page, wrong, there.known)


def test_a_server_that_may_be_another_member_after_a_failover_is_not_judged(
    pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path
) -> None:
    with running(pair, tmp_path) as there:
        said = ProxySettings(write=("whoever_leads",), read=("postgres_replica_backend",))
        _, lacks = proxy.identify(there.page, said, there.known)
        assert lacks["pools"].startswith("the servers of whoever_leads seem to change members with the leader")
        _, lacks = proxy.identify(there.page, replace(said, servers={"whoever_leads/pgrw1": "a"}), there.known)
        assert "pools" not in lacks


def judged(rows: Sequence[haproxy.ServerRow], *, may_lead: str = "db1 db2 db3", **said: Any) -> str:
    """Why it is not judged which members these backends `w` have servers for; empty if it is."""
    nobody = sql.Endpoint("nobody", "127.0.0.1", 1, "", "", "")
    known = ProxyContext(nobody, None, {}, {}, leader="db1", may_lead=frozenset(may_lead.split()))
    backends = tuple(dict.fromkeys(row.proxy for row in rows if row.proxy.startswith("w")))
    return proxy._not_listed(StatisticsPage("", write_backends=backends), rows, ProxySettings(**said), known)


LEADER_ALONE = [row("w", "db1"), row("r", "db2"), row("r", "db3")]
"""As consul-template writes it, from the services primary and replica."""


@pytest.mark.parametrize("rows", [LEADER_ALONE, [*LEADER_ALONE, row("w2", "db1")], [*LEADER_ALONE, row("w", "db1")]])
def test_a_server_for_the_leader_alone_may_be_written_anew_with_each_failover(rows: list[haproxy.ServerRow]) -> None:
    backends = "w and w2" if rows[-1].proxy == "w2" else "w"
    assert judged(rows).startswith(f"HAProxy's {backends} has a server for db1 alone")
    assert "[expect] proxy_lists_members = true" in judged(rows)
    assert judged(rows, lists_members=True) == ""


@pytest.mark.parametrize("further", [row("w", "db2", "DOWN"), row("w", "unknown", "DOWN"), row("w2", "db2", "DOWN")])
def test_a_proxy_that_has_a_server_for_another_member_is_judged(further: haproxy.ServerRow) -> None:
    assert judged([*LEADER_ALONE, further]) == ""
    assert "[expect] proxy_lists_members = false" in judged([*LEADER_ALONE, further], lists_members=False)


def test_a_leader_whom_nobody_may_succeed_is_the_only_one_to_be_listed() -> None:
    assert judged(LEADER_ALONE, may_lead="db1") == ""
    assert judged([row("w", "db2"), row("r", "db3")]) == "", "writes do not reach the leader"


@pytest.mark.parametrize("name", ["db1", "w/db1"])
def test_a_server_that_the_settings_name_stays_that_member(name: str) -> None:
    assert judged(LEADER_ALONE, servers={name: "db1"}) == ""


def test_a_backend_that_is_rewritten_with_each_failover_is_not_judged(
    pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path
) -> None:
    """As consul-template does it, which calls the server like the leader."""
    with running(pair, tmp_path, leader_alone="a") as there:
        said = ProxySettings(write=("whoever_leads",), read=("postgres_replica_backend",))
        both = replace(there.known, may_lead=frozenset("ab"))
        assert "pools" not in proxy.identify(there.page, said, there.known)[1]
        _, lacks = proxy.identify(there.page, said, both)
        assert lacks["pools"].startswith("HAProxy's whoever_leads has a server for a alone, which leads: ")
        assert "pools" not in proxy.identify(there.page, replace(said, lists_members=True), both)[1]


def test_the_page_of_another_proxy_tells_nothing(pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path) -> None:
    with running(pair, tmp_path, reads="/health") as there:
        past = replace(there.known, write=pair[0], read=pair[1], leader="b")
        _, lacks = proxy.identify(there.page, ProxySettings(), past)
        assert "HAPROXY_READ_BACKEND" in lacks["pools"] or "HAPROXY_WRITE_BACKEND" in lacks["pools"]
        assert "does not show our sessions" in lacks["spread"]


def test_without_a_read_endpoint_no_backend_is_behind_it(
    pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path
) -> None:
    with running(pair, tmp_path) as there:
        said = ProxySettings(servers={"pgrw1": "a"})  # or else two backends may be for reads
        page, lacks = proxy.identify(there.page, said, replace(there.known, read=None))
        assert (page.write_backends, page.read_backends, lacks) == (("postgres_primary_backend",), (), {})
        assert haproxy.positions(page, ["a", "b"]) == {"a": {"write": "up"}}


def test_what_is_no_statistics_page(pair: tuple[sql.Endpoint, sql.Endpoint], tmp_path: Path) -> None:
    member = Member("a", "leader", "a.invalid:5432", "", pair[0])
    with patroni(member, [member]) as port, pytest.raises(NotYet, match=r"not HAProxy's statistics page|answered 503"):
        haproxy.servers(StatisticsPage(f"http://127.0.0.1:{port}", Login("owner", "")))
