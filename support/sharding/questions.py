"""Questions about rows that are spread over workers, whose right answers are known by other means."""

import time
from collections import defaultdict
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from support import sql
from support.engine.world import World
from support.example_app import schema
from support.example_app.entries import Entry
from support.example_app.profile import Profile
from support.example_app.samples import related_rows, store_rows
from support.run import new_id
from support.sharding.checks import Compared, all_agree
from support.sharding.random_queries import Query, RandomQueries
from support.sharding.spreading import namespaces_over_workers
from support.target import tables
from support.target.cluster import Cluster
from support.waiting import describe

_NUMBER = "({entries.metadata}->>'number')::bigint"
_BY_TOPIC = f"""
    SELECT {{entries.metadata}}->>'topic', count(*), count(DISTINCT {{entries.namespace}}), sum({_NUMBER}),
           min({{entries.key}}), max({{entries.value}}), round(avg({_NUMBER}), 4)
      FROM {{entries}} WHERE starts_with({{entries.namespace}}, %s) GROUP BY 1
"""
_ROWS, _NAMESPACES = 120, 12
"""Of each table, and over how many namespaces: small enough to be asked a lot of."""


def summarize(world: World) -> None:
    """Ask for the scenario's entries by topic: how many, in how many namespaces, totals, extremes, means."""
    given = sql.rows(world.cluster.write, world.profile.sql(_BY_TOPIC), [world.namespace])
    world.scene["answers"] = [Compared("entries by topic", _by_topic(world.scene["entries"]), given)]


def _by_topic(entries: Sequence[Entry]) -> list[sql.Row]:
    """The same, computed from what was stored."""
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


def store_in_both(world: World) -> None:
    """The same rows in the sharded tables, over several workers, and in tables that are not sharded."""
    plain = tables.local_tables(world.cluster, f"{world.run.id}_{new_id()}", world.cleanup)
    rows = related_rows(world.random, world.namespace, namespaces_over_workers(world, _NAMESPACES), _ROWS)
    world.cleanup.callback(schema.remove, plain.write, plain.profile, world.namespaces)
    for cluster in (world.cluster, plain):
        store_rows(cluster.write, cluster.profile, rows)
    world.scene["plain"] = plain


def ask_both(world: World, count: int) -> None:
    """So many seeded random queries, each put to the sharded tables and to those that are not."""
    queries = RandomQueries(world.random, world.namespaces[1:])
    begun = time.monotonic()
    plain: Cluster = world.scene["plain"]
    with sql.session(world.cluster.write) as sharded, sql.session(plain.write) as local:
        world.scene["answers"] = [
            _compared(one, (sharded, world.profile), (local, plain.profile)) for one in queries.some(count)
        ]
    world.measure(f"{count} queries, asked twice", time.monotonic() - begun, "s")
    world.evidence.attach("the queries", "\n".join(one.question for one in world.scene["answers"]))


def _compared(query: Query, sharded: tuple[sql.Session, Profile], plain: tuple[sql.Session, Profile]) -> Compared:
    """A query over the sharded tables, beside the same over those that are not; each has names of its own."""
    (there, profile), (here, own) = sharded, plain
    right = sql.rows(here, own.sql(query.text))
    try:
        given: list[sql.Row] | str = sql.rows(there, profile.sql(query.text))
    except sql.Error as error:
        given = f"refused: {describe(error)}"
    return Compared(profile.sql(query.text), right, given, query.ordered)


def require_answers_right(world: World) -> None:
    """Every question was answered as it is right."""
    found = all_agree(world.scene["answers"])
    world.evidence.attach("answers", found.words)
    found.require()
