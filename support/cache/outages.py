"""The cache under faults: an outage of Redis, and a failover of the database that loses a write.

An outage of Redis may cost the clients time, but no errors and no stale answers. Clients use the cache all the time,
from before the fault until after it is healed; the checks then judge their history.
"""

import itertools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic

import redis

from support import sql
from support.cache.checks import Handoff, reads_of
from support.cache.clients import LONG, Recorder, ending, recorders_of, together
from support.cache.handover import CacheHandover
from support.cache.workloads import KEY
from support.engine.history import History, Outcome
from support.engine.isolated_leader import commit_alone
from support.engine.recovery import require_other_leader
from support.engine.world import World
from support.errors import Inconclusive, NotInTime
from support.example_app.entries import EntryStore
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.faults.network import WITH_ITS_CLIENTS, partition_of_leader
from support.faults.process import Restart
from support.faults.served import RedisFrozen, RedisKilled
from support.hosts.interface import SiteProgram
from support.target.cluster import Cluster
from support.target.component_hosts import cache_host
from support.target.redis import ERRORS, client_of, keys_at, primaries_of, replicas_of, role_of, sentinel_of
from support.target.temporary_redis_settings import TemporarySettings
from support.target.topology import Address, RedisAddress
from support.timeouts import NOTICE, SCAN, VISIBLE
from support.waiting import NotYet, describe, eventually, pause, precondition

_PROBE = "accept-probe"  # a key in Redis
_SLOTS = 16384


class RestartedEmpty(Fault):
    """Redis is killed and restarted at once, and has lost what it had since its last snapshot, if it makes any."""

    def __init__(self, cluster: Cluster, server: RedisAddress) -> None:
        self._server, self._restart = server, Restart(_server(cluster, server))
        self._probe = _PROBE

    def told(self, names: Names) -> str:
        return f"{self._restart.told(names)}, without what it had since its last snapshot, if it made one"

    def on_hosts(self) -> None:
        """See OnHosts."""
        self._restart.on_hosts()

    def inject(self) -> None:
        with client_of(self._server) as client:
            self._probe = _probe_of(client)
        self.on_hosts()

    def require_in_effect(self) -> None:
        self._restart.require_in_effect()
        try:
            with client_of(self._server) as client:
                kept = client.exists(self._probe)
        except ERRORS as error:
            raise NotYet(f"Redis does not answer: {describe(error)}") from error
        if kept:
            raise Inconclusive("Redis still has its latest data after the restart")

    def heal(self) -> None:
        self._restart.heal()


def _probe_of(client: redis.Redis) -> str:
    """Sets a probe on this very server. Each node of a Redis Cluster has some of the slots, and takes other names."""
    for number in range(_SLOTS):
        name = f"{_PROBE}-{number}"
        with suppress(redis.exceptions.MovedError):
            client.set(name, "", ex=60)
            return name
    raise Inconclusive("the Redis that is to be restarted has no slot of its Redis Cluster")


class _Setting(Fault):
    """Settings of Redis that make it refuse something. They are given back when the fault is healed."""

    _SETTINGS: Mapping[str, str]

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._change = TemporarySettings(cluster.redis_address, str(self), self._SETTINGS)

    def on_hosts(self) -> None:
        """Does nothing to hosts: Redis is controlled through its own protocol."""

    def inject(self) -> None:
        self._change.begin()

    def heal(self) -> None:
        self._change.end()


class Full(_Setting):
    """Redis has reached its memory limit and must not evict: it serves what it has, deletes, and stores nothing."""

    _SETTINGS: Mapping[str, str] = {"maxmemory-policy": "noeviction", "maxmemory": "1"}

    def told(self, names: Names) -> str:
        return "Redis is full"

    def require_in_effect(self) -> None:
        with self._cluster.redis() as client:
            try:
                client.set(_PROBE, "", ex=1)
            except redis.OutOfMemoryError:
                return
        raise NotYet("Redis still accepts writes")


