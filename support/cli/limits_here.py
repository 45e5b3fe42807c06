"""The limits that are longer on a cluster than the scenarios state, because its own timing needs longer."""

from collections.abc import Iterable
from dataclasses import dataclass

from support.cli.behave_process import Planned
from support.cli.preflight import limits_by_id
from support.target.timing import Span, Timing


@dataclass(frozen=True)
class Longer:
    """A limit in force; in seconds."""

    name: str
    """As in [limits]."""
    stated: float
    seconds: float
    span: Span
    """What needs longer."""


def longer_here(scenarios: Iterable[Planned], timing: Timing) -> tuple[Longer, ...]:
    """Every limit that this timing makes longer, by name; where scenarios state several, the longest."""
    found = dict[str, Longer]()
    for id, stated in sorted(limits_by_id(scenarios).items()):
        for one in stated:
            if one.span is None:
                continue
            limit = timing.limit(one.span, one.value)
            name = f"{id}.{one.measure}"
            if limit.seconds > one.value and (name not in found or found[name].seconds < limit.seconds):
                found[name] = Longer(name, one.value, limit.seconds, one.span)
    return tuple(found.values())


def by_span(limits: Iterable[Longer]) -> dict[Span, list[str]]:
    """What needs longer -> the names of those limits."""
    found = dict[Span, list[str]]()
    for one in limits:
        found.setdefault(one.span, []).append(one.name)
    return found
