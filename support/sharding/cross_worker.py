"""Transactions that are at work on several workers at the same time."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from support import sql
from support.engine.recovery import require_within
from support.engine.world import World
from support.errors import Inconclusive
from support.example_app.entries import Entry, EntryStore
from support.example_app.sessions import Attempt, attempt
from support.sharding.checks import one_victim
from support.sharding.placement_checks import on_several_nodes, together_they_are
from support.sharding.shards import held, leaders_of_nodes
from support.sharding.spreading import namespaces_over_workers

_COLUMNS = ("namespace", "key", "value")
_BEFORE, _AFTER = "before", "after"
_KEPT, _REMOVED, _NEW = "kept", "removed", "new"
_NAMESPACES = 4
_PATIENCE = 20.0  # seconds that a blocked session waits: a deadlock must be found long before
# Citus' sessions on the workers bear the number of the session that they work for.
_NUMBER = "SELECT citus_backend_gpid()"
_WORKS_FOR = """
    SELECT count(*) FROM pg_stat_activity
     WHERE state = 'idle in transaction' AND application_name LIKE 'citus_internal gpid=' || %s
"""


def write_over_workers(world: World) -> sql.Session:
    """A session that has stored, changed and removed entries in namespaces of several workers, and not committed.

    Raises Inconclusive unless it is at work on more than one of them.
    """
    names = namespaces_over_workers(world, _NAMESPACES)
    before = [Entry(name, key, _BEFORE) for name in names for key in (_KEPT, _REMOVED)]
    world.entries.add_many(before)
    world.scene["before"] = [(one.namespace, one.key, one.value) for one in before]
    session = sql.connect(world.cluster.write)
    world.sessions.append(session)
    store = EntryStore(session, world.profile)
    for name in names:
        store.add(Entry(name, _NEW, _AFTER))
        store.update(name, _KEPT, _AFTER)
        store.delete(name, _REMOVED)
    require_at_work(world, session)
    return session


def require_at_work(world: World, session: sql.Session) -> None:
    """The session has transactions open on more than one node, seen there. Raises Inconclusive when it has not."""
    number = sql.value(session, _NUMBER)
    found = {node: sql.value(where, _WORKS_FOR, [number]) for node, where in leaders_of_nodes(world.cluster).items()}
    at_work = [node for node, transactions in found.items() if transactions]
    if len(at_work) < 2:
        raise Inconclusive(f"the transaction is at work on {' and '.join(at_work) or 'no node'} alone")
    world.evidence.attach("the transaction is at work on", " and ".join(at_work))


def require_as_before(world: World) -> None:
    """The workers hold what they held before the transaction, read on the leader of each."""
    found = held(world.cluster, world.profile.entries, _COLUMNS, world.namespaces)
    for node, rows in found.items():
        world.measure(f"entries on {node}", len(rows), "")
    on_several_nodes(found).require()
    together_they_are(world.scene["before"], found).require()


def lock_crosswise(world: World) -> None:
    """Two sessions have each changed an entry, in namespaces of two workers, and not committed."""
    names = world.scene["names"] = namespaces_over_workers(world, 2)
    world.entries.add_many([Entry(name, _KEPT, _BEFORE) for name in names])
    on_several_nodes(held(world.cluster, world.profile.entries, _COLUMNS, names)).require()
    for number, name in enumerate(names):
        world.sessions.append(sql.connect(world.cluster.write, statement_timeout=_PATIENCE))
        EntryStore(world.sessions[number], world.profile).update(name, _KEPT, f"session {number}")


def go_on_crosswise(world: World) -> None:
    """Each changes the other's entry and commits, both at the same time; what came of it is in the scene."""

    def go_on(number: int) -> None:
        EntryStore(world.sessions[number], world.profile).update(
            world.scene["names"][1 - number], _KEPT, f"session {number}"
        )
        world.sessions[number].commit()

    with ThreadPoolExecutor(2) as pool:
        world.scene["attempts"] = list(pool.map(lambda number: attempt(partial(go_on, number)), range(2)))


def require_one_victim(world: World, limit: float) -> None:
    """One of the two was cancelled because of the deadlock, the other one was not, in less than `limit` seconds."""
    attempts: list[Attempt] = world.scene["attempts"]
    one_victim([sql.condition_of(one.error) for one in attempts]).require()
    require_within(world, "the deadlock was over after", max(one.seconds for one in attempts), limit)


def require_survivors_values(world: World) -> None:
    """Both entries are as the session that was not cancelled has committed them, read on the workers."""
    survivor = next(number for number, one in enumerate(world.scene["attempts"]) if one.error is None)
    expected = [(name, _KEPT, f"session {survivor}") for name in world.scene["names"]]
    together_they_are(expected, held(world.cluster, world.profile.entries, _COLUMNS, world.namespaces)).require()