class WritesRefused(_Setting):
    """Redis serves what it has and refuses every write, deletions too, as after a snapshot that could not be stored.

    Here it refuses them because it has too few replicas. Scripts are refused since Redis 7.
    """

    _SETTINGS: Mapping[str, str] = {"min-replicas-max-lag": "10", "min-replicas-to-write": "1000"}
    """More replicas than any Redis has; with a lag of 0, Redis would not ask for them."""
    _REFUSAL = "NOREPLICAS"

    def told(self, names: Names) -> str:
        return "Redis refuses every write"

    def require_in_effect(self) -> None:
        with self._cluster.redis() as client:
            try:
                client.unlink(_PROBE)
            except redis.ResponseError as error:
                if self._REFUSAL in str(error):
                    return
                raise
        raise NotYet("Redis still accepts deletions")


_CONVERTED = 40.0
"""Seconds within which Sentinel makes a replica of a master that it has replaced.

It leaves it alone for 8 s, lest others do not know yet (SENTINEL_PUBLISH_PERIOD * 4), and looks at it every 10 s. Until
then that one takes writes, and clients keep their connections to it.

Source: https://github.com/redis/redis/blob/7.2/src/sentinel.c (sentinelRefreshInstanceInfo)
"""


_ELECTED = 2.0
"""Seconds within which a replica of a Redis Cluster has taken over if it was elected."""


class FailedOver(Fault):
    """Redis is told to fail over: a replica takes over from each server that takes writes, which then follows it."""

    takes_effect_within = _CONVERTED

    def __init__(self, cluster: Cluster) -> None:
        self._server = cluster.redis_address
        self._before = {server.address: server for server in primaries_of(self._server)}
        self._told = 0.0  # when a replica of a Redis Cluster was last told to take over

    def told(self, names: Names) -> str:
        return "Redis fails over"

    def on_hosts(self) -> None:
        """Does nothing to hosts: Redis is controlled through its own protocol."""

    def inject(self) -> None:
        if self._server.mode == "sentinel":
            self._by_sentinel(list(sentinel_of(self._server).sentinels))
            return
        for replica in replicas_of(self._server).values():
            self._promote(replica)

    def _promote(self, replica: RedisAddress) -> None:
        with client_of(replica) as client:
            client.execute_command("CLUSTER", "FAILOVER")
        self._told = monotonic()

    def _promote_again(self, still: Collection[Address]) -> None:
        """One of those that were not elected: if several replicas ask for votes at once, none may get enough."""
        if self._server.mode == "cluster" and monotonic() - self._told > _ELECTED:
            replicas = replicas_of(self._server)
            if waiting := [replica for primary, replica in replicas.items() if primary in still]:
                self._promote(waiting[0])

    def _by_sentinel(self, sentinels: Sequence[redis.Redis]) -> None:
        """The command goes to the first Sentinel that answers; one of them may be down."""
        for number, sentinel in enumerate(sentinels, 1):
            try:
                sentinel.execute_command("SENTINEL", "FAILOVER", self._server.service)
                return
            except (redis.ConnectionError, redis.TimeoutError):
                if number == len(sentinels):
                    raise

    def require_in_effect(self) -> None:
        try:
            now = {server.address for server in primaries_of(self._server)}
        except ERRORS as error:
            raise NotYet(f"Redis reports no primary: {describe(error)}") from error
        if still := self._before.keys() & now:
            self._promote_again(still)
            raise NotYet(f"{', '.join(map(str, still))} still leads")
        for address, former in self._before.items():
            with client_of(former) as client:
                if role_of(client) == "master":
                    raise NotYet(f"{address} was replaced, and still accepts writes")

    def heal(self) -> None:
        """Nothing to heal: the server that was replaced follows the new one."""


_Outage = RedisKilled | RedisFrozen | RestartedEmpty | Full | WritesRefused | FailedOver
_OF_ONE: Mapping[str, Callable[[Cluster, RedisAddress], RedisKilled | RedisFrozen | RestartedEmpty]] = {
    "is killed": lambda cluster, server: RedisKilled(_server(cluster, server), server=server),
    "freezes": lambda cluster, server: RedisFrozen(cache_host(cluster, server), server=server),
    "is restarted empty": RestartedEmpty,
}
_OF_ALL: Mapping[str, Callable[[Cluster], Full | WritesRefused | FailedOver]] = {
    "is full": Full,
    "refuses every write": WritesRefused,
    "fails over": FailedOver,
}
OUTAGES = (*_OF_ONE, *_OF_ALL)
"""What happens to Redis, in the words of the scenarios."""


