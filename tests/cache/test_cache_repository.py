"""The repository against a real Redis and a real PostgreSQL, and each broken one against what is to notice it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import psycopg2
import pytest
from cache_promises import DEFAULT, NOTICED, Scene, all_keys_expire, calm_after_the_storm
from conftest import free_port
from redis_servers import RedisServer, running

from steps.cache import value_steps
from support import sql
from support.cache import workloads
from support.cache.clients import CacheClients, Recorder, ending, recorders_of, together
from support.engine.finding import Finding
from support.engine.history import History, Outcome
from support.engine.world import World
from support.errors import ConnectFailed, Inconclusive, UsageError
from support.example_app import schema
from support.example_app.cache import CacheRepository, Question, Read, Source, open_repository
from support.example_app.cache.interface import opener
from support.example_app.cache.repository import SESSIONS
from support.example_app.entries import Entry
from support.example_app.known_profiles import EXAMPLE
from support.example_app.sessions import room
from support.example_app.vectors import PGVECTOR
from support.reporting.evidence import Evidence
from support.run import Run
from support.sabotage import broken_caches
from support.target.cluster import Cluster
from support.target.topology import Address, Login, RedisAddress, Topology


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis"), free_port()) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(postgres: sql.Endpoint, server: RedisServer) -> Cluster:
    """One database with the application's tables, and one Redis."""
    sql.execute(postgres, "CREATE DATABASE cached")
    topology = Topology(
        database="cached",
        application=Login(postgres.user, postgres.password),
        write=Address(postgres.host, postgres.port),
        redis=RedisAddress(Address("127.0.0.1", server.port)),
    )
    sql.execute(Cluster(topology).write, "CREATE EXTENSION vector")
    schema.create(Cluster(topology).write, PGVECTOR)
    return Cluster(topology)


NUMBERS = count()


