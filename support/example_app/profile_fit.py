"""How a schema profile fits the tables that are there: which one it is, what it lacks, what is wrong."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from support.example_app.catalog import Column, Index, TableFacts
from support.example_app.known_profiles import KNOWN
from support.example_app.profile import Entries, Expected, Part, Profile, columns_of, relation
from support.example_app.vectors import DIALECTS, VECTOR_TYPES, operator_class
from support.vocabulary import suggestion

SHORTEST_NAME = 64
"""Characters that a column of namespaces, keys and names must hold at least."""
SHORTEST_NOTE = 10
"""Characters that a column of notes must hold at least."""
SHORTEST_VALUE = 1000
"""Characters that a column of values must hold at least."""
LONG_VALUE = 2**20
"""Characters of the longest value that a scenario stores."""

CAPABILITY = {"entries": "schema", "related": "related", "nodes": "graph", "edges": "graph", "reference": "reference"}
"""Part -> the capability that a target lacks if no table can play it."""
_DIFFER = {
    "entries": ("namespace", "key"),
    "related": ("namespace", "name"),
    "nodes": ("namespace", "name"),
    "edges": ("namespace", "source", "target"),
    "reference": ("key",),
}
"""Part -> the fields in which its rows differ; two rows may differ in any one of them alone."""
_NUMBERS = {"number", "weight"}
_FILLINGS = {
    "text": "''",
    "character varying": "''",
    "character": "''",
    "boolean": "false",
    "json": "'{}'",
    "jsonb": "'{}'",
    "bytea": "''",
    "date": "current_date",
    "uuid": "gen_random_uuid()",
    "timestamp with time zone": "now()",
    "timestamp without time zone": "now()",
    "time with time zone": "'00:00'",
    "time without time zone": "'00:00'",
    "interval": "'0'",
}
"""Type -> what fills a required column of that type that no scenario uses."""


@dataclass(frozen=True)
class Fit:
    """A profile, fitted to the tables that are there."""

    profile: Profile
    """The profile, without the parts that no table can play; `dimensions` and `fill` are read from the tables."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Missing capability -> why these tables do not have it."""


def recognised(facts: Mapping[str, TableFacts]) -> Profile | None:
    """The known profile that these tables resemble most; None if they resemble none.

    If most of its tables are missing, either the application is another one that happens to have a table of the same
    name, or hardly anything of the known one was created. The tables do not tell which: then the profile has the parts
    that are there, and no `tables`, since nothing is known of what the application relies on.
    """
    scores = {name: _likeness(profile, facts) for name, profile in KNOWN.items()}
    best = max(scores, key=lambda name: scores[name])
    if not scores[best]:
        return None
    profile = KNOWN[best]
    if 2 * sum(table in facts for table in profile.tables) >= len(profile.tables):
        return profile
    if profile.entries.table not in facts:
        return None
    entries, columns = profile.entries, facts[profile.entries.table].columns
    return replace(
        profile,
        entries=replace(
            entries,
            embedding=entries.embedding if entries.embedding in columns else None,
            metadata=entries.metadata if entries.metadata in columns else None,
        ),
        tables={},
        **{name: None for name, part in profile.parts() if part.table not in facts},  # type: ignore[arg-type]
    )


def _likeness(profile: Profile, facts: Mapping[str, TableFacts]) -> int:
    """How many of the profile's parts and keys have all their columns there."""
    parts = sum(
        set(columns_of(part).values()) <= facts[part.table].columns.keys()
        for _, part in profile.parts()
        if part.table in facts
    )
    keys = sum(
        set(key) <= facts[name].columns.keys()
        for name, expected in profile.tables.items()
        for key in expected.unique
        if name in facts
    )
    return parts + keys


