"""Waiting for a state, not for a fixed time; the only module that sleeps.

The verbs of the steps map to it: *becomes* is `eventually`, *becomes ... within* (a promised time) is `in_time`,
*is* is a plain call, *stays ... while* is `throughout`. What a scenario needs, but does not judge, is awaited within a
`precondition`.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from support.errors import Inconclusive, NotInTime

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between two probes: quick at first, then cheap

_HAMCREST = re.compile(r"(.*?)\s*\bExpected: (.+?)\n\s+but: (?:but )?(.+)", re.DOTALL)
"""The reason, what was expected, and what was seen."""
_VALUE = re.compile(r"('[^']*')|<(None|True|False|-?\d[\d.e+-]*|[\[({][^<>]*[\])}])>")
"""A value as PyHamcrest writes it, with nothing else in the brackets; in quotes there may be anything."""
_LONG = re.compile(r"(?<![\w.])-?\d{1,3}\.\d{10,}(?:e[+-]?\d+)?(?![\w.])")
"""A figure with more digits than anybody reads: a binary fraction, such as 0.044000000000000046."""


class NotYet(Exception):
    """Raised by a probe while the awaited state is not reached. The message says what was observed instead."""


def eventually(
    probe: Callable[[], T],
    *,
    within: float,
    subject: str,
    retry_on: tuple[type[BaseException], ...] = (),
    pause: float = LONGEST_PAUSE,
    since: float | None = None,
) -> T:
    """Call `probe` until it returns, and return what it returned.

    `probe` raises NotYet, AssertionError or one of `retry_on` while the state is not reached. It is called at least
    once, and a last time when `within` seconds are over; then NotInTime is raised. Any other exception of the probe is
    raised at once. `since` is the monotonic time from which `within` counts, if it does not count from now: a limit
    that began with a fault is then reported as it was promised, not as what is left of it.

    A probe that began in time may return late. That is enough for a wait; where `within` is a promise, use `in_time`.
    """
    not_so: tuple[type[BaseException], ...] = (NotYet, AssertionError, *retry_on)
    begun = time.monotonic() if since is None else since
    wait = min(FIRST_PAUSE, pause)
    while True:
        last_chance = time.monotonic() - begun >= within
        try:
            return probe()
        except not_so as not_yet:
            if last_chance:
                elapsed = time.monotonic() - begun
                raise NotInTime(subject, describe(not_yet), elapsed, within, probe=probe) from not_yet
        time.sleep(max(0.0, min(wait, begun + within - time.monotonic())))
        wait = min(wait * 1.5, pause)


def in_time(
    probe: Callable[[], T],
    *,
    within: float,
    subject: str,
    retry_on: tuple[type[BaseException], ...] = (),
    pause: float = LONGEST_PAUSE,
    since: float | None = None,
    unknown: tuple[type[BaseException], ...] = (),
) -> tuple[T, float]:
    """Like `eventually`, but `within` is a promised limit; also returns the seconds that it took.

    Also raises NotInTime if the awaited state was observed after the limit. `unknown`: exceptions by which the probe
    reports that it could not find out; if that is still so at the end, the last one is raised.
    """
    begun = time.monotonic() if since is None else since
    try:
        retried = (*retry_on, *unknown)
        value = eventually(probe, within=within, subject=subject, retry_on=retried, pause=pause, since=begun)
    except NotInTime as late:
        if isinstance(late.__cause__, unknown):
            raise late.__cause__ from None
        raise
    took = time.monotonic() - begun
    if took > within:
        raise NotInTime(subject, "it is true now, but too late", took, within, never_came=False)
    return value, took


@contextmanager
def precondition(otherwise: str = "") -> Iterator[None]:
    """For waits for what a scenario needs, but does not judge: raises Inconclusive in place of NotInTime.

    `otherwise` says what its absence means, in front of what was observed.
    """
    try:
        yield
    except NotInTime as late:
        raise Inconclusive(f"{otherwise}: {late}" if otherwise else str(late)) from late


def look_again(missed: NotInTime, seconds: float) -> None:
    """Look for so many seconds more whether what was not reached in time is reached after all: then it was only late.

    `missed.facts.never_came` says afterwards what was found.
    """
    if missed.probe is None or not missed.facts.never_came:
        return
    with suppress(NotInTime):
        eventually(missed.probe, within=seconds, subject=missed.subject, retry_on=(Exception,))
        missed.facts = replace(missed.facts, never_came=False)


def throughout(check: Callable[[], object], *, seconds: float, pause: float = LONGEST_PAUSE) -> int:
    """Call `check` repeatedly for `seconds`; raises its first exception.

    Returns the number of calls, at least two: one at the beginning and one at the end.
    """
    end = time.monotonic() + seconds
    calls = 0
    while True:
        last = time.monotonic() >= end
        check()
        calls += 1
        if last and calls > 1:
            return calls
        time.sleep(max(0.0, min(pause, end - time.monotonic())))


def pause(seconds: float) -> None:
    """Let time pass, where time itself is the subject (an expiry, the pace of a client)."""
    time.sleep(seconds)


def describe(error: BaseException) -> str:
    """An exception in one line: its message, or its type if it has none."""
    text = " ".join(for_people(str(error)).split())
    return text or type(error).__name__


def for_people(message: str) -> str:
    """The message of an exception as the report shows it: what PyHamcrest says in a line, and figures of four digits.

    The traceback keeps the original.
    """
    if found := _HAMCREST.fullmatch(message.strip()):
        reason, expected, seen = (_VALUE.sub(r"\1\2", part.strip()) for part in found.groups())
        message = f"{reason}: expected {expected}, {seen}" if reason else f"expected {expected}, {seen}"
    return _LONG.sub(lambda figure: f"{float(figure[0]):.4g}", message)
