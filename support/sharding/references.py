"""Reference tables: a copy on every node, which is there at once, and joined where the rows are."""

from collections import defaultdict

from support import sql
from support.engine.world import World
from support.example_app.profile import Profile, columns_of, quoted
from support.sharding.checks import Compared, nothing_moves
from support.sharding.placement_checks import each_holds
from support.sharding.shards import held
from support.sharding.task_plans import plan_of

_ROWS = 20
_CHANGED = "changed"
_INSERT = "INSERT INTO {reference} ({names}{reference.also}) VALUES ({places}{reference.filling})"
_CHANGE = "UPDATE {reference} SET {reference.note} = %s WHERE {reference.key} = ANY (%s)"
_REMOVE = "DELETE FROM {reference} WHERE {reference.key} = ANY (%s)"
_SHARDS = "SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = to_regclass(%s)"
_JOIN = """
    SELECT entry.{entries.namespace}, topic.{reference.key}, count(*),
           sum((entry.{entries.metadata}->>'number')::bigint * topic.{reference.number})
      FROM {entries} entry
      JOIN {reference} topic ON topic.{reference.key} = %(own)s || '/' || (entry.{entries.metadata}->>'topic')
     WHERE starts_with(entry.{entries.namespace}, %(own)s)
     GROUP BY 1, 2
"""


def store_row(session: sql.Session, profile: Profile, namespace: str, name: str, number: int, note: str) -> None:
    """Store a row of the reference table, under a key that begins with the namespace."""
    given = {"namespace": namespace, "key": reference_key(namespace, name), "number": number, "note": note}
    reference = profile.reference
    assert reference is not None
    named = columns_of(reference)
    names = ", ".join(f"{{reference.{one}}}" for one in named)
    places = ", ".join(f"%({one})s" for one in named)
    statement = _INSERT.replace("{names}", names).replace("{places}", places)
    sql.execute(session, profile.sql(statement), given)


def reference_key(namespace: str, name: str) -> str:
    """The key of a row of ours: by its beginning it is recognised, and removed."""
    return f"{namespace}/{name}"


def store_change_remove(world: World) -> None:
    """Rows of a reference table, of which some are changed and some removed; what should be left is in the scene."""
    keys = [reference_key(world.namespace, str(number)) for number in range(_ROWS)]
    with sql.session(world.cluster.write) as session:
        for number in range(_ROWS):
            store_row(session, world.profile, world.namespace, str(number), number, "new")
        sql.execute(session, world.profile.sql(_CHANGE), [_CHANGED, keys[1::5]])
        sql.execute(session, world.profile.sql(_REMOVE), [keys[2::5]])
    left = (number for number in range(_ROWS) if number % 5 != 2)
    world.scene["left"] = [(keys[number], number, _CHANGED if number % 5 == 1 else "new") for number in left]


def require_on_each_node(world: World) -> None:
    """The copy of each node is what the table should be, now."""
    reference = world.profile.reference
    assert reference is not None
    found = held(world.cluster, reference, ("key", "number", "note"), [world.namespace])
    for node, rows in found.items():
        world.measure(f"rows on {node}", len(rows), "")
    each_holds(world.scene["left"], found).require()


def store_topics(world: World) -> None:
    """A row for each topic of the scenario's entries, with a number of its own."""
    topics = sorted({one.metadata["topic"] for one in world.scene["entries"]})
    world.scene["topics"] = {topic: number for number, topic in enumerate(topics, 2)}
    with sql.session(world.cluster.write) as session:
        for topic, number in world.scene["topics"].items():
            store_row(session, world.profile, world.namespace, topic, number, "topic")


def join(world: World) -> None:
    """Join the scenario's entries with their topics; the answer, the right one, and the plan are in the scene."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in world.scene["entries"]:
        topic = one.metadata["topic"]
        key = reference_key(world.namespace, topic)
        sums[one.namespace, key].append(one.metadata["number"] * world.scene["topics"][topic])
    right = [(*names, len(numbers), sum(numbers)) for names, numbers in sums.items()]
    statement = world.profile.sql(_JOIN)
    with sql.session(world.cluster.write) as session:
        given = sql.rows(session, statement, {"own": world.namespace})
        world.scene["answers"] = [Compared("entries joined with their topics", right, given)]
        world.scene["plan"] = plan_of(session, statement, {"own": world.namespace})


def require_nothing_moved(world: World) -> None:
    """One task for each shard, on more than one node, and nothing to be done before."""
    plan, shards = world.scene["plan"], _shards(world)
    world.measure("tasks of the join", plan.count, "", shards)
    found = nothing_moves(plan.count, plan.moves, shards)
    world.evidence.attach("plan of the join", f"{found.words}; on {', '.join(sorted({t.node for t in plan.tasks}))}")
    found.require()


def _shards(world: World) -> int:
    return int(sql.value(world.cluster.write, _SHARDS, [quoted(world.profile.entries.table)]))
