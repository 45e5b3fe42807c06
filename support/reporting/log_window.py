"""The part of a log that was written since some moment."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

LONGEST = 400
"""Lines. The end of a window tells more than its beginning."""
_READ = 512 * 1024  # bytes at the end of the file
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)[.,\d]*(Z|\+00:00| UTC| GMT)?")
_STAMP_OF_REDIS = re.compile(r"\d+:\w (\d\d \w{3} \d{4} \d\d:\d\d:\d\d)")
_BEGINNING = 60  # characters of a line in which its date stands
_EARLIER = 1.0  # seconds; the stamps are whole seconds


def written_since(log: Path, moment: float) -> str:
    """The lines of that window; the log's last lines where they bear no date. `moment` is in seconds since the epoch.

    A line without a date belongs to the one above it.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
    window = _window(lines, moment - _EARLIER)
    if not window:
        return "(nothing was written in the time of the scenario)"
    left_out = f"(the first {len(window) - LONGEST} lines are left out)\n" if len(window) > LONGEST else ""
    return left_out + "\n".join(window[-LONGEST:])


def _window(lines: Iterable[str], moment: float) -> list[str]:
    lines = list(lines)
    for number, line in enumerate(lines):
        stamp = _time_of(line)
        if stamp is not None and stamp >= moment:
            return lines[number:]
    return [] if any(_time_of(line) is not None for line in lines) else lines


def _time_of(line: str) -> float | None:
    """What the line is dated, in seconds since the epoch; in local time where it names no zone."""
    if found := _STAMP.search(line[:_BEGINNING]):
        stamp = datetime.fromisoformat(found[1])
        return (stamp.replace(tzinfo=UTC) if found[2] else stamp).timestamp()
    if found := _STAMP_OF_REDIS.match(line):
        return datetime.strptime(found[1], "%d %b %Y %H:%M:%S").timestamp()
    return None
