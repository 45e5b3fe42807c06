"""Creates the application's schema, and removes what a run stored in it."""

from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import LiteralString

from psycopg2 import errorcodes

from support import sql
from support.application.profile import Profile, Reference, quoted
from support.application.vectors import VectorDialect

STATEMENTS = Path(__file__).with_name("schema.sql")
LOCAL = "local_tables"
"""The schema with a copy of all tables that is not sharded: it lives on the coordinator's members alone."""


def statements(dialect: VectorDialect) -> str:
    """The schema in the words of one vector extension."""
    return Template(STATEMENTS.read_text(encoding="utf-8")).substitute(
        vector=dialect.type, cosine=dialect.operator_class("cosine"), with_hnsw=dialect.hnsw_options
    )


def create(where: sql.Endpoint | sql.Session, dialect: VectorDialect) -> None:
    """Create all tables and indexes, as the role that logs in there; in one transaction."""
    sql.execute(where, f"BEGIN; {statements(dialect)} COMMIT")


def create_local(where: sql.Endpoint, dialect: VectorDialect) -> None:
    """Create the copy of all tables that is not sharded; empty."""
    with sql.session(where) as session:
        sql.execute(session, f"CREATE SCHEMA {LOCAL}")
        sql.execute(session, f"SET search_path = {LOCAL}, public")
        create(session, dialect)


def remove(where: sql.Endpoint, profile: Profile, namespaces: Sequence[str]) -> int:
    """Delete every row of these namespaces from the tables that scenarios store rows in; returns how many."""
    return _delete(where, profile, "{mark} = ANY(%(those)s)", "{mark} LIKE ANY(%(keys)s)", list(namespaces))


def sweep(where: sql.Endpoint, profile: Profile, namespace: str) -> int:
    """Delete every row of a namespace and of those named `<namespace>-...`; reads whole tables."""
    below = "({mark} = %(those)s OR starts_with({mark}, %(those)s || '-'))"
    return _delete(where, profile, below, "starts_with({mark}, %(those)s)", namespace)


def _delete(
    where: sql.Endpoint, profile: Profile, by_namespace: LiteralString, by_key: LiteralString, those: str | list[str]
) -> int:
    """Delete the rows of ours: by their namespace, or by their key in a table that has none."""
    deleted = 0
    values = {"those": those, "keys": [f"{_escaped(one)}/%" for one in ([those] if isinstance(those, str) else those)]}
    with sql.session(where) as session:
        for _, part in reversed(list(profile.parts())):  # what refers to others first
            condition = by_key if isinstance(part, Reference) and part.namespace is None else by_namespace
            statement = f"DELETE FROM {quoted(part.table)} WHERE {condition.format(mark=quoted(profile.mark(part)))}"
            try:
                deleted += sql.execute(session, statement, values)
            except sql.Error as error:
                if error.pgcode != errorcodes.UNDEFINED_TABLE:  # in a table that is not there nothing is left
                    raise
    return deleted


def _escaped(text: str) -> str:
    """Text as LIKE takes it literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
