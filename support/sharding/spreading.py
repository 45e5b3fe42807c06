"""Entries over several namespaces, on several workers: stored, and looked for where they lie.

One client that searches for the nearest entries over every shard, again and again over one session.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from support import sql
from support.engine.history import History, Outcome
from support.engine.workload import record
from support.engine.world import World
from support.example_app import samples
from support.example_app.entries import Entry
from support.example_app.profile import Profile, quoted, relation
from support.example_app.samples import Vectors
from support.example_app.search import SEARCH, Search
from support.sharding.placement_checks import on_several_nodes, together_they_are
from support.sharding.shards import held
from support.sharding.task_plans import parsed

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


_WARM_UP = 10  # searches that are not counted: the first ones open a connection to each shard, and read the indexes
_SHARDS = "SELECT %s || '_' || shardid FROM pg_dist_shard WHERE logicalrelid = to_regclass(%s)"


@dataclass(frozen=True)
class WideSearches:
    """Many searches over all shards."""

    history: History
    """A search's key is its number, its value what was found."""
    sought: Vectors
    count: int
    """How many neighbours were asked for."""
    used: Mapping[str, frozenset[str]]
    """Shard -> the indexes by which it is read, by the plan of the first search."""
    nodes: frozenset[str]
    """The addresses of the nodes on which it is done."""
    shards: frozenset[str]
    """All that the table has."""
    cosine_indexes: frozenset[str]
    """The indexes that are meant for it."""
    plan: str
    """Of the first one."""

    @property
    def answers(self) -> list[tuple[Sequence[float], list[tuple[str, float]]]]:
        """For each search that was answered: the vector, and key and distance of what was found."""
        return [
            (self.sought[int(one.key)].tolist(), [(found.key, found.distance) for found in one.value])
            for one in self.history.of(action=SEARCH, outcome=Outcome.OK)
        ]


def search_every_shard(
    endpoint: sql.Endpoint, profile: Profile, beginning: str, sought: Vectors, count: int
) -> WideSearches:
    """Search for the `count` nearest of each vector among the entries whose namespaces begin so."""
    history, table = History(), profile.entries.table
    with sql.session(endpoint) as session:
        search = Search(session, profile, every_shard=True)
        wanted = [vector.tolist() for vector in sought]
        for vector in wanted[:_WARM_UP]:
            search.nearest(beginning, vector, count)
        for number, vector in enumerate(wanted):
            record(history, SEARCH, str(number), partial(search.nearest, beginning, vector, count))
        tasks = parsed(search.tree(beginning, wanted[0], count)).tasks
        return WideSearches(
            history,
            sought,
            count,
            {shard: task.indexes for task in tasks for shard in task.tables},
            frozenset(task.node for task in tasks),
            frozenset(shard for (shard,) in sql.rows(session, _SHARDS, [relation(table), quoted(table)])),
            frozenset(search.cosine_indexes()),
            search.plan(beginning, wanted[0], count),
        )
