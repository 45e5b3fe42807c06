"""Sample data: seeded entries, entries with values that a careless database would alter, and related rows."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy
from numpy.typing import NDArray
from psycopg2.extras import Json, execute_values

from support import sql
from support.example_app.entries import Entry
from support.example_app.profile import Profile, columns_of

Vectors = NDArray[numpy.float32]

# As with embeddings of real texts, some entries are close to one another and most are not. So the nearest ones stand
# out among entries of other namespaces, and deleted ones that are not vacuumed yet, in the same index.
_CLUSTERS = 20
TOPICS = ("north", "south", "été", "夏")
"""Each entry is about one of them; patterns and rows of a reference table are named after them, too."""


def vectors(chance: random.Random, count: int, dimensions: int) -> Vectors:
    """Distinct vectors around a few centres, like embeddings of texts about a few topics."""
    numbers = numpy.random.default_rng(chance.getrandbits(64))
    centres = numbers.standard_normal((_CLUSTERS, dimensions))
    return _near(numbers, centres[numbers.integers(0, _CLUSTERS, count)])


def vectors_near(chance: random.Random, given: Vectors, count: int) -> Vectors:
    """Vectors to search for: each near one of the given ones, and equal to none."""
    numbers = numpy.random.default_rng(chance.getrandbits(64))
    return _near(numbers, given[numbers.integers(0, len(given), count)])


def _near(numbers: numpy.random.Generator, places: NDArray[Any]) -> Vectors:
    return (places + numbers.standard_normal(places.shape)).astype(numpy.float32)


def entries(chance: random.Random, namespace: str, count: int, profile: Profile) -> list[Entry]:
    """Distinct entries with text; with metadata and an embedding, too, if the profile's table has such columns."""
    return [
        _kept(
            profile,
            Entry(
                namespace,
                key=f"entry-{number:05}",
                value=f"text {number}: {chance.getrandbits(128):x}",
                embedding=tuple(vector.tolist()),
                metadata={"number": number, "topic": chance.choice(TOPICS)},
            ),
        )
        for number, vector in enumerate(vectors(chance, count, profile.entries.dimensions))
    ]


def entry(chance: random.Random, namespace: str, profile: Profile, key: str = "entry", dimensions: int = 0) -> Entry:
    """One such entry; its embedding has the table's number of dimensions unless `dimensions` is given."""
    vector = vectors(chance, 1, dimensions or profile.entries.dimensions)[0]
    made = Entry(namespace, key, f"text {chance.getrandbits(128):x}", tuple(vector.tolist()), {"of": "one"})
    return _kept(profile, made)


def _kept(profile: Profile, made: Entry) -> Entry:
    """The entry without what that table cannot store."""
    return replace(
        made,
        embedding=made.embedding if profile.entries.embedding else None,
        metadata=made.metadata if profile.entries.metadata else {},
    )


_TEXTS: Mapping[str, str] = {
    "plain text": "The quick brown fox jumps over the lazy dog.",
    "an empty text": "",
    "spaces at both ends": "  \t two words \n ",
    "quotes and backslashes": 'it\'s "quoted" \\ %s %% {x} \\n $1; --',
    "many scripts and emoji": "Grüße, Ελλάδα, мир, שלום, سلام, 世界, 👩‍🚀, e\u0301 is not é",
    "a text of 1 MB": "0123456789abcdef" * 65536,
}
_METADATA: Mapping[str, Mapping[str, Any]] = {
    "nested JSON": {"a": [1, {"b": [[], {}]}], "ü": "ß", "text": 'quote " slash \\', "": "empty key"},
    "JSON's null, numbers and booleans": {
        "null": None,
        "yes": True,
        "no": False,
        "zero": 0,
        "large": 2**62,
        "small": -1.5e-7,
    },
}
_SIZES: Mapping[str, Callable[[int], int]] = {
    "an embedding of 2 dimensions": lambda full: 2,
    "an embedding of one dimension too few": lambda full: full - 1,
    "an embedding of one dimension too many": lambda full: full + 1,
    "an embedding of the right size": lambda full: full,
}


_NO_EMBEDDING, _OF_EVERY_SIZE = "no embedding", "an embedding of numbers of every size"
CONTENTS = (*_TEXTS, *_METADATA, *_SIZES, _NO_EMBEDDING, _OF_EVERY_SIZE)
"""What an entry can hold, in the words of the scenarios."""
NEEDED_FOR: Mapping[str, tuple[str, ...]] = {
    "json": tuple(_METADATA),
    "vector": ("an embedding of the right size",),
    "empty_values": ("an empty text",),
    "any_text": ("spaces at both ends", "quotes and backslashes", "many scripts and emoji"),
    "long_values": ("a text of 1 MB",),
}
"""Capability -> what entries can hold only where the target has it."""


