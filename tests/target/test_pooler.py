"""A pooler in front of the database: what is judged through it, what is not, and that nothing is left in its pool."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from bounds import takes_less_than
from conftest import free_port
from poolers import parameters, pgbouncer, rows

from support import libpq, sql
from support.errors import AcceptError, ConnectFailed, NotAvailable, TargetUnreachable
from support.example_app import schema
from support.example_app.known_profiles import EXAMPLE
from support.example_app.search import Search
from support.example_app.vectors import PGVECTOR
from support.settings import Settings
from support.target import tables
from support.target.cluster import Cluster
from support.target.discovery import pooler, user_cluster
from support.target.survey import endpoints
from support.target.survey.survey import survey
from support.target.topology import Topology

SET_BY_US = "SELECT name FROM pg_settings WHERE source = 'session' AND name <> ALL (%s)"
BY_THE_DRIVER = "'{application_name,client_encoding,DateStyle,TimeZone}'"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in {*libpq.VARIABLES, libpq.SET_APART, libpq.URL, *(name.upper() for name in Settings.model_fields)}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def pooled(postgres: sql.Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    """In transaction mode, with one server connection for all clients."""
    with pgbouncer(tmp_path_factory.mktemp("pooler"), free_port(), postgres) as there:
        yield there


def discovered(there: sql.Endpoint, **said: object) -> Topology:
    login = {"ruvector_host": there.host, "ruvector_port": there.port, "ruvector_password": there.password}
    return user_cluster.discover(Settings.load(login | said))


def left(there: sql.Endpoint) -> list[str]:
    """The settings that the pool's server connection has kept from earlier clients."""
    return [name for (name,) in rows(there, SET_BY_US.replace("%s", BY_THE_DRIVER))]


def test_nothing_is_left_in_the_pool(pooled: sql.Endpoint) -> None:
    topology = discovered(pooled)
    assert topology.lacks["backends"].startswith(
        "a pooler in front of the write endpoint assigns backends to transactions"
    )
    assert sql.value(Cluster(topology).write, "SELECT 1") == 1
    assert left(pooled) == []
    assert sql.value(pooled, "SELECT 1") == 1  # nor by a client that knows nothing of a pooler
    with sql.session(pooled.at("its address", pooled.host, pooled.port)) as session:
        assert not session.keeps_settings
    assert left(pooled) == []


def test_a_server_limits_the_statements_of_each_session(postgres: sql.Endpoint) -> None:
    with sql.session(postgres, statement_timeout=3) as session:
        assert sql.value(session, "SHOW statement_timeout") == "3s"
        assert session.keeps_settings


def test_a_survey_leaves_nothing_in_the_pool(pooled: sql.Endpoint) -> None:
    login = {"ruvector_host": pooled.host, "ruvector_port": pooled.port, "ruvector_password": pooled.password}
    endpoints.listeners(pooled, named=True)
    assert left(pooled) == []
    before = rows(pooled, "SELECT pg_backend_pid()")
    survey(Settings.load(login), "", lambda line: None)
    assert left(pooled) == []
    assert rows(pooled, "SELECT pg_backend_pid()") == before, "the server that was examined"


def in_each(there: sql.Endpoint, servers: int, statement: str) -> list[sql.Row]:
    """What the statement returns in each of the pool's server connections, which are opened if need be."""
    found: list[sql.Row] = []
    with ExitStack() as opened:
        for _ in range(servers):
            session = opened.enter_context(closing(psycopg2.connect(**parameters(there))))
            opened.callback(session.commit)  # PgBouncer would close a server whose transaction is given up
            cursor = opened.enter_context(session.cursor())
            cursor.execute(statement)
            found += cursor.fetchall()
    return found


