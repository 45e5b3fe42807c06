"""What programs of a user's host have logged: to files, to the journal, or through PostgreSQL's logging collector."""

import posixpath
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from support.errors import ProcessFailed
from support.hosts.interface import Clock, Running
from support.hosts.remote.clients import HostFailed
from support.hosts.remote.reach import Reach

READ_WITHIN = 60.0
"""Seconds: a log may be long. If it is read in portions, each of them has as many."""
_ROTATED = re.compile(r"[.-]\d|\.old$")
"""What a rotation adds to the name of a log."""
_ROTATION = r"[.-]\d[\d.-]*|\.old"
_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTHS = (
    "Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?"
    "|Nov(?:ember)?|Dec(?:ember)?"
)
_VARIES = re.compile(rf"(\d+|\.(?:log|csv|json)$|(?<![A-Za-z])(?:{_DAYS}|{_MONTHS})(?![A-Za-z]))")
"""The parts of a file's name that differ in others of the same collector."""
_ESCAPED = re.compile(r"(%[EO]?.)")
_ESCAPES: Mapping[str, str] = {
    **dict.fromkeys("YG", r"\d{4}"),
    **dict.fromkeys("CUVWdgmyHIMS", r"\d{2}"),
    **dict.fromkeys("ekl", r"[ \d]\d"),
    **dict.fromkeys("uw", r"\d"),
    **dict.fromkeys("aAbBhpPZ", r"\w+"),
    "j": r"\d{3}",
    "s": r"\d+",
    "%": "%",
}
"""What an escape of strftime in log_filename stands for."""
_LOG_FILENAME = re.compile(r"^\s*log_filename\s*[=\s]\s*'((?:[^'\n]|'')*)'", re.IGNORECASE | re.MULTILINE)
_CONFIG_FILE = re.compile(r"[\s-]config[-_]file[=\s]\s*(\S+)")
_SAME_TIME = 2.0  # seconds; a smaller difference between two clocks may just be the time that it takes to ask


def clock_of(reach: Reach) -> Clock | None:
    """What the clock of a host shows; None if it does not answer."""
    begun = time.time()
    try:
        shown, zone = reach.run("date", "+%s %z").split()
        at, offset = int(shown), datetime.strptime(zone, "%z").utcoffset()
    except (ProcessFailed, ValueError):
        return None
    ahead = at + 0.5 - (begun + time.time()) / 2  # `date` shows whole seconds
    return Clock(offset.total_seconds() if offset is not None else None, ahead if abs(ahead) > _SAME_TIME else 0.0)


