"""The repository against a real Redis and a real PostgreSQL, and each broken one against what is to notice it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import broken_caches
import psycopg2
import pytest
from conftest import free_port
from redis_servers import RedisServer, running

from support import sql
from support.application import schema
from support.application.cache import CacheRepository, Question, Read, Source, open_repository
from support.application.cache.opening import opener
from support.application.vectors import PGVECTOR
from support.checkers.expiry import every_key_ends, lived_for
from support.checkers.finding import Finding
from support.checkers.sameness import unchanged
from support.checkers.staleness import (
    every_read_is_a_fresh_hit,
    every_read_served,
    nothing_rolled_back_served,
    served_within,
)
from support.checkers.storm import storm_raged
from support.cluster.cluster import Cluster
from support.cluster.topology import Address, Login, RedisAddress, Topology
from support.errors import NothingProved, UsageError
from support.waiting import pause
from support.workloads import cache_races, cache_speed, cache_storm, cache_values, cache_visits, redis_pressure
from support.workloads.cache_clients import CacheClient, CacheClients
from support.workloads.round_trips import RoundTrips


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


@dataclass
class Scene:
    """What a scenario has: a cluster, a namespace of its own, and as many clients as it opens."""

    cluster: Cluster
    name: str
    namespace: str
    cleanup: ExitStack = field(default_factory=ExitStack)

    def clients(self, count: int = 2, **options: Any) -> list[CacheClient]:
        opening = CacheClients(self.cluster, self.name, self.namespace, self.cleanup)
        return [opening.open(**options) for _ in range(count)]

    @property
    def database(self) -> sql.Endpoint:
        return self.cluster.write


NUMBERS = count()
GOOD = "support.application.cache:open_repository"


@pytest.fixture
def scene(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """With the default cache, or with the one that the test is parametrised with."""
    said = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    own = f"broken_caches:{said['name']}" if "find" in said and "name" in said else GOOD
    made = Scene(cluster, own, f"test-{next(NUMBERS)}")
    with made.cleanup:
        yield made


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
        sql.execute(transaction._session, "INSERT INTO late VALUES (1)")  # refused by the commit alone
    assert client.repository.read("c", "a") == Read("kept", Source.DATABASE)


def test_an_answer_stays_until_it_is_forgotten(cache: CacheRepository) -> None:
    question = Question("n", "counts", (1,))
    assert cache.fetch(question, lambda: 1) == Read(1, Source.DATABASE)
    assert cache.fetch(question, lambda: 2) == Read(1, Source.CACHE)
    cache.forget(question)
    assert cache.fetch(question, lambda: 2) == Read(2, Source.DATABASE)


def test_writes_during_an_outage_are_served_by_their_writer_afterwards(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tmp_path_factory.mktemp("doomed"), free_port()) as doomed:
        (client,) = scene.clients(1, redis=Address("127.0.0.1", doomed.port))
        client.repository.write("o", "k", "old")
        doomed.freeze()
        client.repository.write("o", "k", "new")
        assert client.repository.read("o", "k") == Read("new", Source.DATABASE)
        doomed.thaw()
        pause(1.05)  # until the breaker lets one try
        assert client.repository.read("o", "k").value == "new"
        assert client.repository.read("o", "k") == Read("new", Source.CACHE)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("open_repository", 'it is to be "package.module:callable"'),
        ("no.such.module:thing", "No module named 'no'"),
        ("support.application.cache:nothing", "has no attribute 'nothing'"),
        ("support.application.cache:__doc__", "that is a str, no callable"),
    ],
)
def test_a_wrong_name_of_a_repository_is_told(name: str, words: str) -> None:
    with pytest.raises(UsageError, match="ACCEPT_CACHE_REPOSITORY") as refused:
        opener(name)
    assert words in str(refused.value)


def test_the_default_is_found_by_its_name() -> None:
    assert opener(GOOD) is open_repository


# What the scenarios find, of the default and of broken ones


def values_unchanged(scene: Scene) -> Finding:
    kinds = list(cache_values.VALUES)
    _, second = (cache_values.ask_each(one, scene.namespace, kinds) for one in scene.clients())
    stored = {kind: make() for kind, make in cache_values.VALUES.items()}
    return unchanged(stored, cache_visits.out_of_the_cache(second))


def life_is_as_long_as_told(scene: Scene) -> Finding:
    (client,) = scene.clients(1, time_to_live=0.6)
    return lived_for(0.6, 0.05, cache_races.expiry(client, scene.database, scene.namespace, 1.0))


def all_ends(scene: Scene) -> Finding:
    (client,) = scene.clients(1, time_to_live=30)
    cache_visits.cache_in_every_way(client, scene.namespace)
    return every_key_ends(redis_pressure.lives(scene.cluster.redis(), scene.namespace), 30)


def deleted_for_all(scene: Scene) -> Finding:
    clients = scene.clients(3)
    clients[0].repository.write(scene.namespace, cache_races.KEY, "value")
    cache_visits.reads_in_turn(clients, scene.namespace)
    clients[0].repository.delete(scene.namespace, cache_races.KEY)
    return every_read_served(None, cache_visits.reads_in_turn(clients, scene.namespace))


def one_round_trip(scene: Scene) -> Finding:
    assert scene.cluster.topology.redis is not None
    trips = scene.cleanup.enter_context(RoundTrips(scene.cluster.topology.redis.address))
    (client,) = scene.clients(1, redis=trips.address)
    read = cache_visits.read_at_once(client, trips, scene.namespace, 10)
    one, many = (cache_visits.store_at_once(client, trips, scene.namespace, count) for count in (1, 10))
    words = f"{read.round_trips} to read 10, {one.round_trips} to store 1, {many.round_trips} to store 10"
    return Finding(read.round_trips == 1 and 0 < many.round_trips <= one.round_trips, words)


def questions_apart(scene: Scene) -> Finding:
    questions = cache_values.similar_questions(scene.namespace)
    _, second = (cache_values.answers_of(one.repository, questions) for one in scene.clients())
    return unchanged({repr(one): repr(one) for one in questions}, cache_visits.out_of_the_cache(second))


def entries_apart(scene: Scene) -> Finding:
    names = cache_values.similar_entries(
        [scene.namespace, *(f"{scene.namespace}-{suffix}" for suffix in cache_values.SUFFIXES)]
    )
    _, second = cache_values.store_and_read(scene.clients(), names)
    return unchanged({repr(one): repr(one) for one in names}, cache_visits.out_of_the_cache(second))


def calm_after_the_storm(scene: Scene) -> Finding:
    clients, keys = scene.clients(), [str(number) for number in range(10)]
    history = cache_storm.storm(clients, scene.namespace, threads=8, keys=keys, times=150, seed=1)
    held = cache_storm.held(scene.database, clients, scene.namespace, keys)
    agreement = unchanged(held, cache_storm.served(clients, scene.namespace, keys))
    return storm_raged(history) if agreement.holds else agreement


def bounded_staleness(scene: Scene) -> Finding:
    clients = scene.clients(staleness_bound=0.6)
    history = cache_races.replaced_while_read(
        clients, scene.database, scene.namespace, changes=4, pace=0.05, afterwards=0.9
    )
    return served_within(0.6, history)


def no_late_fill(scene: Scene) -> Finding:
    history = cache_races.late_fill(
        scene.clients(), scene.namespace, lambda recorder: recorder.update(cache_races.KEY, "new")
    )
    return served_within(0, history)


def one_load(scene: Scene) -> Finding:
    clients = scene.clients()
    clients[0].repository.write(scene.namespace, cache_races.KEY, "value")
    clients[0].repository.invalidate(scene.namespace, cache_races.KEY)
    history = cache_races.crowd(clients, scene.namespace, readers=20, delay=0.2)
    every_read_served("value", history).require()
    loads = cache_visits.loads(clients)
    return Finding(loads == 1, f"{loads} loads")


def nothing_rolled_back(scene: Scene) -> Finding:
    clients = scene.clients()
    finding = nothing_rolled_back_served(cache_races.rolled_back_while_read(clients, scene.namespace, rounds=2))
    which = (clients, scene.namespace, cache_races.ENTRIES)
    return unchanged(cache_storm.held(scene.database, *which), cache_storm.served(*which)) if finding.holds else finding


def fresh_hits(scene: Scene) -> Finding:
    return every_read_is_a_fresh_hit(cache_visits.writes_and_reads(scene.clients(), scene.namespace, 5))


def miss_then_hit(scene: Scene) -> Finding:
    clients = scene.clients()
    reads = [read.action for read in cache_visits.reads_in_turn(clients, scene.namespace)]
    return Finding(reads == ["miss", "hit"], str(reads))


def fast(scene: Scene) -> Finding:
    (client,) = scene.clients(1)
    rates = [
        cache_speed.fastest(operations, enough=500, within=2)
        for operations in (cache_speed.reads(client, scene.namespace), cache_speed.writes(client, scene.namespace))
    ]
    return Finding(min(rates) > 500, f"{rates} a second")


NOTICED: dict[Callable[[Scene], Finding], list[str]] = {
    values_unchanged: ["caches_as_text", "never_caches"],
    life_is_as_long_as_told: ["never_expires", "expires_early", "expires_late"],
    all_ends: ["never_expires", "expires_late"],
    deleted_for_all: ["forgets_to_invalidate", "remembers_in_process"],
    one_round_trip: ["one_by_one"],
    questions_apart: ["joins_with_colons", "forgets_the_table", "forgets_types"],
    entries_apart: ["joins_with_colons"],
    calm_after_the_storm: ["forgets_to_invalidate", "remembers_in_process"],
    bounded_staleness: ["never_expires", "remembers_in_process"],
    no_late_fill: ["fills_late", "naive", "forgets_to_invalidate"],
    one_load: ["every_caller_loads", "naive"],
    nothing_rolled_back: ["writes_before_commit", "naive"],
    fresh_hits: ["invalidates_where_it_should_write_through", "never_caches", "remembers_in_process"],
    miss_then_hit: ["never_caches"],
    fast: ["slow"],
}
"""What a scenario finds -> the broken caches of which it is to find otherwise."""


@pytest.mark.parametrize("find", NOTICED, ids=lambda find: find.__name__)
def test_the_default_keeps_its_promises(scene: Scene, find: Callable[[Scene], Finding]) -> None:
    finding = find(scene)
    assert finding.holds is True, finding.words


@pytest.mark.parametrize(("find", "name"), [(find, name) for find, names in NOTICED.items() for name in names])
def test_a_broken_cache_is_noticed(scene: Scene, find: Callable[[Scene], Finding], name: str) -> None:
    finding = find(scene)
    assert finding.holds is False, finding.words


def test_a_cache_without_its_prefix_proves_nothing(scene: Scene) -> None:
    scene.name = "broken_caches:ignores_the_prefix"
    assert all_ends(scene).holds is None


def test_a_cache_that_loads_past_its_sessions_proves_nothing(scene: Scene) -> None:
    with pytest.raises(NothingProved, match="through the sessions that it was given"):
        cache_visits.loads(scene.clients())


def test_every_broken_cache_is_noticed_by_something() -> None:
    broken = {
        name for name, found in vars(broken_caches).items() if getattr(found, "__module__", "") == "broken_caches"
    }
    noticed = {name for names in NOTICED.values() for name in names} | {"ignores_the_prefix"}
    assert {name for name in broken if name.islower() and not name.startswith("_")} == noticed
