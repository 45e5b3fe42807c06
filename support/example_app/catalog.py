"""The application's tables as PostgreSQL's catalog describes them: columns, keys, vector indexes, persistence.

Source: https://www.postgresql.org/docs/16/catalogs.html
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support import sql
from support.example_app.profile import quoted
from support.example_app.vectors import VECTOR_TYPES

# Of a table in a schema that the login may not use, to_regclass raises an error.
_TABLES = """
    SELECT t, found::oid FROM (
        SELECT t, CASE WHEN place IS NULL OR has_schema_privilege(oid, 'USAGE') THEN to_regclass(t) END AS found
          FROM unnest(%s::text[], %s::text[]) AS named (t, place) LEFT JOIN pg_namespace ON nspname = place
    ) AS reached WHERE found IS NOT NULL
"""
_CLOSED = """
    SELECT nspname, format('GRANT USAGE ON SCHEMA %%I TO %%I', nspname, current_user)
      FROM pg_namespace WHERE nspname = ANY (%s) AND NOT has_schema_privilege(oid, 'USAGE')
"""
_COLUMNS = """
    SELECT attrelid, attname, format_type(atttypid, atttypmod), attnotnull,
           atthasdef OR attidentity <> '' OR attgenerated <> '', attgenerated <> '' OR attidentity = 'a',
           attidentity <> '' OR coalesce(pg_get_expr(adbin, adrelid) !~ %s, false),
           CASE WHEN NOT pg_type_is_visible(atttypid) AND EXISTS (
               SELECT FROM pg_depend WHERE classid = 'pg_type'::regclass AND objid = atttypid AND deptype = 'e'
           ) THEN quote_ident(nspname) ELSE '' END
      FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
      JOIN pg_type ON pg_type.oid = atttypid JOIN pg_namespace ON pg_namespace.oid = typnamespace
     WHERE attrelid = ANY (%s::oid[]) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
# A partial index, one on an expression, or one that is not valid promises nothing of all rows.
_UNIQUE = """
    SELECT indrelid, array_agg(attname::text ORDER BY attname)
      FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey[0:indnkeyatts - 1])
     WHERE indrelid = ANY (%s::oid[]) AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL
     GROUP BY indexrelid, indrelid
"""
_INDEXES = """
    SELECT indrelid, attname, index.relname, amname, opcname, indisvalid, pg_get_indexdef(indexrelid, 1, true)
      FROM pg_index
      JOIN pg_class index ON index.oid = indexrelid
      JOIN pg_am ON pg_am.oid = index.relam
      JOIN pg_opclass class ON class.oid = indclass[0]
      LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
     WHERE indrelid = ANY (%s::oid[]) AND indpred IS NULL
"""
_REFERENCES = """
    SELECT conrelid, confrelid, confrelid::regclass::text, array_agg(attname::text)
      FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
     WHERE conrelid = ANY (%s::oid[]) AND contype = 'f' GROUP BY pg_constraint.oid, conrelid, confrelid
"""
_PRIVILEGES = """
    SELECT oid, privilege FROM unnest(%s::oid[]) oid, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) privilege
     WHERE NOT has_table_privilege(oid, privilege)
"""
_ROW_SECURITY = "SELECT oid FROM unnest(%s::oid[]) oid WHERE row_security_active(oid)"
# A partition may be of another kind than the others.
_PARTS = """
    SELECT root AS of_table, root AS id FROM unnest(%s::oid[]) root
     UNION SELECT root, relid FROM unnest(%s::oid[]) root, pg_partition_tree(root::regclass)
"""
# Hydra's access method has the same name, and takes changes.
_COLUMNAR = f"""
    SELECT of_table, relname
      FROM ({_PARTS}) part
      JOIN pg_class ON pg_class.oid = part.id
      JOIN pg_depend ON classid = 'pg_am'::regclass AND objid = relam AND refclassid = 'pg_extension'::regclass
      JOIN pg_extension ON pg_extension.oid = refobjid
     WHERE extname IN ('citus', 'citus_columnar')
"""
# A table that is partitioned (relkind p) has no rows of its own: whether it is unlogged means nothing.
_UNLOGGED = f"""
    SELECT of_table, relname
      FROM ({_PARTS}) part JOIN pg_class ON pg_class.oid = part.id
     WHERE relpersistence = 'u' AND relkind = 'r'
"""
_CONSTANT = r"^\(?(NULL|true|false|-?[0-9.]+|'([^']|'')*')\)?(::[^()]+(\([0-9,]+\))?)?$"
"""A default of which no two nodes could think differently, as pg_get_expr writes it."""
VECTOR_METHODS = ("hnsw", "ivfflat", "ruivfflat")
"""Index methods for searches by distance, which need not have an entry for each row."""
_LENGTH = re.compile(r"character varying\((\d+)\)")
_DIMENSIONS = re.compile(rf"(?:{'|'.join(VECTOR_TYPES)})\((\d+)\)")
_LIMITS = re.compile(r"\(-?\d+(,-?\d+)*\)")
"""The modifier of a type, which may be in the middle of its name: "timestamp(3) without time zone"."""
_CAST = re.compile(r'\(*(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>\w+))\)?::(?:[\w"]+\.)?(?P<type>\w+)(?:\(\d+\))?\)*')
"""An index of a column that is cast to another type, as pg_get_indexdef writes it: (embedding::halfvec(3072))."""
_TEXT = ("text", "character varying", "citext")
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    type: str
    """As format_type writes it: "character varying(255)", "vector(384)". Of an extension, without its schema."""
    required: bool
    """Every INSERT must give a value: it is NOT NULL and has no default."""
    generated: bool
    """The database always generates the value."""
    computed: bool = False
    """Where an INSERT gives no value, the database computes one: a default that is more than a constant."""
    off_path: str = ""
    """The schema of a type of an extension, quoted, if the login's search path does not find the type there."""

    @property
    def length(self) -> int | None:
        """The most characters that it holds; None if there is no limit."""
        found = _LENGTH.fullmatch(self.type)
        return int(found[1]) if found else None

    @property
    def dimensions(self) -> int | None:
        """The dimensions of a vector column; None if the type does not say, or is no vector."""
        found = _DIMENSIONS.fullmatch(self.type)
        return int(found[1]) if found else None

    @property
    def family(self) -> str:
        """Its type without limits: "character varying", "vector", "timestamp without time zone"."""
        return _LIMITS.sub("", self.type)

    @property
    def is_text(self) -> bool:
        return self.family in _TEXT

    @property
    def is_number(self) -> bool:
        return self.family in _NUMBERS

    @property
    def is_json(self) -> bool:
        return self.family in ("json", "jsonb")


