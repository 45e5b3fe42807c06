"""The view of a run on a terminal while it lasts: progress and time left, and what the running scenario does.

The view reads what the scenario's threads record, and asks the cluster nothing: looking must not disturb it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.text import Text

from support.reporting.scenario import Scenario, ScenarioResult

_UNKNOWN = {"destructive": 40.0, "slow": 10.0}
"""Tag -> seconds that a scenario with it takes, if no earlier run tells; others take one."""
_USUAL = 1.0


@dataclass(frozen=True)
class Moment:
    """What a scenario does right now. An empty text, or None, where that is not known."""

    members: Mapping[str, bool | None]
    """Member -> whether it would accept a write; None if it does not answer."""
    writes: float | None = None
    """Acknowledged operations of the scenario's clients in the last second."""
    fault: str = ""
    """The fault in force."""
    fault_since: float = 0.0
    """Seconds that it has been in force for."""


def expected_seconds(scenario: Scenario, known: Mapping[tuple[str, str], float]) -> float:
    """How long a scenario takes, by earlier runs (path and title -> seconds), or else by its tags."""
    usual = next((seconds for tag, seconds in _UNKNOWN.items() if tag in scenario.tags), _USUAL)
    return known.get((scenario.path, scenario.name), usual)


class LiveView:
    """The lines below what was printed. Its parts never raise: a view must not end a run."""

    def __init__(self, total: int, scenarios: Sequence[Scenario], known: Mapping[tuple[str, str], float]) -> None:
        self._left = {one.key: expected_seconds(one, known) for one in scenarios}
        self._total, self._begun = total, time.monotonic()
        self._spinner = Spinner("dots")
        self._started, self._failed = 0, 0
        self._running: Scenario | None = None
        self._since = self._begun
        self.look: Callable[[], Moment | None] = lambda: None
        """What the running scenario does, if anything is known of it."""

    def begins(self, scenario: Scenario) -> None:
        """A scenario begins; nothing is known yet of what it does."""
        self._started += 1
        self._running, self._since, self.look = scenario, time.monotonic(), lambda: None

    def ended(self, result: ScenarioResult) -> None:
        """A scenario has ended, and needs no more time."""
        self._failed += result.verdict.failed
        self._left.pop(result.scenario.key, None)

    @property
    def seconds_left(self) -> float:
        """The rest of the usual time of the running scenario, plus the usual times of those that have not begun."""
        running = self._running.key if self._running is not None else ""
        rest = sum(seconds for key, seconds in self._left.items() if key != running)
        gone = time.monotonic() - self._since
        return rest + max(0.0, self._left.get(running, 0.0) - gone)

    def render(self) -> RenderableType:
        """The lines, each cut at the width of the terminal."""
        title = self._running.title if self._running else ""
        now = time.monotonic()
        failed = f" · {self._failed} failed" if self._failed else ""
        head = f"{self._started} of {self._total}{failed} · {_clock(now - self._begun)} · {_left(self.seconds_left)}"
        self._spinner.update(text=_line(f"{now - self._since:.0f} s · {title}"))
        return Group(_line(head), self._spinner, *self._moment())

    def _moment(self) -> Sequence[Text]:
        try:
            moment = self.look()
        except Exception:
            return ()
        if moment is None:
            return ()
        lines = []
        if moment.members:
            members = Text("  ")
            for name, writable in moment.members.items():
                style = {True: "bold green", False: "", None: "red"}[writable]
                mark = {True: " leads", False: "", None: " silent"}[writable]
                members.append(f"{name}{mark}", style=style).append("  ")
            lines.append(members)
        if moment.writes is not None:
            lines.append(_line(f"  {moment.writes:,.0f} operations a second acknowledged"))
        if moment.fault:
            lines.append(Text(f"  {moment.fault}, for {moment.fault_since:.0f} s", style="yellow"))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return lines


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _clock(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"


def _left(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute left"
    return f"about {seconds / 60:.0f} min left"
