"""Encodes values as bytes and decodes them unchanged: the same type and value, however deeply nested.

The format is JSON. What JSON keeps unchanged (text, integers, finite floats, true, false, null, lists) is encoded as
itself. Everything else, dictionaries included, is an object with one member, {"its type": its parts}, so that no value
can be mistaken for another. Types are matched exactly, not by inheritance: a value that would come back as something
else is refused, never altered. Decoding executes nothing, unlike pickle.
"""

import base64
import json
import math
import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np


class NotCacheable(TypeError):
    """A value of this type could not be decoded unchanged."""


def encode(value: Any) -> bytes:
    """Bytes that `decode` turns into the same value. Raises NotCacheable."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False).encode("ascii")


def decode(encoded: bytes) -> Any:
    """The value that was encoded. Raises ValueError for bytes that do not come from `encode`."""
    try:
        return _value(json.loads(encoded))
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"not an encoded value: {type(error).__name__}: {error}") from error


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in (str, int, bool, type(None)) or (kind is float and math.isfinite(value)):
        return value
    if kind is list:
        return [_plain(one) for one in value]
    if kind in _PARTS:
        name, parts = _PARTS[kind]
        return {name: parts(value)}
    known = ", ".join(sorted({"bool", "int", "list", "NoneType", "str", *(one.__name__ for one in _PARTS)}))
    raise NotCacheable(f"a {kind.__module__}.{kind.__qualname__} cannot be cached unchanged; what can: {known}")


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(one) for one in plain]
    if isinstance(plain, dict):
        ((name, parts),) = plain.items()
        return _WHOLE[name](parts)
    return plain


def _clock_parts(value: datetime | time) -> list[Any]:
    zone = value.tzinfo
    if zone is not None and type(zone) is not timezone:
        kind = type(value).__name__
        raise NotCacheable(f"a {kind} in {zone!r} cannot be cached unchanged; one with a fixed offset can")
    # fromisoformat ignores an offset of less than a second, so the offset is encoded separately, with its name if any
    made_of = _plain(list(zone.__getinitargs__())) if zone is not None else None  # type: ignore[attr-defined]
    return [value.replace(tzinfo=None).isoformat(), value.fold, made_of]


def _clock(kind: type[datetime] | type[time], parts: list[Any]) -> datetime | time:
    text, fold, made_of = parts
    zone = timezone(*_value(made_of)) if made_of is not None else None
    return kind.fromisoformat(text).replace(fold=fold, tzinfo=zone)


def _array_parts(value: "np.ndarray[Any, Any]") -> list[Any]:
    if value.dtype.hasobject or value.dtype.names is not None:
        raise NotCacheable(f"an array of {value.dtype} cannot be cached unchanged; one of numbers can")
    return [value.dtype.str, list(value.shape), base64.b64encode(value.tobytes()).decode("ascii")]


def _array(parts: list[Any]) -> "np.ndarray[Any, Any]":
    kind, shape, content = parts
    return np.frombuffer(base64.b64decode(content), dtype=np.dtype(kind)).reshape(shape).copy()


_PARTS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    float: ("float", str),  # NaN and the infinities; finite ones are encoded as themselves
    bytes: ("bytes", lambda value: base64.b64encode(value).decode("ascii")),
    dict: ("dict", lambda value: [[_plain(key), _plain(one)] for key, one in value.items()]),
    tuple: ("tuple", lambda value: [_plain(one) for one in value]),
    set: ("set", lambda value: [_plain(one) for one in value]),
    frozenset: ("frozenset", lambda value: [_plain(one) for one in value]),
    datetime: ("datetime", _clock_parts),
    date: ("date", date.isoformat),
    time: ("time", _clock_parts),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: ("decimal", str),
    uuid.UUID: ("uuid", str),
    np.ndarray: ("array", _array_parts),
}
"""Type -> its name, and a function that takes a value of it apart."""

_WHOLE: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "bytes": base64.b64decode,
    "dict": lambda parts: {_value(key): _value(one) for key, one in parts},
    "tuple": lambda parts: tuple(_value(one) for one in parts),
    "set": lambda parts: {_value(one) for one in parts},
    "frozenset": lambda parts: frozenset(_value(one) for one in parts),
    "datetime": partial(_clock, datetime),
    "date": date.fromisoformat,
    "time": partial(_clock, time),
    "timedelta": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "uuid": uuid.UUID,
    "array": _array,
}
"""Name of a type -> a function that makes a value of it from the parts."""