@dataclass(frozen=True)
class Index:
    """One index whose first column is `column`, perhaps cast to another type; not a partial index."""

    name: str
    column: str
    method: str
    """hnsw, btree, gin, ..."""
    operators: str
    """Its operator class, such as vector_cosine_ops."""
    valid: bool
    cast: str = ""
    """The type that the column is cast to in the index, such as halfvec, which can be indexed at more dimensions."""


@dataclass(frozen=True)
class TableFacts:
    """One table."""

    columns: Mapping[str, Column]
    unique: frozenset[frozenset[str]] = frozenset()
    """The sets of columns that a unique index or constraint covers."""
    indexes: tuple[Index, ...] = ()
    references: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Referenced table, by the name that was looked up or else PostgreSQL's -> the columns of the foreign key."""
    refused: tuple[str, ...] = ()
    """The privileges that the login lacks, of SELECT, INSERT, UPDATE and DELETE."""
    row_security: bool = False
    """Whether policies decide which rows the login sees and changes."""
    columnar: tuple[str, ...] = ()
    """Of the table and its partitions, those in Citus' columnar storage, whose rows can be neither changed nor deleted.
    """
    unlogged: tuple[str, ...] = ()
    """Of the table and its partitions, those that are unlogged: no replica has their rows, and a crash empties them."""

    def keeps_unique(self, columns: Collection[str]) -> bool:
        """Whether no two rows can share these columns."""
        return any(one <= frozenset(columns) for one in self.unique)


def look_at(where: sql.Endpoint | sql.Session, tables: Iterable[str]) -> dict[str, TableFacts]:
    """Table -> its facts, for those tables that the login's search path finds, or may use in the schema they name."""
    if isinstance(where, sql.Endpoint):
        with sql.session(where) as session:
            return look_at(session, tables)
    names = {quoted(table): table for table in tables}
    schemas = [_schema_of(table) for table in names.values()]
    found = {names[name]: oid for name, oid in sql.rows(where, _TABLES, [list(names), schemas])}
    oids: list[Any] = [list(found.values())]
    known: dict[int, str] = {oid: table for table, oid in found.items()}
    columns = sql.rows(where, _COLUMNS, [_CONSTANT, *oids])
    unique, indexes = sql.rows(where, _UNIQUE, oids), sql.rows(where, _INDEXES, oids)
    references, refused = sql.rows(where, _REFERENCES, oids), sql.rows(where, _PRIVILEGES, oids)
    columnar, unlogged = sql.rows(where, _COLUMNAR, [*oids, *oids]), sql.rows(where, _UNLOGGED, [*oids, *oids])
    secured = {of for (of,) in sql.rows(where, _ROW_SECURITY, oids)}
    return {
        table: TableFacts(
            columns={
                name: Column(
                    name, type_.removeprefix(f"{schema}."), notnull and not default, generated, computed, schema
                )
                for of, name, type_, notnull, default, generated, computed, schema in columns
                if of == oid
            },
            unique=frozenset(frozenset(names) for of, names in unique if of == oid),
            indexes=tuple(_indexes(row for of, *row in indexes if of == oid)),
            references={
                known.get(other) or str(name): frozenset(names) for of, other, name, names in references if of == oid
            },
            refused=tuple(privilege for of, privilege in refused if of == oid),
            row_security=oid in secured,
            columnar=tuple(sorted(name for of, name in columnar if of == oid)),
            unlogged=tuple(sorted(name for of, name in unlogged if of == oid)),
        )
        for table, oid in found.items()
    }


def closed(where: sql.Endpoint | sql.Session, tables: Iterable[str]) -> dict[str, str]:
    """Table -> why the login cannot reach it, for those in a schema that it may not use, whether they exist or not."""
    schemas = {table: schema for table in tables if (schema := _schema_of(table))}
    grants: dict[str, str] = dict(sql.rows(where, _CLOSED, [list(schemas.values())]))
    return {
        table: f"the application's role may not use schema {schema}: {grants[schema]}"
        for table, schema in schemas.items()
        if schema in grants
    }


def _schema_of(table: str) -> str | None:
    """The schema that is named with a table; None if there is none."""
    parts = table.split(".")
    return parts[-2] if len(parts) > 1 else None


def _indexes(rows: Iterable[Sequence[Any]]) -> Iterator[Index]:
    """The indexes of which it is known what column they are for."""
    for column, name, method, operators, valid, expression in rows:
        if column is not None:
            yield Index(name, column, method, operators, valid)
        elif found := _CAST.fullmatch(expression):
            of = found["plain"] or found["quoted"].replace('""', '"')
            yield Index(name, of, method, operators, valid, found["type"])
