"""The application's schema: created, sharded, copied, and cleared of what a run stored in it.

Tables are sharded by namespace, so that one worker stores, and joins, everything of a namespace; trajectories by their
id, as they are looked up one by one. Tables that are small, or joined with everything, are reference tables: every node
has a copy. The profile EXAMPLE says which is which.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import LiteralString

import psycopg2.errors
from psycopg2 import errorcodes

from support import sql
from support.errors import ConnectFailed, NotAvailable
from support.example_app.known_profiles import EXAMPLE
from support.example_app.profile import PARTS, Entries, Part, Profile, Reference, Related, quoted, relation
from support.example_app.vectors import VectorDialect
from support.timeouts import RECOVERY, START
from support.vocabulary import counted
from support.waiting import describe, eventually

STATEMENTS = Path(__file__).with_name("schema.sql")
LOCAL = "local_tables"
"""The schema with a copy of all tables that is not sharded: only the coordinator's members store it."""
SHARDS = 32
BATCH = 20_000
"""Entries that one statement deletes."""
TRIES = 2
"""How often rows are deleted until none is left: what another session stores meanwhile is deleted the second time."""
KEPT = "a trigger, a rule or row security keeps rows that are deleted"
NAMES = 1000
"""Namespaces that one statement names."""
_DISTRIBUTE = "SELECT create_distributed_table(%s, %s, shard_count => %s, colocate_with => 'none')"
_ONE_COPY = "SET citus.shard_replication_factor = 1"
"""Each shard of what a session distributes has one copy, whatever the default of the role or database.

With more, Citus allows no foreign keys.
"""
_CO_LOCATE = "SELECT create_distributed_table(%s, %s, colocate_with => %s)"


def statements(dialect: VectorDialect | None) -> str:
    """The SQL that creates all tables and indexes, for one vector extension; None leaves out what needs one."""
    text = STATEMENTS.read_text(encoding="utf-8")
    if dialect is None:  # a column or an index with vectors is one line
        return "".join(line for line in text.splitlines(keepends=True) if "$" not in line)
    return Template(text).substitute(
        vector=dialect.type, cosine=dialect.operator_class("cosine"), with_hnsw=dialect.hnsw_options
    )


def create(where: sql.Endpoint | sql.Session, dialect: VectorDialect | None) -> None:
    """Create all tables and indexes in one transaction, owned by the role that logs in there.

    Without a dialect, no table has vectors.
    """
    sql.execute(where, f"BEGIN; {statements(dialect)} COMMIT")


_BY_SCHEMA_OFF = """
    SELECT set_config(name, 'off', true) FROM pg_settings WHERE name = 'citus.enable_schema_based_sharding'
"""


def create_schema(where: sql.Endpoint, name: str, unless_there: bool = False) -> None:
    """Create a schema, owned by the role that logs in there, whose tables are local until they are distributed.

    Where Citus shards by schema, it would place all tables of a new schema on one worker, and distribute none of them.

    Source: https://docs.citusdata.com/en/v13.0/develop/api_guc.html (citus.enable_schema_based_sharding)
    """
    with sql.session(where, autocommit=False) as session:
        sql.rows(session, _BY_SCHEMA_OFF)
        sql.execute(session, f"CREATE SCHEMA {'IF NOT EXISTS ' if unless_there else ''}{name}")
        session.commit()


def create_local(where: sql.Endpoint, dialect: VectorDialect) -> None:
    """Create empty copies of all tables that are not sharded."""
    with sql.session(where) as session:
        sql.execute(session, f"CREATE SCHEMA {LOCAL}")
        sql.execute(session, f"SET search_path = {LOCAL}, public")
        create(session, dialect)


def remove(
    where: sql.Endpoint,
    profile: Profile,
    namespaces: Sequence[str],
    parts: Collection[str] = PARTS,
    on_progress: Callable[[int], None] = lambda deleted: None,
) -> int:
    """Delete all rows of these namespaces from the tables that play these parts; returns how many.

    Rows are found by equality, by an index on the namespace where there is one. No statement deletes more than about
    BATCH entries: however much was stored, a statement_timeout ends none of them, and locks are held briefly.
    `on_progress` gets the number of rows deleted so far. What was deleted before an error stays deleted. Raises
    NotAvailable if rows are still there that were deleted.
    """
    deleted = 0
    with sql.session(where, autocommit=False) as session:
        for some in _portions(namespaces):
            for name, part in reversed(list(profile.parts())):  # referring tables first
                if name in parts:
                    for count in _deletions(session, profile, name, part, some):
                        deleted += count
                        on_progress(deleted)
    return deleted


