"""A table with a few entries among many of others, searched as the application does it: with its own settings alone.

Sources: https://github.com/pgvector/pgvector/issues/480 (a filtered search finds too few),
https://github.com/pgvector/pgvector/issues/993 (inserts while the table is vacuumed damage the index)
"""

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy
from numpy.typing import NDArray

from support import sql
from support.cluster.checks import Answer, Vector
from support.engine.history import History, Operation, Outcome
from support.engine.workload import AT_READ_COMMITTED, Task, Turn, Workload, outcome_of, record
from support.engine.world import World
from support.example_app import samples
from support.example_app.catalog import VECTOR_METHODS
from support.example_app.entries import DELETE_ENTRY
from support.example_app.profile import quoted
from support.example_app.samples import Vectors
from support.example_app.schema import copies
from support.example_app.search import SEARCH, Search
from support.run import new_id
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.purposes import prompt_members
from support.waiting import NotYet, describe, eventually, precondition

CHURN, VACUUM = "come and go", "vacuum"
"""What happens to the table while it is searched, as the history names it."""
_CLIENTS = 2
_PACE = 0.02  # seconds between two entries of a client
_CROWDS = 4  # namespaces of the others
_ROUNDS = 2  # so many times the table is vacuumed, and every member searched
_SCALE = 100.0  # components are stored as whole numbers: quick to write, and as good for a cosine
_BUILD = 300.0  # seconds for a statement that stores everything, or builds an index over it
_STAGED = "CREATE UNLOGGED TABLE {staged} (namespace text, key text, embedding text)"
_STORE = (
    "INSERT INTO {{entries}} ({{entries.namespace}}, {{entries.key}}, {{entries.value}}, {{entries.embedding}}"
    "{{entries.also}}) SELECT namespace, key, %s, embedding::{type}{{entries.filling}} FROM {staged}"
)
_COMES = (
    "INSERT INTO {{entries}} ({{entries.namespace}}, {{entries.key}}, {{entries.value}}, {{entries.embedding}}"
    "{{entries.also}}) VALUES (%s, %s, %s, %s::{type}{{entries.filling}})"
)
_COUNT = "SELECT count(*) FROM {entries} WHERE {entries.namespace} = %s"
_VECTOR_INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
      FROM pg_index JOIN pg_class index ON index.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
     WHERE indrelid = to_regclass(%s) AND amname = ANY (%s)
