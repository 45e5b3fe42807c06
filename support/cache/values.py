"""Values of every type that an application caches, and the ways in which they get into the cache.

Including queries and entries whose keys a careless cache would confuse with one another.
"""

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from itertools import groupby, product
from operator import itemgetter
from typing import Any

import numpy as np

from support.cache.clients import CacheClient
from support.example_app.cache import Question, Read, Source

VALUES: dict[str, Callable[[], Any]] = {
    "text": lambda: "plain text",
    "an empty text": lambda: "",
    "text in many scripts": lambda: "Grüße, Привет, こんにちは, مرحبا, 👩‍👩‍👧, \x00 and \u2028",
    "text that looks like a number": lambda: "007",
    "bytes": lambda: bytes(range(256)),
    "an integer": lambda: -42,
    "an integer beyond 64 bits": lambda: 2**80,
    "a floating-point number": lambda: 0.1 + 0.2,
    "negative zero": lambda: -0.0,
    "NaN": lambda: math.nan,
    "infinity": lambda: -math.inf,
    "true": lambda: True,
    "false": lambda: False,
    "null": lambda: None,
    "a decimal number": lambda: Decimal("12.3400"),
    "a timestamp": lambda: datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC),
    "a timestamp in another time zone": lambda: datetime(
        2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=45))
    ),
    "a timestamp without a time zone": lambda: datetime(1969, 12, 31, 0, 0, 0, 1),
    "a date": lambda: date(2000, 1, 1),
    "a UUID": lambda: uuid.UUID("12345678-9abc-def0-1234-56789abcdef0"),
    "a list": lambda: [1, "1", 1.0, True, None, [], [[]]],
    "a nested document": lambda: {"name": "Ada", "tags": ["x", {"deep": [None, {"er": 1.5}]}], "": {}},
    "a vector as a list": lambda: [math.sin(n) for n in range(384)],
    "a vector as an array": lambda: np.sin(np.arange(384)).astype(np.float32),
}
"""Type, as scenarios call it -> makes a value of it."""


def fetch_each_type(clients: Sequence[CacheClient], namespace: str, types: Sequence[str]) -> list[dict[str, Read]]:
    """What each client in turn gets for queries whose results are a value of each type: type -> answer."""
    questions = {kind: Question(namespace, "values", (kind,)) for kind in types}
    return [
        {kind: client.repository.fetch(question, VALUES[kind]) for kind, question in questions.items()}
        for client in clients
    ]


def hits(reads: Mapping[str, Read]) -> dict[str, Any]:
    """The values that the cache itself answered."""
    return {name: read.value for name, read in reads.items() if read.source is Source.CACHE}


def cache_by_every_operation(client: CacheClient, namespace: str) -> None:
    """Entries and query results get into the cache by each operation that stores something there."""
    repository = client.repository
    repository.write(namespace, "written", "value")
    repository.write_many(namespace, {"written-with-others": "value", "and-another": "value"})
    repository.update(namespace, "and-another", "other value")
    repository.read(namespace, "and-another")
    repository.read(namespace, "not there")
    repository.read_many(namespace, ["written", "not there either"])
    repository.fetch(Question(namespace, "answers", (1,)), lambda: "answer")


_JOINTS = ["", ":", "-", ",", "/", '","']
_TABLES = ["a", "b", "a:b", "a b", "a,b", 'a","b', "a\\", "", "entry", "*", "ä"]
_PARAMETERS: list[tuple[Any, ...]] = [
    (),
    ("",),
    ("", ""),
    ("a",),
    ("a", "b"),
    ("a:b",),
    ("a,b",),
    ('a","b',),
    (1,),
    ("1",),
    (1.0,),
    (True,),
    (b"1",),
    (Decimal(1),),
    (None,),
    ("None",),
    ("null",),
]


def similar_questions(namespace: str) -> list[Question]:
    """Queries that differ in namespace, table or parameters; joined into one text, many of them are the same."""
    namespaces = [namespace, *(f"{namespace}{joint}{part}" for joint in _JOINTS for part in ("a", namespace))]
    tables = [*_TABLES, *(f"a{joint}{namespace}" for joint in _JOINTS)]
    apart = [Question(*parts) for parts in product(namespaces, tables, [("b",)])]
    return [*apart, *(Question(*parts) for parts in product([namespace], ["a", "a:b"], _PARAMETERS))]


def fetch_similar(
    clients: Sequence[CacheClient], questions: Sequence[Question]
) -> tuple[dict[str, str], list[dict[str, Read]]]:
    """The right answer to each query, which is its own text; and what each client in turn gets."""
    answers = [
        {repr(question): client.repository.fetch(question, partial(repr, question)) for question in questions}
        for client in clients
    ]
    return {repr(question): repr(question) for question in questions}, answers


SUFFIXES = ["a", "a:", "a:a", "-", ":"]
"""What distinguishes the further namespaces of `similar_entries`."""


def similar_entries(namespaces: Sequence[str]) -> list[tuple[str, str]]:
    """Namespaces and keys; joined into one text, in either order and with any separator, many of them are the same."""
    keys = ["a", ":a", "a:a", "-a", "-a:a", "-a:a:a", "", ":", "a:", "\\a", "a,a", '"a"']
    turned = [f"a{joint}{namespace}" for joint in ("", ":", "-") for namespace in namespaces]
    return list(product(namespaces, [*keys, *turned]))


def store_and_read(
    clients: Sequence[CacheClient], names: Sequence[tuple[str, str]]
) -> tuple[dict[str, str], list[dict[str, Read]]]:
    """The first client writes each entry, with its name as the value; these values, and what each client then reads."""
    for namespace, those in groupby(sorted(names), key=itemgetter(0)):
        clients[0].repository.write_many(namespace, {name[1]: repr(name) for name in those})
    reads = [{repr(name): client.repository.read(*name) for name in names} for client in clients]
    return {repr(name): repr(name) for name in names}, reads