def sweep(where: sql.Endpoint, profile: Profile, namespace: str) -> int:
    """Delete all rows of a namespace and of those named `<namespace>-...`; returns how many.

    Reads whole tables, each in one statement: for a cluster of our own, whose tables hold nothing else.
    """
    below = "({mark} = %(those)s OR starts_with({mark}, %(those)s || '-'))"
    values = {"those": namespace, "keys": _keys_of([namespace])}
    deleted = 0
    with sql.session(where, autocommit=False) as session:
        for _, part in reversed(list(profile.parts())):
            condition = "starts_with({mark}, %(those)s)" if _keyed(part) else below
            deleted += _delete(session, profile, part, condition, values)
    return deleted


_MANY = "SELECT 1 FROM {entries} WHERE {entries.namespace} = ANY (%(those)s) OFFSET %(size)s LIMIT 1"
_NEXT = """
    SELECT {entries.key} FROM {entries} WHERE {entries.namespace} = %(namespace)s AND {after}
     ORDER BY {entries.key} OFFSET %(size)s LIMIT 1
"""
_BATCH = "DELETE FROM {entries} WHERE {entries.namespace} = %(namespace)s AND {after} AND {entries.key} <= %(last)s"
_AFTER = "{entries.key} > %(first)s"


def go_by_index(session: sql.Session) -> None:
    """Begin a transaction whose statements go by an index if there is one, on the workers of Citus, too.

    The planner has no statistics about values of ours: it expects as many rows as others have, and for some hundred
    values it would choose to read the whole table.
    """
    sql.rows(
        session, "SELECT set_config('citus.propagate_set_commands', 'local', true), set_config('jit', 'off', true)"
    )
    sql.execute(session, "SET LOCAL enable_seqscan = off")  # alone: Citus sends the workers whatever is sent with it


def _deletions(
    session: sql.Session, profile: Profile, name: str, part: Part, namespaces: Sequence[str]
) -> Iterator[int]:
    """Delete the rows of one part, and yield the count of each statement, which is a transaction of its own.

    Scenarios store rows by the thousand in any table, and by the million only entries.
    """
    condition, values = condition_of(part), {**values_of(namespaces), "size": BATCH}
    if name == "entries" and _is_there(session, profile.sql(_MANY), values):
        for namespace in namespaces:
            yield from _batches(session, profile, namespace)
    else:
        go_by_index(session)
        yield _delete(session, profile, part, condition, values)


def _is_there(session: sql.Session, statement: str, values: sql.Values) -> bool:
    go_by_index(session)
    try:
        found = bool(sql.rows(session, statement, values))
    except psycopg2.errors.UndefinedTable:
        found = False
    session.rollback()
    return found


def _batches(session: sql.Session, profile: Profile, namespace: str) -> Iterator[int]:
    """Delete the entries of a namespace in batches, in the order of their keys.

    Each batch begins where the last one ended: it does not pass over the index entries of rows that are deleted
    already. Citus allows no LIMIT in a DELETE, and its tables have no ctid; so the last key is looked up first.
    """
    after, values = "TRUE", {"namespace": namespace, "size": BATCH - 1}
    while last := sql.rows(session, profile.sql(_NEXT.replace("{after}", after)), values):
        delete = profile.sql(_BATCH.replace("{after}", after))
        session.commit()
        go_by_index(session)
        yield _executed(session, delete, {**values, "last": last[0][0]})
        after, values = _AFTER, {**values, "first": last[0][0]}
    session.rollback()
    go_by_index(session)
    yield _delete(session, profile, profile.entries, "{mark} = %(namespace)s", values)