def fit(profile: Profile, facts: Mapping[str, TableFacts], closed: Mapping[str, str] = {}) -> Fit:
    """Compare a profile with the tables that are there. `closed` is table -> why the login cannot reach it."""
    lacks: dict[str, str] = {}
    if there := facts.get(profile.entries.table):  # a column that no scenario can use is filled like any other
        profile = replace(profile, entries=_without_unfit(profile.entries, there, lacks))
    kept: dict[str, Part | None] = {}
    parts = {part.table for _, part in profile.parts()}
    for name, part in profile.parts():
        why = closed.get(part.table) or "; ".join(_obstacles(name, part, facts, parts))
        kept[name] = None if why else _filled(part, facts[part.table])
        if why:
            lacks.setdefault(CAPABILITY[name], why)
    reference = kept.get("reference")
    if reference is not None and not _computed(reference, facts[reference.table]):
        lacks["computed_reference"] = f"{reference.table} computes no value of a row: each is given, or a constant"
    elif reference is None:
        lacks["computed_reference"] = lacks.get("reference") or f"schema profile {profile.name} names no such table"
    entries = kept.pop("entries") or profile.entries
    assert isinstance(entries, Entries)
    for name, capability in CAPABILITY.items():
        if getattr(profile, name) is None:
            lacks.setdefault(capability, f"schema profile {profile.name} names no such table ([schema.{name}])")
    if entries.table in facts:
        columns = facts[entries.table].columns
        if (embedding := entries.embedding) and "embedding" in entries.blank:
            lacks["optional_embedding"] = f"{entries.table}.{embedding} needs a value"
        length = columns[entries.value].length if entries.value in columns else None
        if length is not None and length < LONG_VALUE:
            lacks["long_values"] = f"{entries.table}.{entries.value} holds {length} characters"
    if not profile.tables:
        lacks["application_schema"] = _hardly_there(profile.name, facts)
    elif closed:
        lacks["application_schema"] = "; ".join(sorted({*closed.values()}))
    if not any(expected.unique for expected in profile.tables.values()):
        lacks["declared_keys"] = f"schema profile {profile.name} names no key that should be unique"
    lacks |= _no_unique_key(profile) | _no_indexed_embedding(profile, lacks)
    if not any(expected.vectors for expected in profile.tables.values()):
        lacks["declared_vectors"] = f"schema profile {profile.name} names no vector column that should be indexed"
    if not profile.references():
        lacks["declared_references"] = f"schema profile {profile.name} names no reference table"
    if not profile.distributed():
        lacks["declared_sharding"] = f"schema profile {profile.name} does not say how its tables are sharded"
    return Fit(replace(profile, entries=entries, **kept), lacks)  # type: ignore[arg-type]


def _no_unique_key(profile: Profile) -> dict[str, str]:
    """Why two entries may have the same key; a key that is unique with a further column keeps nothing unique here."""
    entries = profile.entries
    declared = profile.tables.get(entries.table, Expected()).unique
    if any({*key} <= {entries.namespace, entries.key} for key in declared):
        return {}
    return {
        "unique_key": f"schema profile {profile.name} does not say that no two rows of {entries.table} share "
        f"{entries.namespace}, {entries.key}"
    }


def _no_indexed_embedding(profile: Profile, lacks: Mapping[str, str]) -> dict[str, str]:
    """Why no search of the entries need go by an HNSW index; without vectors, why there are none."""
    entries = profile.entries
    declared = profile.tables.get(entries.table, Expected()).vectors
    if "vector" in lacks:
        return {"indexed_embedding": lacks["vector"]}
    if entries.embedding is None or declared.get(entries.embedding) == entries.metric:
        return {}
    return {
        "indexed_embedding": f"schema profile {profile.name} does not say that {entries.table}.{entries.embedding} has "
        f"an HNSW index for {entries.metric} distance (vectors in [schema.tables])"
    }


