"""The lines of servers' logs that explain a failover: who decided what, and when.

Everything else that the logs hold is evidence, too, but nobody reads it first."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from support.hosts.interface import Clock

HERE = Clock()
"""The clock of this machine."""
_CLOCK = "the clock of this host, in seconds: "

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
# An offset is one that some place has; any other number after a date is a process id, or begins the message. One with a
# minus right after a comma is a process id, too: only Python's logging, with which Patroni writes, puts milliseconds
# after a comma, and only to a date without a zone. After a full stop, as PostgreSQL and etcd write it, a zone is usual.
_STAMP = re.compile(
    r"""
    (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d) (?:[.,](\d+))?
    (Z | [ ]UTC | [ ]GMT
     | [ ]?(?:\+(?:0\d|1[0-4]) | (?<!,\d{3})-(?:0\d|1[0-2])) (?::?(?:00|15|30|45))? (?!\d))?
    """,
    re.VERBOSE,
)
_STAMP_OF_REDIS = re.compile(r"\d+:\w (\d\d \w{3} \d{4} \d\d:\d\d:\d\d)(?:\.(\d+))?")
_STRUCTURED = re.compile(
    r"""
    ,\d+,(?P<csv>[^",\d]+),[0-9A-Z]{5},"?(?P<said>.*)
    | "error_severity":\s*"(?P<json>[^"]+)".*?"message":\s*"(?P<message>.*)
    """,
    re.VERBOSE,
)
"""PostgreSQL's csvlog and jsonlog: the severity, and what follows it, which is the message and more."""
_BEGINNING = 60  # characters of a line in which its date stands
_LONGEST = 220  # characters of a line that are shown
_PREFIX = re.compile(r"^[\d\-:., TZ+]*(UTC|GMT)?\s*(\[\d+\]\s*)?[:\s]*")


def moment_of(line: str, clock: Clock = HERE) -> float | None:
    """The date of a log line, in seconds since the epoch by this machine's clock; None if it has none.

    A date without a time zone, or with just a name such as CET, is taken to be in the zone of the host's clock. What
    only looks like a date, such as one with a month 13, is none.
    """
    try:
        if found := _STAMP.search(line[:_BEGINNING]):
            return _moment(datetime.fromisoformat(found[1]), found[2], clock, found[3])
        if found := _STAMP_OF_REDIS.match(line):
            return _moment(datetime.strptime(found[1], "%d %b %Y %H:%M:%S"), found[2], clock)
    except (ValueError, OverflowError):  # the latter for a year that the C library cannot convert
        pass
    return None


def _moment(stamp: datetime, digits: str | None, clock: Clock, zone: str | None = None) -> float:
    if zone:
        stamp = stamp.replace(tzinfo=_zone(zone.strip()))
    elif clock.zone is not None:
        stamp = stamp.replace(tzinfo=timezone(timedelta(seconds=clock.zone)))
    return stamp.timestamp() + _fraction(digits) - clock.ahead


def _zone(words: str) -> tzinfo:
    if words in ("Z", "UTC", "GMT"):
        return UTC
    sign, digits = (-1 if words[0] == "-" else 1), words[1:].replace(":", "")
    return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0)))


def told(clock: Clock) -> str:
    """The first line for a text of logs that are dated by a clock other than this machine's; see `clock_of`."""
    return f"{_CLOCK}{json.dumps(asdict(clock))}\n" if clock != HERE else ""


def clock_of(text: str) -> Clock:
    """The clock by which the logs in a text are dated, read from the line that `told` has written."""
    first, _, _ = text.partition("\n")
    return Clock(**json.loads(first.removeprefix(_CLOCK))) if first.startswith(_CLOCK) else HERE


def is_notable(line: str) -> bool:
    """Whether the line tells of a decision, a failure or a recovery."""
    words = _as_text(line)
    return bool(_NOTABLE.search(words)) and not _ROUTINE.search(words)


def notable(lines: Iterable[str], since: float, until: float, clock: Clock = HERE) -> Iterator[tuple[float, str]]:
    """The notable lines written in that time, each with its moment (seconds since the epoch) and without its date."""
    for line in lines:
        moment = moment_of(line, clock)
        if moment is not None and since <= moment <= until and is_notable(line):
            yield moment, _PREFIX.sub("", _as_text(line)).strip()[:_LONGEST]


def _as_text(line: str) -> str:
    """A line of csvlog or jsonlog as PostgreSQL writes it without them; any other as it is."""
    found = _STRUCTURED.search(line)
    if found is None:
        return line
    return f"{found['csv'] or found['json']}:  {found['said'] or found['message'] or ''}"


def _fraction(digits: str | None) -> float:
    return float(f"0.{digits}") if digits else 0.0
