"""A [schema] for tables that nobody has described: a proposal, made by looking, for a person to check."""

from collections.abc import Callable, Iterator, Mapping

from support import sql
from support.example_app.catalog import Column, TableFacts, look_at
from support.example_app.fitting import fit
from support.example_app.profile import METRICS, Entries, Expected, Profile
from support.example_app.vectors import DIALECTS

_TABLES = """
    SELECT CASE WHEN pg_table_is_visible(oid) THEN relname ELSE relnamespace::regnamespace::text || '.' || relname END
      FROM pg_class
     WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace::regnamespace::text !~ '^(pg_|accept_)'
       AND relnamespace::regnamespace::text NOT IN ('information_schema', 'citus', 'columnar')
       AND has_table_privilege(oid, 'SELECT')
"""
_NAMESPACES = ("namespace", "tenant", "tenant_id", "account", "customer", "collection", "scope", "owner")
_KEYS = ("key", "slug", "name", "code", "external_id")
_VALUES = ("value", "content", "body", "text", "document", "description", "data")


def proposal(where: sql.Endpoint) -> str:
    """A [schema] in TOML for the table there that could best play the entries; empty where none could."""
    with sql.session(where) as session:
        facts = look_at(session, [name for (name,) in sql.rows(session, _TABLES)])
    candidates = [(_worth(facts[one.table], one), one) for one in _candidates(facts)]
    if not candidates:
        return ""
    return "\n".join(_toml(max(candidates, key=lambda one: one[0])[1]))


def _candidates(facts: Mapping[str, TableFacts]) -> Iterator[Entries]:
    """Every table that can play the entries, in each way that its unique keys allow."""
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
            if index.column == embedding and index.method == "hnsw":
                column: Column = facts.columns[index.column]
                if index.operators == DIALECTS[column.family].operator_class(metric):
                    return metric
    return "cosine"


def _worth(facts: TableFacts, entries: Entries) -> tuple[int, int]:
    """A table with more of what scenarios can use is better, and then one whose names are those that one expects."""
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
    yield from (f'{name} = "{value}"' for name, value in named.items() if value)
