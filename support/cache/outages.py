"""What can become of Redis: gone, silent, empty, full.

Clients that use the cache all the time while something else happens, each as one process of the application.

The cache when Redis fails, and when the database fails over: what its clients may notice, and what they may not.
"""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic

import redis

from support import sql
from support.cache.checks import (
    cached_again,
    forgotten_within,
    last_served,
    nothing_reached_callers,
    own_writes_seen,
    reads_of,
    slowest,
)
from support.cache.clients import LONG, CacheClient, Recorder, together
from support.cache.races import KEY
from support.engine.finding import Finding
from support.engine.history import History, Outcome
from support.engine.recovery import require_other_leader
from support.engine.world import World
from support.errors import Inconclusive, NotInTime
from support.example_app.entries import EntryStore
from support.faults.nemesis import Fault
from support.faults.network import of_leader
from support.faults.process import Freeze, Kill, Restart
from support.faults.roles import cache_host
from support.hosts import Process
from support.target.cluster import Cluster
from support.timeouts import NOTICE, VISIBLE
from support.waiting import NotYet, describe, eventually, pause

_PROBE = "accept-probe"


class Emptied:
    """Redis is killed and started again at once, with nothing of what it held."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._restart = cluster, Restart(_server(cluster))

    def __str__(self) -> str:
        return f"{self._restart}, empty"

    def inject(self) -> None:
        with self._cluster.redis() as client:
            client.set(_PROBE, "", ex=60)
        self._restart.inject()

    def require_in_effect(self) -> None:
        self._restart.require_in_effect()
        with self._cluster.redis() as client:
            try:
                kept = client.exists(_PROBE)
            except redis.ConnectionError as error:
                raise NotYet(f"Redis does not answer: {error}") from error
        if kept:
            raise Inconclusive("Redis, started again, holds what it held before")

    def heal(self) -> None:
        self._restart.heal()


class Full:
    """Redis holds as much as it may, and has been told to evict nothing: it serves what it has, and takes no more."""

    _SETTINGS: Mapping[str, str] = {"maxmemory-policy": "noeviction", "maxmemory": "1"}

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._before: dict[str, str] = {}

    def __str__(self) -> str:
        return "Redis is full"

    def inject(self) -> None:
        with self._cluster.redis() as client:
            self._before = {name: client.config_get(name)[name] for name in self._SETTINGS}
            self._configure(client, self._SETTINGS)

    def require_in_effect(self) -> None:
        with self._cluster.redis() as client:
            try:
                client.set(_PROBE, "", ex=1)
            except redis.OutOfMemoryError:
                return
        raise NotYet("Redis takes writes")

    def heal(self) -> None:
        with self._cluster.redis() as client:
            self._configure(client, self._before)

    @staticmethod
    def _configure(client: redis.Redis, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            client.config_set(name, value)


OUTAGES: Mapping[str, Callable[[Cluster], Fault]] = {
    "is killed": lambda cluster: Kill(_server(cluster)),
    "freezes": lambda cluster: Freeze(cache_host(cluster)),
    "is restarted empty": Emptied,
    "is full": Full,
}
"""What becomes of it, in the users' words -> the fault."""


def _server(cluster: Cluster) -> Process:
    return cache_host(cluster).processes["redis"]


_PACE = 0.02  # seconds between two operations of a thread


_OWN = 5


def own_keys(client: int) -> list[str]:
    """The keys of the entries that only this client changes: some, so that each is left alone for a moment."""
    return [f"entry {number} of client {client}" for number in range(_OWN)]


def worked_through(clients: Sequence[CacheClient], namespace: str, disturbance: Callable[[History], object]) -> History:
    """Each client changes its own entries, and reads those of all, before `disturbance`, during it and to its end."""
    history, over = History(), threading.Event()
    recorders = [Recorder(history, number, client, namespace) for number, client in enumerate(clients)]
    for number, recorder in enumerate(recorders):
        for key in own_keys(number):
            recorder.write(key, "first")

    keys = [key for number in range(len(clients)) for key in own_keys(number)]
    writing = [partial(_write, over, recorder, own_keys(number)) for number, recorder in enumerate(recorders)]
    reading = [partial(_read, over, recorder, keys) for recorder in recorders]
    together([partial(_disturb, over, disturbance, history), *writing, *reading])
    return history


def read_through(
    clients: Sequence[CacheClient], namespace: str, key: str, disturbance: Callable[[History], object]
) -> History:
    """Each client reads one entry, before `disturbance`, during it and to its end."""
    history, over = History(), threading.Event()
    recorders = [Recorder(history, number, client, namespace) for number, client in enumerate(clients)]
    reading = [partial(_read, over, recorder, [key]) for recorder in recorders]
    together([partial(_disturb, over, disturbance, history), *reading])
    return history


def _disturb(over: threading.Event, disturbance: Callable[[History], object], history: History) -> None:
    """Say that it is over when it is, however it ended."""
    try:
        disturbance(history)
    finally:
        over.set()


def await_hits(history: History, clients: int, since: float, within: float) -> None:
    """Wait until every client has been served out of the cache by a read that began after `since`."""

    def all_hit() -> None:
        hits = {one.client for one in history.of(action="hit", outcome=Outcome.OK) if one.begun > since}
        if len(hits) < clients:
            raise NotYet(f"{len(hits)} of {clients} were")

    eventually(all_hit, within=within, subject="every client is served out of the cache", pause=_PACE)


