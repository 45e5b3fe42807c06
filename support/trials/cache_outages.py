"""The cache when Redis fails, and when the database fails over: what its clients may notice, and what they may not."""

from contextlib import suppress
from time import monotonic

from support import sql
from support.application.entries import EntryStore
from support.checkers.finding import Finding
from support.checkers.lost_write import forgotten_within, last_served
from support.checkers.outage import cached_again, nothing_reached_callers, own_writes_seen, slowest
from support.checkers.staleness import reads_of
from support.errors import Inconclusive, NotInTime
from support.faults.cache import OUTAGES
from support.faults.isolation import of_leader
from support.faults.targets import cache_host
from support.history import History
from support.timeouts import NOTICE, VISIBLE
from support.trials.aftermath import ordeal_of, require_other_leader
from support.waiting import NotYet, describe, eventually, pause
from support.workloads.cache_clients import LONG
from support.workloads.cache_outages import await_hits, own_keys, read_through, worked_through
from support.workloads.cache_races import KEY
from support.world import World

OUTAGE = 3.0
"""Seconds that an outage of Redis lasts: enough to be tried again several times, and to fail again."""

KEPT, LOST = "acknowledged by the cluster", "committed by a lone leader"
"""The values of the entry that a failover takes back."""


def work_through_outage(world: World, what: str) -> None:
    """Clients read and write through the cache all the time, while something becomes of Redis; see OUTAGES."""
    cluster, ordeal, clients = world.cluster, ordeal_of(world), len(world.cache_clients)

    def outage(history: History) -> None:
        _require_caching(history, clients)
        ordeal.strike(OUTAGES[what](cluster), cache_host(cluster).name)
        pause(OUTAGE)
        ordeal.nemesis.heal()
        with suppress(NotInTime):  # judged afterwards
            await_hits(history, clients, ordeal.healing_since, within=NOTICE)
        pause(VISIBLE / 5)  # what is served once all is well belongs to it

    world.history = worked_through(world.cache_clients, world.namespace, outage)


def require_unnoticed(world: World, limit: float) -> None:
    """No operation failed, none took `limit` seconds, and each client was served what it had written itself."""
    ordeal, history, clients = ordeal_of(world), _history(world), len(world.cache_clients)
    world.measure("the slowest operation took", slowest(history), "s", limit)
    nothing_reached_callers(limit, history, clients, ordeal.injury.bitten, ordeal.healing_since).require()
    own_writes_seen(history, own_keys, clients).require()


def require_caching_resumed(world: World, limit: float) -> None:
    """Every client has been served out of the cache within `limit` seconds of the end of the outage."""
    history, since = _history(world), ordeal_of(world).healing_since
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
    ordeal, leader = ordeal_of(world), world.cluster.leader()
    with sql.session(world.cluster.of_member(leader)) as session:
        sql.execute(session, "SET synchronous_commit = local")
        ordeal.strike(of_leader(world.cluster, "all but its clients"), leader)
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
