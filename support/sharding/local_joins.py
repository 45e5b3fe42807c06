"""One client that asks over sharded tables, again and again over one session; each answer is compared.

Tables of one family joined where their rows are: no row travels, each pair of shards is a task of its own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from support import sql
from support.engine.checks.answers import every_answer_is
from support.engine.finding import Finding
from support.engine.history import History
from support.engine.workload import record
from support.engine.world import World
from support.example_app.entries import Entry
from support.sharding import shards
from support.sharding.checks import Compared, nothing_moves
from support.sharding.placement_checks import joins_relatives
from support.sharding.setup import workers_of
from support.sharding.shards import name
from support.sharding.task_plans import TaskPlan, plan_of
from support.target import citus
from support.waiting import describe

JOIN, OVER_ALL = "join", "query"
_WARM_UP = 10  # queries that are not counted: the first ones open a connection to each shard


@dataclass(frozen=True)
class Question:
    """A query and its right answer, in any order of the rows."""

    query: str
    values: dict[str, str]
    right: Sequence[sql.Row]


def ask_repeatedly(endpoint: sql.Endpoint, action: str, questions: Sequence[Question], times: int) -> History:
    """The questions in turn; the value of each operation is whether the answer was the right one."""
    history = History()
    with sql.session(endpoint) as session:
        for number in range(-_WARM_UP, times):
            into = history if number >= 0 else History()
            record(into, action, str(number), partial(_is_right, session, questions[number % len(questions)]))
    return history


def _is_right(session: sql.Session, question: Question) -> bool:
    return Counter(sql.rows(session, question.query, question.values)) == Counter(question.right)


_PATTERN = (
    "INSERT INTO {related} ({related.namespace}, {related.name}, {related.number}{related.also}) "
    "VALUES (%s, %s, %s{related.filling})"
)
_JOINED = """
    SELECT pattern.{related.namespace}, pattern.{related.name}, count(*),
           sum((entry.{entries.metadata}->>'number')::bigint)
      FROM {entries} entry
      JOIN {related} pattern ON pattern.{related.namespace} = entry.{entries.namespace}
       AND pattern.{related.name} = entry.{entries.metadata}->>'topic'
"""
_JOIN_OF_ALL = f"{_JOINED} WHERE starts_with(entry.{{entries.namespace}}, %(own)s) GROUP BY 1, 2"
_JOIN_OF_ONE = f"{_JOINED} WHERE entry.{{entries.namespace}} = %(own)s GROUP BY 1, 2"
_BY_TOPIC = """
    SELECT {entries.metadata}->>'topic', count(*), sum(({entries.metadata}->>'number')::bigint)
      FROM {entries} WHERE starts_with({entries.namespace}, %(own)s) GROUP BY 1 ORDER BY 1
"""


def store_patterns(world: World) -> None:
    """In each namespace of the scenario's entries a pattern for each of their topics, to be joined with them."""
    entries: list[Entry] = world.scene["entries"]
    with sql.session(world.cluster.write, autocommit=False) as session:
        for namespace, topic in sorted({(one.namespace, one.metadata["topic"]) for one in entries}):
            sql.execute(session, world.profile.sql(_PATTERN), [namespace, topic, 1])
        session.commit()


def joined(entries: list[Entry]) -> list[tuple[str, str, int, int]]:
    """What the entries joined with their patterns should give, worked out here."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for one in entries:
        numbers.setdefault((one.namespace, one.metadata["topic"]), []).append(one.metadata["number"])
    return [(*names, len(found), sum(found)) for names, found in sorted(numbers.items())]


def join_all(world: World) -> None:
    """Join all entries with their patterns, over all shards; the answer, and the plan, are in the scene.

    What cannot be joined where it lies is refused, unless Citus is let move rows: so that the plan can be seen.
    """
    with sql.session(world.cluster.write) as session:
        sql.execute(session, "SET citus.enable_repartition_joins = on")
        try:
            world.scene["plan"] = plan_of(session, world.profile.sql(_JOIN_OF_ALL), {"own": world.namespace})
            given = sql.rows(session, world.profile.sql(_JOIN_OF_ALL), {"own": world.namespace})
        except sql.Error as error:
            raise AssertionError(
                f"entries and patterns of one namespace cannot be joined: {describe(error)}"
            ) from error
    question = "entries joined with patterns, over all shards"
    world.scene["answers"] = [Compared(question, joined(world.scene["entries"]), given)]


def require_joined_in_place(world: World) -> None:
    """One task for each pair of shards with the same hashes, on the node that has both; nothing is moved before."""
    plan: TaskPlan = world.scene["plan"]
    entries, related = world.profile.entries, world.profile.related
    assert related is not None
    known = shards.placements(world.cluster.write, (entries.table, related.table))
    nothing_moves(plan.count, plan.moves, sum(one.table == related.table for one in known)).require()
    in_place = joins_relatives(known, [task.tables for task in plan.tasks])
    world.evidence.attach("tasks of the join", in_place.words)
    in_place.require()
    _measure_tasks(world, plan)


def join_in_one_namespace(world: World, times: int) -> None:
    """Join the entries of one namespace with its patterns, of another one each time; timed."""
    entries: list[Entry] = world.scene["entries"]
    by_name = {one.namespace: [other for other in entries if other.namespace == one.namespace] for one in entries}
    questions = [
        Question(world.profile.sql(_JOIN_OF_ONE), {"own": own}, joined(ones)) for own, ones in sorted(by_name.items())
    ]
    world.history = ask_repeatedly(world.cluster.write, JOIN, questions, times)


def ask_all_shards(world: World, times: int) -> None:
    """Sum up the entries of all shards by topic; timed. The plan is in the scene."""
    own = {"own": world.namespace}
    topics: dict[str, list[int]] = {}
    for one in world.scene["entries"]:
        topics.setdefault(one.metadata["topic"], []).append(one.metadata["number"])
    right = [(topic, len(found), sum(found)) for topic, found in topics.items()]
    world.history = ask_repeatedly(
        world.cluster.write, OVER_ALL, [Question(world.profile.sql(_BY_TOPIC), own, right)], times
    )
    with sql.session(world.cluster.write) as session:
        world.scene["plan"] = plan_of(session, world.profile.sql(_BY_TOPIC), own)


def require_right(world: World, action: str) -> None:
    """Every query of that kind was answered, and right."""
    assert world.history is not None
    every_answer_is(True, world.history, action).require()


def require_tasks_on_every_worker(world: World) -> None:
    """The plan has a task for each shard, and some on each worker."""
    plan: TaskPlan = world.scene["plan"]
    count = len(shards.placements(world.cluster.write, (world.profile.entries.table,)))
    nothing_moves(plan.count, plan.moves, count).require()
    tasks = _measure_tasks(world, plan)
    Finding(all(tasks.values()), f"tasks of a query over all shards: {tasks}").require()


def _measure_tasks(world: World, plan: TaskPlan) -> dict[str, int]:
    """Worker -> how many of the plan's tasks it has."""
    node_at = {str(node.address): name(node.group) for node in citus.known_to(world.cluster.write)}
    tasks = {worker: sum(node_at[task.node] == worker for task in plan.tasks) for worker in workers_of(world)}
    for worker, count in tasks.items():
        world.measure(f"tasks on {worker}", count, "")
    return tasks