def _read(over: threading.Event, recorder: Recorder, keys: Sequence[str]) -> None:
    """Read these entries in turn, again and again."""
    while not over.is_set():
        for key in keys:
            recorder.read(key)
            pause(_PACE)


def _write(over: threading.Event, recorder: Recorder, keys: Sequence[str]) -> None:
    """Change these entries in turn, again and again, written anew and updated by turns."""
    for number in itertools.count():
        for key in keys:
            if over.is_set():
                return
            change = recorder.update if number % 2 else recorder.write
            change(key, str(number))
            pause(_PACE)


OUTAGE = 3.0
"""Seconds that an outage of Redis lasts: enough to be tried again several times, and to fail again."""

KEPT, LOST = "acknowledged by the cluster", "committed by a lone leader"
"""The values of the entry that a failover takes back."""


def work_through_outage(world: World, what: str) -> None:
    """Clients read and write through the cache all the time, while something becomes of Redis; see OUTAGES."""
    cluster, experiment, clients = world.cluster, world.experiment, len(world.cache_clients)

    def outage(history: History) -> None:
        _require_caching(history, clients)
        experiment.inject(OUTAGES[what](cluster), cache_host(cluster).name)
        pause(OUTAGE)
        experiment.nemesis.heal()
        with suppress(NotInTime):  # judged afterwards
            await_hits(history, clients, experiment.healing_since, within=NOTICE)
        pause(VISIBLE / 5)  # what is served once all is well belongs to it

    world.history = worked_through(world.cache_clients, world.namespace, outage)


def require_unnoticed(world: World, limit: float) -> None:
    """No operation failed, none took `limit` seconds, and each client was served what it had written itself."""
    experiment, history, clients = world.experiment, _history(world), len(world.cache_clients)
    world.measure("the slowest operation took", slowest(history), "s", limit)
    nothing_reached_callers(
        limit, history, clients, experiment.injected_fault.in_effect_since, experiment.healing_since
    ).require()
    own_writes_seen(history, own_keys, clients).require()


def require_caching_resumed(world: World, limit: float) -> None:
    """Every client has been served out of the cache within `limit` seconds of the end of the outage."""
    history, since = _history(world), world.experiment.healing_since
    took = cached_again(history, range(len(world.cache_clients)), since)
    if took is None:
        waited = max(one.ended for one in history) - since
        raise AssertionError(
            f"not every client had a hit in the {waited:.1f} s after the outage (allowed: {limit:g} s)"
        )
    world.measure("every client was served out of the cache again after", took, "s", limit)
    Finding(took < limit, f"every client had a hit {took:.1f} s after the outage (allowed: {limit:g} s)").require()


def work_through_lost_write(world: World) -> None:
    """Clients read an entry through the cache all the time, while a leader that is cut off from all but its clients
    commits a change of it alone, and another member takes over."""
    clients = world.cache_clients
    clients[0].repository.write(world.namespace, KEY, KEPT)

    def failover(history: History) -> None:
        _commit_alone(world)
        clients[0].repository.invalidate(world.namespace, KEY)  # now the change is loaded, as by any miss
        _await_served(history, LOST, len(clients), since=0.0, within=VISIBLE)
        require_other_leader(world, world.timing.recovery)
        world.scene["led from"] = led_from = monotonic()
        with suppress(NotInTime):  # judged afterwards
            _await_served(history, KEPT, len(clients), since=led_from, within=LONG)

    world.history = read_through(clients, world.namespace, KEY, failover)
    if world.entries.find(world.namespace, KEY)[0].value != KEPT:
        raise Inconclusive("the new leader holds what the old one wrote alone: nothing was lost")


def require_lost_write_forgotten(world: World, bound: float) -> None:
    """What the failover lost was served for at most `bound` seconds after another member led."""
    history, since = _history(world), world.scene["led from"]
    world.measure("what was lost was served after the failover for", last_served(history, LOST, since), "s", bound)
    forgotten_within(bound, history, LOST, KEPT, since, len(world.cache_clients)).require()


def _commit_alone(world: World) -> None:
    """Raises Inconclusive when the leader, cut off, takes no change of its own."""
    experiment, leader = world.experiment, world.cluster.leader()
    with sql.session(world.cluster.of_member(leader)) as session:
        sql.execute(session, "SET synchronous_commit = local")
        experiment.inject(of_leader(world.cluster, "all but its clients"), leader)
        refused = sql.error_of(lambda: EntryStore(session, world.profile).update(world.namespace, KEY, LOST))
    if refused is not None:
        raise Inconclusive(f"{leader}, cut off, took no change of its own: {describe(refused)}")


def _await_served(history: History, value: str, clients: int, since: float, within: float) -> None:
    """Wait until every client was served that by a read that began after `since`. Raises NotInTime."""

    def served() -> None:
        having = {one.client for one in reads_of(history) if one.value == value and one.begun > since}
        if len(having) < clients:
            raise NotYet(f"{len(having)} of {clients} were")

    eventually(served, within=within, subject=f"every client of the cache is served {value!r}")


def _require_caching(history: History, clients: int) -> None:
    try:
        await_hits(history, clients, monotonic(), within=VISIBLE)
    except NotInTime as error:
        raise Inconclusive(f"the cache did not cache before the outage: {error}") from error


def _history(world: World) -> History:
    if world.history is None:
        raise Inconclusive("nobody used the cache")
    return world.history
