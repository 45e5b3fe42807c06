"""The view of a run on a terminal while it lasts: progress and time left, and what the running scenario does.

The view reads what the scenario's threads record, and asks the cluster nothing: looking must not disturb it.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.text import Text

from support.reporting.scenario import Scenario, ScenarioResult

_UNKNOWN = {"destructive": 40.0, "slow": 10.0}
"""Tag -> seconds that a scenario with it takes, if no earlier run tells; others take one."""
_USUAL = 1.0
_MARKS = {True: " leads", False: "", None: " silent"}
_STYLES = {True: "bold green", False: "", None: "red"}
"""How a member is marked, by whether it would accept a write; None if it does not answer."""


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


@dataclass(frozen=True)
class Running:
    """A scenario that runs now."""

    scenario: Scenario
    begun: float
    """When it began, on the monotonic clock."""
    look: Callable[[], Moment | None] = lambda: None
    """What it does, if anything is known of it."""
    cluster: str = ""
    """Where, if there are several clusters."""

    def gone(self, now: float) -> float:
        return now - self.begun


class LiveView:
    """The lines below what was printed. Its parts never raise: a view must not end a run."""

    def __init__(
        self,
        total: int,
        scenarios: Sequence[Scenario],
        known: Mapping[tuple[str, str], float],
        ascii_only: bool = False,
    ) -> None:
        """`known`: how long scenarios took in earlier runs, by path and title; `ascii_only`: the terminal may have no
        other characters."""
        self._left = {one.key: expected_seconds(one, known) for one in scenarios}
        self._total, self._begun = total, time.monotonic()
        self._frames = Spinner("line" if ascii_only else "dots")
        self._started, self._failed = 0, 0
        self.running: tuple[Running, ...] = ()
        """What runs now, on each cluster at most one. Replaced as a whole: another thread draws it."""
        self.clusters: Callable[[], int] = lambda: 1
        """On how many clusters the scenarios run."""
        self.alone: Collection[str] = ()
        """The keys of the scenarios that run one after another when all others have ended."""
        self.stopping = False
        """Whether Ctrl-C was pressed."""

    def begins(self, scenario: Scenario) -> None:
        """A scenario begins; nothing is known yet of what it does."""
        self._started += 1
        self.running = (Running(scenario, time.monotonic()),)

    def observe(self, look: Callable[[], Moment | None]) -> None:
        """What tells, at any time, what the running scenario does."""
        self.running = tuple(replace(one, look=look) for one in self.running)

    def ended(self, result: ScenarioResult) -> None:
        """A scenario has ended, and needs no more time."""
        self._failed += result.verdict.failed
        self._left.pop(result.scenario.key, None)
        self.running = tuple(one for one in self.running if one.scenario.key != result.scenario.key)

    @property
    def seconds_left(self) -> float:
        """How long the run will still take, by the usual times of its scenarios.

        The clusters share the scenarios evenly, but none is split: it takes at least as long as the longest one.
        """
        now, left = time.monotonic(), dict(self._left)
        for one in self.running:
            left[one.scenario.key] = max(0.0, left.get(one.scenario.key, 0.0) - one.gone(now))
        beside = [seconds for key, seconds in left.items() if key not in self.alone]
        alone = sum(seconds for key, seconds in left.items() if key in self.alone)
        return max(sum(beside) / max(1, self.clusters()), *beside, 0.0) + alone

    def render(self) -> RenderableType:
        """The lines, each cut at the width of the terminal."""
        now, running = time.monotonic(), self.running
        failed = f" · {self._failed} failed" if self._failed else ""
        left = "stopping (Ctrl-C)" if self.stopping else _left(self.seconds_left)
        head = f"{self._started} of {self._total}{failed} · {_clock(now - self._begun)} · {left}"
        lines = [_line(head)]
        for one in running:
            where = f"{one.cluster} · " if one.cluster else ""
            lines.append(_line(f"{self._frame(now)} {where}{one.gone(now):.0f} s · {one.scenario.title}"))
            facts = _facts(one)
            lines += [_line("   ").join(facts)] if one.cluster and facts else facts
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)

    def _frame(self, now: float) -> str:
        """The sign that shows that something moves."""
        frames = self._frames.frames
        return frames[int(now * 1000 / self._frames.interval) % len(frames)]


def _facts(running: Running) -> list[Text]:
    """What it does, a line each."""
    try:
        moment = running.look()
    except Exception:
        return []
    if moment is None:
        return []
    lines = []
    if moment.members:
        members = [
            Text(f"{name}{_MARKS[writable]}", style=_STYLES[writable]) for name, writable in moment.members.items()
        ]
        lines.append(Text("  ").append(_line("  ").join(members)))
    if moment.fault:
        lines.append(Text(f"  {moment.fault}, for {moment.fault_since:.0f} s", style="yellow"))
    if moment.writes is not None:
        lines.append(_line(f"  {moment.writes:,.0f} operations/s acknowledged"))
    return lines


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _clock(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"


def _left(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute left"
    return f"about {seconds / 60:.0f} min left"
