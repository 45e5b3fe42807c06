"""A proposal of [schema] for tables that nobody has described."""

from collections.abc import Callable, Iterator, Mapping

from support import sql
from support.example_app.catalog import Column, TableFacts, look_at
from support.example_app.profile import METRICS, Entries, Expected, Profile
from support.example_app.profile_fit import fit, serves
from support.example_app.vectors import DIALECTS
from support.setting_values import toml

# The names are not quoted here: `look_at` quotes them. One with a dot in it cannot be said in [schema].
_VISIBLE_TABLES = """
    SELECT CASE WHEN pg_table_is_visible(pg_class.oid) THEN relname ELSE nspname || '.' || relname END
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE relkind IN ('r', 'p') AND NOT relispartition AND nspname !~ '^(pg_|accept_)'
       AND nspname NOT IN ('information_schema', 'citus', 'columnar')
       AND position('.' IN relname) = 0 AND (position('.' IN nspname) = 0 OR pg_table_is_visible(pg_class.oid))
       AND has_table_privilege(pg_class.oid, 'SELECT') AND has_schema_privilege(pg_namespace.oid, 'USAGE')
"""
_NAMESPACES = ("namespace", "tenant", "tenant_id", "account", "customer", "collection", "scope", "owner")
_KEYS = ("key", "slug", "name", "code", "external_id")
_VALUES = ("value", "content", "body", "text", "document", "description", "data")


def proposal(where: sql.Endpoint) -> str:
    """A [schema] in TOML, for a person to check, with the table best suited as the entries; empty if none is suited."""
    with sql.session(where) as session:
        facts = look_at(session, [name for (name,) in sql.rows(session, _VISIBLE_TABLES)])
    candidates = [(_suitability(one), one) for one in _candidates(facts)]
    if not candidates:
        return ""
    return "\n".join(_toml(max(candidates, key=lambda one: one[0])[1]))


def _candidates(facts: Mapping[str, TableFacts]) -> Iterator[Entries]:
    """Every table that can play the entries, once for each unique key of two columns."""
    for table, found in facts.items():
        texts = [name for name, column in found.columns.items() if column.is_text and not column.generated]
        for unique in found.unique:
            if len(unique) != 2 or not unique <= set(texts):
                continue
            namespace, key = sorted(unique, key=lambda name: (_rank(name, _NAMESPACES), -_rank(name, _KEYS), name))
            values = sorted(set(texts) - unique, key=lambda name: (_rank(name, _VALUES), name))
            for value in values[:1]:
                made = Entries(
                    table,
                    namespace,
                    key,
                    value,
                    embedding=_first(found, lambda column: column.family in DIALECTS),
                    metadata=_first(found, lambda column: column.is_json),
                )
                metric = _metric(found, made.embedding)
                made = Entries(table, namespace, key, value, made.embedding, made.metadata, metric)
                if "schema" not in fit(Profile("proposed", made, tables={table: Expected()}), facts).lacks:
                    yield made


def _rank(name: str, known: tuple[str, ...]) -> int:
    return known.index(name) if name in known else len(known)


def _first(facts: TableFacts, wanted: Callable[[Column], bool]) -> str | None:
    return next((name for name, column in facts.columns.items() if wanted(column)), None)


def _metric(facts: TableFacts, embedding: str | None) -> str:
    """The metric of the column's HNSW index; cosine where it has none."""
    for index in facts.indexes:
        for metric in METRICS:
            on_vectors = index.column == embedding and index.method == "hnsw"
            if on_vectors and serves(index, facts.columns[index.column], metric):
                return metric
    return "cosine"


def _suitability(entries: Entries) -> tuple[int, int]:
    """How well a table is suited: by the optional columns that it has, then by how many names are the usual ones."""
    has = bool(entries.embedding) + bool(entries.metadata)
    expected = sum(
        name in known
        for name, known in ((entries.namespace, _NAMESPACES), (entries.key, _KEYS), (entries.value, _VALUES))
    )
    return has, expected


def _toml(entries: Entries) -> Iterator[str]:
    yield "[schema.entries]"
    named = {
        "table": entries.table,
        "namespace": entries.namespace,
        "key": entries.key,
        "value": entries.value,
        "embedding": entries.embedding,
        "metadata": entries.metadata,
        "metric": entries.metric if entries.embedding else None,
    }
    yield from (f"{name} = {toml(value)}" for name, value in named.items() if value)
