"""What `accept init` finds: endpoints by trying ports, members, ways into hosts; and what it writes of that."""

import json
import shutil
import ssl
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import free_port
from etcd_servers import await_healthy, ensemble, put
from patronis import Member, patroni
from pydantic import SecretStr
from servers import BINDIR, standby_of
from servers import postgres as throw_away_postgres

from support import sql
from support.embedded.certificates import Authority
from support.errors import TargetUnreachable, UsageError
from support.setting_values import bare, toml
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.discovery import from_settings, user_cluster
from support.target.discovery.identity import PatroniAnswer, ServerIdentity
from support.target.patroni import ClusterView
from support.target.survey import endpoints, hosts, services
from support.target.survey.endpoints import Listener, choose, worker_primaries
from support.target.survey.hosts import Wanted, check_pattern, etcd_in, propose
from support.target.survey.services import Etcd, Patronis
from support.target.survey.survey import Survey, _of_components, survey
from support.target.survey.target_file import Line, _further, _settings, text
from support.target.timing import Span
from support.target.topology import PLAIN, Address, Login, Topology, WebAccess

SERVERS = [ServerIdentity(datetime(2026, 1, 1, 0, number, tzinfo=UTC), "7") for number in range(3)]


def listener(port: int, *servers: int, host: str = "db") -> tuple[Address, Listener]:
    """A port that leads to these servers, of which 0 is the primary."""
    at = Address(host, port)
    return at, Listener(at, frozenset(SERVERS[one] for one in servers), frozenset(one != 0 for one in servers))


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither accept.toml nor a variable of the developer's."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


PUBLISHED = dict(
    [listener(5000, 0), listener(5001, 1, 2), listener(5002, 0, 1), *(listener(5433 + n, n) for n in (0, 1, 2))]
)
"""HAProxy's three ports and the members', all on one host."""


@pytest.mark.parametrize(
    ("found", "named", "own", "proxied", "write", "read"),
    [
        (PUBLISHED, None, {}, None, 5000, 5001),
        (PUBLISHED, None, {}, {5000, 5001, 5002}, 5000, 5001),
        (PUBLISHED, 5433, {}, None, 5433, 5001),  # what the user names counts
        (PUBLISHED, 5001, {}, None, 5000, 5001),  # unless it takes no writes
        (dict([listener(5432, 0), listener(5433, 1)]), None, {"a": 5432, "b": 5433}, None, 5432, None),
        (dict([listener(5432, 0), listener(5433, 1)]), None, {}, None, 5432, 5433),
        (dict([listener(5432, 0), listener(5439, 1)]), None, {}, None, 5432, None),  # it may be a member's own
        (dict([listener(5432, 0), listener(5439, 1)]), None, {}, {5432, 5439}, 5432, 5439),
        (dict([listener(6432, 0)]), None, {}, None, 6432, None),
    ],
)
def test_the_endpoints_are_told_from_members(
    found: Mapping[Address, Listener],
    named: int | None,
    own: Mapping[str, int],
    proxied: set[int] | None,
    write: int,
    read: int | None,
) -> None:
    chosen = choose(
        found,
        Address("db", named) if named else None,
        {name: Address("db", port) for name, port in own.items()},
        None if proxied is None else {Address("db", port) for port in proxied},
    )
    assert chosen.write.address.port == write
    assert (chosen.read.address.port if chosen.read else None) == read


def citus(port: int, group: int, *servers: int) -> tuple[Address, Listener]:
    """A port that leads to these servers of a group, of which 0 is its primary."""
    at, one = listener(port, *servers)
    of_group = frozenset(ServerIdentity(server.started, str(group)) for server in one.servers)
    return at, replace(one, servers=of_group, groups=frozenset({group}))