@pytest.fixture
def scene(cluster: Cluster, server: RedisServer, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """With the default cache, or with the one that the test is parametrised with."""
    said = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    cache = said.get("cache", DEFAULT)
    name = cache if ":" in cache else f"{broken_caches.__name__}:{cache}"
    made = Scene(cluster, name, f"test-{next(NUMBERS)}", server)
    with made.cleanup:
        yield made
    server.thaw()


@pytest.fixture
def cache(scene: Scene) -> CacheRepository:
    return scene.clients(1)[0].repository


# The repository


def test_what_is_written_is_read_and_what_is_not_there_is_nothing(cache: CacheRepository) -> None:
    cache.write("n", "k", "value")
    assert cache.read("n", "k") == Read("value", Source.CACHE)
    assert cache.read("n", "other") == Read(None, Source.DATABASE)
    assert cache.read("n", "other") == Read(None, Source.CACHE)
    cache.write("n", "other", "now there")
    assert cache.read("n", "other").value == "now there"


def test_what_is_not_there_is_neither_updated_nor_deleted(cache: CacheRepository) -> None:
    assert cache.update("absent", "k", "v") is False
    assert cache.delete("absent", "k") is False
    assert cache.read("absent", "k").value is None


def test_changes_of_one_transaction_are_seen_together(cache: CacheRepository) -> None:
    cache.write_many("t", {"a": "1", "b": "1", "c": "1"})
    with cache.transaction() as transaction:
        transaction.write("t", "a", "2")
        assert transaction.update("t", "b", "2")
        assert transaction.delete("t", "c")
        assert {key: read.value for key, read in cache.read_many("t", "abc").items()} == dict.fromkeys("abc", "1")
    assert {key: read.value for key, read in cache.read_many("t", "abc").items()} == {"a": "2", "b": "2", "c": None}


def test_a_transaction_that_fails_changes_nothing_and_tells_why(cache: CacheRepository) -> None:
    cache.write("f", "a", "kept")
    with pytest.raises(psycopg2.errors.NotNullViolation), cache.transaction() as transaction:  # noqa: PT012
        transaction.write("f", "a", "lost")
        transaction.write("f", "b", None)  # type: ignore[arg-type]
    assert cache.read("f", "a") == Read("kept", Source.CACHE)
    cache.write("f", "a", "and it goes on")
    assert cache.read("f", "a").value == "and it goes on"


def test_a_commit_that_fails_leaves_no_new_value_in_the_cache(scene: Scene) -> None:
    (client,) = scene.clients(1)
    sql.execute(
        scene.database,
        "CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED); INSERT INTO late VALUES (1)",
    )
    scene.cleanup.callback(sql.execute, scene.database, "DROP TABLE late")
    client.repository.write("c", "a", "kept")
    with pytest.raises(psycopg2.errors.UniqueViolation), client.repository.transaction() as transaction:  # noqa: PT012
        transaction.write("c", "a", "lost")
        sql.execute(transaction._session, "INSERT INTO late VALUES (1)")  # type: ignore[attr-defined]  # refused at commit
    assert client.repository.read("c", "a") == Read("kept", Source.DATABASE)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_writers_do_not_conflict_where_another_isolation_level_is_the_default(scene: Scene, level: str) -> None:
    with sql.session(scene.database) as session:
        sql.execute(session, f"ALTER DATABASE cached SET default_transaction_isolation = '{level}'")
    try:
        assert sql.value(scene.database, "SHOW default_transaction_isolation") == level
        finding = calm_after_the_storm(scene)
    finally:
        sql.execute(scene.database, "ALTER DATABASE cached RESET default_transaction_isolation")
    assert finding.holds is True, finding.words


@pytest.mark.parametrize(
    "key",
    [
        "CREATE UNIQUE INDEX other ON memory_entries (namespace, key) WHERE value <> 'draft'",
        "CREATE UNIQUE INDEX other ON memory_entries (namespace, key, version)",
        "ALTER TABLE memory_entries ADD CONSTRAINT other UNIQUE (namespace, key) DEFERRABLE INITIALLY DEFERRED",
        "CREATE INDEX other ON memory_entries (namespace, key)",
    ],
    ids=["partial", "further columns", "deferrable", "none"],
)
def test_writers_store_an_entry_once_whatever_index_its_key_has(scene: Scene, key: str) -> None:
    twice = "SELECT key FROM memory_entries WHERE namespace = %s GROUP BY key HAVING count(*) > 1"
    sql.execute(scene.database, f"ALTER TABLE memory_entries DROP CONSTRAINT memory_entries_pkey; {key}")
    try:
        finding = calm_after_the_storm(scene)
        stored_twice = sql.rows(scene.database, twice, [scene.namespace])
    finally:
        sql.execute(
            scene.database,
            "DELETE FROM memory_entries; ALTER TABLE memory_entries DROP CONSTRAINT IF EXISTS other; "
            "DROP INDEX IF EXISTS other; ALTER TABLE memory_entries ADD PRIMARY KEY (namespace, key)",
        )
    assert finding.holds is True, finding.words
    assert stored_twice == []


def test_an_answer_stays(cache: CacheRepository) -> None:
    question = Question("n", "counts", (1,))
    assert cache.fetch(question, lambda: 1) == Read(1, Source.DATABASE)
    assert cache.fetch(question, lambda: 2) == Read(1, Source.CACHE)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("open_repository", 'it must be "package.module:callable"'),
        ("no.such.module:thing", "No module named 'no'"),
        ("support.example_app.cache:nothing", "has no attribute 'nothing'"),
        ("support.example_app.cache:__doc__", "that is a str, not a callable"),
    ],
)
def test_a_wrong_name_of_a_repository_is_told(name: str, words: str) -> None:
    with pytest.raises(UsageError, match="ACCEPT_CACHE_REPOSITORY") as refused:
        opener(name)
    assert words in str(refused.value)


def test_the_default_is_found_by_its_name() -> None:
    assert opener(DEFAULT) is open_repository


# Sessions of clients


@pytest.mark.parametrize(("of_role", "said"), [(9, None), (-1, 7), (9, 40), (40, 7)])
def test_clients_share_the_sessions_that_the_application_may_have(scene: Scene, of_role: int, said: int | None) -> None:
    """Of 9, the scenario has 3 and the one that asks: the rest is for both clients."""
    sql.execute(scene.database, f"CREATE ROLE few LOGIN PASSWORD 'x' CONNECTION LIMIT {of_role}")
    scene.cleanup.callback(sql.execute, scene.database, "DROP OWNED BY few; DROP ROLE few")
    sql.execute(scene.database, f"GRANT ALL ON {EXAMPLE.entries.table} TO few")
    cluster = Cluster(replace(scene.cluster.topology, application=Login("few", "x")))
    clients = CacheClients(cluster, scene.name, scene.namespace, scene.cleanup, said).open_many(2)
    names = [f"entry {number}" for number in range(24)]
    scene.entries.add_many([Entry(scene.namespace, name, "value") for name in names])
    history = History()
    for client in clients:
        client.sessions.delay = 0.1
    recorders = recorders_of(clients, history, scene.namespace)
    together([partial(recorders[number % 2].read, name) for number, name in enumerate(names)])
    assert [one.error for one in history if one.outcome is not Outcome.OK] == []
    assert [len(client.sessions._opened) for client in clients] == [2, 2]