def outage(cluster: Cluster, fails: str, prefix: str) -> _Outage:
    """The fault of that name in OUTAGES. Of several primaries, it hits the one with the keys that have that prefix.

    Without a prefix it hits the first, as in a plan. Raises Inconclusive if none has such a key.
    """
    if of_all := _OF_ALL.get(fails):
        return of_all(cluster)
    return _OF_ONE[fails](cluster, holder(cluster.redis_address, prefix))


def holder(server: RedisAddress, prefix: str) -> RedisAddress:
    """The primary with most of the keys that begin with the prefix: a scenario's may all be on one node of many.

    Raises Inconclusive if there are several primaries, and none has such a key.
    """
    primaries = primaries_of(server)
    if len(primaries) == 1 or not prefix:
        return primaries[0]
    found = {one: len(keys_at(one, prefix, SCAN)) for one in primaries}
    most = max(primaries, key=lambda one: found[one])
    if not found[most]:
        raise Inconclusive(f"no key that begins with {prefix} was found in Redis, so nobody would notice its outage")
    return most


def _server(cluster: Cluster, server: RedisAddress) -> SiteProgram:
    return cache_host(cluster, server).processes["redis"]


def _has_all(server: RedisAddress, among: RedisAddress, prefix: str) -> bool:
    """Whether no other primary has a key with that prefix."""
    return not any(keys_at(one, prefix, SCAN) for one in primaries_of(among) if one.address != server.address)


def _leads_still(server: RedisAddress, among: RedisAddress) -> bool:
    """Whether no replica has taken over from that primary. False if nobody tells."""
    try:
        return server.address in {one.address for one in primaries_of(among)}
    except ERRORS:
        return among.mode == "standalone"


# An outage of Redis

CACHE = "Redis"
"""What the report calls the target of its outages."""
OUTAGE = 2.0
"""Seconds that an outage of Redis lasts once it was seen, which takes up to a second: long enough for several retries,
and for these to fail; short enough that what Redis had before has not expired when it is back."""
_AFTERWARDS = 3.0
"""Seconds for which clients go on when all is well: reads have to come later after a change than values may be stale.
"""
_PACE = 0.02  # seconds between two operations of a thread
_OWN = 5  # entries of each client: several, so that each is left alone for a moment


def own_keys(client: int) -> list[str]:
    """The keys of the entries that only this client writes, that which it changes only during the outage last."""
    return [f"entry-{number}-of-client-{client}" for number in range(_OWN)] + [f"entry-left-alone-of-client-{client}"]


def work_through_outage(world: World, what: str) -> None:
    """Each client writes its own entries and reads those of all, before, during and after an outage (see OUTAGES)."""
    cluster, handover = world.cluster, world.handover(CacheHandover)
    clients, server = handover.clients, cluster.redis_address
    handover.silent_until = 0.0
    history = world.history = History()
    recorders = recorders_of(clients, history, world.namespace)
    for number, recorder in enumerate(recorders):
        for key in own_keys(number):
            recorder.write(key, "first")

    def fail_and_heal() -> None:
        with precondition("the cache did not cache before the outage"):
            _await_hits(history, len(clients), monotonic(), within=VISIBLE)
        fault = outage(cluster, what, world.namespace)
        hit = fault.server if isinstance(fault, RedisKilled | RedisFrozen) else None
        alone = hit is not None and _has_all(hit, server, world.namespace)
        for number, recorder in enumerate(recorders):  # it is in Redis, and has its whole time to live
            recorder.write(own_keys(number)[-1], "before")
            recorder.read(own_keys(number)[-1])
        world.experiment.inject(fault, CACHE)
        lasts.set()
        pause(OUTAGE)
        until = monotonic()
        lasts.clear()
        if hit is not None and alone and _leads_still(hit, server):
            handover.silent_until = until
        world.experiment.heal()
        with suppress(NotInTime):  # judged afterwards
            _await_hits(history, len(clients), world.experiment.over_since, world.time_for("caching", NOTICE))
        pause(_AFTERWARDS)

    keys = [key for number in range(len(clients)) for key in own_keys(number)]
    over, lasts = threading.Event(), threading.Event()
    writing = [partial(_write, over, lasts, recorder, own_keys(number)) for number, recorder in enumerate(recorders)]
    reading = [partial(_read, over, recorder, keys) for recorder in recorders]
    together([ending(over, fail_and_heal), *writing, *reading])