def entry_with(content: str, chance: random.Random, namespace: str, profile: Profile) -> Entry:
    """An entry with the content of that name. Raises KeyError for an unknown name."""
    if content in _SIZES:
        return entry(chance, namespace, profile, dimensions=_SIZES[content](profile.entries.dimensions))
    usual = entry(chance, namespace, profile)
    if content in _TEXTS:
        return replace(usual, value=_TEXTS[content])
    if content in _METADATA:
        return replace(usual, metadata=_METADATA[content])
    embeddings = {
        _NO_EMBEDDING: None,
        _OF_EVERY_SIZE: _of_every_size(profile.entries.dimensions),
    }
    return replace(usual, embedding=embeddings[content])


def _of_every_size(dimensions: int) -> tuple[float, ...]:
    """From the smallest to the largest components that float4 holds at full precision, with both signs."""
    exponents = numpy.linspace(-37, 18, dimensions)
    signs = numpy.where(numpy.arange(dimensions) % 2, 1, -1)
    return tuple((signs * 1.2345678 * 10**exponents).astype(numpy.float32).tolist())


def keys(given: Iterable[Entry]) -> list[str]:
    """The keys of some entries, in their order."""
    return [one.key for one in given]


def embeddings_by_key(given: Iterable[Entry]) -> dict[str, tuple[float, ...]]:
    """The embeddings of those entries that have one."""
    return {one.key: one.embedding for one in given if one.embedding is not None}


def embeddings(given: Iterable[Entry]) -> Vectors:
    """The embeddings of those entries that have one, as one array."""
    return numpy.array(list(embeddings_by_key(given).values()), dtype=numpy.float32)


Rows = Sequence[Mapping[str, Any]]

_KINDS = ("person", "place", "thing")
_PLACES = {
    "entries": ("namespace", "key", "value", "metadata"),
    "related": ("namespace", "name", "number"),
    "nodes": ("namespace", "name", "kind"),
    "edges": ("namespace", "source", "target", "kind", "weight"),
    "reference": ("namespace", "key", "number", "note"),
}
"""Part -> the fields of its rows."""


def related_rows(chance: random.Random, mark: str, namespaces: Sequence[str], size: int) -> dict[str, Rows]:
    """Part -> about `size` rows; entries refer to patterns, edges lead from node to node.

    Names of patterns begin with `mark`, which identifies our rows in a reference table. Some names refer to nothing,
    some values are missing, and many are equal, as in real data.
    """

    def somewhere() -> str:
        return chance.choice(namespaces[: 1 + chance.randrange(len(namespaces))])

    def pattern() -> str:
        return f"{mark}/pattern-{chance.randrange(size // 4)}"

    nodes = {(somewhere(), f"node-{chance.randrange(size)}"): chance.choice(_KINDS) for _ in range(size)}
    patterns = {(somewhere(), pattern()): chance.randrange(100) for _ in range(size)}
    references = {pattern(): chance.randrange(1, 9) for _ in range(size)}
    return {
        "entries": [
            {
                "namespace": somewhere(),
                "key": f"entry-{number}",
                "value": f"text {chance.randrange(9)}",
                "metadata": Json(
                    {"number": chance.randrange(1, 30)} | ({"pattern": pattern()} if chance.random() < 0.8 else {})
                ),
            }
            for number in range(size)
        ],
        "related": [
            {"namespace": namespace, "name": name, "number": used} for (namespace, name), used in patterns.items()
        ],
        "nodes": [{"namespace": where, "name": name, "kind": kind} for (where, name), kind in nodes.items()],
        "edges": [
            {"namespace": where, "source": one, "target": other, "kind": "knows", "weight": chance.randrange(10)}
            for where, one in nodes
            for other in sorted(name for place, name in nodes if place == where)[:2]
        ],
        "reference": [
            {"namespace": mark, "key": name, "number": number, "note": f"note {number % 3}"}
            for name, number in sorted(references.items())
        ],
    }


def store_rows(where: sql.Endpoint, profile: Profile, rows: Mapping[str, Rows]) -> None:
    """Store them in the tables that play those parts, by one statement for each table."""
    with sql.session(where) as session:
        for name, of_part in rows.items():
            store_part(session, profile, name, of_part)


def store_part(session: sql.Session, profile: Profile, name: str, rows: Rows) -> None:
    """Store rows in the table that plays one part, by one statement. All rows have the same fields."""
    named = columns_of(dict(profile.parts())[name])
    fields = [field for field in _PLACES[name] if field in named and field in rows[0]]
    head, template = profile.insertion(name, fields)
    values = [[row[field] for field in fields] for row in rows]
    with session.cursor() as cursor:
        execute_values(cursor, f"{head} %s", values, template=template, page_size=len(values))