@pytest.mark.parametrize(
    ("found", "named", "write", "read"),
    [
        ([citus(5000, 0, 0), citus(5001, 1, 0), citus(5002, 1, 1, 2)], None, 5000, None),
        ([citus(5432, 0, 0), citus(5000, 1, 0), citus(5001, 1, 1)], None, 5432, None),
        ([citus(5432, 0, 0), citus(5433, 0, 1), citus(5000, 1, 0), citus(5001, 1, 1)], None, 5432, 5433),
        ([citus(5432, 0, 0), citus(5000, 1, 0), citus(5001, 1, 1)], 5000, 5000, 5001),
        ([citus(5000, 1, 0), citus(5001, 1, 1)], None, 5000, 5001),  # there is nothing else
    ],
)
def test_worker_groups_are_no_endpoints(
    found: list[tuple[Address, Listener]], named: int | None, write: int, read: int | None
) -> None:
    chosen = choose(dict(found), Address("db", named) if named else None, {})
    assert (chosen.write.address.port, chosen.read.address.port if chosen.read else None) == (write, read)


def test_reads_are_of_the_same_database_system() -> None:
    foreign = [(at, replace(one, servers=of_another(one))) for at, one in (listener(5000, 0), listener(5001, 1, 2))]
    chosen = choose(dict([listener(5432, 0), *foreign]), Address("db", 5432), {})
    assert (chosen.write.address.port, chosen.read) == (5432, None)
    unknown = [(at, replace(one, servers=of_another(one, ""))) for at, one in (listener(5432, 0), listener(5433, 1, 2))]
    assert choose(dict([*unknown, *foreign]), Address("db", 5432), {}).read == dict(unknown)[Address("db", 5433)]
    own = choose(dict([*foreign, listener(5432, 0), listener(5433, 1)]), Address("db", 5432), {}).read
    assert own is not None
    assert own.address.port == 5433


def of_another(one: Listener, system: str = "8") -> frozenset[ServerIdentity]:
    return frozenset(ServerIdentity(server.started, system) for server in one.servers)


PIGSTY = [(5433, 0), (5434, 1, 2), (5436, 0), (5438, 1, 2)]
"""HAProxy's ports on each of the members' hosts, and the servers to which they lead."""


@pytest.mark.parametrize(
    ("ports", "write", "read"),
    [
        ([(5432, 0), (6432, 0), *PIGSTY], 5433, 5434),  # on the leader's host
        ([(5432, 1), (6432, 1), *PIGSTY], 5433, 5434),  # on a replica's
        ([(5432, 0), (6432, 0), (5433, 0), (5434, 1), (5436, 0), (5438, 1)], 5433, 5434),  # of two members
        ([(5432, 0), (6432, 0), (5000, 0), (5001, 1, 2)], 5000, 5001),
        ([(5432, 0), (6432, 0)], 5432, None),
        ([(5432, 0), (5433, 0), (6432, 0)], 5433, None),
        ([(6432, 0)], 6432, None),  # nothing else can be reached from here
    ],
)
def test_the_proxy_and_the_member_itself_are_preferred_to_the_pooler_on_its_host(
    ports: list[tuple[int, ...]], write: int, read: int | None
) -> None:
    found = dict(listener(port, *servers, host="10.0.0.1") for port, *servers in ports)
    own = {"a": Address("10.0.0.1", 5432), "b": Address("10.0.0.2", 5432)}
    chosen = choose(found, None, own)
    assert (chosen.write.address.port, chosen.read.address.port if chosen.read else None) == (write, read)
    for at in found:
        if at.port == 6432 and found[at].writes:
            assert choose(found, at, own).write.address == choose(found, None, own, [at]).write.address == at


def test_a_port_that_leads_to_several_worker_groups_is_no_worker() -> None:
    at, one = citus(5001, 1, 0)
    both = replace(one, groups=frozenset({1, 2}), servers=one.servers | of_another(listener(1, 1)[1]))
    balanced = dict([citus(5000, 0, 0), (at, both), citus(5002, 2, 0), citus(5003, 1, 0, 1)])
    assert worker_primaries(balanced) == (Address("db", 5002),)
    assert both.leads_to == "several groups of Citus (1, 2)"
    assert balanced[Address("db", 5002)].leads_to == "the primary of worker group 2"
    assert choose(balanced, None, {}).write.address.port == 5000


