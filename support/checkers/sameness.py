"""Whether two values are the same: in type and in content, all the way down."""

import math
import struct
from collections.abc import Mapping
from datetime import datetime, time
from decimal import Decimal
from reprlib import Repr
from typing import Any

import numpy as np

from support.checkers.finding import Finding, listed

_short = Repr()
_short.maxstring = _short.maxother = 60


def same(one: Any, other: Any) -> bool:
    """Stricter than ==: 1 is not True, 0.0 is not -0.0, 1.0 is not 1.00 as decimals are; and nan is itself."""
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
            return repr(one) == repr(other)  # == compares moments, whatever their zones are
        case list() | tuple():
            return len(one) == len(other) and all(map(same, one, other))
        case dict():
            return same(list(one.items()), list(other.items()))
        case np.ndarray():
            return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        case _:
            return bool(one == other)


def unchanged(stored: Mapping[str, Any], read: Mapping[str, Any]) -> Finding:
    """Each of the stored values, by its name, was read back the same. Unknown when nothing was stored."""
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