def _executed(session: sql.Session, statement: str, values: sql.Values) -> int:
    count = sql.execute(session, statement, values)
    session.commit()
    return count


def _delete(session: sql.Session, profile: Profile, part: Part, condition: LiteralString, values: sql.Values) -> int:
    """Delete these rows, and see that they are gone: a trigger, a rule or row security keeps them without an error."""
    those = f"FROM {quoted(part.table)} WHERE {condition.format(mark=quoted(profile.mark(part)))}"
    deleted = left = 0
    try:
        for _ in range(TRIES):
            deleted += sql.execute(session, f"DELETE {those}", values)
            left = sql.value(session, f"SELECT count(*) {those}", values)
            if not left:
                break
        session.commit()
    except psycopg2.errors.UndefinedTable:  # a table that does not exist has no rows
        session.rollback()
        return 0
    if left:
        raise NotAvailable(f"{part.table} still has {counted(left, 'row')} of ours after their deletion: {KEPT}")
    return deleted


def condition_of(part: Part) -> LiteralString:
    """The condition for a part's rows of the namespaces in `values_of`; {mark} stands for the column `Profile.mark`."""
    return "{mark} LIKE ANY (%(keys)s)" if _keyed(part) else "{mark} = ANY (%(those)s)"


def values_of(namespaces: Sequence[str]) -> dict[str, list[str]]:
    """What that condition compares with."""
    return {"those": list(namespaces), "keys": _keys_of(namespaces)}


def _keyed(part: Part) -> bool:
    """Whether our rows are known by their keys: those of a small table without namespaces."""
    return isinstance(part, Reference) and part.namespace is None


def _keys_of(namespaces: Iterable[str]) -> list[str]:
    return [f"{_escaped(one)}/%" for one in namespaces]


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[first : first + NAMES] for first in range(0, len(names), NAMES))


def _escaped(text: str) -> str:
    """Text as LIKE takes it literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def distribute(where: sql.Endpoint) -> None:
    """Shard the tables of the example profile that the login's search path finds.

    The first table of a co-location group is distributed by itself, so that its shards are created in parallel.
    """
    with sql.session(where, statement_timeout=START) as session:
        sql.execute(session, _ONE_COPY)
        for table in EXAMPLE.distributed():
            expected = EXAMPLE.tables[table]
            if expected.colocated_with:
                sql.rows(session, _CO_LOCATE, [table, expected.distributed_by, expected.colocated_with])
            else:
                sql.rows(session, _DISTRIBUTE, [table, expected.distributed_by, SHARDS])
        for table in EXAMPLE.references():
            sql.rows(session, "SELECT create_reference_table(%s)", [table])


@contextmanager
def copies(
    where: sql.Endpoint, schema: str, parts: Sequence[Entries | Related], shards: int | None = None
) -> Iterator[None]:
    """Empty copies of these parts' tables with all their indexes, in a schema dropped at the end.

    They are distributed by namespace over so many shards and co-located; None leaves them unsharded. Raises
    NotAvailable where the application's role may not create a schema.
    """
    try:
        create_schema(where, schema)
    except sql.Error as error:
        if error.pgcode != errorcodes.INSUFFICIENT_PRIVILEGE:
            raise
        raise NotAvailable(f"tables of the suite's own cannot be created: {describe(error)}") from error
    try:
        with sql.session(where) as session:
            first = ""
            if shards is not None:
                sql.execute(session, _ONE_COPY)
            for part in parts:
                copy = quoted(f"{schema}.{relation(part.table)}")
                sql.execute(session, f"CREATE TABLE {copy} (LIKE {quoted(part.table)} INCLUDING ALL)")
                if shards is None:
                    continue
                if not first:
                    sql.rows(session, _DISTRIBUTE, [copy, part.namespace, shards])
                else:
                    sql.rows(session, _CO_LOCATE, [copy, part.namespace, first])
                first = first or copy
        yield
    finally:
        eventually(
            lambda: sql.execute(where, f"DROP SCHEMA IF EXISTS {schema} CASCADE"),
            within=RECOVERY,  # whatever was done to a worker meanwhile
            subject=f"the schema {schema} is dropped",
            retry_on=(sql.Error, ConnectFailed),
        )
