"""The lines of servers' logs that explain a failover: who decided what, and when.

Everything else that the logs hold is evidence, too, but nobody reads it first."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

_NOTABLE = re.compile(
    r"""
    acquired\ session\ lock | promoted\ self | demoting\ self | demoted\ self | released\ leader\ key
    | lost\ leader\ lock | leader\ lock\ .*expired | following\ (a\ different|new)\ leader
    | Got\ response\ from .*(accept|reject)
    | failsafe | DCS\ is\ not\ accessible | Error\ communicating\ with\ DCS | running\ pg_rewind | pg_rewind
    | rewind\ from\ leader | bootstrap\ from\ leader | removing\ (data|initialize) | cleaning\ up\ failover
    | switchover | manual\ failover | crash\ recovery | Assigning\ synchronous | synchronous\ standby
    | received\ (fast|smart|immediate)\ shutdown | received\ promote\ request | selected\ new\ timeline
    | database\ system\ (is\ ready|was\ interrupted|was\ not\ properly|is\ shut\ down|was\ shut\ down)
    | server\ process\ .*\ was\ terminated | terminating\ any\ other\ active | PANIC: | FATAL: | No\ space\ left
    | started\ streaming\ WAL | replication\ terminated
    | could\ not\ (connect\ to\ the\ primary|receive\ data\ from\ WAL)
    | canceling\ the\ wait\ for\ synchronous\ replication
    | elected\ leader | lost\ leader | became\ leader | MASTER\ <-> | Error\ condition\ on\ socket
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ROUTINE = re.compile(
    r"no action\. I am|terminating connection due to administrator command|the database system is (starting|shutting)"
)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|\+00:00| UTC| GMT)?")
_STAMP_OF_REDIS = re.compile(r"\d+:\w (\d\d \w{3} \d{4} \d\d:\d\d:\d\d)(?:\.(\d+))?")
_BEGINNING = 60  # characters of a line in which its date stands
_LONGEST = 220  # characters of a line that are shown
_PREFIX = re.compile(r"^[\d\-:., TZ+]*(UTC|GMT)?\s*(\[\d+\]\s*)?[:\s]*")


def moment_of(line: str) -> float | None:
    """The date of a line of a log, in seconds since the epoch; local time where it names no zone."""
    if found := _STAMP.search(line[:_BEGINNING]):
        stamp = datetime.fromisoformat(found[1])
        whole = (stamp.replace(tzinfo=UTC) if found[3] else stamp).timestamp()
        return whole + _fraction(found[2])
    if found := _STAMP_OF_REDIS.match(line):
        return datetime.strptime(found[1], "%d %b %Y %H:%M:%S").timestamp() + _fraction(found[2])
    return None


def is_notable(line: str) -> bool:
    """Whether the line tells of a decision, a failure or a recovery."""
    return bool(_NOTABLE.search(line)) and not _ROUTINE.search(line)


def notable(lines: Iterable[str], since: float, until: float) -> Iterator[tuple[float, str]]:
    """The notable lines written in that time, each with its moment (seconds since the epoch) and without its date."""
    for line in lines:
        moment = moment_of(line)
        if moment is not None and since <= moment <= until and is_notable(line):
            yield moment, _PREFIX.sub("", line).strip()[:_LONGEST]


def _fraction(digits: str | None) -> float:
    return float(f"0.{digits}") if digits else 0.0
