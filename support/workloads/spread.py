"""One client that searches for the nearest entries over every shard, again and again over one session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from support import sql
from support.application.profile import Profile, quoted, relation
from support.application.samples import Vectors
from support.application.search import Search
from support.cluster.task_plans import parsed
from support.history import History, Outcome
from support.workloads.recording import record
from support.workloads.searches import SEARCH

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
