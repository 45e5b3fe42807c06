"""How Citus plans a query: which tasks on which nodes, and what has to move between nodes before.

Source: https://docs.citusdata.com/en/v13.0/performance/performance_tuning.html (EXPLAIN of distributed queries)
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from support import sql

_EXPLAIN_ALL = "SELECT set_config('citus.explain_all_tasks', 'on', false)"


@dataclass(frozen=True)
class Task:
    """What one node is asked, about one shard of each table."""

    node: str
    """Its address."""
    tables: frozenset[str]
    """The shards that are read, by their names there."""
    indexes: frozenset[str]
    """The indexes by which, by their names there."""


@dataclass(frozen=True)
class TaskPlan:
    """How one query is planned."""

    count: int
    """Of its tasks."""
    tasks: tuple[Task, ...]
    """Those that the plan shows: all, unless rows are moved first."""
    moves: tuple[str, ...]
    """What is fetched from, or sent to, other nodes before the tasks can be done; empty where nothing is."""


def plan_of(session: sql.Session, query: str, values: sql.Values = None) -> TaskPlan:
    """The plan of a query over sharded tables."""
    sql.execute(session, _EXPLAIN_ALL)
    tree = sql.value(session, f"EXPLAIN (FORMAT JSON) {query}", values)
    return parsed(json.loads(tree) if isinstance(tree, str) else tree)


def parsed(tree: Any) -> TaskPlan:
    """A plan in JSON. Raises LookupError where nothing in it is done by tasks."""
    distributed = next(_all(tree, "Distributed Query"), None)
    if distributed is None:
        raise LookupError("nothing in the plan is done by tasks")
    job = distributed["Job"]
    moves = [f"{len(distributed['Subplans'])} subplans"] if distributed.get("Subplans") else []
    moves += [f"{count} tasks that repartition" for count in _all(job, "Map Task Count")]
    return TaskPlan(int(job["Task Count"]), tuple(map(_task, job.get("Tasks", ()))), tuple(moves))


def _task(task: Any) -> Task:
    address = dict(part.split("=", 1) for part in task["Node"].split())
    remote = task["Remote Plan"]
    return Task(
        f"{address['host']}:{address['port']}",
        frozenset(map(str, _all(remote, "Relation Name"))),
        frozenset(map(str, _all(remote, "Index Name"))),
    )


def _all(tree: Any, key: str) -> Iterator[Any]:
    """Every value under that key, the outermost first."""
    if isinstance(tree, dict):
        if key in tree:
            yield tree[key]
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from _all(part, key)
