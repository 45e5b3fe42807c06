"""Entries over several namespaces, on several workers: stored, and looked for where they lie."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from support import sql
from support.application import samples
from support.application.entries import Entry
from support.application.profile import quoted
from support.checkers.whereabouts import on_several_nodes, together_they_are
from support.cluster.shard_contents import held
from support.world import World

_CHOICE = 8  # names to choose from for each that is wanted: so many that some lie on every one of a few workers
_HOMES = """
    SELECT name, shardid, groupid
      FROM unnest(%s) name
      JOIN pg_dist_placement ON shardid = get_shard_id_for_distribution_column(%s, %s || name)
"""


def namespaces_over_workers(world: World, count: int) -> list[str]:
    """So many namespaces of the scenario, of each worker in turn, and there of each shard in turn.

    The coordinator says where a name will lie; what is stored there is looked for on the workers themselves.
    """
    candidates = [str(number) for number in range(_CHOICE * max(count, 5))]
    on_shard: Counter[int] = Counter()
    on_worker: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for name, shard, worker in sql.rows(world.cluster.write, _HOMES, _homes(world, candidates)):
        on_worker[worker].append((on_shard[shard], name))
        on_shard[shard] += 1
    in_turn = sorted(
        (turn, worker, name) for worker, names in on_worker.items() for turn, (_, name) in enumerate(sorted(names))
    )
    return [world.another_namespace(name) for _, _, name in in_turn[:count]]


def _homes(world: World, candidates: list[str]) -> list[object]:
    return [candidates, quoted(world.profile.entries.table), f"{world.namespace}-"]


def entries_over_workers(world: World, count: int, namespaces: int) -> list[Entry]:
    """Entries with an embedding each, over so many namespaces on several workers; no two have the same key."""
    names = namespaces_over_workers(world, namespaces)
    made = samples.entries(world.random, world.namespace, count, world.profile)
    return [replace(one, namespace=names[number % namespaces]) for number, one in enumerate(made)]


def store_over_workers(world: World, count: int, namespaces: int) -> None:
    """Store them, in one transaction through the write endpoint."""
    world.scene["entries"] = entries_over_workers(world, count, namespaces)
    world.entries.add_many(world.scene["entries"])


def require_on_several_workers(world: World) -> None:
    """What is stored lies on more than one worker, read on each."""
    found = held(world.cluster, world.profile.entries, ("namespace", "key"), world.namespaces)
    for node, rows in found.items():
        world.measure(f"entries on {node}", len(rows), "")
    on_several_nodes(found).require()


def require_whole_together(world: World) -> None:
    """The workers hold together what was stored: all of it, each entry once, unchanged."""
    stored: Sequence[Entry] = world.scene["entries"]
    found = held(world.cluster, world.profile.entries, ("namespace", "key", "value"), world.namespaces)
    together_they_are([(one.namespace, one.key, one.value) for one in stored], found).require()
