"""Values of every type that an application caches, and questions that a careless key would mix up."""

import math
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from itertools import groupby, product
from operator import itemgetter
from typing import Any

import numpy as np

from support.cache.clients import CacheClient
from support.example_app.cache import Question, Read

VALUES: dict[str, Callable[[], Any]] = {
    "text": lambda: "plain text",
    "an empty text": lambda: "",
    "text in many scripts": lambda: "Grüße, Привет, こんにちは, مرحبا, 👩‍👩‍👧, \x00 and \u2028",
    "text that looks like a number": lambda: "007",
    "bytes": lambda: bytes(range(256)),
    "a whole number": lambda: -42,
    "a whole number beyond 64 bits": lambda: 2**80,
    "a number with a fraction": lambda: 0.1 + 0.2,
    "negative zero": lambda: -0.0,
    "not a number": lambda: math.nan,
    "infinity": lambda: -math.inf,
    "true": lambda: True,
    "false": lambda: False,
    "nothing": lambda: None,
    "a decimal number": lambda: Decimal("12.3400"),
    "a moment": lambda: datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC),
    "a moment in another zone": lambda: datetime(2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    "a moment without a zone": lambda: datetime(1969, 12, 31, 0, 0, 0, 1),
    "a day": lambda: date(2000, 1, 1),
    "a UUID": lambda: uuid.UUID("12345678-9abc-def0-1234-56789abcdef0"),
    "a list": lambda: [1, "1", 1.0, True, None, [], [[]]],
    "a nested document": lambda: {"name": "Ada", "tags": ["x", {"deep": [None, {"er": 1.5}]}], "": {}},
    "a vector as a list": lambda: [math.sin(n) for n in range(384)],
    "a vector as an array": lambda: np.sin(np.arange(384)).astype(np.float32),
}
"""What the report calls it -> makes one."""


def values_of(kinds: Sequence[str]) -> dict[str, Any]:
    """One of each kind."""
    return {kind: VALUES[kind]() for kind in kinds}


def ask_in_parallel(clients: Sequence[CacheClient], namespace: str, kinds: Sequence[str]) -> list[dict[str, Read]]:
    """Every client in turn asks questions that are answered with a value of each kind."""
    questions = {kind: Question(namespace, "values", (kind,)) for kind in kinds}
    return [
        {kind: client.repository.fetch(question, VALUES[kind]) for kind, question in questions.items()}
        for client in clients
    ]


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
    """Questions of which any two differ in namespace, table or parameters; many are the same text when joined."""
    namespaces = [namespace, *(f"{namespace}{joint}{part}" for joint in _JOINTS for part in ("a", namespace))]
    tables = [*_TABLES, *(f"a{joint}{namespace}" for joint in _JOINTS)]
    apart = [Question(*parts) for parts in product(namespaces, tables, [("b",)])]
    return [*apart, *(Question(*parts) for parts in product([namespace], ["a", "a:b"], _PARAMETERS))]


def ask_similar(
    clients: Sequence[CacheClient], questions: Sequence[Question]
) -> tuple[dict[str, str], list[dict[str, Read]]]:
    """The right answer to each question, which is its own text; and what every client in turn is answered."""
    answers = [
        {repr(question): client.repository.fetch(question, partial(repr, question)) for question in questions}
        for client in clients
    ]
    return {repr(question): repr(question) for question in questions}, answers


SUFFIXES = ["a", "a:", "a:a", "-", ":"]
"""What distinguishes the further namespaces of `similar_entries`."""


def similar_entries(namespaces: Sequence[str]) -> list[tuple[str, str]]:
    """A namespace and a key each; many are the same text when the two are joined, by whatever, in either order."""
    keys = ["a", ":a", "a:a", "-a", "-a:a", "-a:a:a", "", ":", "a:", "\\a", "a,a", '"a"']
    turned = [f"a{joint}{namespace}" for joint in ("", ":", "-") for namespace in namespaces]
    return list(product(namespaces, [*keys, *turned]))


def store_and_read(
    clients: Sequence[CacheClient], names: Sequence[tuple[str, str]]
) -> tuple[dict[str, str], list[dict[str, Read]]]:
    """The first client writes each entry, with its own name as its value; that, and what every client then reads."""
    for namespace, those in groupby(sorted(names), key=itemgetter(0)):
        clients[0].repository.write_many(namespace, {name[1]: repr(name) for name in those})
    reads = [{repr(name): client.repository.read(*name) for name in names} for client in clients]
    return {repr(name): repr(name) for name in names}, reads