class Journal:
    """What a systemd unit has logged."""

    def __init__(self, reach: Reach, unit: str) -> None:
        self._reach, self._unit = reach, unit

    def end(self) -> str:
        return self._reach.run("date", "+%s").strip()

    def since(self, mark: str) -> str:
        since = [f"--since=@{mark}"] if mark else []
        return self._read(*since)

    def last(self, most: int) -> str:
        return self._read("-n", str(most // 100))

    def portions(self) -> Iterator[bytes]:
        return self._reach.stream(*self._words, within=READ_WITHIN)

    def _read(self, *options: str) -> str:
        return self._reach.run(*self._words, *options, within=READ_WITHIN)

    @property
    def _words(self) -> tuple[str, ...]:
        return ("journalctl", "--no-pager", "-o", "cat", "-u", self._unit)


class _Files:
    """A log that is continued in other files. A mark is the size of each of them, by the inode: a file that was renamed
    since is known, and one that was not there is new.
    """

    def __init__(self, reach: Reach, files: Collection[str]) -> None:
        """`files` are those that a program has open. Only they count without a mark: others may go back for weeks."""
        self._reach, self._files = reach, files

    def end(self) -> str:
        """See Log."""
        raise NotImplementedError

    def since(self, mark: str) -> str:
        """See Log: of all files that are new or were written to, the oldest first."""
        now = _parsed(self.end())
        parts = _written(_parsed(mark), now) if mark else [(file, 0) for file in self._open(now)]
        return "".join(self._reach.run("tail_of", file, str(at), within=READ_WITHIN) for file, at in parts)

    def last(self, most: int) -> str:
        """See Log."""
        newest = list(_parsed(self.end()))[-1:]
        return "".join(self._reach.run("tail", "-c", str(most), file, within=READ_WITHIN) for file in newest)

    def portions(self) -> Iterator[bytes]:
        """See Log."""
        if not (there := self._open(_parsed(self.end()))):
            raise FileNotFoundError(f"none of its files can be found: {', '.join(dict.fromkeys(self._files))}")
        for file in there:
            yield from self._reach.stream("tail_of", file, "0", within=READ_WITHIN)

    def _open(self, now: Iterable[str]) -> list[str]:
        return [file for file in now if file in self._files]


class RemoteLog(_Files):
    """A file on a host, and what it is called after a rotation, which may rename it or copy it."""

    def __init__(self, reach: Reach, file: str, present: str = "") -> None:
        """`present`: what the file is called now that the program has open, if no longer that."""
        self._names = tuple(dict.fromkeys((file, present or file)))
        super().__init__(reach, (present or file,))

    def end(self) -> str:
        """See Log."""
        listed = [self._reach.run("sizes", *posixpath.split(file)).splitlines() for file in self._names]
        return "\n".join(dict.fromkeys(line for lines in reversed(listed) for line in lines))

    def last(self, most: int) -> str:
        """See Log."""
        return self._reach.run("tail", "-c", str(most), *self._files, within=READ_WITHIN)


class CollectedLogs(_Files):
    """The files of PostgreSQL's logging collector. Each start of the server begins a new one, and so does rotation. So
    a server that fails to start, or starts again, leaves what it logged in files that are no longer written to.

    Others may log to the same folder, such as PgBouncer or another server: theirs are told apart by their names.
    """

    def __init__(self, reach: Reach, folder: str, files: Collection[str], configured: str = "") -> None:
        """`files` are those in the folder that the collector was seen to write; `configured` is its log_filename."""
        self._folder, self._own = folder, own_names(files, configured)
        super().__init__(reach, files)

    def end(self) -> str:
        """See Log."""
        lines = self._reach.run("sizes", self._folder).splitlines(keepends=True)
        return "".join(line for line in lines if self._own.fullmatch(posixpath.basename(line.rstrip("\n"))))


def own_names(files: Collection[str], configured: str = "") -> re.Pattern[str]:
    """How a collector calls its files: by its log_filename or, where that is not known, like those that it has written.

    A rotation may have added something to the name.
    """
    names = tuple(dict.fromkeys(posixpath.basename(file) for file in files))
    by_setting = _in_each_format("".join(map(_of_escape, _ESCAPED.split(posixpath.basename(configured)))), configured)
    known = [by_setting] if any(re.fullmatch(by_setting, name) for name in names) else []
    others = [name for name in names if not (known and re.fullmatch(by_setting, name))]
    alike = ["".join(map(_alike, _VARIES.split(name))) for name in others]
    return re.compile(f"({'|'.join([*known, *alike])})({_ROTATION})?")


def _in_each_format(pattern: str, name: str) -> str:
    """PostgreSQL replaces .log for csvlog and jsonlog, and adds these to any other name."""
    stem = pattern.removesuffix(re.escape(".log")) if name.endswith(".log") else pattern
    return f"{pattern}|{stem}\\.(csv|json)"


def _of_escape(part: str) -> str:
    if not _ESCAPED.fullmatch(part):
        return re.escape(part)
    return _ESCAPES.get(part[1], ".+")


def _alike(part: str) -> str:
    """What a name of another day, or of another format, has in place of this part."""
    if part.isdecimal():
        return f"\\d{{{len(part)}}}"
    if part in (".log", ".csv", ".json"):
        return r"\.(log|csv|json)"
    return "[A-Z][a-z]+" if _VARIES.fullmatch(part) else re.escape(part)


def log_filename(reach: Reach, data: str, command: str) -> str:
    """As the files of a server's configuration have it; empty if they say nothing, or cannot be read.

    `data`: its data directory, `command`: its command line.
    """
    given = _CONFIG_FILE.search(command)
    file, found = given[1] if given else f"{data}/postgresql.conf", ""
    base = f"{posixpath.dirname(file)}/postgresql.base.conf"  # what Patroni's own file includes
    for one in (base, file, f"{data}/postgresql.auto.conf"):
        with suppress(HostFailed):
            found = [found, *_LOG_FILENAME.findall(reach.run("cat", one))][-1]
    return found.replace("''", "'")


@dataclass(frozen=True)
class _Size:
    count: int
    """Bytes."""
    node: str
    """Its device and inode."""


def _parsed(listed: str) -> dict[str, _Size]:
    """What the script's `sizes` answers: file -> size, in the order in which they were last written to."""
    rows = [line.split("\t", 2) for line in listed.splitlines() if line.count("\t") >= 2]
    return {file: _Size(int(size), node) for size, node, file in rows}


def _written(before: Mapping[str, _Size], now: Mapping[str, _Size]) -> list[tuple[str, int]]:
    """The files that were written to in between, each with the position from which on it is new."""
    sizes = {size.node: size.count for size in before.values()}
    copies = {file: of for file, size in now.items() if size.node not in sizes and (of := _original(file, before, now))}
    found = []
    for file, size in now.items():
        at = sizes.get(size.node, 0) if file not in copies.values() else 0  # what was copied was emptied then
        if file in copies:
            at = before[copies[file]].count
        if size.count != at:
            found.append((file, at))
    return found


def _original(file: str, before: Mapping[str, _Size], now: Mapping[str, _Size]) -> str:
    """The log of which a rotation has made this new file as a copy (copytruncate of logrotate); empty if it is none."""
    return next(
        (
            of
            for of, size in before.items()
            if of in now
            and now[of].node == size.node
            and file.startswith(of)
            and _ROTATED.match(file, len(of))
            and now[file].count >= size.count
        ),
        "",
    )


@dataclass(frozen=True)
class Opened:
    """A file to which a process logs."""

    pid: int
    node: str
    """Its device and inode."""
    file: str
    """Its path; empty if we may not see what the process has open."""


def opened(reach: Reach, processes: Collection[Running]) -> list[Opened]:
    """The files to which these processes log: by standard output and error, or opened to append to."""
    said = reach.run("logged", *(str(one.pid) for one in processes)) if processes else ""
    rows = [line.split("\t", 2) for line in said.splitlines() if line.count("\t") >= 2]
    return [Opened(int(pid), node, file) for pid, node, file in rows]
