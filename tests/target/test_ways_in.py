"""The ways into a database that every libpq program has: URLs with several hosts, PG* variables, files, sockets."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import free_port
from servers import postgres as throw_away_postgres

from support import libpq, sql
from support.errors import TargetUnreachable, UsageError
from support.security.logins import wrong_logins
from support.security.survey import ways_in
from support.settings import Settings
from support.target import login
from support.target.cluster import Cluster
from support.target.discovery import user_cluster
from support.target.topology import Address, Topology

pytestmark = pytest.mark.usefixtures("nothing_said")


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    """A server that refuses writes, as a replica does, with the same login."""
    with throw_away_postgres(tmp_path_factory.mktemp("read-only"), free_port()) as endpoint:
        sql.execute(endpoint, "ALTER SYSTEM SET default_transaction_read_only = on")
        sql.execute(endpoint, "SELECT pg_reload_conf()")
        yield endpoint


def found(**said: object) -> Topology:
    return user_cluster.discover(Settings.load(said))


def url(*places: str, login: str = "postgres", more: str = "") -> str:
    return f"postgresql://{login}@{','.join(places)}/postgres{more}"


def place(endpoint: sql.Endpoint) -> str:
    return f"{endpoint.host}:{endpoint.port}"


def require_at_work(topology: Topology, endpoint: sql.Endpoint) -> None:
    """The write endpoint leads to that server, with the right password, and takes writes."""
    assert topology.application.password == endpoint.password
    with sql.session(Cluster(topology).write) as session:
        assert session.info.port == endpoint.port
        assert sql.value(session, "SHOW transaction_read_only") == "off"


def test_the_leader_is_found_among_several_hosts(postgres: sql.Endpoint, read_only: sql.Endpoint) -> None:
    login = f"postgres:{postgres.password}"
    places = [f"127.0.0.1:{free_port()}", place(read_only), place(postgres)]
    topology = found(ruvector_url=url(*places, login=login, more="?target_session_attrs=read-write"))
    require_at_work(topology, postgres)
    assert topology.called == ",".join(places)
    assert topology.lacks["statistics"].startswith("there is no proxy: clients choose among the hosts")
    assert "RUVECTOR_READ_URL" in topology.lacks["haproxy"]
    with sql.session(Cluster(topology).write.at("one of them", "127.0.0.1", read_only.port)) as session:
        assert sql.value(session, "SHOW transaction_read_only") == "on"


def test_the_read_endpoint_may_have_hosts_of_its_own(postgres: sql.Endpoint, read_only: sql.Endpoint) -> None:
    both = url(place(postgres), place(read_only))
    topology = found(
        ruvector_url=f"{both}?target_session_attrs=primary",
        ruvector_password=postgres.password,
        ruvector_read_url=f"{both}?target_session_attrs=read-only",
    )
    require_at_work(topology, postgres)
    assert "haproxy" not in topology.lacks
    assert topology.lacks["spread"].startswith("libpq tries the hosts of the read endpoint in their order")
    with sql.session(Cluster(topology).read) as session:
        assert session.info.port == read_only.port
    assert len(ways_in(Cluster(topology), "endpoint")) == 4
    refusals = wrong_logins(Cluster(topology), "endpoint", "a wrong password")
    assert set(refusals.values()) == {"28P01", "28000"}, "most are tried without a proof"
    assert {one.partition("/")[0].partition("(")[2] for one in refusals} == {place(postgres), place(read_only)}


@pytest.mark.parametrize(
    ("read", "words"),
    [
        ("postgresql://jo@127.0.0.1/postgres", "RUVECTOR_READ_URL has the user jo, and the write endpoint postgres"),
        ("postgresql://127.0.0.1/other", "RUVECTOR_READ_URL has the dbname other, and the write endpoint postgres"),
        ("postgresql://:else@127.0.0.1", "RUVECTOR_READ_URL has a different password"),
        ("postgresql://127.0.0.1:x/", "RUVECTOR_READ_URL: 'x' is not a port number"),
    ],
)
def test_a_read_endpoint_that_contradicts(postgres: sql.Endpoint, read: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        found(ruvector_url=url(place(postgres), login=f"postgres:{postgres.password}"), ruvector_read_url=read)


def test_the_endpoints_may_be_on_different_hosts(postgres: sql.Endpoint) -> None:
    topology = found(
        haproxy_host="127.0.0.1",
        haproxy_primary_port=postgres.port,
        haproxy_replica_host="[::1]",
        haproxy_replica_port=postgres.port,
        ruvector_password=postgres.password,
    )
    assert topology.write == Address("127.0.0.1", postgres.port)
    assert topology.read == Address("::1", postgres.port)


@pytest.mark.parametrize("attributes", ["", "?target_session_attrs=prefer-standby"])
def test_several_hosts_of_which_any_may_answer(postgres: sql.Endpoint, attributes: str) -> None:
    both = url(place(postgres), place(postgres), login=f"postgres:{postgres.password}", more=attributes)
    with pytest.raises(UsageError, match=r"the write endpoint has 2 hosts, .* add target_session_attrs=read-write"):
        found(ruvector_url=both)


def test_several_hosts_without_a_leader(read_only: sql.Endpoint) -> None:
    login, more = f"postgres:{read_only.password}", "?target_session_attrs=read-write"
    with pytest.raises(TargetUnreachable, match=r"session is read-only: none of the hosts takes writes"):
        found(ruvector_url=url(place(read_only), place(read_only), login=login, more=more))


def test_variables_of_libpq(postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("HOST", "127.0.0.1"), ("PORT", str(postgres.port)), ("PASSWORD", postgres.password)):
        monkeypatch.setenv(f"PG{name}", value)
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB")
    topology = found()
    require_at_work(topology, postgres)
    assert topology.options == {"options": "-c work_mem=5MB"}
    own = Cluster(topology).with_tables_of("some")
    for name in libpq.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with sql.session(own.write) as session:
        assert sql.rows(session, "SELECT current_setting('work_mem'), current_setting('search_path')") == [
            ("5MB", "some,public")
        ]


def test_options_of_the_read_endpoint_do_not_hide_the_suites_own_tables(postgres: sql.Endpoint) -> None:
    here, more = f"127.0.0.1:{postgres.port}", "?options=-c%20work_mem%3D5MB"
    login = f"postgres:{postgres.password}@"
    topology = found(
        ruvector_url=f"postgresql://{login}{here}/postgres",
        ruvector_read_url=f"postgresql://{login}{here}/postgres{more}",
    )
    own = Cluster(topology).with_tables_of("some")
    with sql.session(own.read) as session:
        assert sql.rows(session, "SELECT current_setting('work_mem'), current_setting('search_path')") == [
            ("5MB", "some,public")
        ]
    assert sql.value(own.write, "SELECT current_setting('search_path')") == "some,public"


def test_a_service_and_its_password_file(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service, passwords = tmp_path / ".pg_service.conf", tmp_path / ".pgpass"
    service.write_text(f"[claims]\nhost=127.0.0.1\nport={postgres.port}\nuser=postgres\ndbname=template1\n")
    passwords.write_text(f"127.0.0.1:{postgres.port}:*:postgres:{postgres.password}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    monkeypatch.setenv("PGSERVICE", "claims")
    topology = found()
    require_at_work(topology, postgres)
    assert topology.database == "template1"
    monkeypatch.setenv("PGSERVICE", "clams")
    with pytest.raises(
        TargetUnreachable, match=r'\(service clams\).*definition of service "clams" not found.*PGSERVICE'
    ):
        found()


def test_the_read_endpoint_may_be_a_service(postgres: sql.Endpoint, read_only: sql.Endpoint, tmp_path: Path) -> None:
    ports = f"{postgres.port},{read_only.port}"
    here = "host=127.0.0.1,127.0.0.1"
    (tmp_path / ".pg_service.conf").write_text(
        f"[reads]\n{here}\nport={ports}\ntarget_session_attrs=read-only\n"
        f"[other]\n{here}\nport={ports}\ndbname=template1\n"
    )
    write = {"ruvector_url": url(place(postgres), login=f"postgres:{postgres.password}")}
    topology = found(**write, ruvector_read_url="postgresql:///?service=reads")
    assert topology.read_hosts == (Address("127.0.0.1", postgres.port), Address("127.0.0.1", read_only.port))
    assert topology.read_options == {"target_session_attrs": "read-only"}
    with sql.session(Cluster(topology).read) as session:
        assert session.info.port == read_only.port
    with pytest.raises(UsageError, match="RUVECTOR_READ_URL has the dbname template1, and the write endpoint postgres"):
        found(**write, ruvector_read_url="postgresql:///?service=other")
    with pytest.raises(TargetUnreachable, match=r'RUVECTOR_READ_URL \(service raeds\).*"raeds" not found.*file'):
        found(**write, ruvector_read_url="postgresql:///?service=raeds")


def test_an_ip_address_of_libpqs_is_that_of_the_endpoint(postgres: sql.Endpoint) -> None:
    """It would be looked for on this machine otherwise, as without any host."""
    login = f"postgres:{postgres.password}"
    topology = found(ruvector_url=f"postgresql://{login}@/postgres?hostaddr=127.0.0.1&port={postgres.port}")
    require_at_work(topology, postgres)
    assert topology.called == place(postgres)


def test_a_unix_socket(postgres: sql.Endpoint) -> None:
    folder = str(sql.value(postgres, "SHOW unix_socket_directories"))
    said = {"ruvector_port": postgres.port, "ruvector_password": postgres.password}
    topology = found(ruvector_host=folder, **said)
    require_at_work(topology, postgres)
    assert topology.write == Address(folder, postgres.port)
    assert login.log_in(Cluster(topology).write).asked_for == "SCRAM"
    assert topology.lacks["network_login"].startswith("an endpoint is a Unix socket")
    with pytest.raises(TargetUnreachable, match="there is no such socket: check RUVECTOR_HOST"):
        found(ruvector_host=f"{folder}/nowhere", **said)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address(postgres: sql.Endpoint, host: str) -> None:
    try:
        socket.create_connection(("::1", postgres.port)).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    topology = found(ruvector_host=host, ruvector_port=postgres.port, ruvector_password=postgres.password)
    require_at_work(topology, postgres)
    assert topology.called == f"[::1]:{postgres.port}"
    assert found(ruvector_host=f"[::1]:{postgres.port}", ruvector_password=postgres.password).write == topology.write


def test_hosts_with_their_ports(postgres: sql.Endpoint) -> None:
    several = f"127.0.0.1:{free_port()}, {place(postgres)}"
    options = "target_session_attrs=read-write"
    topology = found(ruvector_host=several, ruvector_password=postgres.password, ruvector_options=options)
    require_at_work(topology, postgres)
