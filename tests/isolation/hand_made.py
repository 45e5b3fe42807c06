"""Histories written by hand, one transaction a line.

    0-5 ok    a+1 b:2,3      from second 0 to 5, committed: append 1 to list a, read list b as 2 3
    fail      x=7<5 y:8<7    at any time, not committed: set register x to 7 in place of 5, read y as 8, once 7
    unknown   s*4 t{1,2}     outcome unknown: add 4 to set s, read set t as 1 and 2

a to m are lists, x to z registers, s to w sets. `-` is an empty item. Where no times are given, transactions overlap.
"""

import re
from collections.abc import Iterator

from support.engine.history import Outcome
from support.isolation.checks import anomalies
from support.isolation.levels import Anomaly
from support.isolation.transactions import FINAL_READER, Access, Kind, Transaction

_STEP = re.compile(r"([a-z])([+:=*{])([^}]*)}?")


def history(text: str) -> tuple[Transaction, ...]:
    """The transactions of a text."""
    return tuple(_transactions(text))


def seen(text: str) -> set[Anomaly]:
    """The kinds of anomalies that a text shows."""
    return {one.anomaly for one in anomalies(history(text))}


def _transactions(text: str) -> Iterator[Transaction]:
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        words = line.split()
        begun, ended = 0.0, 100.0 + number
        if words[0][0].isdigit():
            begun, ended = map(float, words.pop(0).split("-"))
        client = FINAL_READER if words[0] == "final" else number
        outcome = Outcome.OK if words[0] == "final" else Outcome(words[0])
        yield Transaction(number, client, tuple(map(_access, words[1:])), outcome, begun, ended)


def _access(step: str) -> Access:
    match = _STEP.fullmatch(step)
    assert match, step
    name, sign, value = match.groups()
    kind = Kind.LIST if name < "n" else Kind.REGISTER if name in "xyz" else Kind.SET
    if sign in "+*":
        return Access(kind, name, wrote=int(value))
    if sign == "=":
        new, _, old = value.partition("<")
        return Access(kind, name, wrote=int(new), replaced=int(old) if old else None)
    values = () if value in ("-", "") else tuple(map(int, re.split(r"[,<]", value)))
    return Access(kind, name, saw=values[::-1] if kind is Kind.REGISTER else values)
