"""The rows of a bench against a real PostgreSQL and a real Redis, compared with pgbench and redis-benchmark."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import redis_servers
from conftest import free_port
from servers import BINDIR

from support import sql
from support.bench import rows, tools
from support.bench.rows import DISRUPTIVE, QUIET, Row, Site, median_time
from support.bench.tools import RedisLine
from support.cli.behave_process import dry_run
from support.errors import ConnectFailed, NotAvailable, ProcessFailed
from support.example_app import schema
from support.example_app.vectors import PGVECTOR
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.topology import Address, Login, RedisAddress, Topology
from support.waiting import eventually

_TRIES = 30
PASSWORD, PGBENCH = "known to few", str(BINDIR / "pgbench")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisAddress]:
    port = free_port()
    with redis_servers.running(tmp_path_factory.mktemp("redis"), port) as redis:
        with redis.client() as client:
            client.config_set("requirepass", PASSWORD)
        yield RedisAddress(Address("127.0.0.1", port), PASSWORD)


@pytest.fixture(scope="module")
def cluster(postgres: sql.Endpoint, server: RedisAddress) -> Cluster:
    sql.execute(postgres, "CREATE DATABASE bench")
    ours = replace(postgres, database="bench")
    sql.execute(ours, "CREATE EXTENSION vector")
    schema.create(ours, PGVECTOR)
    login = Login(ours.user, ours.password)
    return Cluster(Topology("bench", login, Address(ours.host, ours.port), redis=server))


@pytest.fixture
def site(cluster: Cluster, request: pytest.FixtureRequest) -> Site:
    return Site(cluster, request.node.name, Settings.model_fields["accept_cache_repository"].default)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_READS": 200, "_COMMANDS": 1000, "_SECONDS": 0.2, "_SLICES": 2}.items():
        monkeypatch.setattr(rows, name, value)


@pytest.mark.parametrize("row", QUIET, ids=lambda row: row.name)
@pytest.mark.usefixtures("short")
@pytest.mark.alone
def test_figure_and_floor_have_the_same_unit(site: Site, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find_pgbench", lambda _: PGBENCH)
    assert row.measure is not None
    with closing(row.measure(site)) as samples:
        ratios = [sample.figure / (sample.floor or 0) for sample in islice(samples, 2)]
        # In the same unit: the next is 1000 times another. Only a busy machine is off now and then.
        while not 0.01 < ratios[-1] < 100 and len(ratios) < _TRIES:
            sample = next(samples)
            ratios.append(sample.figure / (sample.floor or 0))
    assert 0.01 < ratios[-1] < 100, ratios


@pytest.mark.alone
def test_pgbench_and_our_code_measure_the_same_time(postgres: sql.Endpoint) -> None:
    asleep = "SELECT pg_sleep(0.02)"

    def agree() -> None:
        with sql.session(postgres) as session:
            ours = median_time(lambda: sql.rows(session, asleep), 5)
        assert 20 <= ours < 40
        assert tools.pgbench(PGBENCH, postgres, [asleep], 5) == pytest.approx(ours, rel=0.2)

    eventually(agree, within=60, subject="both agree in a quiet moment")


def test_pgbench_uses_the_settings_of_the_search(postgres: sql.Endpoint) -> None:
    sought = "SELECT 1 / (current_setting('enable_sort') = 'off')::int"
    tools.pgbench(PGBENCH, postgres, [sought], 1, ["enable_sort = off"])
    with pytest.raises(ProcessFailed, match="division by zero"):
        tools.pgbench(PGBENCH, postgres, [sought], 1)


def test_redis_benchmark_logs_in(server: RedisAddress) -> None:
    found = tools.redis_benchmark(server, ["GET", "nothing"], 1000)
    assert 0 < found.median < 50
    assert found.rate > 20
    with pytest.raises(ProcessFailed) as failure:
        tools.redis_benchmark(replace(server, password="wrong"), ["GET", "nothing"], 10)
    assert "wrong" not in str(failure.value)


def test_a_bare_connection_sends_commands_and_reads_answers(server: RedisAddress) -> None:
    long = "x" * 20_000
    with RedisLine(server) as line:
        assert line.ask("GET", "nothing") == b"$-1\r\n"
        assert line.ask("SET", "long", long) == b"+OK\r\n"
        assert line.ask("GET", "long") == b"$20000\r\n" + long.encode() + b"\r\n"
        with pytest.raises(ConnectFailed, match="refuses INCR"):
            line.ask("INCR", "long")
    with pytest.raises(ConnectFailed, match="refuses AUTH"):
        RedisLine(replace(server, password="wrong")).__enter__()


def test_a_bare_connection_uses_the_database_that_is_given(server: RedisAddress) -> None:
    with RedisLine(replace(server, database=3)) as line:
        line.ask("SET", "there", "here")
    with RedisLine(server) as line:
        assert line.ask("GET", "there") == b"$-1\r\n"
    with RedisLine(replace(server, database=3)) as line:
        assert line.ask("GET", "there") == b"$4\r\nhere\r\n"


def test_a_crash_is_measured_where_its_scenario_can_run() -> None:
    """The leader stays down: where commits wait for a standby that is not there any more, nothing is written again."""
    scenario = next(one for one in dry_run(["features/failover/crash.feature"]).scenarios if "FO-02" in one.ids)
    crash, killed = (next(row for row in DISRUPTIVE if row.name == name) for name in ("FO-01", "FO-04"))
    assert {"crashes", "writes_after_loss"} == (crash.needs - killed.needs) <= scenario.tags


@pytest.mark.parametrize("name", ["GET alone", "PF-05", "PF-06 reads", "PF-06 writes"])
@pytest.mark.usefixtures("short")
def test_what_is_left_in_redis_expires(site: Site, name: str) -> None:
    row = next(row for row in QUIET if row.name == name)
    assert "one_redis" in row.needs, "a Redis Cluster sends bare commands from one node to another"
    assert row.measure is not None
    with closing(row.measure(site)) as samples:
        next(samples)
    with site.cluster.redis() as redis:
        left = [key for key in redis.keys(f"{site.namespace}:*") if redis.ttl(key) < 0]
    assert left == []


def test_without_its_tool_there_is_no_floor(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotAvailable, match="redis-tools"):
        tools.redis_benchmark(RedisAddress(Address("127.0.0.1", 1)), ["GET", "nothing"], 1)
    row = next(row for row in QUIET if row.name == "PF-01 alone")
    assert row.measure is not None
    with closing(row.measure(site)) as samples:
        sample = next(samples)
    assert sample.figure > 0
    assert sample.floor is None
    assert "pgbench is not installed (Debian: postgresql-contrib)" in sample.why


@pytest.mark.cluster
def test_initdb_is_measured() -> None:
    assert 0.05 < tools.initdb(BINDIR) < 60
