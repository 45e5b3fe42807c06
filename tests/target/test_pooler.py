"""A pooler in front of the database: what is judged through it, what is not, and that nothing is left in its pool."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from conftest import free_port
from poolers import pgbouncer, rows

from support import libpq, sql
from support.errors import AcceptError, NotAvailable, TargetUnreachable
from support.example_app import schema
from support.example_app.known_profiles import EXAMPLE
from support.example_app.search import Search
from support.example_app.vectors import PGVECTOR
from support.settings import Settings
from support.target import tables
from support.target.cluster import Cluster
from support.target.discovery import user_cluster
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
    assert topology.lacks["backends"].startswith("a pooler in front of the database assigns backends to transactions")
    write = Cluster(topology).write
    assert not write.keeps_settings
    assert sql.value(write, "SELECT 1") == 1
    assert left(pooled) == []
    assert sql.value(pooled, "SELECT 1") == 1  # a client that takes the pooler for a server
    assert left(pooled) == ["statement_timeout"]
    rows(pooled, "RESET ALL")


def test_a_statement_ends_in_time_without_a_setting(pooled: sql.Endpoint) -> None:
    begun = time.monotonic()
    with sql.session(replace(pooled, keeps_settings=False), statement_timeout=1) as session:
        with pytest.raises(psycopg2.errors.QueryCanceled):
            sql.execute(session, "SELECT pg_sleep(20)")
        assert time.monotonic() - begun < 8
        assert sql.value(session, "SELECT 1") == 1


@pytest.mark.parametrize(
    "statement", ["SET enable_sort = off", "set session work_mem = '5MB'", "RESET ALL", "LISTEN x"]
)
def test_what_would_last_is_not_sent(pooled: sql.Endpoint, statement: str) -> None:
    with sql.session(replace(pooled, keeps_settings=False)) as session:
        with pytest.raises(NotAvailable, match="this would last"):
            sql.execute(session, statement)
        sql.execute(session, "BEGIN; SET LOCAL enable_sort = off; COMMIT")
    assert left(pooled) == []


def test_settings_of_a_block_are_in_force_and_end_with_it(pooled: sql.Endpoint) -> None:
    with sql.session(replace(pooled, keeps_settings=False)) as session:
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
    through = replace(pooled, database="searched", keeps_settings=False)
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
        topology = discovered(there)
        assert "backends" not in topology.lacks
        with sql.session(Cluster(topology).write, statement_timeout=3) as session:
            assert sql.value(session, "SHOW statement_timeout") == "3s"
        assert left(there) == []


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