def test_a_role_without_a_limit_has_room_for_all(scene: Scene) -> None:
    assert room(scene.database) is None
    clients = scene.clients(2)
    for client in clients:
        client.sessions.delay = 0.1
    recorder = Recorder(History(), 0, clients[0], scene.namespace)
    together([partial(recorder.read, f"entry {number}") for number in range(SESSIONS + 4)])
    assert len(clients[0].sessions._opened) == SESSIONS


def test_what_the_user_says_of_sessions_counts_for_clients(cluster: Cluster, tmp_path: Path) -> None:
    world = World(Run("1", tmp_path, tmp_path, 1), cluster, Evidence(), cache_repository=DEFAULT)
    assert value_steps._opening(world).allowed is None
    assert value_steps._opening(replace(world, limits={"CL-03.sessions": 25})).allowed == 25
    assert value_steps._opening(replace(world, limits={"CL-03": 25})).allowed == 25


# What the scenarios find, of the default and of broken caches


@pytest.mark.parametrize("find", NOTICED, ids=lambda find: find.__name__)
def test_the_default_keeps_its_promises(scene: Scene, find: Callable[[Scene], Finding]) -> None:
    finding = find(scene)
    assert finding.holds is True, finding.words


@pytest.mark.parametrize(("find", "cache"), [(find, cache) for find, caches in NOTICED.items() for cache in caches])
def test_a_broken_cache_is_noticed(scene: Scene, find: Callable[[Scene], Finding], cache: str) -> None:
    finding = find(scene)
    assert finding.holds is False, finding.words


def test_a_cache_without_its_prefix_proves_nothing(scene: Scene) -> None:
    scene.name = f"{broken_caches.__name__}:ignores_the_prefix"
    assert all_keys_expire(scene).holds is None


def test_a_cache_that_loads_past_its_sessions_proves_nothing(scene: Scene) -> None:
    with pytest.raises(Inconclusive, match="through the sessions that it was given"):
        workloads.loads(scene.clients())


# Threads that others wait for


def test_readers_stop_when_the_database_refuses_the_writer(scene: Scene) -> None:
    nobody = replace(scene.database, port=free_port())
    with pytest.raises(ConnectFailed):
        workloads.replaced_while_read(
            scene.clients(), nobody, EXAMPLE, scene.namespace, changes=2, pace=0.01, afterwards=0.01
        )


def test_readers_stop_when_a_transaction_fails(scene: Scene) -> None:
    refusal = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no drafts'; END $$"
    drafts = f"FOR EACH ROW WHEN (NEW.value LIKE 'draft%' AND NEW.namespace = '{scene.namespace}')"
    table = EXAMPLE.entries.table
    sql.execute(scene.database, refusal)
    scene.cleanup.callback(sql.execute, scene.database, "DROP FUNCTION refuse CASCADE")
    sql.execute(
        scene.database,
        f"CREATE TRIGGER no_drafts BEFORE INSERT OR UPDATE ON {table} {drafts} EXECUTE FUNCTION refuse()",
    )
    with pytest.raises(sql.Error, match="no drafts"):
        workloads.rolled_back_while_read(scene.clients(), scene.namespace, rounds=1)


def test_those_who_work_until_a_job_ends_stop_when_it_fails() -> None:
    over = threading.Event()

    def fail() -> None:
        raise ConnectFailed("no more sessions")

    with pytest.raises(ConnectFailed, match="no more sessions"):
        together([ending(over, fail), lambda: over.wait(20)])
    assert over.is_set()


class _WithoutThreads(list[Callable[[], object]]):
    """Jobs; when the first has its thread, the system has no memory for the next one."""

    def __iter__(self) -> Iterator[Callable[[], object]]:
        for job in super().__iter__():
            yield job
            threading.stack_size(1 << 46)


def test_no_job_waits_for_one_that_has_no_thread() -> None:
    usual = threading.stack_size()
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            together(_WithoutThreads([lambda: 1, lambda: 2]))
    finally:
        threading.stack_size(usual)


def test_every_broken_cache_is_noticed_by_something() -> None:
    own = {
        name
        for name, found in vars(broken_caches).items()
        if getattr(found, "__module__", "") == broken_caches.__name__
    }
    noticed = {cache for caches in NOTICED.values() for cache in caches}
    by_scenarios_alone = {"ignores_the_prefix", "greets_the_database"}  # see support/sabotage/cache.py
    assert {name for name in own if name.islower() and not name.startswith("_")} <= noticed | by_scenarios_alone
