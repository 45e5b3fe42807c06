"""Queries over rows that are spread over workers, each with the answer that is known by other means.

The right answers are computed here from what was stored (`totals_by_topic`, `joined_with_patterns`, ...), or read from
unsharded tables with the same rows (`ask_both`).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from functools import partial

from support import sql
from support.engine.history import History, Outcome
from support.engine.workload import record
from support.engine.world import World
from support.example_app import samples
from support.example_app.entries import Entry
from support.example_app.profile import Profile, columns_of
from support.example_app.samples import Vectors
from support.example_app.search import SEARCH, Search
from support.sharding.checks import Compared
from support.sharding.plans import parsed
from support.sharding.random_queries import Query
from support.sharding.shards import namespaces_over_workers, partitions, placements
from support.target.cluster import Cluster
from support.waiting import describe

JOIN, OVER_ALL = "join", "query"
_WARM_UP = 10  # queries that are not counted: the first ones open a connection to each shard, and read the indexes

# Stored rows


def entries_over_workers(world: World, count: int, namespaces: int) -> list[Entry]:
    """Entries with an embedding each, spread over this many namespaces on several workers; no two have the same key."""
    names = namespaces_over_workers(world, namespaces)
    made = samples.entries(world.random, world.namespace, count, world.profile)
    return [replace(one, namespace=names[number % namespaces]) for number, one in enumerate(made)]


_PATTERN = (
    "INSERT INTO {related} ({related.namespace}, {related.name}, {related.number}{related.also}) "
    "VALUES (%s, %s, %s{related.filling})"
)
_REFERENCE = "INSERT INTO {reference} ({names}{reference.also}) VALUES ({places}{reference.filling})"


def store_patterns(where: sql.Endpoint, profile: Profile, entries: Sequence[Entry]) -> None:
    """In each namespace of the entries a pattern for each of their topics, to join the entries with."""
    with sql.session(where, autocommit=False) as session:
        for namespace, topic in sorted({(one.namespace, one.metadata["topic"]) for one in entries}):
            sql.execute(session, profile.sql(_PATTERN), [namespace, topic, 1])
        session.commit()


def store_reference_row(
    session: sql.Session, profile: Profile, namespace: str, name: str, number: int, note: str
) -> None:
    """Insert a row into the reference table, under a key that begins with the namespace."""
    assert profile.reference is not None
    named = columns_of(profile.reference)
    names = ", ".join(f"{{reference.{one}}}" for one in named)
    places = ", ".join(f"%({one})s" for one in named)
    given = {"namespace": namespace, "key": reference_key(namespace, name), "number": number, "note": note}
    sql.execute(session, profile.sql(_REFERENCE.replace("{names}", names).replace("{places}", places)), given)


def reference_key(namespace: str, name: str) -> str:
    """The key of a row of ours: it begins with the namespace, so that the row is recognised and removed."""
    return f"{namespace}/{name}"


# Questions, and their right answers

_NUMBER = "({entries.metadata}->>'number')::bigint"
TOTALS_BY_TOPIC = f"""
    SELECT {{entries.metadata}}->>'topic', count(*), count(DISTINCT {{entries.namespace}}), sum({_NUMBER}),
           min({{entries.key}}::text COLLATE "C"), max({{entries.value}}::text COLLATE "C"), round(avg({_NUMBER}), 4)
      FROM {{entries}} WHERE starts_with({{entries.namespace}}, %s) GROUP BY 1
"""
SUMS_BY_TOPIC = f"""
    SELECT {{entries.metadata}}->>'topic', count(*), sum({_NUMBER})
      FROM {{entries}} WHERE starts_with({{entries.namespace}}, %(own)s) GROUP BY 1 ORDER BY 1
"""
_JOINED = """
    SELECT pattern.{related.namespace}, pattern.{related.name}, count(*),
           sum((entry.{entries.metadata}->>'number')::bigint)
      FROM {entries} entry
      JOIN {related} pattern ON pattern.{related.namespace} = entry.{entries.namespace}
       AND pattern.{related.name} = entry.{entries.metadata}->>'topic'
"""
JOIN_ALL_PATTERNS = f"{_JOINED} WHERE starts_with(entry.{{entries.namespace}}, %(own)s) GROUP BY 1, 2"
JOIN_PATTERNS_OF_ONE = f"{_JOINED} WHERE entry.{{entries.namespace}} = %(own)s GROUP BY 1, 2"
JOIN_REFERENCE = """
    SELECT entry.{entries.namespace}, topic.{reference.key}, count(*),
           sum((entry.{entries.metadata}->>'number')::bigint * topic.{reference.number})
      FROM {entries} entry
      JOIN {reference} topic ON topic.{reference.key} = %(own)s || '/' || (entry.{entries.metadata}->>'topic')
     WHERE starts_with(entry.{entries.namespace}, %(own)s)
     GROUP BY 1, 2
