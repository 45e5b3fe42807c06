"""Limits of time on a machine that others saturate: any scenario's, whatever step states them.

A failover takes as long as its processes wait for a processor. So the machine is watched as long as scenarios run, and
a limit that was exceeded while others kept it saturated is not judged: the scenario is inconclusive. Nothing else is
excused: a wrong result stays one, and so does a login that is refused.

A cluster on other machines does not wait for the processors of this one. Only what the suite saw may be late by as much
as it had to wait itself, even if it was the suite that kept them all busy.

What `quiet` measures is judged by its own finer watch, and measured again where that is possible.

Where several clusters are tested at the same time, the jobs do not see each other's processes, and must not take them
for other programs. The process that started them sees all of them: it watches (`watched_for_all`), and writes down what
it sees for them.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from support import sql
from support.engine.quiet import is_elsewhere, ours
from support.errors import Inconclusive, LimitExceeded, NotInTime
from support.hosts.processors import Reading, Selection, Usage, read, together, trees, usage
from support.target.topology import Topology

VARIABLE = "_ACCEPT_SATURATION"
"""The environment variable that names the file in which another process writes for all jobs what it sees; no setting.
"""
_EVERY = 0.5  # seconds between two looks
_SHORTEST = 0.1  # seconds: over less, the kernel's figures say nothing
_COST = 0.004  # the share of a processor that looks may use: a machine with many processes is looked at less often
_CONSIDERABLE = 0.25
"""The share of a limit's time in which the machine must have been saturated for that to be an excuse.

What works is not stopped by a saturated machine, only slowed down. The limits leave a cluster that has the machine to
itself a good part of the time to spare, so that losing less than a quarter of it does not explain that one is exceeded:
a blip of a second in a failover of half a minute excuses nothing. Nor is more asked for: a quarter of the time at a
tenth of the speed is as much as most limits have to spare, and the first second of a period is not seen."""


@dataclass(frozen=True)
class Period:
    """A time in which others saturated the machine; monotonic clock."""

    begun: float
    ended: float
    usage: Usage

    def within(self, since: float, until: float) -> float:
        """Its seconds between these two moments."""
        return max(0.0, min(self.ended, until) - max(self.begun, since))


_ADAPTER = TypeAdapter(Period)
Periods = Callable[[], Sequence[Period]]
"""The periods so far."""


@dataclass(frozen=True)
class Elsewhere:
    """The periods of a machine on which no part of the cluster is."""

    periods: Periods

    def __call__(self) -> Sequence[Period]:
        return self.periods()


class SaturationWatch:
    """Notes when others saturate the machine, until it is closed. A context manager.

    Cheap where nothing happens: whose processes use the processors is asked only while hardly any is idle.
    """

    def __init__(
        self, ours: Selection, note: Callable[[Period], object] | None = None, elsewhere: bool = False
    ) -> None:
        """`note` gets each period when it is over. `elsewhere`: the cluster is on other machines."""
        self._ours, self._note, self._elsewhere = ours, note, elsewhere
        self._last: Reading | None = None
        self._periods: list[Period] = []
        self._looking, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "SaturationWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def periods(self) -> Sequence[Period]:
        """The periods up to now."""
        self.look()
        return tuple(self._periods)

    def look(self) -> None:
        """Look at what happened since the last look."""
        with self._looking:
            last = self._last
            if last is None:
                self._last = read(self._ours)
            elif time.monotonic() - last.at >= _SHORTEST:
                now = read(self._ours if last.tells_whose else None)
                since = usage(last, now, self._elsewhere)
                if since.is_full and not now.tells_whose:
                    now = read(self._ours)
                elif since.saturated:
                    self._add(Period(last.at, now.at, since))
                self._last = now if since.is_full else replace(now, ours={}, tells_whose=False)

    def _add(self, period: Period) -> None:
        self._periods.append(period)
        if self._note is not None:
            self._note(period)

    def _watch(self) -> None:
        cost = 0.0
        while not self._over.wait(max(_EVERY, cost / _COST)):
            begun = time.thread_time()
            self.look()
            cost = time.thread_time() - begun


def excuse(error: BaseException | None, periods: Periods, since: float, until: float) -> Inconclusive | None:
    """What counts in place of an error that was raised at `until`; None if nothing excuses it.

    `since` is when the time of its limit began, unless the error itself says when that was, or how long it took. If it
    names several times, such as those of several clients, each must be excused. What never came is excused as well:
    on a saturated machine it may just be later than anybody waits.

    If the cluster is `Elsewhere`, and it is known which limit was exceeded, it must have been met but for the seconds
    in which the machine was saturated.
    """
    if not isinstance(error, LimitExceeded) or error.facts.undisturbed or sql.tells_of_refusal(str(error)):
        return None
    if isinstance(error, NotInTime):
        since = until - error.elapsed
    seen, during, limit = periods(), error.facts.during, error.facts.limit
    times = during or [(since, until)]
    if isinstance(periods, Elsewhere) and (during or isinstance(error, NotInTime)) and _too_long(limit, times, seen):
        return None
    begun, ended = min(times, key=lambda one: _share(seen, *one))
    share = _share(seen, begun, ended)
    if share < _CONSIDERABLE:
        return None
    busy = together([one.usage for one in seen if one.within(begun, ended)])
    seconds, which = ended - begun, "" if during else "the last "
    found = f"in {share * seconds:.1f} s of that time {busy}; that is {share:.0%} of {which}{seconds:.1f} s"
    return Inconclusive(f"{error}, but {found}").with_traceback(error.__traceback__)


def _too_long(limit: float | None, times: Iterable[tuple[float, float]], periods: Sequence[Period]) -> bool:
    """Whether the limit, if it is known, is exceeded in one of these times even without the saturated seconds."""
    return limit is not None and any(
        ended - begun - _saturated(periods, begun, ended) > limit for begun, ended in times
    )


def _share(periods: Sequence[Period], begun: float, ended: float) -> float:
    """The share of this time in which the machine was saturated."""
    return _saturated(periods, begun, ended) / max(ended - begun, 0.001)


def _saturated(periods: Sequence[Period], begun: float, ended: float) -> float:
    """The seconds of this time in which it was."""
    return sum(one.within(begun, ended) for one in periods)


def watch_of(topology: Topology) -> tuple[AbstractContextManager[object], Periods]:
    """What watches the machine for the scenarios of this process, and what it sees."""
    elsewhere = is_elsewhere(topology)

    def told(periods: Periods) -> Periods:
        return Elsewhere(periods) if elsewhere else periods

    if path := os.environ.get(VARIABLE):
        return nullcontext(), told(lambda: _read_from(Path(path)))
    watch = SaturationWatch(ours(topology), elsewhere=elsewhere)
    return watch, told(watch.periods)


@contextmanager
def watched_for_all(file: Path) -> Iterator[None]:
    """Watch the machine for all processes that this one starts: none of them is another program to the others.

    What is seen is written to the file. Does nothing if another process watches for this one already.
    """
    if os.environ.get(VARIABLE):
        yield
        return
    path = file.absolute()
    path.touch(mode=0o600)

    def write(period: Period) -> None:
        with path.open("ab") as output:
            output.write(_ADAPTER.dump_json(period) + b"\n")

    with SaturationWatch(trees({os.getpid()}), write):
        os.environ[VARIABLE] = str(path)
        try:
            yield
        finally:
            del os.environ[VARIABLE]


def _read_from(path: Path) -> Sequence[Period]:
    """What is in the file; its last line may be half-written."""
    if not path.exists():
        return ()
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [_ADAPTER.validate_json(line) for line in whole.splitlines()]
