"""How Citus plans a query: its tasks, the nodes they run on, and the rows that move between nodes first.

Source: https://docs.citusdata.com/en/v13.0/performance/performance_tuning.html (EXPLAIN of distributed queries)
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from support import sql
from support.engine.world import World
from support.sharding.shards import workers_of
from support.target.citus import known_to, node_name
from support.target.topology import Address


@dataclass(frozen=True)
class Task:
    """What one node is asked, about one shard of each table."""

    node: str
    """Its address, as shown in messages."""
    tables: frozenset[str]
    """The shards that are read, by their names on the node."""
    indexes: frozenset[str]
    """The indexes that are used, by their names on the node."""


@dataclass(frozen=True)
class TaskPlan:
    """How one query is planned."""

    count: int
    """The number of its tasks."""
    tasks: tuple[Task, ...]
    """The tasks that the plan shows: all, unless rows are moved first."""
    moves: tuple[str, ...]
    """What is fetched from, or sent to, other nodes before the tasks can run; empty where nothing is."""


def of_wholes(plan: TaskPlan, wholes: Mapping[str, str]) -> TaskPlan:
    """The plan, as if its tasks read whole shards instead of those of partitions (`shards.whole_shards`)."""
    tasks = (replace(one, tables=frozenset(wholes.get(shard, shard) for shard in one.tables)) for one in plan.tasks)
    return replace(plan, tasks=tuple(tasks))


def plan_of(session: sql.Session, query: str, values: sql.Values = None) -> TaskPlan:
    """The plan of a query over sharded tables."""
    with sql.settings(session, citus__explain_all_tasks="on"):
        tree = sql.value(session, f"EXPLAIN (FORMAT JSON) {query}", values)
    return parsed(json.loads(tree) if isinstance(tree, str) else tree)


def parsed(tree: Any) -> TaskPlan:
    """A plan in JSON. Raises LookupError where no part of it runs as tasks."""
    distributed = next(_all(tree, "Distributed Query"), None)
    if distributed is None:
        raise LookupError("no part of the plan runs as tasks")
    job = distributed["Job"]
    moves = [f"{len(distributed['Subplans'])} subplans"] if distributed.get("Subplans") else []
    moves += [f"{count} tasks that repartition" for count in _all(job, "Map Task Count")]
    return TaskPlan(int(job["Task Count"]), tuple(map(_task, job.get("Tasks", ()))), tuple(moves))


_NODE = re.compile(r"host=(?P<host>\S+) port=(?P<port>\d+) ")
"""How a plan names a node. The database name, which is not quoted, follows at the end."""


def _task(task: Any) -> Task:
    node = _NODE.match(task["Node"])
    if node is None:
        raise LookupError(f"the plan names a node in an unknown format: {task['Node']}")
    remote = task["Remote Plan"]
    return Task(
        str(Address(node["host"], int(node["port"]))),
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


def node_names(where: sql.Endpoint) -> Mapping[str, str]:
    """Address, as plans write it -> the name of the node."""
    return {str(node.address): node_name(node.group) for node in known_to(where)}


def tasks_by_worker(world: World, plan: TaskPlan) -> dict[str, int]:
    """Worker group -> how many of the plan's tasks run there; measured for the report."""
    names = node_names(world.cluster.write)
    tasks = {worker: sum(names[task.node] == worker for task in plan.tasks) for worker in workers_of(world.cluster)}
    for worker, count in tasks.items():
        world.measure(f"tasks on {worker}", count, "")
    return tasks