def _hardly_there(name: str, facts: Mapping[str, TableFacts]) -> str:
    """Why nothing is expected of tables that resemble a known profile of which most tables are missing."""
    known = KNOWN[name].tables
    there = [table for table in known if table in facts]
    return (
        f"only {len(there)} of the {len(known)} tables of schema {name} {'is' if len(there) == 1 else 'are'} there "
        f'({", ".join(there)}): say like = "{name}" in [schema] if all of them should be, or describe the '
        "application's own tables (docs/schema.md)"
    )


def misdeclared(said: Mapping[str, Any], profile: Profile, facts: Mapping[str, TableFacts]) -> Iterator[str]:
    """What [schema] says of the columns of a table that is there, and is not so. `profile` is what it describes."""
    for name, part in profile.parts():
        told = said.get(name, {})
        if not told or part.table not in facts:
            continue
        columns = facts[part.table].columns
        named = [(what, column) for what, column in columns_of(part).items() if what in told or "like" not in said]
        for what, column in (*named, *(("fill", column) for column in part.fill)):
            if column not in columns:
                meant = suggestion(column, columns, otherwise=f"; it has {', '.join(columns)}")
                yield f"[schema.{name}] {what} = {column!r}: {part.table} has no such column{meant}"
        vector = columns.get(part.embedding or "") if isinstance(part, Entries) else None
        if vector is not None and vector.family not in VECTOR_TYPES:
            yield f"[schema.{name}] embedding = {vector.name!r}: it is of type {vector.type}, and no vector"
        elif vector and vector.dimensions and told.get("dimensions", vector.dimensions) != vector.dimensions:
            yield (
                f"[schema.{name}] dimensions = {told['dimensions']}: {part.table}.{vector.name} has "
                f"{vector.dimensions}; leave it out, the column says it"
            )


def _obstacles(plays: str, part: Part, facts: Mapping[str, TableFacts], parts: Collection[str]) -> Iterator[str]:
    """Why a table cannot be the part that it `plays`. `parts` are the tables in which scenarios store rows."""
    if part.table not in facts:
        yield f"table {part.table} does not exist"
        return
    table = facts[part.table]
    wanted = columns_of(part)
    for what, name in wanted.items():  # scenarios can do without an embedding and metadata
        if what not in ("embedding", "metadata") and (why := _unfit(what, part.table, name, table.columns.get(name))):
            yield why
    if table.refused:
        yield f"the application's role may not {', '.join(table.refused)} on {part.table}"
    if table.columnar:
        yield f"{part.table} has columnar storage, from which Citus deletes no rows: {', '.join(table.columnar)}"
    differ = {wanted[one] for one in _DIFFER[plays]}
    for shared in sorted(map(sorted, table.unique)):
        if {*shared} <= {*wanted.values()} and (others := differ - {*shared}):
            yield (
                f"no two rows of {part.table} may share {', '.join(shared)}, but scenarios store some that do, and "
                f"differ in {', '.join(sorted(others))}"
            )
    given = {*wanted.values(), *part.fill}
    for name in part.fill:
        if name not in table.columns:
            yield f"{part.table} has no column {name}, which [schema] fills"
    for other, names in table.references.items():
        if names & set(wanted.values()) and other not in parts:
            yield f"{part.table} ({', '.join(sorted(names))}) refers to {other}, where no scenario stores rows"
    for name, column in table.columns.items():
        if column.required and name not in given and _filling(column, table) is None:
            yield f"{part.table}.{name} ({column.type}) is required: give a value in the fill of its part of [schema]"


def _unfit(what: str, table: str, name: str, column: Column | None) -> str:
    """Why a column cannot fill its role, such as "key"; empty if it can."""
    if column is None:
        return f"{table} has no column {name}"
    if column.generated:
        return f"{table}.{name} is generated by the database, so it cannot be written"
    if what in _NUMBERS and not column.is_number:
        return f"{table}.{name} is of type {column.type}, but a number is needed"
    if what not in _NUMBERS and not column.is_text:
        return f"{table}.{name} is of type {column.type}, but text is needed, to recognise our rows"
    least = {"value": SHORTEST_VALUE, "note": SHORTEST_NOTE}.get(what, SHORTEST_NAME)
    if column.length and column.length < least:
        return f"{table}.{name} holds {column.length} characters, but {least} are needed"
    return ""