def test_the_group_is_asked_for_in_every_session(postgres: sql.Endpoint) -> None:
    """A balanced port leads to a different worker each time; here, one server acts like a different one."""
    sql.execute(postgres, "CREATE SEQUENCE another")
    sql.execute(postgres, "CREATE VIEW pg_dist_local_group AS SELECT nextval('another') AS groupid")
    try:
        found = endpoints.look(postgres, Address(postgres.host, postgres.port))
    finally:
        sql.execute(postgres, "DROP VIEW pg_dist_local_group")
        sql.execute(postgres, "DROP SEQUENCE another")
    assert found.groups == {1, 2, 3}
    assert endpoints.look(postgres, Address(postgres.host, postgres.port)).groups == set()


def test_a_pooler_that_shares_statements_is_named_where_nothing_takes_writes() -> None:
    with pytest.raises(TargetUnreachable, match=r"the primary and standbys in turn.*Pgpool-II.*what is behind it"):
        choose(dict([listener(5432, 0, 1)]), None, {})


def test_where_nothing_takes_writes_what_was_met_is_told() -> None:
    with pytest.raises(TargetUnreachable, match=r"db:5433 leads to a standby.*name the write endpoint"):
        choose(dict([listener(5433, 1)]), None, {})


def test_a_cluster_is_surveyed_from_its_address(postgres: sql.Endpoint) -> None:
    with ExitStack() as stack:
        members = [
            Member("a", "leader", f"127.0.0.1:{postgres.port}", "127.0.0.1:1", postgres),
            Member("b", "replica", "127.0.0.1:1", "127.0.0.1:1", None),
        ]
        apis = [f"127.0.0.1:{stack.enter_context(patroni(one, members))}" for one in members]
        given = Settings.load(
            {
                "ruvector_host": "127.0.0.1",
                "ruvector_port": postgres.port,
                "ruvector_password": postgres.password,
                "patroni_hosts": apis,
            }
        )
        told: list[str] = []
        found = survey(given, "", told.append)
        written = text(found, {Span.FAILOVER: ["FO-01.leader"]}, "today", secrets=True)
    assert found.endpoints.write.address == Address("127.0.0.1", postgres.port)
    loaded = Settings.load(tomllib.loads(written))
    assert (loaded.ruvector_port, loaded.patroni_hosts) == (postgres.port, tuple(apis))
    assert loaded.ruvector_password is not None
    assert '# members = ["a", "b"]' in written
    assert '# a = "ssh://root@127.0.0.1"' in written
    assert "no etcd answers at" in written
    assert "FO-01.leader" in written
    assert f"127.0.0.1:{postgres.port},127.0.0.1:1/postgres?target_session_attrs=standby" in written, "one is down now"
    assert any("Patroni answers" in line for line in told)
    without = text(found, {}, "today", secrets=False)
    assert postgres.password not in without
    assert "set RUVECTOR_PASSWORD in the environment" in without


