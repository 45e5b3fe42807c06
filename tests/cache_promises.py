"""What the scenarios of the cache do and find, on a smaller scale, and which broken caches each must notice."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from redis_servers import RedisServer

from support import sql
from support.cache import speed, values, workloads
from support.cache.checks import (
    every_key_expires,
    every_read_is_a_fresh_hit,
    every_read_served,
    lived_for,
    nothing_rolled_back_served,
    reads_of,
    served_within,
    storm_was_heavy,
)
from support.cache.clients import CacheClient, CacheClients, Recorder
from support.cache.outages import WritesRefused
from support.cache.redis_server import remaining_lifetimes
from support.cache.round_trips import RoundTripCounter, read_batch, store_batch
from support.cache.workloads import KEY
from support.engine.checks.answers import unchanged
from support.engine.finding import Finding
from support.engine.history import History
from support.example_app.entries import EntryStore
from support.example_app.known_profiles import EXAMPLE
from support.target.cluster import Cluster
from support.target.redis import primary_of
from support.waiting import eventually

DEFAULT = "support.example_app.cache:open_repository"
_LIVES = 5


@dataclass
class Scene:
    """What a scenario has: a cluster, its own namespace, and the clients that it opens."""

    cluster: Cluster
    name: str
    namespace: str
    redis: RedisServer
    cleanup: ExitStack = field(default_factory=ExitStack)

    def clients(self, count: int = 2, **options: Any) -> list[CacheClient]:
        return CacheClients(self.cluster, self.name, self.namespace, self.cleanup).open_many(count, **options)

    @property
    def database(self) -> sql.Endpoint:
        return self.cluster.write

    @property
    def entries(self) -> EntryStore:
        return EntryStore(self.cluster.write, EXAMPLE)


def values_unchanged(scene: Scene) -> Finding:
    kinds = list(values.VALUES)
    _, second = values.fetch_each_type(scene.clients(), scene.namespace, kinds)
    return unchanged({kind: values.VALUES[kind]() for kind in kinds}, values.hits(second))


def life_is_as_long_as_told(scene: Scene) -> Finding:
    """The best of several tries, as in a quiet moment: a wrong lifetime is wrong each time."""
    (client,) = scene.clients(1, time_to_live=0.6)
    for number in range(_LIVES):
        namespace = f"{scene.namespace}-{number}"
        finding = lived_for(0.6, 0.05, workloads.expiry(client, scene.entries, namespace, 1.0))
        if finding.holds:
            break
    return finding


def all_keys_expire(scene: Scene) -> Finding:
    (client,) = scene.clients(1, time_to_live=30)
    values.cache_by_every_operation(client, scene.namespace)
    return every_key_expires(remaining_lifetimes(scene.cluster.redis(), scene.namespace), 30)


def deleted_for_all(scene: Scene) -> Finding:
    clients = scene.clients(3)
    clients[0].repository.write(scene.namespace, KEY, "value")
    workloads.reads_in_turn(clients, scene.namespace)
    clients[0].repository.delete(scene.namespace, KEY)
    return every_read_served(None, workloads.reads_in_turn(clients, scene.namespace))


def one_round_trip(scene: Scene) -> Finding:
    assert scene.cluster.topology.redis is not None
    trips = scene.cleanup.enter_context(RoundTripCounter(primary_of(scene.cluster.topology.redis).address))
    (client,) = scene.clients(1, redis=trips.address)
    read = read_batch(client, trips, scene.namespace, 10)
    one, many = (store_batch(client, trips, scene.namespace, count) for count in (1, 10))
    words = f"{read.round_trips} to read 10, {one.round_trips} to store 1, {many.round_trips} to store 10"
    return Finding(read.round_trips == 1 and 0 < many.round_trips <= one.round_trips, words)


def questions_apart(scene: Scene) -> Finding:
    questions = values.similar_questions(scene.namespace)
    right, (_, second) = values.fetch_similar(scene.clients(), questions)
    return unchanged(right, values.hits(second))


def entries_apart(scene: Scene) -> Finding:
    names = values.similar_entries([scene.namespace, *(f"{scene.namespace}-{suffix}" for suffix in values.SUFFIXES)])
    stored, (_, second) = values.store_and_read(scene.clients(), names)
    return unchanged(stored, values.hits(second))


def calm_after_the_storm(scene: Scene) -> Finding:
    clients, keys = scene.clients(), [f"entry {number}" for number in range(10)]
    history = workloads.storm(clients, scene.namespace, threads=8, keys=keys, times=150, seed=1)
    held = workloads.held_by_database(scene.entries, clients, scene.namespace, keys)
    agreement = unchanged(held, workloads.served_by_cache(clients, scene.namespace, keys))
    return storm_was_heavy(history) if agreement.holds else agreement


def bounded_staleness(scene: Scene) -> Finding:
    clients = scene.clients(staleness_bound=0.6)
    history = workloads.replaced_while_read(
        clients, scene.database, EXAMPLE, scene.namespace, changes=4, pace=0.05, afterwards=0.9
    )
    return served_within(0.6, history)


def no_late_fill(scene: Scene) -> Finding:
    history = workloads.change_during_load(
        scene.clients(), scene.namespace, lambda recorder: recorder.update(KEY, "new")
    )
    return served_within(0, history)


def one_load(scene: Scene) -> Finding:
    clients = scene.clients()
    clients[0].repository.write(scene.namespace, KEY, "value")
    clients[0].repository.invalidate(scene.namespace, KEY)
    history = workloads.stampede(clients, scene.namespace, readers=20, delay=0.2)
    every_read_served("value", history).require()
    loads = workloads.loads(clients)
    return Finding(loads == 1, f"{loads} loads")


def nothing_rolled_back(scene: Scene) -> Finding:
    clients = scene.clients()
    finding = nothing_rolled_back_served(workloads.rolled_back_while_read(clients, scene.namespace, rounds=2))
    if not finding.holds:
        return finding
    which = (clients, scene.namespace, workloads.ROLLED_BACK)
    return unchanged(workloads.held_by_database(scene.entries, *which), workloads.served_by_cache(*which))


def fresh_hits(scene: Scene) -> Finding:
    return every_read_is_a_fresh_hit(workloads.writes_and_reads(scene.clients(), scene.namespace, 5))


def miss_then_hit(scene: Scene) -> Finding:
    reads = [read.action for read in reads_of(workloads.reads_in_turn(scene.clients(), scene.namespace))]
    return Finding(reads == ["miss", "hit"], str(reads))


_RATE, _TRIES = 300, 10
"""A cache that needs 6 ms for each read does 160 a second."""


def fast(scene: Scene) -> Finding:
    """The best of several tries, as in a quiet moment: a slow cache is slow each time."""
    (client,) = scene.clients(1)
    rates = [0.0, 0.0]
    for number in range(_TRIES):
        own = f"{scene.namespace}-{number}"
        found = (speed.throughput(kind(client, own), seconds=0.2) for kind in (speed.reads, speed.writes))
        rates = list(map(max, rates, found))
        if min(rates) > _RATE:
            break
    return Finding(min(rates) > _RATE, f"{rates} a second")


def outage_survived(scene: Scene) -> Finding:
    """Redis freezes, entries are changed meanwhile, and Redis thaws."""
    return _changed_meanwhile(scene, scene.redis.freeze, scene.redis.thaw)


def refusals_survived(scene: Scene) -> Finding:
    """Redis refuses every write, entries are changed meanwhile, and Redis accepts writes again."""
    fault = WritesRefused(scene.cluster)

    def begin() -> None:
        fault.inject()
        fault.require_in_effect()

    return _changed_meanwhile(scene, begin, fault.heal)


def _changed_meanwhile(scene: Scene, begin: Callable[[], None], end: Callable[[], None]) -> Finding:
    (client,) = scene.clients(1)
    history, keys = History(), [f"entry {number}" for number in range(4)]
    recorder = Recorder(history, 0, client, scene.namespace)
    for key in keys:
        recorder.write(key, "old")
    try:
        begin()
        begun = time.monotonic()
        for key in keys:
            recorder.write(key, "new")
            recorder.read(key)
        took = time.monotonic() - begun
    finally:
        end()

    def hits_again() -> None:
        assert {recorder.read(key).action for key in keys} == {"hit"}

    eventually(hits_again, within=10, subject="Redis is asked again")
    served = served_within(0, history)
    return served if took < 3 else Finding.false(f"{2 * len(keys)} operations took {took:.1f} s")


NOTICED: dict[Callable[[Scene], Finding], list[str]] = {
    values_unchanged: ["caches_as_text", "never_caches"],
    life_is_as_long_as_told: [
        "never_expires",
        "expires_early",
        "expires_late",
    ],
    all_keys_expire: ["never_expires", "expires_late"],
    deleted_for_all: ["forgets_to_invalidate", "remembers_in_process"],
    one_round_trip: ["one_by_one"],
    questions_apart: [
        "joins_with_colons",
        "forgets_the_table",
        "forgets_types",
    ],
    entries_apart: ["joins_with_colons"],
    calm_after_the_storm: ["forgets_to_invalidate", "remembers_in_process"],
    bounded_staleness: ["never_expires", "remembers_in_process"],
    no_late_fill: ["fills_late", "naive_cache:NaiveCache", "forgets_to_invalidate"],
    one_load: ["every_caller_loads", "naive_cache:NaiveCache"],
    nothing_rolled_back: ["writes_before_commit", "naive_cache:NaiveCache"],
    fresh_hits: [
        "invalidates_where_it_should_write_through",
        "never_caches",
        "remembers_in_process",
    ],
    miss_then_hit: ["never_caches"],
    fast: ["slow"],
    outage_survived: ["falls_over_with_redis", "waits_for_redis", "forgets_what_an_outage_swallowed"],
    refusals_survived: ["falls_over_with_redis", "forgets_what_redis_refused"],
}
"""What a scenario finds -> the caches that it must find broken; those without a module are of
`support.sabotage.broken_caches`."""