@contextmanager
def in_use(there: sql.Endpoint, clients: int) -> Iterator[None]:
    """Others use the pool, each executing one statement after another."""
    ended = threading.Event()

    def work() -> None:
        with closing(psycopg2.connect(**parameters(there))) as session, session.cursor() as cursor:
            session.autocommit = True
            while not ended.is_set():
                cursor.execute("SELECT 1")

    with ThreadPoolExecutor(max(1, clients)) as threads:
        working = [threads.submit(work) for _ in range(clients)]
        try:
            yield
        finally:
            ended.set()
    for one in working:
        one.result()


@pytest.mark.parametrize("clients", [0, 3])
@pytest.mark.parametrize("order", ["last in, first out", "round robin"])
@pytest.mark.parametrize("servers", [1, 2, 3])
def test_transactions_are_told_from_sessions_in_any_pool(
    postgres: sql.Endpoint, tmp_path: Path, servers: int, order: str, clients: int
) -> None:
    pool = {"default_pool_size": servers, "server_round_robin": int(order == "round robin")}
    with pgbouncer(tmp_path, free_port(), postgres, **pool) as there:
        assert len({*in_each(there, servers, "SELECT pg_backend_pid()")}) == servers
        with in_use(there, clients):
            topology = discovered(there)
            assert topology.lacks["backends"] == pooler.TRANSACTIONS.format(which="write")
            assert sql.value(Cluster(topology).write, "SELECT 1") == 1
        assert in_each(there, servers, SET_BY_US.replace("%s", BY_THE_DRIVER)) == []


def test_each_endpoint_has_its_own_pooler(postgres: sql.Endpoint, pooled: sql.Endpoint) -> None:
    topology = discovered(postgres, haproxy_replica_port=pooled.port)
    assert "backends" not in topology.lacks
    assert topology.lacks["read_backends"] == pooler.TRANSACTIONS.format(which="read")


def test_a_statement_ends_in_time_without_a_setting(pooled: sql.Endpoint) -> None:
    begun = time.monotonic()
    with sql.session(pooled, statement_timeout=1) as session:
        with pytest.raises(psycopg2.errors.QueryCanceled):
            sql.execute(session, "SELECT pg_sleep(20)")
        assert time.monotonic() - begun < 8
        assert sql.value(session, "SELECT 1") == 1


@pytest.mark.parametrize(
    "statement", ["SET enable_sort = off", "set session work_mem = '5MB'", "RESET ALL", "LISTEN x"]
)
def test_what_would_last_is_not_sent(pooled: sql.Endpoint, statement: str) -> None:
    with sql.session(pooled) as session:
        with pytest.raises(NotAvailable, match="would leak to its other clients"):
            sql.execute(session, statement)
        sql.execute(session, "BEGIN; SET LOCAL enable_sort = off; COMMIT")
    assert left(pooled) == []


def test_settings_of_a_block_are_in_force_and_end_with_it(pooled: sql.Endpoint) -> None:
    with sql.session(pooled) as session:
        with sql.settings(session, work_mem="5MB", own__setting="x"):
            assert sql.rows(session, "SELECT current_setting('work_mem'), current_setting('own.setting')") == [
                ("5MB", "x")
            ]
        assert sql.value(session, "SHOW work_mem") != "5MB"
    with sql.session(pooled) as session, ExitStack() as still:
        still.enter_context(sql.settings(session, work_mem="5MB"))
        assert sql.value(session, "SHOW work_mem") == "5MB"


def test_vectors_are_searched_in_one_transaction(postgres: sql.Endpoint, pooled: sql.Endpoint) -> None:
    sql.execute(postgres, "CREATE DATABASE searched")
    there = replace(postgres, database="searched")
    sql.execute(there, "CREATE EXTENSION vector")
    schema.create(there, PGVECTOR)
    through = replace(pooled, database="searched")
    with sql.session(through) as session:
        search = Search(session, EXAMPLE)
        assert search.indexes_used("nobody", [0.0] * 384, 5) <= search.cosine_indexes()
        assert search.indexes_used("nobody", [0.0] * 384, 5)
        assert search.nearest("nobody", [0.0] * 384, 5) == []
        assert "enable_sort = off" in search.settings
    assert left(through) == []