def test_patronis_port_is_the_one_that_was_given(postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the file, so that an address there means the same whatever the environment says."""
    with ExitStack() as stack:
        member = Member("a", "leader", f"127.0.0.1:{postgres.port}", "127.0.0.1:1", postgres)
        port = stack.enter_context(patroni(member, [member]))
        monkeypatch.setenv("PATRONI_PORT", str(port))
        said = {"ruvector_host": "127.0.0.1", "ruvector_port": postgres.port, "ruvector_password": postgres.password}
        found = survey(Settings.load(said), "", lambda line: None)
    written = tomllib.loads(text(found, {}, "today", secrets=True))
    monkeypatch.setenv("PATRONI_PORT", "8008")
    assert from_settings.patroni_hosts(Settings.load(written)) == [Address("127.0.0.1", port)]
    monkeypatch.delenv("PATRONI_PORT")
    assert from_settings.patroni_hosts(Settings.load(written)) == [Address("127.0.0.1", port)]


def test_a_patroni_at_the_usual_port_keeps_it_where_another_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATRONI_PORT", "8009")
    answers = [
        PatroniAnswer(Address(host, port), host, "main", False, None, ClusterView((), False, "main"))
        for host, port in (("db1", 8008), ("db2", 8009))
    ]
    told = _of_components(Patronis(tuple(answers)), Etcd(), (), PLAIN, 8009)
    assert told == {"patroni_hosts": ["db1:8008", "db2"]}
    assert from_settings.patroni_hosts(Settings.load(told)) == [Address("db1", 8008), Address("db2", 8009)]


@pytest.fixture
def standby(postgres: sql.Endpoint, tmp_path: Path) -> Iterator[sql.Endpoint]:
    with standby_of(postgres, tmp_path, free_port()) as endpoint:
        yield endpoint


@pytest.mark.parametrize("first", ["a standby", "down", "nobody knows its name"])
def test_the_first_of_several_hosts_need_not_be_the_leader(
    postgres: sql.Endpoint, standby: sql.Endpoint, first: str
) -> None:
    """As after a failover: clients choose among the hosts, and so does the survey."""
    other = {"a standby": f"127.0.0.1:{standby.port}", "down": f"127.0.0.1:{free_port()}"}.get(first, "no.invalid:5432")
    at = f"{other},127.0.0.1:{postgres.port}"
    url = f"postgresql://postgres:{postgres.password}@{at}/postgres?target_session_attrs=read-write"
    found = survey(Settings.load({"ruvector_url": url}), "", lambda line: None)
    assert found.endpoints.write.leads_to == "the primary"
    assert found.settings["ruvector_host"] == at
    assert found.settings["ruvector_options"] == {"target_session_attrs": "read-write"}
    assert found.topology.called == at


@pytest.mark.parametrize("known_to_patroni", [True, False])
def test_without_a_port_for_reads_the_members_are_proposed(
    postgres: sql.Endpoint, standby: sql.Endpoint, known_to_patroni: bool
) -> None:
    """As behind a virtual address that leads to the leader: without a read endpoint, most scenarios are skipped."""
    places = f"127.0.0.1:{postgres.port},127.0.0.1:{standby.port}"
    said: dict[str, object] = {"ruvector_password": postgres.password, "ruvector_db": "postgres"}
    with ExitStack() as stack:
        if known_to_patroni:
            members = [
                Member("a", "leader", f"127.0.0.1:{postgres.port}", "127.0.0.1:1", postgres),
                Member("b", "replica", f"127.0.0.1:{standby.port}", "127.0.0.1:1", standby),
            ]
            said |= {"ruvector_host": "127.0.0.1", "ruvector_port": postgres.port}
            said["patroni_hosts"] = [f"127.0.0.1:{stack.enter_context(patroni(one, members))}" for one in members]
        else:
            said |= {"ruvector_host": places, "ruvector_options": {"target_session_attrs": "read-write"}}
        found = survey(Settings.load(said), "", lambda line: None)
        written = text(found, {}, "today", secrets=True)
        followed = tomllib.loads(written.replace("# ruvector_read_url", "ruvector_read_url"))
        topology = user_cluster.discover(Settings.load(followed))
    assert "haproxy" in found.topology.lacks
    assert "haproxy" not in topology.lacks
    assert ",".join(map(str, topology.read_hosts)) == places
    assert topology.read_options == {"target_session_attrs": "standby", "load_balance_hosts": "random"}
    assert sql.value(Cluster(topology).read, "SELECT pg_is_in_recovery()")
    assert ("haproxy_replica_port" in written) == known_to_patroni, "several hosts are no proxy's"


def test_of_several_hosts_one_has_to_answer() -> None:
    at = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    with pytest.raises(TargetUnreachable, match="Connection refused"):
        survey(Settings.load({"ruvector_url": f"postgresql://postgres@{at}/postgres"}), "", lambda line: None)


def test_patroni_is_that_of_the_database_to_which_writes_go(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another database on that host may be found first."""
    with throw_away_postgres(tmp_path, free_port()) as ours, ExitStack() as stack:
        monkeypatch.setattr(endpoints, "USUAL", (postgres.port, ours.port))
        monkeypatch.setattr(endpoints, "WRITES", (ours.port, postgres.port))
        member = Member("a", "leader", f"10.0.0.1:{ours.port}", "127.0.0.1:1", ours)
        at = f"127.0.0.1:{stack.enter_context(patroni(member, [member]))}"
        said = {"ruvector_host": "127.0.0.1", "ruvector_password": ours.password, "patroni_hosts": [at]}
        found = survey(Settings.load(said), "", lambda line: None)
    assert found.endpoints.write.address.port == ours.port
    assert [one.name for one in found.patronis.answers] == ["a"]
    written = text(found, {}, "today", secrets=True)
    assert (
        f"127.0.0.1:{postgres.port} accepts the login as well, and leads to the primary of another database" in written
    )


def test_the_redis_url_of_another_program_is_not_written(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis+sentinel://s1/main")
    said = {"ruvector_host": "127.0.0.1", "ruvector_port": postgres.port, "ruvector_password": postgres.password}
    found = survey(Settings.load(said), "", lambda line: None)
    assert "redis_url" not in found.settings
    assert "set REDIS_SENTINELS" in found.topology.lacks["redis"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"ruvector_password": "wrong"}, ["password authentication failed", "RUVECTOR_PASSWORD"]),
        ({"ruvector_password": None}, ["set RUVECTOR_PASSWORD"]),
        ({"ruvector_db": "nope"}, ['"nope" does not exist', "RUVECTOR_DB"]),
        ({"ruvector_sslmode": "require"}, ["RUVECTOR_SSLMODE"]),
        ({"ruvector_port": 1}, ["127.0.0.1:1", "nothing listens there"]),
        ({"ruvector_host": "no-such-host.invalid"}, ["no-such-host.invalid", "cannot be resolved"]),
        ({"ruvector_host": "::1", "ruvector_port": 1}, ["::1", "nothing listens there"]),
    ],
)
def test_why_nothing_can_be_surveyed_is_told(
    postgres: sql.Endpoint, said: Mapping[str, object], words: list[str]
) -> None:
    usual = {"ruvector_host": postgres.host, "ruvector_port": postgres.port, "ruvector_password": postgres.password}
    with pytest.raises(TargetUnreachable) as refused:
        survey(Settings.load(usual | said), "", lambda line: None)
    for word in words:
        assert word in str(refused.value)
    assert postgres.password not in str(refused.value)