def _read(over: threading.Event, recorder: Recorder, keys: Sequence[str]) -> None:
    """Keep reading these entries in turn."""
    while not over.is_set():
        for key in keys:
            recorder.read(key)
            pause(_PACE)


def _write(over: threading.Event, lasts: threading.Event, recorder: Recorder, keys: Sequence[str]) -> None:
    """Keep changing these entries in turn, alternately by a write-through and by an update.

    The last one is changed only while the outage lasts: no later change drops what Redis had of it before.
    """
    for number in itertools.count():
        for key in keys if lasts.is_set() else keys[:-1]:
            if over.is_set():
                return
            change = recorder.update if number % 2 else recorder.write
            change(key, str(number))
            pause(_PACE)


def _await_hits(history: History, clients: int, since: float, within: float) -> None:
    """Wait until every client had a hit by a read that began after `since`. Raises NotInTime."""

    def all_hit() -> None:
        hits = {one.client for one in history.of(action="hit", outcome=Outcome.OK) if one.begun > since}
        if len(hits) < clients:
            raise NotYet(f"{len(hits)} of {clients} had one")

    eventually(all_hit, within=within, subject="every client has a cache hit", pause=_PACE)


# A failover of the database that loses a write

KEPT, LOST = "acknowledged by the cluster", "committed by an isolated leader"
"""The values of the entry: the new leader has the first one, only the old leader had the second."""


def work_through_lost_write(world: World) -> None:
    """Every client keeps reading an entry, while a failover loses a write to it.

    The leader, cut off from everything but its clients, commits the write alone; then another member takes over.
    Raises Inconclusive when the write was not lost.
    """
    handover = world.handover(CacheHandover)
    clients, history, over = handover.clients, History(), threading.Event()
    world.history = history
    clients[0].repository.write(world.namespace, KEY, KEPT)

    def write(session: sql.Session) -> None:
        EntryStore(session, world.profile).update(world.namespace, KEY, LOST)

    def is_there(session: sql.Session) -> bool:
        return [one.value for one in EntryStore(session, world.profile).find(world.namespace, KEY)] == [LOST]

    def failover() -> None:
        commit_alone(world, partition_of_leader(world.cluster, WITH_ITS_CLIENTS), write, is_there)
        clients[0].repository.invalidate(world.namespace, KEY)  # so that the next miss loads and caches the write
        _await_served(history, LOST, len(clients), since=0.0, within=VISIBLE)
        require_other_leader(world)
        handover.new_leader_since = monotonic()
        with suppress(NotInTime):  # judged afterwards
            within = world.time_for("staleness", LONG)
            _await_served(history, KEPT, len(clients), since=handover.new_leader_since, within=within)

    reading = [partial(_read, over, recorder, [KEY]) for recorder in recorders_of(clients, history, world.namespace)]
    together([ending(over, failover), *reading])
    if world.entries.find(world.namespace, KEY)[0].value != KEPT:
        raise Inconclusive("the new leader has the write that only the old leader committed: nothing was lost")


def failover_of(world: World) -> Handoff:
    """When the old leader stopped, and another one led. Raises Inconclusive if the old one was never seen to lead."""
    experiment = world.experiment
    own = [one for one in experiment.watch.samples if one.member == experiment.target_member and one.writable]
    if not own:
        raise Inconclusive(f"{experiment.target_member} was never seen to accept writes")
    return Handoff(max(one.ended for one in own), world.handover(CacheHandover).new_leader_since)


def _await_served(history: History, value: str, clients: int, since: float, within: float) -> None:
    """Wait until every client was served this value by a read that began after `since`. Raises NotInTime."""

    def served() -> None:
        having = {one.client for one in reads_of(history) if one.value == value and one.begun > since}
        if len(having) < clients:
            raise NotYet(f"{len(having)} of {clients} were")

    eventually(served, within=within, subject=f"every client of the cache is served {value!r}")
