"""Schema profiles: which of the application's tables plays which part in the scenarios, and with which columns.

A scenario needs a table of entries with a namespace, a key and a value; some also need an embedding, JSON, tables to
join, a small reference table. A profile says which tables those are. `known_profiles` has ours and the ones that are
recognised; users write their own as `[schema]` in TOML (docs/schema.md).

Statements name parts instead of tables; `Profile.sql` replaces the parts:

    profile.sql("SELECT {entries.value} FROM {entries} WHERE {entries.namespace} = %s AND {entries.key} = %s")
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from string import Formatter
from typing import Any, Protocol

METRICS = ("cosine", "euclidean", "inner product")


def quoted(name: str) -> str:
    """A quoted identifier; a dot separates a schema from a table."""
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in name.split("."))


def relation(table: str) -> str:
    """A table's own name, without the schema that it is in."""
    return table.rpartition(".")[2]


class Part(Protocol):
    """A table that plays a part in scenarios. Most of its fields name columns, see `columns_of`."""

    @property
    def table(self) -> str: ...

    @property
    def fill(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Entries:
    """The table of entries: values that the application stores by namespace and key."""

    table: str
    namespace: str = "namespace"
    key: str = "key"
    value: str = "value"
    embedding: str | None = None
    metadata: str | None = None
    """A JSON column."""
    metric: str = "cosine"
    """The metric by which embeddings are searched; one of METRICS."""
    dimensions: int = 384
    """The dimensions of an embedding; read from the column's type if that says."""
    vector: str = "vector"
    """The type of the embeddings, without dimensions; read from the column."""
    fill: Mapping[str, str] = field(default_factory=dict)
    """Further required columns -> the SQL expression to fill them with."""
    blank: Mapping[str, str] = field(default_factory=dict)
    """Field -> what its column gets where a statement does not name it: of `embedding` and `metadata`, those that are
    required. Read from the table; an SQL expression."""

    def without(self, optional: str) -> "Entries":
        """The same, where no scenario uses the embedding or the metadata: a column that is required is filled."""
        blank, fill = dict(self.blank), dict(self.fill)
        if optional in blank:
            fill[getattr(self, optional)] = blank.pop(optional)
        rest = replace(self, blank=blank, fill=fill)
        return replace(rest, metadata=None) if optional == "metadata" else replace(rest, embedding=None)


@dataclass(frozen=True)
class Related:
    """A table whose rows belong to entries of the same namespace, by a name: patterns, categories, products."""

    table: str
    namespace: str = "namespace"
    name: str = "name"
    number: str = "number"
    fill: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Nodes:
    """The nodes of a graph."""

    table: str
    namespace: str = "namespace"
    name: str = "name"
    kind: str = "kind"
    fill: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Edges:
    """The edges of that graph, each from a node to a node of the same namespace."""

    table: str
    namespace: str = "namespace"
    source: str = "source"
    target: str = "target"
    kind: str = "kind"
    weight: str = "weight"
    fill: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """A small table that everything is joined with; on Citus every node has a copy."""

    table: str
    namespace: str | None = None
    key: str = "key"
    """Unique, by itself or within the namespace. Our keys begin with the namespace to which they belong."""
    number: str = "number"
    note: str = "note"
    fill: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What is expected of one table of the application."""

    unique: tuple[tuple[str, ...], ...] = ()
    """Sets of columns, each of which no two rows may share."""
    vectors: Mapping[str, str] = field(default_factory=dict)
    """Vector column -> the metric for which it has an HNSW index; one of METRICS."""
    distributed_by: str | None = None
    """On Citus: its distribution column."""
    colocated_with: str | None = None
    """On Citus: the table with which it is co-located, if with any."""
    reference: bool = False
    """On Citus: every node has a copy."""
    optional: bool = False
    """Some installations do not have it."""
    unlogged: bool = False
    """Its rows may be lost, such as those of a cache: it may be unlogged."""


@dataclass(frozen=True)
class Profile:
    """The part of the application's schema that scenarios need. Tables are named as the search path finds them."""

    name: str
    entries: Entries
    related: Related | None = None
    nodes: Nodes | None = None
    edges: Edges | None = None
    reference: Reference | None = None
    tables: Mapping[str, Expected] = field(default_factory=dict)
    """Table of the application -> what is expected of it."""

    def sql(self, statement: str) -> str:
        """A statement with `{entries}`, `{related.name}`, ... replaced by the names of tables and columns, quoted.

        Literal braces are doubled. Raises LookupError for a part or a column that the profile lacks.
        """
        return _rendered(self, statement)

    def insertion(self, part: str, given: Sequence[str]) -> tuple[str, str]:
        """What inserts rows of which these fields are given, up to VALUES; and the template of one row."""
        columns = ", ".join(f"{{{part}.{one}}}" for one in given)
        places = ", ".join(["%s"] * len(given))
        insert = f"INSERT INTO {{{part}}} ({columns}{{{part}.also}}) VALUES"
        # Rendered as one statement, which names the columns that are given. SQL has no zero byte.
        head, _, template = self.sql(f"{insert}\0({places}{{{part}.filling}})").partition("\0")
        return head, template

    def parts(self) -> Iterator[tuple[str, Part]]:
        """Name and table of each part that it has."""
        for name in PARTS:
            part: Part | None = getattr(self, name)
            if part is not None:
                yield name, part

    def mark(self, part: Part) -> str:
        """The column that identifies our rows: the namespace, else the key, which begins with the namespace."""
        column = getattr(part, "namespace", None) or getattr(part, "key", None)
        assert isinstance(column, str)
        return column

    def with_vectors(self, type_: str) -> "Profile":
        """This profile, with embeddings of that type."""
        return replace(self, entries=replace(self.entries, vector=type_))

    def in_schema(self, schema: str) -> "Profile":
        """This profile, for copies of its tables in another schema."""
        moved = {name: replace(part, table=f"{schema}.{relation(part.table)}") for name, part in self.parts()}  # type: ignore[type-var]
        return replace(self, **moved)  # type: ignore[arg-type]

    def distributed(self) -> tuple[str, ...]:
        """The tables that Citus should shard."""
        return tuple(name for name, one in self.tables.items() if one.distributed_by)

    def references(self) -> tuple[str, ...]:
        """The tables that Citus should copy to every node."""
        return tuple(name for name, one in self.tables.items() if one.reference)

    def __hash__(self) -> int:
        return hash((self.name, self.entries.table))


PARTS = ("entries", "related", "nodes", "edges", "reference")
"""The parts that a table can play, as `[schema]` names them; rows are stored in this order."""
_NOT_COLUMNS = frozenset({"table", "fill", "blank", "metric", "dimensions", "vector"})


def columns_of(part: Part) -> dict[str, str]:
    """Field -> column, without the further columns in `fill`."""
    named = ((one.name, getattr(part, one.name)) for one in fields(part))  # type: ignore[arg-type]
    return {name: column for name, column in named if column is not None and name not in _NOT_COLUMNS}


class _Names:
    """A part as `str.format` reads it: the table by itself, a column as an attribute.

    `named` are the fields that the statement names.
    """

    def __init__(self, name: str, part: Part, named: Collection[str]) -> None:
        self._name, self._part, self._columns = name, part, columns_of(part)
        blank = part.blank if isinstance(part, Entries) else {}
        unnamed = {self._columns[one]: value for one, value in blank.items() if one not in named}
        self._further = {**part.fill, **unnamed}

    def __str__(self) -> str:
        return quoted(self._part.table)

    def __getattr__(self, column: str) -> Any:
        if column == "also":  # the columns that need a value although the statement does not name them
            return "".join(f", {quoted(one)}" for one in self._further)
        if column == "filling":  # and their values
            return "".join(f", {expression}" for expression in self._further.values()).replace("%", "%%")
        if column not in self._columns:
            raise LookupError(f"the schema's {self._name} ({self._part.table}) have no column for the {column}")
        return quoted(self._columns[column])


@cache
def _rendered(profile: Profile, statement: str) -> str:
    named = {field for _, field, _, _ in Formatter().parse(statement) if field}
    words = {
        name: _Names(name, part, {field.partition(".")[2] for field in named if field.startswith(f"{name}.")})
        for name, part in profile.parts()
    }
    try:
        return statement.format(**words)
    except KeyError as error:
        raise LookupError(f"schema profile {profile.name} has no part {error}") from None