_OWN = "SELECT to_regclass('public.memory_entries')::oid"
"""The first of our own tables, if it is in public."""


def test_tables_of_our_own_need_a_search_path(postgres: sql.Endpoint, pooled: sql.Endpoint, tmp_path: Path) -> None:
    before = sql.value(postgres, _OWN)
    for there, words in ((pooled, "unsupported startup parameter"), (None, "a pooler ignores the search_path")):
        with ExitStack() as opened:
            if there is None:
                ignoring = pgbouncer(tmp_path, free_port(), postgres, ignore_startup_parameters="options")
                there = opened.enter_context(ignoring)
            topology = discovered(there, accept_own_schema=True)
            with ExitStack() as cleanup:
                lacks = tables.own_tables(topology, "pooled", cleanup).lacks
        assert words in lacks["schema"]
    assert sql.value(postgres, _OWN) == before, "no table was created in public"
    assert sql.value(postgres, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'accept%'") == 0


def test_a_pooler_of_sessions_is_like_a_server(postgres: sql.Endpoint, tmp_path: Path) -> None:
    with pgbouncer(tmp_path, free_port(), postgres, "session", default_pool_size=10) as there:
        with in_use(there, 3):
            topology = discovered(there)
        assert "backends" not in topology.lacks
        with sql.session(Cluster(topology).write, statement_timeout=3) as session:
            assert sql.value(session, "SHOW statement_timeout") == "3s"
        assert in_each(there, 10, SET_BY_US.replace("%s", BY_THE_DRIVER)) == []


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"default_pool_size": 3, "server_reset_query": ""}, pooler.LEAVES),
        ({"default_pool_size": 1}, pooler.TRANSACTIONS),  # nobody can tell: the second session has to wait
    ],
)
def test_in_doubt_nothing_is_set(
    postgres: sql.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], why: str
) -> None:
    monkeypatch.setattr(sql.sessions, "GRACE", 0)
    with pgbouncer(tmp_path, free_port(), postgres, "session", **settings) as there:
        topology = discovered(there)
        assert topology.lacks["backends"] == why.format(which="write")
        with sql.session(Cluster(topology).write) as session:
            assert not session.keeps_settings
        number = int(str(settings["default_pool_size"]))
        assert in_each(there, number, SET_BY_US.replace("%s", BY_THE_DRIVER)) == []


def test_a_login_that_a_pool_lets_wait_is_given_up(
    postgres: sql.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql.sessions, "GRACE", 0)
    unanswered = r"right after the login: the server gave no answer within 1 s"
    with (
        pgbouncer(tmp_path, free_port(), postgres, "session") as there,
        sql.session(there),
        takes_less_than(10),
        pytest.raises(ConnectFailed, match=unanswered),
    ):
        sql.connect(there, statement_timeout=1)


@pytest.mark.parametrize(
    ("mode", "said", "error", "words"),
    [
        ("transaction", {"ruvector_db": "pgbouncer"}, TargetUnreachable, "is PgBouncer's admin console: name the app"),
        ("transaction", {"ruvector_password": "wrong"}, TargetUnreachable, "check RUVECTOR_USER and RUVECTOR_PASSWORD"),
        ("transaction", {"ruvector_db": "nope"}, TargetUnreachable, "check RUVECTOR_DB"),
        (
            "transaction",
            {"ruvector_options": {"options": "-c work_mem=5MB"}},
            TargetUnreachable,
            "unsupported startup parameter.*: PgBouncer refuses it",
        ),
        ("statement", {}, TargetUnreachable, "allows no transactions .* needs a pool_mode of session or transaction"),
    ],
)
def test_what_is_wrong_is_named(
    postgres: sql.Endpoint, tmp_path: Path, mode: str, said: dict[str, object], error: type[AcceptError], words: str
) -> None:
    with pgbouncer(tmp_path, free_port(), postgres, mode) as there, pytest.raises(error, match=words):
        discovered(there, **said)