def _computed(part: Part, table: TableFacts) -> list[str]:
    """The columns of which scenarios give no value, and for which the database computes one."""
    given = {*columns_of(part).values(), *part.fill}
    return [name for name, column in table.columns.items() if column.computed and name not in given]


def _filled(part: Part, table: TableFacts) -> Part:
    if isinstance(part, Entries):
        part = _blanked(part, table)
    given = {*columns_of(part).values(), *part.fill}
    further = {
        name: filling
        for name, column in table.columns.items()
        if column.required and name not in given and (filling := _filling(column, table)) is not None
    }
    filled: Part = replace(part, fill={**part.fill, **further})  # type: ignore[type-var]
    return filled


def _blanked(entries: Entries, table: TableFacts) -> Entries:
    """The entries, with what a statement has to give for an embedding and metadata even if it does not use them.

    What the user gives in `fill` for such a column goes there: only those statements need it that do not name it.
    """
    known = {"embedding": _vector_of(entries.dimensions), "metadata": "'{}'"}
    blank = {
        what: entries.fill.get(name, value)
        for what, value in known.items()
        if (name := getattr(entries, what)) and (name in entries.fill or table.columns[name].required)
    }
    named = {getattr(entries, what) for what in blank}
    return replace(entries, fill={name: one for name, one in entries.fill.items() if name not in named}, blank=blank)


def _vector_of(dimensions: int) -> str:
    return f"'[{','.join(['1'] * dimensions)}]'"


def _filling(column: Column, table: TableFacts) -> str | None:
    """A value for a column of which only the type is known; None where no value would do."""
    in_key = any(column.name in key for key in table.unique)
    refers = any(column.name in names for names in table.references.values())
    if refers:
        return None
    if in_key and column.is_text and (column.length or SHORTEST_NAME) >= 36:
        return "gen_random_uuid()::text"
    if in_key and column.family in ("integer", "bigint"):
        return "(random() * 2000000000)::integer"
    if in_key and column.family != "uuid":
        return None
    if column.is_number:
        return "0"
    if column.type.endswith("[]"):
        return "'{}'"
    if column.dimensions and column.family == "sparsevec":
        return f"'{{1:1}}/{column.dimensions}'"
    if column.dimensions:
        return _vector_of(column.dimensions)
    return _FILLINGS.get(column.family)


def _without_unfit(entries: Entries, table: TableFacts, lacks: dict[str, str]) -> Entries:
    """The entries, without a vector or JSON column that scenarios cannot use."""
    columns = table.columns
    metadata = columns.get(entries.metadata or "")
    if metadata is None or not metadata.is_json:
        lacks["json"] = (
            f"{entries.table}.{metadata.name} is of type {metadata.type}"
            if metadata
            else f"{entries.table} has no column {entries.metadata}"
            if entries.metadata
            else f"the profile names no JSON column in {entries.table}"
        )
        entries = replace(entries, metadata=None)
    embedding = columns.get(entries.embedding or "")
    if why := _unfit_vector(entries, embedding, table.indexes):
        lacks["vector"] = why
        return replace(entries, embedding=None)
    assert embedding is not None
    return replace(entries, dimensions=embedding.dimensions or entries.dimensions, vector=embedding.family)


