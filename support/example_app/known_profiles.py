"""The schema profiles that are known: of the example application, and of the ruvector swarm's services."""

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from support.errors import UsageError
from support.example_app.profile import METRICS, PARTS, Edges, Entries, Expected, Nodes, Profile, Reference, Related
from support.vocabulary import suggestion

_COSINE = {"embedding": "cosine"}

EXAMPLE = Profile(
    name="example",
    entries=Entries("memory_entries", embedding="embedding", metadata="metadata"),
    related=Related("patterns", name="id", number="usage_count", fill={"name": "''"}),
    nodes=Nodes("graph_nodes", name="id"),
    edges=Edges("graph_edges"),
    reference=Reference("vector_indexes", key="name", number="dimensions", note="metric", fill={"kind": "'hnsw'"}),
    tables={
        "memory_entries": Expected((("namespace", "key"),), _COSINE, distributed_by="namespace"),
        "patterns": Expected((("namespace", "id"),), _COSINE, "namespace", "memory_entries"),
        "graph_nodes": Expected((("namespace", "id"),), _COSINE, "namespace", "memory_entries"),
        "graph_edges": Expected((("namespace", "source", "target", "kind"),), {}, "namespace", "memory_entries"),
        "trajectories": Expected((("id",),), _COSINE, distributed_by="id"),
        "pattern_history": Expected((("namespace", "pattern_id", "version"),), reference=True),
        "hyperbolic_embeddings": Expected((("namespace", "id"),), reference=True),
        "vector_indexes": Expected((("name",),), reference=True),
        "sessions": Expected((("id",),), reference=True),
        "metadata": Expected((("key",),), reference=True),
    },
)
"""The schema that embedded clusters have (schema.sql beside this file), and that the suite makes for itself."""

SWARM = Profile(
    name="swarm",
    entries=Entries("memory_entries", embedding="embedding", metadata="metadata"),
    related=Related("patterns", name="pattern_type", number="success_count", fill={"pattern_data": "'{}'"}),
    nodes=Nodes("graph_nodes", name="node_id", kind="node_type"),
    edges=Edges("graph_edges", source="from_node", target="to_node", kind="edge_type"),
    reference=Reference("vector_indexes", "namespace", key="index_name", number="dimensions", note="metric"),
    tables={
        "memory_entries": Expected((("namespace", "key"),), _COSINE, distributed_by="namespace"),
        "patterns": Expected((), _COSINE, "namespace", "memory_entries"),
        "pattern_history": Expected(optional=True),
        "trajectories": Expected((), _COSINE, distributed_by="id"),
        "graph_nodes": Expected((("namespace", "node_id"),), _COSINE, "namespace", "memory_entries"),
        "graph_edges": Expected((), {}, "namespace", "memory_entries"),
        "hyperbolic_embeddings": Expected((("namespace", "entity_id"),), _COSINE, "namespace", "memory_entries"),
        "vector_indexes": Expected((("namespace", "index_name"),), reference=True),
        "sessions": Expected((("session_id",),), reference=True),
        "metadata": Expected((("key",),), reference=True),
    },
)
"""The schema of github.com/Secure-ISS/Swarm-CoreServices-Data-and-Monitoring (scripts/sql), as its clusters have it.

How it is sharded follows from its Citus set-up; some installations have no pattern_history.
"""

KNOWN = {one.name: one for one in (EXAMPLE, SWARM)}

CLASSES = {"entries": Entries, "related": Related, "nodes": Nodes, "edges": Edges, "reference": Reference}
KEYS = ("like", "name", *PARTS, "tables")
"""What [schema] can have."""
_KINDS = {str: "a name", int: "a number", dict: "a table"}
_EXPECTED = TypeAdapter(Expected)


def keys_of(part: Any) -> list[str]:
    """What the table of one part in [schema] can have; `part` is its class. What is blank is read from the table."""
    return [one.name for one in fields(part) if one.name != "blank"]


def declared_profile(said: Mapping[str, Any]) -> Profile:
    """The profile that `[schema]` describes: a known one (`like`), parts of the user's own, or both.

    Raises UsageError, which names what cannot be understood and what could be meant.
    """
    _only(said, KEYS, "schema")
    like = said.get("like")
    if like is not None and like not in KNOWN:
        raise UsageError(f"[schema] like = {like!r}: {_nearest(str(like), KNOWN)}")
    if like is None and "entries" not in said:
        raise UsageError("[schema] names neither a known schema (like = ...) nor a table of entries ([schema.entries])")
    base = KNOWN[like] if like else None
    parts: dict[str, Any] = {name: getattr(base, name) for name in PARTS} if base else {}
    parts |= {name: _part(name, said[name], parts.get(name)) for name in PARTS if name in said}
    tables = dict(base.tables) if base else {}
    for part in filter(None, parts.values()):
        tables.setdefault(part.table, _by_part(part))
    tables |= {name: _expected(name, one) for name, one in _table(said.get("tables", {}), "schema.tables").items()}
    return Profile(name=str(said.get("name", like or "the user's own")), tables=tables, **parts)


def _part(name: str, said: Any, base: Any) -> Any:
    cls, place = CLASSES[name], f"schema.{name}"
    given = dict(_table(said, place))
    _only(given, keys_of(cls), place)
    if base is None and "table" not in given:
        raise UsageError(f"[{place}] names no table")
    if "fill" in given:
        given["fill"] = {column: str(value) for column, value in _table(given["fill"], f"{place}.fill").items()}
    if given.get("metric", METRICS[0]) not in METRICS:
        raise UsageError(f"[{place}] metric = {given['metric']!r}: {_nearest(str(given['metric']), METRICS)}")
    for key, value in given.items():
        wanted = int if key == "dimensions" else dict if key == "fill" else str
        if not isinstance(value, wanted) or value == "":
            raise UsageError(f"[{place}] {key} = {value!r} is not {_KINDS[wanted]}")
    return replace(base, **given) if base is not None else cls(**given)


def _by_part(part: Any) -> Expected:
    """What is expected of a table of which no more is said than which part it plays."""
    if isinstance(part, Entries):
        vectors = {part.embedding: part.metric} if part.embedding else {}
        return Expected(((part.namespace, part.key),), vectors)
    return Expected()


def _expected(name: str, said: Any) -> Expected:
    place = f"schema.tables.{name}"
    given = dict(_table(said, place))
    _only(given, [one.name for one in fields(Expected)], place)
    try:
        return _EXPECTED.validate_python(given)
    except ValidationError as error:
        one = error.errors()[0]
        raise UsageError(f"[{place}] {'.'.join(map(str, one['loc']))} = {one['input']!r}: {one['msg']}") from None


def _table(said: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(said, Mapping):
        raise UsageError(f"[{place}] is {said!r}, but should be a table")
    return said


def _only(said: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for name in said:
        if name not in known:
            raise UsageError(f"[{place}] {name}: {_nearest(name, known)}")


def _nearest(name: str, known: Collection[str]) -> str:
    return "not known" + suggestion(name, known, otherwise=f"; there are {', '.join(known)}")
