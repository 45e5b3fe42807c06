"""Seeded random queries of the kinds that applications run, each with one right answer however it is planned."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """One query."""

    text: str
    """With the placeholders of a schema profile, for `Profile.sql`."""
    ordered: bool = False
    """Whether the order of the rows is part of the answer."""


@dataclass(frozen=True)
class Source:
    """The tables that a query reads, joined where there are several, and the expressions that it can use.

    Everything is written with the placeholders of a schema profile, for `Profile.sql`.
    """

    tables: str
    namespace: str
    """The column that restricts the query to the scenario's namespaces."""
    words: tuple[str, ...]
    """Expressions of type text."""
    numbers: tuple[str, ...]
    """Expressions that are integers: their sums are exact, in whatever order they are added."""


_PATTERN = "e.{entries.metadata}->>'pattern'"
_NUMBER = "(e.{entries.metadata}->>'number')::bigint"
_PATTERN_NUMBER = "p.{related.number}::bigint"  # the application's column may have any numeric type
_ON_PATTERN = "p.{related.namespace} = e.{entries.namespace} AND p.{related.name} = " + _PATTERN
ENTRIES = Source(
    "{entries} e",
    "e.{entries.namespace}",
    ("e.{entries.namespace}", "e.{entries.key}", "e.{entries.value}", _PATTERN),
    (_NUMBER,),
)
PATTERNS = Source(
    "{related} p",
    "p.{related.namespace}",
    ("p.{related.namespace}", "p.{related.name}"),
    (_PATTERN_NUMBER, "length(p.{related.name})"),
)
NODES = Source(
    "{nodes} n",
    "n.{nodes.namespace}",
    ("n.{nodes.namespace}", "n.{nodes.name}", "n.{nodes.kind}"),
    ("length(n.{nodes.name})",),
)
ENTRIES_OF_PATTERNS = Source(
    "{entries} e JOIN {related} p ON " + _ON_PATTERN,
    "e.{entries.namespace}",
    ("e.{entries.namespace}", "e.{entries.value}", "p.{related.name}"),
    (_NUMBER, _PATTERN_NUMBER),
)
PATTERNS_WITH_OR_WITHOUT = Source(
    "{related} p LEFT JOIN {entries} e ON " + _ON_PATTERN,
    "p.{related.namespace}",
    ("p.{related.namespace}", "p.{related.name}", "e.{entries.value}"),
    (_PATTERN_NUMBER, _NUMBER),
)
EDGES = Source(
    "{edges} g JOIN {nodes} n ON n.{nodes.namespace} = g.{edges.namespace} AND n.{nodes.name} = g.{edges.source}",
    "g.{edges.namespace}",
    ("g.{edges.namespace}", "n.{nodes.kind}", "g.{edges.target}"),
    ("g.{edges.weight}::bigint", "length(n.{nodes.name})"),
)
ENTRIES_AND_REFERENCES = Source(
    "{entries} e JOIN {reference} h ON h.{reference.key} = " + _PATTERN,
    "e.{entries.namespace}",
    ("e.{entries.namespace}", "e.{entries.value}", "h.{reference.key}"),
    (_NUMBER, "h.{reference.number}::bigint"),
)
SOURCES = (ENTRIES, PATTERNS, NODES, ENTRIES_OF_PATTERNS, PATTERNS_WITH_OR_WITHOUT, EDGES, ENTRIES_AND_REFERENCES)