def test_without_a_port_the_usual_ones_are_named(monkeypatch: pytest.MonkeyPatch, postgres: sql.Endpoint) -> None:
    closed = free_port()
    monkeypatch.setattr(endpoints, "USUAL", (closed,))
    there = sql.Endpoint("", "127.0.0.1", closed, "postgres", "postgres", "")
    with pytest.raises(TargetUnreachable, match=rf"none of the usual ports.*{closed}.*127.0.0.1:PORT"):
        endpoints.listeners(there, named=False)
    monkeypatch.setattr(endpoints, "USUAL", (postgres.port,))
    with pytest.raises(TargetUnreachable, match="RUVECTOR_PASSWORD"):
        endpoints.listeners(there, named=False)


def test_a_server_that_asks_for_the_password_itself_needs_a_named_port(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As with LDAP and PAM; the method `password` asks in the same way."""
    (tmp_path / "hba").write_text("host all all all password\n")
    with throw_away_postgres(tmp_path, free_port(), BINDIR, f"hba_file={tmp_path}/hba") as there:
        monkeypatch.setattr(endpoints, "USUAL", (there.port,))
        with pytest.raises(TargetUnreachable, match=r"as with LDAP and PAM.*you name: give host:port.*verify-full"):
            endpoints.listeners(there, named=False)
        assert endpoints.listeners(there, named=True)


def test_what_the_user_requires_of_a_server_is_required_of_every_port(
    monkeypatch: pytest.MonkeyPatch, postgres: sql.Endpoint
) -> None:
    """Its passwords are stored for SCRAM."""
    monkeypatch.setattr(endpoints, "USUAL", (postgres.port,))
    assert endpoints.listeners(replace(postgres, options={"require_auth": "scram-sha-256"}), named=False)
    with pytest.raises(TargetUnreachable, match='requirement "md5" failed'):
        endpoints.listeners(replace(postgres, options={"require_auth": "md5"}), named=False)


TOPOLOGY = Topology("app", Login("app", ""), Address("lb", 5000), scope="staging")
HOSTS = [Wanted("pg1", "10.0.0.1", "patroni"), Wanted("pg2", "fd00::2", "patroni")]


def test_lines_for_hosts_are_filled_in_and_tried() -> None:
    unused = propose("", [*HOSTS, Wanted("etcd1", "etcd1", "etcd", container=True)], TOPOLOGY)
    assert [(one.reach, one.works) for one in unused] == [
        ("ssh://root@10.0.0.1", False),
        ("ssh://root@[fd00::2]", False),
        ("docker://etcd1", False),
    ]
    here, gone = propose("sh -c 'test NAME = pg1 && exec {}'", HOSTS, TOPOLOGY)
    assert here.works
    assert "/etc/accept-breakable does not say staging" in here.words
    assert not gone.works
    assert "gave no answer" in gone.words


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("ssh://root@10.0.0.1", "write ADDRESS or NAME"),
        ("root@ADDRESS", "not a way to reach a host"),
        ("local:", "ADDRESS"),
    ],
)
def test_a_pattern_that_is_no_way_to_every_host_is_refused(pattern: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_pattern(pattern)


def test_a_container_is_found_by_its_name_its_service_or_its_image() -> None:
    containers = {"db-pg1-1": ("pg1", "patroni:4"), "pg2": ("other", "patroni:4"), "lb": ("proxy", "haproxy:3.0")}
    named = [hosts._container_of(Wanted(name, "", "patroni"), containers) for name in ("pg1", "pg2", "pg3")]
    assert named == ["db-pg1-1", "pg2", "pg3"]
    assert hosts._container_of(Wanted("haproxy", "", "haproxy"), containers) == "lb"


@pytest.mark.parametrize(
    ("configuration", "addresses"),
    [
        ("etcd3:\n  hosts: 10.0.1.1:2379,10.0.1.2:2379\n", ["10.0.1.1:2379", "10.0.1.2:2379"]),
        ("etcd3:\n  hosts:\n  - etcd1:2379\n  - 'etcd2:2379'\n", ["etcd1:2379", "etcd2:2379"]),
        ("etcd:\n  host: etcd1\n", ["etcd1"]),
        ("consul:\n  host: c\n", []),
        ("- not\n- a mapping\n", []),
        (": {", []),
    ],
)
def test_etcd_is_read_from_patronis_configuration(configuration: str, addresses: list[str]) -> None:
    assert etcd_in(configuration) == addresses


class _Patroni(BaseHTTPRequestHandler):
    """One member that answers what a survey asks."""

    def do_GET(self) -> None:
        own = {"role": "primary", "patroni": {"name": "pg1", "scope": "main"}}
        member = {"name": "pg1", "host": "pg1", "port": 5432, "role": "leader", "state": "running"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(own if self.path == "/patroni" else {"members": [member]}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_patroni_behind_tls_is_told_from_none_and_asked_by_tls(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "own")
    issued = authority.issue(["localhost", "127.0.0.1"])
    for name, content in (("crt", issued.certificate), ("key", issued.key)):
        (tmp_path / name).write_text(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Patroni)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        at, closed = Address("127.0.0.1", server.server_port), Address("127.0.0.1", free_port())
        found = services.patronis((), [at, closed], "127.0.0.1", "")
        assert found.answers == ()
        assert "speaks TLS: set PATRONI_CTL_CACERT" in found.why
        assert "no Patroni REST API answers at 127.0.0.1" in services.patronis((), [closed], "127.0.0.1", "").why
        strange = services.patronis((), [at], "127.0.0.1", "", WebAccess("https"))
        assert "check PATRONI_CTL_CACERT" in strange.why
        by_tls = WebAccess("https", str(authority.certificate))
        assert [one.name for one in services.patronis((), [at], "127.0.0.1", "", by_tls).answers] == ["pg1"]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("secrets", [True, False])
def test_whatever_the_user_said_of_a_part_is_written(secrets: bool) -> None:
    """Without it, the part would not be reached by the file alone."""
    said = {
        "redis_host": "cache",
        "redis_user": "app",
        "redis_password": SecretStr("hush"),
        "redis_tls": True,
        "redis_sentinel_password": SecretStr("hush, too"),
        "redis_cafile": "/etc/ca.pem",
        "patroni_ctl_cacert": Path("ca.pem"),
    }
    found = cast(Survey, SimpleNamespace(settings=said))
    shown = list(_settings(found, ("redis_host", "redis_password"), secrets, {}))
    written = "\n".join(line.text for line in [*shown, *_further(found, shown, ("redis_", "patroni_"), secrets)])
    read = tomllib.loads(written)
    assert read.keys() == {name for name in said if secrets or "password" not in name}
    assert read["patroni_ctl_cacert"] == str(Path.cwd() / "ca.pem")
    assert ("hush" in written) == secrets
    assert written.count("redis_password") == 1


def test_values_are_toml() -> None:
    for value in ('a "b" \\ ü \x7f \n', 7, True, 1.5, ["x", "y"], {"a b": "c"}):
        assert tomllib.loads(f"key = {toml(value)}")["key"] == value
    assert tomllib.loads(f"{bare('ä.b')} = 1") == {"ä.b": 1}
    assert bare("patroni-1") == "patroni-1"
    long = Line("key", "x" * 100, "why it is so, in many words that do not fit into the line").text
    assert [line[0] for line in long.splitlines()] == ["#", "k"]
    assert tomllib.loads(Line("key", 1, "used", used=False).text) == {}


@pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")
def test_what_was_declared_in_the_environment_is_in_the_file(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The survey examined the cluster by it: without it, the file would describe another one."""
    declared: dict[str, object] = {
        "accept_schema": {"entries": {"table": "docs", "namespace": "tenant"}},
        "accept_expect": {"members": ["a", "b"]},
        "accept_nodes": {"w1:5432": "127.0.0.1:7001"},
    }
    with ExitStack() as stack:
        etcd = stack.enter_context(ensemble(tmp_path, 1))
        await_healthy(etcd)
        system = str(sql.value(postgres, "SELECT system_identifier FROM pg_control_system()"))
        put(etcd.topology(0), "/db/test/initialize", system)
        login = {"username": "root", "password": "hush"}  # which this one does not ask for
        hosts_of_etcd = [str(etcd.clients[0])]
        declared["accept_dcs"] = {"etcd3": {"hosts": hosts_of_etcd, **login}, "namespace": "/db"}
        sql.execute(postgres, "CREATE TABLE docs (tenant text, key text, value text, PRIMARY KEY (tenant, key))")
        stack.callback(sql.execute, postgres, "DROP TABLE docs")
        members = [Member("a", "leader", f"127.0.0.1:{postgres.port}", "127.0.0.1:1", postgres)]
        at = stack.enter_context(patroni(members[0], members))
        for name, value in declared.items():
            monkeypatch.setenv(name.upper(), json.dumps(value))
        said = {"ruvector_host": "127.0.0.1", "ruvector_port": postgres.port, "ruvector_password": postgres.password}
        found = survey(Settings.load({**said, "patroni_hosts": [f"127.0.0.1:{at}"]}), "", lambda line: None)
        written, without = (text(found, {}, "today", secrets=secrets) for secrets in (True, False))
    for name in declared:
        monkeypatch.delenv(name.upper())
    loaded = Settings.load(tomllib.loads(written))
    assert {name: getattr(loaded, name) for name in declared} == declared
    assert "etcd_hosts" not in tomllib.loads(written)
    assert "hush" not in without
    assert "set ACCEPT_DCS in the environment" in without
