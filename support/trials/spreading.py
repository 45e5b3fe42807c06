"""Entries over several namespaces, on several workers: stored, and looked for where they lie."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from support import sql
from support.application import samples
from support.application.entries import Entry, EntryStore
from support.checkers.whereabouts import on_several_nodes, together_they_are
from support.cluster import nodes
from support.cluster.shard_contents import held
from support.world import World

_CHOICE = 30  # more names than are wanted: of so many, some lie on every one of a few workers


def namespaces_over_workers(world: World, count: int) -> list[str]:
    """So many namespaces of the scenario, of each worker in turn, as far as there are several.

    The coordinator says on which worker a name will lie; what is stored there is looked for on the workers themselves.
    """
    at_home: dict[int, list[str]] = defaultdict(list)
    with sql.session(world.cluster.write) as session:
        for candidate in map(str, range(count + _CHOICE)):
            at_home[nodes.home(session, f"{world.namespace}-{candidate}")].append(candidate)
    in_turn = sorted((place, group, name) for group, names in at_home.items() for place, name in enumerate(names))
    return [world.another_namespace(name) for _, _, name in in_turn[:count]]


def entries_over_workers(world: World, count: int, namespaces: int) -> list[Entry]:
    """Entries with an embedding each, over so many namespaces on several workers; no two have the same key."""
    names = namespaces_over_workers(world, namespaces)
    made = samples.entries(world.random, world.namespace, count)
    return [replace(one, namespace=names[number % namespaces]) for number, one in enumerate(made)]


def store_over_workers(world: World, count: int, namespaces: int) -> None:
    """Store them, in one transaction through the write endpoint."""
    world.scene["entries"] = entries_over_workers(world, count, namespaces)
    EntryStore(world.cluster.write).add_many(world.scene["entries"])


def require_on_several_workers(world: World) -> None:
    """What is stored lies on more than one worker, read on each."""
    found = held(world.cluster, "memory_entries", "namespace, key", world.namespaces)
    for node, rows in found.items():
        world.measure(f"entries on {node}", len(rows), "")
    on_several_nodes(found).require()


def require_whole_together(world: World) -> None:
    """The workers hold together what was stored: all of it, each entry once, unchanged."""
    stored: Sequence[Entry] = world.scene["entries"]
    found = held(world.cluster, "memory_entries", "namespace, key, value", world.namespaces)
    together_they_are([(one.namespace, one.key, one.value) for one in stored], found).require()