def _unfit_vector(entries: Entries, column: Column | None, indexes: Collection[Index]) -> str:
    if entries.embedding is None:
        return f"the profile names no column of embeddings in {entries.table}"
    if column is None:
        return f"{entries.table} has no column {entries.embedding}"
    if column.family not in DIALECTS:
        return f"{entries.table}.{column.name} is of type {column.type}; only {' and '.join(DIALECTS)} can be judged"
    if schema := column.off_path:
        return (
            f"{entries.table}.{column.name} is of type {schema}.{column.type}, but {schema} is not in the login's "
            "search_path, so that a search finds no operator of the type: add it for the role (ALTER ROLE ... SET "
            "search_path), or for the suite's sessions (RUVECTOR_OPTIONS)"
        )
    if entries.metric != "cosine":
        return f"{entries.table} is searched by {entries.metric} distance; only cosine distance can be judged"
    by_graph = [one for one in indexes if one.column == column.name and one.method == "hnsw"]
    if by_graph and all(one.cast and one.operators == operator_class(one.cast, entries.metric) for one in by_graph):
        return (
            f"{entries.table}.{column.name} is indexed as {by_graph[0].cast} ({by_graph[0].name}), so only searches "
            "that cast it go by the index; those of scenarios do not"
        )
    return ""


def missing(profile: Profile, facts: Mapping[str, TableFacts]) -> list[str]:
    """The tables and columns that the application needs and that are missing, one line each."""
    found = [
        f"table {name} is missing"
        for name, expected in profile.tables.items()
        if name not in facts and not expected.optional
    ]
    needed: dict[str, set[str]] = {name: _columns(expected) for name, expected in profile.tables.items()}
    for _, part in profile.parts():
        needed.setdefault(part.table, set()).update(columns_of(part).values())
    return found + [
        f"table {name} has no column {column}"
        for name, columns in needed.items()
        for column in sorted(columns)
        if name in facts and column not in facts[name].columns
    ]


def _columns(expected: Expected) -> set[str]:
    return {*expected.vectors, *(column for key in expected.unique for column in key)}


def not_unique(profile: Profile, facts: Mapping[str, TableFacts]) -> list[str]:
    """The keys that the application relies on although two rows could share them, one line each."""
    return [
        f"two rows of {name} can share {', '.join(key)}: no unique constraint or index is on them"
        for name, expected in profile.tables.items()
        for key in expected.unique
        if name in facts and not facts[name].keeps_unique(key)
    ]


def unlogged(profile: Profile, facts: Mapping[str, TableFacts]) -> list[str]:
    """The tables and partitions that are unlogged although the application needs their rows, one line each."""
    return [
        f"{name} is unlogged{'' if one == relation(name) else f' in its partition {one}'}: no replica has the rows, "
        "and a crash or a failover deletes them (ALTER TABLE ... SET LOGGED)"
        for name, expected in profile.tables.items()
        if name in facts and not expected.unlogged
        for one in facts[name].unlogged
    ]


def without_vector_index(profile: Profile, facts: Mapping[str, TableFacts]) -> list[str]:
    """The vector columns without a valid HNSW index for the metric by which they are searched, one line each.

    An index on the column cast to another type of vectors is one, too: pgvector's way for more than 2,000 dimensions.
    """
    found = []
    for name, expected in profile.tables.items():
        for column, metric in expected.vectors.items() if name in facts else ():
            if (at := facts[name].columns.get(column)) is None or at.family not in VECTOR_TYPES:
                found.append(f"{name} has no vector column {column}")
                continue
            there = [one for one in facts[name].indexes if one.column == column]
            if not any(one.method == "hnsw" and one.valid and serves(one, at, metric) for one in there):
                have = [
                    f"{one.name} ({one.method}, {one.operators}{'' if one.valid else ', not valid'})" for one in there
                ]
                found.append(
                    f"{name}.{column} has no HNSW index for {metric} distance ({operator_class(at.family, metric)}); "
                    f"it has {', '.join(have) or 'no index'}"
                )
    return found


def serves(index: Index, column: Column, metric: str) -> bool:
    """Whether searches of the column by that metric can go by the index."""
    return index.operators == operator_class(index.cast or column.family, metric)
