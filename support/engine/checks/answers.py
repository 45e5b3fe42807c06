"""Whether answers are right: values come back unchanged, and each client gets the answers to its own questions."""

import math
import struct
from collections.abc import Callable, Mapping
from datetime import datetime, time
from decimal import Decimal
from reprlib import Repr
from typing import Any

import numpy as np

from support.engine.finding import Finding, listed
from support.engine.history import History, Outcome
from support.vocabulary import counted

_short, _longer = Repr(), Repr()
_short.maxstring = _short.maxother = 60
_longer.maxstring = _longer.maxother = 120


def same(one: Any, other: Any) -> bool:
    """Whether two values have the same type and content, at every depth.

    Stricter than ==: 1 is not True, 0.0 is not -0.0, and the decimal 1.0 is not 1.00. But nan is the same as nan.
    """
    alike: bool = type(one) is type(other) and _alike(one, other)
    return alike


def _alike(one: Any, other: Any) -> Any:
    match one:
        case float():
            both_nan = math.isnan(one) and math.isnan(other)
            return both_nan or struct.pack("d", one) == struct.pack("d", other)
        case Decimal():
            return str(one) == str(other)
        case datetime() | time():
            return repr(one) == repr(other)  # == ignores the time zone
        case list() | tuple():
            return len(one) == len(other) and all(map(same, one, other))
        case dict():
            return same(list(one.items()), list(other.items()))
        case np.ndarray():
            return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        case _:
            return bool(one == other)


def unchanged(stored: Mapping[str, Any], read: Mapping[str, Any]) -> Finding:
    """Each stored value (by name) was read back with the same type and content. Unknown if nothing was stored."""
    if not stored:
        return Finding.unknown("nothing was stored")
    wrong: list[object] = [
        f"{name}: {_described(value)} came back as {_described(read[name]) if name in read else 'nothing'}"
        for name, value in stored.items()
        if name not in read or not same(value, read[name])
    ]
    if wrong:
        return Finding.false(f"{len(wrong)} of {len(stored)} values are not what they were: {listed(wrong)}")
    return Finding.true(f"{len(stored)} values came back unchanged")


def _described(value: Any) -> str:
    return f"{type(value).__name__} {_short.repr(value)}"


def each_answer_is_its_askers(history: History, right: Callable[[str], str]) -> Finding:
    """The value of each operation "ask" is the right answer to the question, which is its key.

    Unknown if no question was answered.
    """
    answered = history.of(action="ask", outcome=Outcome.OK)
    if not answered:
        return Finding.unknown("no question was answered")
    wrong = [operation for operation in answered if operation.value != right(operation.key)]
    if not wrong:
        return Finding.true(f"{len(answered)} answers, each to the client's own question")
    first = wrong[0]
    return Finding.false(
        f"{len(wrong)} of {len(answered)} answers are not the asker's own: client {first.client} asked {first.key!r} "
        f"and was answered {first.value!r}, not {right(first.key)!r}"
    )


def every_answer_is(expected: object, history: History, action: str) -> Finding:
    """Every operation of that kind had exactly the expected answer. Unknown if there was none."""
    asked = history.of(action=action)
    if not asked:
        return Finding.unknown(f"there was no operation ({action})")
    other = [one for one in asked if one.outcome is not Outcome.OK or one.value != expected]
    if other:
        said = other[0].error or repr(other[0].value)
        return Finding.false(
            f"{len(other)} of {len(asked)} operations ({action}) were not answered {expected!r}: {said}"
        )
    return Finding.true(f"{len(asked)} operations ({action}), each answered {expected!r}")


def contents_match(stored: Mapping[str, object], read: Mapping[str, object]) -> Finding:
    """Everything that was stored was read back unchanged, and nothing else. Unknown if nothing was stored."""
    if not stored:
        return Finding.unknown("nothing was stored")
    missing = sorted(stored.keys() - read.keys())
    strange = sorted(read.keys() - stored.keys())
    changed = sorted(key for key in stored.keys() & read.keys() if stored[key] != read[key])
    if not (missing or strange or changed):
        return Finding.true(f"all {len(stored)} values were read back unchanged")
    said = []
    if missing:
        said.append(f"{len(missing)} of {len(stored)} values are missing ({listed(missing)})")
    if changed:
        first = changed[0]
        said.append(
            f"{len(changed)} of {len(stored)} values are altered ({listed(changed)}): {first} was stored as "
            f"{_longer.repr(stored[first])} and read back as {_longer.repr(read[first])}"
        )
    if strange:
        said.append(f"{counted(len(strange), 'value was', 'values were')} never stored ({listed(strange)})")
    return Finding.false("; ".join(said))