"""


def totals_by_topic(entries: Sequence[Entry]) -> list[sql.Row]:
    """The right answer to TOTALS_BY_TOPIC."""
    topics: dict[str, list[Entry]] = defaultdict(list)
    for one in entries:
        topics[one.metadata["topic"]].append(one)
    return [
        (
            topic,
            len(those),
            len({one.namespace for one in those}),
            sum(one.metadata["number"] for one in those),
            min(one.key for one in those),
            max(one.value for one in those),
            _mean([one.metadata["number"] for one in those]),
        )
        for topic, those in topics.items()
    ]


def _mean(numbers: Sequence[int]) -> Decimal:
    return (Decimal(sum(numbers)) / len(numbers)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def sums_by_topic(entries: Sequence[Entry]) -> list[sql.Row]:
    """The right answer to SUMS_BY_TOPIC."""
    topics: dict[str, list[int]] = defaultdict(list)
    for one in entries:
        topics[one.metadata["topic"]].append(one.metadata["number"])
    return [(topic, len(found), sum(found)) for topic, found in topics.items()]


def joined_with_patterns(entries: Sequence[Entry]) -> list[sql.Row]:
    """The right answer to JOIN_ALL_PATTERNS, and to JOIN_PATTERNS_OF_ONE for the entries of one namespace."""
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in entries:
        numbers[one.namespace, one.metadata["topic"]].append(one.metadata["number"])
    return [(*names, len(found), sum(found)) for names, found in sorted(numbers.items())]


def joined_with_reference(entries: Sequence[Entry], own: str, topics: Mapping[str, int]) -> list[sql.Row]:
    """The right answer to JOIN_REFERENCE; `topics` is topic -> the number in its reference row."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in entries:
        topic = one.metadata["topic"]
        sums[one.namespace, reference_key(own, topic)].append(one.metadata["number"] * topics[topic])
    return [(*names, len(numbers), sum(numbers)) for names, numbers in sums.items()]


# Asking


def ask_both(queries: Sequence[Query], sharded: Cluster, unsharded: Cluster) -> list[Compared]:
    """Run each query on sharded tables, and on unsharded tables with the same rows, which give the right answer."""
    with sql.session(sharded.write) as there, sql.session(unsharded.write) as here:
        compared = []
        for query in queries:
            question = sharded.profile.sql(query.text)
            right = sql.rows(here, unsharded.profile.sql(query.text))
            try:
                given: list[sql.Row] | str = sql.rows(there, question)
            except sql.Error as error:
                given = f"refused: {describe(error)}"
            compared.append(Compared(question, right, given, query.ordered))
        return compared


@dataclass(frozen=True)
class Question:
    """A query and its right answer, in any order of the rows."""

    query: str
    values: dict[str, str]
    right: Sequence[sql.Row]


def ask_repeatedly(where: sql.Endpoint, action: str, questions: Sequence[Question], times: int) -> History:
    """Ask the questions in turn over one session; the value of each operation is whether the answer was right."""
    history = History()
    with sql.session(where) as session:
        for number in range(-_WARM_UP, times):
            into = history if number >= 0 else History()
            record(into, action, str(number), partial(_is_right, session, questions[number % len(questions)]))
    return history


def _is_right(session: sql.Session, question: Question) -> bool:
    return Counter(sql.rows(session, question.query, question.values)) == Counter(question.right)


@dataclass(frozen=True)
class ShardedSearches:
    """Many nearest-neighbour searches over all shards."""

    history: History
    """A search's key is its number, its value the neighbours that were found."""
    sought: Vectors
    count: int
    """How many neighbours were asked for."""
    used: tuple[Mapping[str, frozenset[str]], ...]
    """For each search: shard -> the indexes that it reads the shard by."""
    shards: frozenset[str]
    """All shards of the table, or of its partitions if it has any."""
    cosine_indexes: frozenset[str]
    """The table's valid HNSW indexes for cosine distance."""
    plan: str
    """The plan of the first search."""

    @property
    def answers(self) -> list[tuple[Sequence[float], list[tuple[str, float]]]]:
        """For each search that was answered: the vector, and key and distance of each neighbour that was found."""
        return [
            (self.sought[int(one.key)].tolist(), [(found.key, found.distance) for found in one.value])
            for one in self.history.of(action=SEARCH, outcome=Outcome.OK)
        ]


def search_every_shard(
    where: sql.Endpoint, profile: Profile, beginning: str, sought: Vectors, count: int
) -> ShardedSearches:
    """Search over one session for the `count` nearest of each vector, among the namespaces with that beginning.

    The searches are timed first, and then their plans are requested.
    """
    history = History()
    with sql.session(where) as session:
        search = Search(session, profile, every_shard=True)
        wanted = [vector.tolist() for vector in sought]
        for vector in wanted[:_WARM_UP]:
            search.nearest(beginning, vector, count)
        for number, vector in enumerate(wanted):
            record(history, SEARCH, str(number), partial(search.nearest, beginning, vector, count))
        plans = [parsed(search.tree(beginning, vector, count)).tasks for vector in wanted]
        return ShardedSearches(
            history,
            sought,
            count,
            tuple({shard: task.indexes for task in tasks for shard in task.tables} for tasks in plans),
            frozenset(one.name for one in placements(session, partitions(session, profile.entries.table))),
            frozenset(search.cosine_indexes()),
            search.plan(beginning, wanted[0], count),
        )