"""


@dataclass(frozen=True)
class CrowdedTable:
    """A copy of the table of entries, with entries of one namespace among those of others."""

    cluster: Cluster
    """Its profile names the copy."""
    namespace: str
    stored: Mapping[str, Vector]
    """Key -> embedding, of that namespace."""
    crowd: Sequence[str]
    """The other namespaces."""
    searched: Sequence[str]
    """The members that show at once what is committed."""


@dataclass(frozen=True)
class MemberSearches:
    """Searches on one member: what each found, how many entries of which namespace, and the first error."""

    answers: Sequence[tuple[Vector, Answer]]
    origins: Sequence[Mapping[str, int]]
    failed: str
    plan: str
    """The plan of one search, for the report."""


def make_crowded(world: World, own: int, others: int) -> CrowdedTable:
    """A copy of the application's table of entries with this many, whose vector indexes are built when it is full.

    The copy is not sharded, or no member of the coordinator would have the index that it searches by. It is dropped
    when the scenario ends.
    """
    schema, application = f"accept_{world.run.id}_crowded_{new_id()}", world.application or world.cluster
    entries = application.profile.entries
    world.cleanup.enter_context(copies(application.write, schema, [entries]))
    there = application.with_copies_in(schema)
    vectors = numpy.rint(_SCALE * samples.vectors(world.random, own + others, entries.dimensions)).astype(int)
    crowd = [world.another_namespace(f"crowd-{number}") for number in range(_CROWDS)]
    begun = time.monotonic()
    with sql.session(there.write, statement_timeout=_BUILD) as session:
        indexes = sql.rows(session, _VECTOR_INDEXES, [quoted(there.profile.entries.table), list(VECTOR_METHODS)])
        for name, _ in indexes:
            sql.execute(session, f"DROP INDEX {name}")
        names = [world.namespace] * own + [crowd[number % _CROWDS] for number in range(others)]
        _store(session, there, f"{quoted(schema)}.staged", names, vectors)
        for _, definition in indexes:
            sql.execute(session, definition)
        vector_indexes = "\n".join(definition for _, definition in indexes) or "no vector index"
        world.evidence.attach(f"searched: an unsharded copy of {entries.table}", vector_indexes)
        sql.execute(session, f"ANALYZE {quoted(there.profile.entries.table)}")
    world.measure(f"storing and indexing {own + others} entries took", time.monotonic() - begun, "s")
    stored = {_key(number): vectors[number].tolist() for number in range(own)}
    table = CrowdedTable(there, world.namespace, stored, crowd, prompt_members(there))
    _await_everywhere(world, table)
    return table


def _key(number: int) -> str:
    return f"entry-{number}"


def _store(
    session: sql.Session, there: Cluster, staged: str, names: Sequence[str], vectors: NDArray[numpy.int_]
) -> None:
    """Store an entry for each name and vector, by way of a table of text, from which any type of vector can be read."""
    lines = (
        f"{name}\t{_key(number)}\t[{','.join(map(str, vector))}]\n"
        for number, (name, vector) in enumerate(zip(names, vectors.tolist(), strict=True))
    )
    sql.execute(session, _STAGED.format(staged=staged))
    with session.cursor() as cursor:
        cursor.copy_expert(f"COPY {staged} FROM STDIN", io.StringIO("".join(lines)))
    store = _STORE.format(type=there.profile.entries.vector, staged=staged)
    sql.execute(session, there.profile.sql(store), ["crowded"])


def _await_everywhere(world: World, table: CrowdedTable) -> None:
    """Wait until every member that is searched has the entries. Raises Inconclusive if one does not get them."""
    count = table.cluster.profile.sql(_COUNT)

    def there() -> None:
        for name in table.searched:
            found = sql.value(table.cluster.of_member(name), count, [table.namespace])
            if found != len(table.stored):
                raise NotYet(f"{name} has {found} of {len(table.stored)} entries")

    with precondition():
        eventually(there, within=world.timing.rejoin, subject="every member has the entries", retry_on=NO_ANSWER)


def start_churn(world: World, table: CrowdedTable) -> Workload:
    """Start clients that add entries of others and remove them again, until the scenario ends."""
    profile, type_ = table.cluster.profile, table.cluster.profile.entries.vector
    comes, goes = profile.sql(_COMES.format(type=type_)), profile.sql(DELETE_ENTRY)
    coming, clients = samples.vectors(world.random, 200, profile.entries.dimensions), new_id()

    def script(turn: Turn) -> Task:
        key = f"{clients}-{turn.client}-{turn.number // 2}"
        namespace = table.crowd[turn.client % len(table.crowd)]
        if turn.number % 2:
            return _change(key, goes, [namespace, key])
        text = "[" + ",".join(f"{one:.3g}" for one in coming[turn.number // 2 % len(coming)]) + "]"
        return _change(key, comes, [namespace, key, "coming", text])

    workload = Workload(table.cluster.write, script, clients=_CLIENTS, pace=_PACE)
    world.cleanup.enter_context(workload)
    workload.await_acknowledged(10 * _CLIENTS, within=world.timing.notice)
    return workload


def _change(key: str, statement: str, values: Sequence[str]) -> Task:
    """At read committed, whatever the default level is: no change may fail because of a conflict."""

    def change(session: sql.Session) -> None:
        sql.execute(session, AT_READ_COMMITTED)
        sql.execute(session, statement, values)

    return Task(CHURN, key, None, change, transaction=True)


def search_members(
    world: World, table: CrowdedTable, churn: Workload, count: int, times: int
) -> Mapping[str, MemberSearches]:
    """Search on every member that has the entries, `times` times, while the table is vacuumed again and again.

    Each search is for the nearest `count`.

    Each search has a new session's settings: those that the role, the database and the server have.
    """
    stored = numpy.array(list(table.stored.values()), dtype=numpy.float32)
    sought = samples.vectors_near(world.random, stored / _SCALE, times)
    histories: dict[str, History] = {name: History() for name in table.searched}
    plans: dict[str, str] = {}
    for part in numpy.array_split(numpy.arange(times), _ROUNDS):
        numbers: list[int] = part.tolist()
        _vacuum(table, churn.history)
        for name, history in histories.items():
            plans[name] = _search(table, name, sought, numbers, count, history)
    return {name: _found(history, sought, plans[name]) for name, history in histories.items()}


def _search(
    table: CrowdedTable, member: str, sought: Vectors, numbers: Sequence[int], count: int, history: History
) -> str:
    """Search for these vectors in one new session on a member; returns the plan of the last search."""
    plan = ""
    with sql.session(table.cluster.of_member(member)) as session:
        search = Search(session, table.cluster.profile, own_settings=True)
        for number in numbers:
            vector = sought[number].tolist()
            record(history, SEARCH, str(number), partial(search.nearest, table.namespace, vector, count))
        if len(numbers):
            plan = search.plan(table.namespace, sought[numbers[-1]].tolist(), count)
    return plan


def _found(history: History, sought: Vectors, plan: str) -> MemberSearches:
    answered = history.of(action=SEARCH, outcome=Outcome.OK)
    failed = [one.error for one in history if one.outcome is not Outcome.OK]
    origins = []
    for one in answered:
        names = [found.namespace for found in one.value]
        origins.append({name: names.count(name) for name in names})
    answers = [
        (sought[int(one.key)].tolist(), [(found.key, found.distance) for found in one.value]) for one in answered
    ]
    return MemberSearches(answers, origins, failed[0] if failed else "", plan)


def _vacuum(table: CrowdedTable, history: History) -> None:
    """Vacuum the table with all its indexes, and record the outcome."""
    begun, error = time.monotonic(), None
    with sql.session(table.cluster.write, statement_timeout=_BUILD) as session:
        statement = f"VACUUM (INDEX_CLEANUP ON) {quoted(table.cluster.profile.entries.table)}"
        error = sql.error_of(lambda: sql.execute(session, statement))
    outcome = Outcome.OK if error is None else outcome_of(error, committing=True)
    said = "" if error is None else describe(error)
    history.append(Operation(_CLIENTS, VACUUM, VACUUM, None, outcome, begun, time.monotonic(), said))