class RandomQueries:
    """Queries about the rows of some namespaces, one after the other; the same seed gives the same queries."""

    def __init__(self, chance: random.Random, namespaces: Sequence[str]) -> None:
        self._chance, self._namespaces = chance, namespaces
        self._shapes: tuple[Callable[[Source], Query], ...] = (
            self._filtered,
            self._grouped,
            self._topmost,
            self._totals,
            self._distinct,
            self._chosen_by_subquery,
            self._from_common_table,
            self._windowed,
        )

    def some(self, count: int) -> list[Query]:
        """The next ones."""
        return [self.query() for _ in range(count)]

    def query(self) -> Query:
        """The next one."""
        return self._chance.choice(self._shapes)(self._chance.choice(SOURCES))

    # Kinds of queries

    def _filtered(self, source: Source) -> Query:
        return Query(f"SELECT {self._columns(source)} {self._from(source)}")

    def _distinct(self, source: Source) -> Query:
        return Query(f"SELECT DISTINCT {self._columns(source)} {self._from(source)}")

    def _grouped(self, source: Source) -> Query:
        by = ", ".join(self._some(source.words, 2))
        having = self._chance.choice(("", f" HAVING count(*) > {self._chance.randrange(1, 4)}"))
        return Query(f"SELECT {by}, {self._aggregates(source)} {self._from(source)} GROUP BY {by}{having}")

    def _totals(self, source: Source) -> Query:
        return Query(f"SELECT {self._aggregates(source)} {self._from(source)}")

    def _topmost(self, source: Source) -> Query:
        words, numbers = self._some(source.words, 2), self._some(source.numbers, 1)
        columns, by = [*words, *numbers], [*map(_sorted_alike, words), *numbers]
        order = ", ".join(f"{one} {self._chance.choice(('ASC', 'DESC'))} NULLS LAST" for one in by)
        limit, offset = self._chance.randrange(1, 20), self._chance.choice((0, 0, 3))
        text = f"SELECT {', '.join(columns)} {self._from(source)} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
        return Query(text, ordered=True)

    def _chosen_by_subquery(self, source: Source) -> Query:
        other = self._chance.choice((ENTRIES, PATTERNS, NODES))
        word = self._chance.choice(("IN", "NOT IN"))
        chosen = f"SELECT {other.namespace} {self._from(other)}"
        return Query(f"SELECT {self._aggregates(source)} {self._from(source)} AND {source.namespace} {word} ({chosen})")

    def _from_common_table(self, source: Source) -> Query:
        number = self._chance.choice(source.numbers)
        return Query(
            f"WITH sums AS (SELECT {source.namespace} AS own, sum({number}) AS total {self._from(source)} GROUP BY 1) "
            "SELECT p.{related.name}, sums.total FROM sums JOIN {related} p ON p.{related.namespace} = sums.own "
            f"WHERE sums.total > {self._chance.randrange(50)}"
        )

    def _windowed(self, source: Source) -> Query:
        place = self._chance.choice(("rank()", f"sum({self._chance.choice(source.numbers)})", "count(*)"))
        word = self._chance.choice(source.words[1:])
        return Query(
            f"SELECT {source.namespace}, {word}, "
            f"{place} OVER (PARTITION BY {source.namespace} ORDER BY {_sorted_alike(word)}) {self._from(source)}"
        )

    # Parts of queries

    def _from(self, source: Source) -> str:
        """FROM and WHERE; the condition selects only the scenario's own rows, whatever else is in the tables."""
        return f"FROM {source.tables} WHERE {source.namespace} {self._own()}{self._condition(source)}"

    def _own(self) -> str:
        chosen = self._namespaces
        if self._chance.random() < 0.3:
            chosen = self._chance.sample(self._namespaces, self._chance.randrange(1, len(self._namespaces)))
        return f"IN ({', '.join(map(_literal, chosen))})"

    def _condition(self, source: Source) -> str:
        """Only expressions are compared with NULL: since version 17, PostgreSQL knows the answer for a column that is
        NOT NULL, and drops the condition, or all tables, before Citus sees how they are joined, so that it refuses to.
        """
        number, word = self._chance.choice(source.numbers), self._chance.choice(source.words[1:])
        return self._chance.choice(
            (
                "",
                f" AND {number} {self._chance.choice(('<', '>=', '<>'))} {self._chance.randrange(30)}",
                f" AND {word} LIKE '%{self._chance.randrange(10)}'",
                f" AND nullif({word}, '') IS {self._chance.choice(('NULL', 'NOT NULL'))}",
                f" AND ({number} BETWEEN 3 AND 20 OR {_sorted_alike(word)} > 'n')",
            )
        )

    def _columns(self, source: Source) -> str:
        return ", ".join((*self._some(source.words, 3), *self._some(source.numbers, 2)))

    def _aggregates(self, source: Source) -> str:
        number, word = self._chance.choice(source.numbers), self._chance.choice(source.words)
        every = (
            "count(*)",
            f"count(DISTINCT {word})",
            f"sum({number})",
            f"avg({number})",
            f"min({_sorted_alike(word)})",
            f"max({number})",
            f"count(*) FILTER (WHERE {number} > 5)",
        )
        return ", ".join(self._some(every, 4))

    def _some(self, things: Sequence[str], most: int) -> list[str]:
        return self._chance.sample(things, self._chance.randrange(1, min(most, len(things)) + 1))


def _sorted_alike(word: str) -> str:
    """A word that sorts the same in every table: the application's columns may have their own collation or type."""
    return f'({word})::text COLLATE "C"'


def _literal(text: str) -> str:
    escaped = text.replace("'", "''").replace("{", "{{").replace("}", "}}")
    return f"'{escaped}'"
