"""The application's schema: created, sharded, copied, and cleared of what a run stored in it.

Tables are sharded by namespace, so that one worker stores, and joins, everything of a namespace; trajectories by their
id, as they are looked up one by one. Tables that are small, or joined with everything, are reference tables: every node
has a copy. The profile EXAMPLE says which is which.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import LiteralString

from psycopg2 import errorcodes

from support import sql
from support.errors import ConnectFailed, NotAvailable
from support.example_app.known_profiles import EXAMPLE
from support.example_app.profile import Entries, Profile, Reference, Related, quoted, relation
from support.example_app.vectors import VectorDialect
from support.timeouts import RECOVERY, START
from support.waiting import describe, eventually

STATEMENTS = Path(__file__).with_name("schema.sql")
LOCAL = "local_tables"
"""The schema with a copy of all tables that is not sharded: only the coordinator's members store it."""
SHARDS = 32
_DISTRIBUTE = "SELECT create_distributed_table(%s, %s, shard_count => %s, colocate_with => 'none')"
_CO_LOCATE = "SELECT create_distributed_table(%s, %s, colocate_with => %s)"


def statements(dialect: VectorDialect) -> str:
    """The SQL that creates all tables and indexes, for one vector extension."""
    return Template(STATEMENTS.read_text(encoding="utf-8")).substitute(
        vector=dialect.type, cosine=dialect.operator_class("cosine"), with_hnsw=dialect.hnsw_options
    )


def create(where: sql.Endpoint | sql.Session, dialect: VectorDialect) -> None:
    """Create all tables and indexes in one transaction, owned by the role that logs in there."""
    sql.execute(where, f"BEGIN; {statements(dialect)} COMMIT")


def create_local(where: sql.Endpoint, dialect: VectorDialect) -> None:
    """Create empty copies of all tables that are not sharded."""
    with sql.session(where) as session:
        sql.execute(session, f"CREATE SCHEMA {LOCAL}")
        sql.execute(session, f"SET search_path = {LOCAL}, public")
        create(session, dialect)


def remove(where: sql.Endpoint, profile: Profile, namespaces: Sequence[str]) -> int:
    """Delete all rows of these namespaces from the tables in which scenarios store rows; returns how many."""
    return _delete(where, profile, "{mark} = ANY(%(those)s)", "{mark} LIKE ANY(%(keys)s)", list(namespaces))


def sweep(where: sql.Endpoint, profile: Profile, namespace: str) -> int:
    """Delete all rows of a namespace and of those named `<namespace>-...`; reads whole tables."""
    below = "({mark} = %(those)s OR starts_with({mark}, %(those)s || '-'))"
    return _delete(where, profile, below, "starts_with({mark}, %(those)s)", namespace)


def _delete(
    where: sql.Endpoint, profile: Profile, by_namespace: LiteralString, by_key: LiteralString, those: str | list[str]
) -> int:
    """Delete our rows: by their namespace, or by their key in a table without namespaces."""
    deleted = 0
    values = {"those": those, "keys": [f"{_escaped(one)}/%" for one in ([those] if isinstance(those, str) else those)]}
    with sql.session(where) as session:
        for _, part in reversed(list(profile.parts())):  # referring tables first
            condition = by_key if isinstance(part, Reference) and part.namespace is None else by_namespace
            statement = f"DELETE FROM {quoted(part.table)} WHERE {condition.format(mark=quoted(profile.mark(part)))}"
            try:
                deleted += sql.execute(session, statement, values)
            except sql.Error as error:
                if error.pgcode != errorcodes.UNDEFINED_TABLE:  # a table that does not exist has no rows
                    raise
    return deleted


def _escaped(text: str) -> str:
    """Text as LIKE takes it literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def distribute(where: sql.Endpoint) -> None:
    """Shard the tables of the example profile that the login's search path finds.

    The first table of a co-location group is distributed by itself, so that its shards are created in parallel.
    """
    with sql.session(where, statement_timeout=START) as session:
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
        sql.execute(where, f"CREATE SCHEMA {schema}")
    except sql.Error as error:
        if error.pgcode != errorcodes.INSUFFICIENT_PRIVILEGE:
            raise
        raise NotAvailable(f"tables of the suite's own cannot be created: {describe(error)}") from error
    try:
        with sql.session(where) as session:
            first = ""
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
            lambda: sql.execute(where, f"DROP SCHEMA {schema} CASCADE"),
            within=RECOVERY,  # whatever was done to a worker meanwhile
            subject=f"the schema {schema} is dropped",
            retry_on=(sql.Error, ConnectFailed),
        )
