"""Progress of scenarios that run in other processes: each tells what its scenario does, one process shows them all.

That they begin and end is in the journal of the run. What each does now is in a small file of its process's own, which
is replaced every second.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from support.files import replace_file
from support.reporting.journal import event_of
from support.reporting.live import Moment, Running
from support.reporting.past import ALLURE_HISTORY, durations
from support.reporting.scenario import Scenario, ScenarioResult
from support.reporting.terminal import Progress

_SCENARIOS, _RESULT = TypeAdapter(tuple[Scenario, ...]), TypeAdapter(ScenarioResult)
_EVERY = 1.0
"""Seconds between two tellings."""
_TOO_OLD = 5.0
"""Seconds after which what was told says nothing of now."""


@dataclass(frozen=True)
class _Told:
    """What a process tells of its scenario."""

    key: str
    seconds: float
    """For how long it has been running."""
    moment: Moment | None = None

    def seen(self) -> Moment | None:
        return self.moment


_TOLD = TypeAdapter(_Told)


class Teller:
    """Tells what the running scenario does, in a file. Never raises: a view must not end a run. To be closed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._begun = 0.0
        self._key = ""
        self._look: Callable[[], Moment | None] = lambda: None
        self._writing, self._over = threading.Lock(), threading.Event()
        threading.Thread(target=self._tell_regularly, name="tells what the scenario does", daemon=True).start()

    def begins(self, scenario: Scenario) -> None:
        """A scenario begins; nothing is known yet of what it does."""
        self._key, self._begun, self._look = scenario.key, time.monotonic(), lambda: None
        self._tell()

    def observe(self, look: Callable[[], Moment | None]) -> None:
        """What tells, at any time, what the running scenario does."""
        self._look = look

    def ended(self) -> None:
        """No scenario runs now."""
        self._key, self._look = "", lambda: None
        self._tell()

    def close(self) -> None:
        self._over.set()
        self.ended()

    def _tell_regularly(self) -> None:
        while not self._over.wait(_EVERY):
            self._tell()

    def _tell(self) -> None:
        with self._writing, suppress(OSError):
            if not self._key:
                self._file.unlink(missing_ok=True)
                return
            moment = None
            with suppress(Exception):  # the world may be about to close
                moment = self._look()
            told = _Told(self._key, time.monotonic() - self._begun, moment)
            replace_file(self._file, _TOLD.dump_json(told))


class Follower:
    """Shows the progress of a run in other processes, from its journal. Call `look` regularly, then `close`."""

    def __init__(
        self,
        journal: Path,
        selected: Callable[[Scenario], bool] = lambda one: True,
        alone: Callable[[Scenario], bool] = lambda one: False,
        clusters: Callable[[], int] = lambda: 1,
        tellers: Callable[[], Mapping[str, Path]] = dict,
        since: int = 0,
    ) -> None:
        """`selected`: which of the scenarios in the journal are to run; `alone`: which of them run one after another
        when all others have ended. `clusters`: on how many the others run. `tellers`: the cluster of each living
        process, and the file of its `Teller`. `since`: how many bytes of the journal have been shown before.
        """
        self._journal, self._read = journal, since
        self._selected, self._alone, self._clusters, self._tellers = selected, alone, clusters, tellers
        self._scenarios: dict[str, Scenario] = {}
        self._ended: set[str] = set()
        self._progress: Progress | None = None

    def look(self) -> None:
        """Show what was added since the last call, and what the scenarios do now."""
        if not self._journal.exists():
            return
        with self._journal.open("rb") as lines:
            lines.seek(self._read)
            added = lines.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.split(b"\n"):
            if (event := event_of(line)) is not None:
                self._show(event)
        if self._progress is not None:
            self._progress.view.running = tuple(self._running())

    def tell(self, line: str) -> bool:
        """Print a line above the view that moves; False if none does: then anybody may print it anywhere."""
        return self._progress is not None and self._progress.tell(line)

    def close(self) -> None:
        """Show what is left, and restore the terminal."""
        self.look()
        if self._progress is not None:
            self._progress.close()

    def _show(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "begin" and self._progress is None:
            self._progress = self._begin(_SCENARIOS.validate_python(event["scenarios"]))
        if self._progress is None:
            return
        if event["event"] == "started":
            self._progress.started(self._scenarios[event["key"]])
        elif event["event"] == "result":
            result = _RESULT.validate_python(event)
            tell = self._progress.corrected if result.scenario.key in self._ended else self._progress.ended
            self._ended.add(result.scenario.key)
            tell(result)

    def _begin(self, scenarios: Collection[Scenario]) -> Progress:
        self._scenarios = {one.key: one for one in scenarios}
        to_run = tuple(filter(self._selected, scenarios))
        progress = Progress(len(to_run), None, to_run, durations(ALLURE_HISTORY))
        progress.view.alone = {one.key for one in to_run if self._alone(one)}
        progress.view.clusters = self._clusters
        return progress

    def _running(self) -> "list[Running]":
        told = {cluster: _told(file) for cluster, file in self._tellers().items()}
        now = time.monotonic()
        return [
            Running(self._scenarios[one.key], now - one.seconds, one.seen, cluster)
            for cluster, one in told.items()
            if one is not None and one.key in self._scenarios
        ]


def _told(file: Path) -> _Told | None:
    """What a process has told lately; None if it runs no scenario."""
    try:
        told, age = _TOLD.validate_json(file.read_bytes()), time.time() - file.stat().st_mtime
    except (OSError, ValidationError):
        return None
    known = told.moment if age < _TOO_OLD else None
    return replace(told, seconds=told.seconds + max(0.0, age), moment=known)
