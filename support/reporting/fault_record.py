"""What happened around a fault, as data that the pages of the report draw.

Times are seconds since the first fault began, which is second 0; without a fault, since the first look at a member.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from pydantic import TypeAdapter, ValidationError

NAME = "what happened, as data"
"""The name of the attachment."""
PICTURE = "what happened"
"""The name of the picture of the same."""


@dataclass(frozen=True)
class MemberState:
    """A time in which a member was in one state at every look."""

    member: str
    state: Literal["writes", "reads", "silent"]
    """Whether the member takes writes, is read-only, or does not answer."""
    begun: float
    ended: float


@dataclass(frozen=True)
class FaultSpan:
    """A fault, from its beginning until it was healed."""

    words: str
    begun: float
    in_effect: float | None
    """None if it was never seen in effect."""
    healing: float | None = None
    healed: float | None = None
    preparation: bool = False
    """Whether it only brought the cluster into the state in which the fault was to hit it."""


@dataclass(frozen=True)
class Event:
    """A line of a log that tells what a component decided or noticed."""

    at: float
    host: str
    words: str


@dataclass(frozen=True)
class Rates:
    """How many operations of clients ended in each slice of time, by outcome: pairs of a slice's begin and a count."""

    width: float
    """The width of a slice, in seconds."""
    acknowledged: tuple[tuple[float, int], ...] = ()
    refused: tuple[tuple[float, int], ...] = ()
    unknown: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class FaultRecord:
    """One scenario that broke the cluster."""

    promise: str
    zero: float
    """Second 0, in seconds since the epoch."""
    ended: float
    """The last second that was watched; the first one is that of the earliest period."""
    periods: tuple[MemberState, ...] = ()
    faults: tuple[FaultSpan, ...] = ()
    """Including preparations."""
    rates: Rates | None = None
    gap: tuple[float, float] | None = None
    """The longest time without an acknowledged operation since the first fault."""
    events: tuple[Event, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    """The members that share one leader, for each group of them; none: all do."""
    reads: Rates | None = None
    """The rates of clients that only read, if there were any beside or instead of those in `rates`."""
    format: Literal["accept timeline 1"] = "accept timeline 1"
    """The original name, kept so that records of older runs can still be read."""

    @property
    def words(self) -> str:
        """The faults in the order in which they began, in words; empty if there was none."""
        return "; then ".join(one.words for one in self.faults if not one.preparation)

    @property
    def prepared(self) -> str:
        """The preparations, in words; empty if there was none."""
        return "; then ".join(one.words for one in self.faults if one.preparation)

    @property
    def json(self) -> str:
        return _ADAPTER.dump_json(self).decode()


_ADAPTER = TypeAdapter(FaultRecord)


def fault_record_of(text: str | bytes) -> FaultRecord | None:
    """Parse what `FaultRecord.json` returned; None for anything else, such as the output of another version."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError:
        return None


def thinned(events: Iterable[Event], most: int) -> tuple[Event, ...]:
    """The events in order of time. If there are more than `most`, of equal ones of a host only the first is kept, then
    only the first ones."""
    ordered = sorted(events, key=lambda one: one.at)
    if len(ordered) > most:
        by_words = groupby(sorted(ordered, key=lambda one: (one.host, one.words, one.at)), key=_said)
        ordered = sorted((next(same) for _, same in by_words), key=lambda one: one.at)
    return tuple(ordered[:most])


def _said(event: Event) -> tuple[str, str]:
    return event.host, event.words
