"""Shows a run that other processes carry out, from the journal that they write."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from support.reporting.progress import Progress
from support.reporting.scenario import Scenario
from support.reporting.verdict import ScenarioResult

_SCENARIOS, _RESULT = TypeAdapter(tuple[Scenario, ...]), TypeAdapter(ScenarioResult)


class Follower:
    """Call `look` now and then; close it at the end."""

    def __init__(self, journal: Path) -> None:
        self._journal, self._read = journal, 0
        self._scenarios: dict[str, Scenario] = {}
        self._ended: set[str] = set()
        self._progress: Progress | None = None

    def look(self) -> None:
        """Show what was added since the last time."""
        if not self._journal.exists():
            return
        with self._journal.open("rb") as lines:
            lines.seek(self._read)
            added = lines.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            self._show(json.loads(line))

    def close(self) -> None:
        """Show the last of it, and give the terminal back."""
        self.look()
        if self._progress is not None:
            self._progress.close()

    def _show(self, event: dict[str, Any]) -> None:
        if event["event"] == "begin" and self._progress is None:
            self._scenarios = {one.key: one for one in _SCENARIOS.validate_python(event["scenarios"])}
            self._progress = Progress(len(self._scenarios))
        if self._progress is None:
            return
        if event["event"] == "started":
            self._progress.started(self._scenarios[event["key"]])
        elif event["event"] == "result":
            result = _RESULT.validate_python(event)
            tell = self._progress.corrected if result.scenario.key in self._ended else self._progress.ended
            self._ended.add(result.scenario.key)
            tell(result)
