"""Reference tables: a copy on every node, which is there at once, and joined where the rows are."""

from collections import defaultdict

from support import sql
from support.checkers.agreement import Compared
from support.checkers.task_plans import nothing_moves
from support.checkers.whereabouts import each_holds
from support.cluster.shard_contents import held
from support.cluster.task_plans import plan_of
from support.world import World

_ROWS = 20
_INSERT = "INSERT INTO pattern_history (namespace, pattern_id, version, change) VALUES (%s, %s, %s, '{}')"
_CHANGE = "UPDATE pattern_history SET change = '{\"changed\": true}' WHERE namespace = %s AND version %% 5 = 1"
_REMOVE = "DELETE FROM pattern_history WHERE namespace = %s AND version %% 5 = 2"
_SHARDS = "SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = to_regclass('memory_entries')"
_JOIN = """
    SELECT entry.namespace, topic.pattern_id, count(*), sum((entry.metadata->>'number')::bigint * topic.version)
      FROM memory_entries entry
      JOIN pattern_history topic ON topic.pattern_id = entry.metadata->>'topic' AND topic.namespace = %(own)s
     WHERE starts_with(entry.namespace, %(own)s)
     GROUP BY 1, 2
"""


def store_change_remove(world: World) -> None:
    """Rows of a reference table, of which some are changed and some removed; what should be left is in the scene."""
    with sql.session(world.cluster.write) as session:
        for version in range(_ROWS):
            sql.execute(session, _INSERT, [world.namespace, "pattern", version])
        for statement in (_CHANGE, _REMOVE):
            sql.execute(session, statement, [world.namespace])
    left = (version for version in range(_ROWS) if version % 5 != 2)
    world.scene["left"] = [(version, "true" if version % 5 == 1 else None) for version in left]


def require_on_each_node(world: World) -> None:
    """The copy of each node is what the table should be, now."""
    found = held(world.cluster, "pattern_history", "version, change->>'changed'", [world.namespace])
    for node, rows in found.items():
        world.measure(f"rows on {node}", len(rows), "")
    each_holds(world.scene["left"], found).require()


def store_topics(world: World) -> None:
    """A row for each topic of the scenario's entries, with a number of its own."""
    topics = sorted({one.metadata["topic"] for one in world.scene["entries"]})
    world.scene["topics"] = {topic: number for number, topic in enumerate(topics, 2)}
    with sql.session(world.cluster.write) as session:
        for topic, number in world.scene["topics"].items():
            sql.execute(session, _INSERT, [world.namespace, topic, number])


def join(world: World) -> None:
    """Join the scenario's entries with their topics; the answer, the right one, and the plan are in the scene."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in world.scene["entries"]:
        topic = one.metadata["topic"]
        sums[one.namespace, topic].append(one.metadata["number"] * world.scene["topics"][topic])
    right = [(*names, len(numbers), sum(numbers)) for names, numbers in sums.items()]
    with sql.session(world.cluster.write) as session:
        given = sql.rows(session, _JOIN, {"own": world.namespace})
        world.scene["answers"] = [Compared("entries joined with their topics", right, given)]
        world.scene["plan"] = plan_of(session, _JOIN, {"own": world.namespace})


def require_nothing_moved(world: World) -> None:
    """One task for each shard, on more than one node, and nothing to be done before."""
    plan, shards = world.scene["plan"], int(sql.value(world.cluster.write, _SHARDS))
    world.measure("tasks of the join", plan.count, "", shards)
    found = nothing_moves(plan.count, plan.moves, shards)
    world.evidence.attach("plan of the join", f"{found.words}; on {', '.join(sorted({t.node for t in plan.tasks}))}")
    found.require()
