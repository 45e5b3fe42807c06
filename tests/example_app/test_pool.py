"""The pool under test: the suite's own, and the examples for SQLAlchemy and psycopg 3, whole and broken."""

import importlib
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from support import sql
from support.cluster.black_hole import BlackHoleServer
from support.engine import counter
from support.engine.checks.exactly_once import each_applied_once
from support.engine.history import History
from support.engine.workload import Workload
from support.errors import ConnectFailed, UsageError
from support.example_app import pool as contract
from support.example_app import schema
from support.example_app.known_profiles import EXAMPLE
from support.example_app.pool import DEFAULT, PoolConfig, TestedPool
from support.example_app.sessions import attempt, kill_backend
from support.example_app.vectors import PGVECTOR
from support.waiting import eventually, pause

EXAMPLES = Path(__file__).parents[2] / "docs/examples/pools"
SQLALCHEMY, PSYCOPG = "sqlalchemy_pool:open_pool", "psycopg_pool_example:open_pool"
POOLS = (DEFAULT, SQLALCHEMY, PSYCOPG)
BACKEND = "SELECT pg_backend_pid()"


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def config(where: sql.Endpoint, size: int = 1, login: float = 2) -> PoolConfig:
    return PoolConfig(where, size, login_timeout=login, statement_timeout=3)


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest, postgres: sql.Endpoint) -> Iterator[TestedPool]:
    with TestedPool(request.param, config(postgres)) as opened:
        yield opened


def after_a_kill(pool: TestedPool, postgres: sql.Endpoint) -> Exception | None:
    """What reaches the next user of a pool whose only session was killed while it was idle."""
    idle = pool.execute(BACKEND)[0][0]
    kill_backend(postgres, idle)
    return sql.error_of(lambda: pool.execute(BACKEND))


def test_a_session_that_was_killed_is_replaced(pool: TestedPool, postgres: sql.Endpoint) -> None:
    before = pool.execute(BACKEND)
    assert after_a_kill(pool, postgres) is None
    assert pool.execute(BACKEND) != before


def _without_ping(module: ModuleType, opened: PoolConfig) -> object:
    made = module.Pool(opened)
    made.engine = module.sqlalchemy.create_engine(
        "postgresql+psycopg://", connect_args=opened.parameters, pool_size=1, max_overflow=0
    )
    return made


def _without_check(module: ModuleType, opened: PoolConfig) -> object:
    made = module.Pool(opened)
    made.pool._check = None
    return made


@pytest.mark.parametrize(
    ("name", "broken"), [("sqlalchemy_pool", _without_ping), ("psycopg_pool_example", _without_check)]
)
def test_a_pool_that_hands_out_dead_sessions_is_noticed(
    name: str, broken: object, postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(name)
    monkeypatch.setattr(module, "open_pool", lambda opened: broken(module, opened))  # type: ignore[operator]
    with TestedPool(f"{name}:open_pool", config(postgres)) as pool:
        assert isinstance(after_a_kill(pool, postgres), sql.Error)


def test_what_it_executes_is_committed(pool: TestedPool, postgres: sql.Endpoint) -> None:
    sql.execute(postgres, "DROP TABLE IF EXISTS pooled; CREATE TABLE pooled (k text PRIMARY KEY, v text)")
    insert = "INSERT INTO pooled VALUES (%(k)s, %(v)s)"
    assert pool.execute(insert, {"k": "a", "v": "100 %"}) == []
    assert sql.rows(postgres, "SELECT * FROM pooled") == [("a", "100 %")]
    refused = sql.error_of(lambda: pool.execute(insert, {"k": "a", "v": "again"}))
    assert sql.condition_of(refused) == "unique violation"
    late = sql.error_of(lambda: pool.execute("SELECT pg_sleep(30)"))
    assert sql.condition_of(late) == "query canceled"
    assert pool.execute("SELECT v FROM pooled WHERE k = %(k)s", {"k": "a"}) == [("100 %",)]


@pytest.mark.long
@pytest.mark.parametrize("name", POOLS)
def test_a_login_at_a_silent_host_fails_in_time_and_names_it(name: str) -> None:
    with BlackHoleServer(patience=20) as silent, TestedPool(name, config(silent.endpoint)) as pool:
        tried = attempt(lambda: pool.execute("SELECT 1"))
        silent.require_caller()
    assert isinstance(tried.error, ConnectFailed | sql.Error)
    assert tried.seconds < 6
    for word in silent.name.split(":"):
        assert word in str(tried.error)


@pytest.mark.parametrize("name", POOLS)
def test_what_is_repeated_is_applied_once(name: str, postgres: sql.Endpoint) -> None:
    """While the sessions of the pool are killed again and again."""
    namespace = f"once-{name}"
    _with_tables(postgres)
    counter.create(postgres, EXAMPLE, namespace)
    history = History()
    with TestedPool(name, config(postgres, size=4)) as pool:
        script = counter.operations(EXAMPLE, namespace, pool=pool.execute)
        with Workload(postgres, script, clients=4, patience=3, history=history) as workload:
            killed = 0
            for _ in range(10):
                killed += len(
                    sql.rows(
                        postgres,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%%counted%%' "
                        "AND pid <> pg_backend_pid()",
                    )
                )
                pause(0.1)
            counted = counter.close_count(workload, postgres, EXAMPLE, namespace, within=20)
    each_applied_once(history, counted.applied, counted.counter).require()
    assert counted.counter > 20
    assert killed


_MADE = threading.Lock()


def _with_tables(postgres: sql.Endpoint) -> None:
    with _MADE:
        if sql.value(postgres, "SELECT to_regclass('memory_entries')") is None:
            sql.execute(postgres, "CREATE EXTENSION IF NOT EXISTS vector")
            eventually(lambda: schema.create(postgres, PGVECTOR), within=10, subject="the tables are there")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", 'must be "package.module:callable"'),
        ("nowhere:open_pool", "No module named 'nowhere'"),
        ("sqlalchemy_pool:Nothing", "has no attribute 'Nothing'"),
        ("support.example_app.pool:DEFAULT", "that is a str, not a callable"),
    ],
)
def test_a_name_that_leads_nowhere(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=r"^ACCEPT_POOL is ") as refused:
        contract.opener(name)
    assert words in str(refused.value)


def test_an_error_without_a_state_is_of_unknown_outcome() -> None:
    found = contract.as_ours(RuntimeError("it is gone"))
    assert (found.pgcode, str(found)) == (None, "RuntimeError: it is gone")
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = contract.as_ours(_Foreign("40001"))
    assert contract.as_ours(wrapped).pgcode == "40001"
    assert sql.condition_of(contract.as_ours(wrapped)) == "serialization failure"


class _Foreign(Exception):
    @property
    def sqlstate(self) -> str:
        return str(self)
