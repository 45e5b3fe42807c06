"""What is going on, for who is watching: which scenario runs, how each one ended, how many are left.

On a terminal the running scenario is a line that moves; elsewhere (a CI log) each scenario is one plain line when it
starts and one when it ends.
"""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.text import Text

from support.reporting.scenario import Scenario
from support.reporting.verdict import ScenarioResult, Verdict

STYLES = {
    Verdict.PASSED: "green",
    Verdict.BROKEN: "bold red",
    Verdict.INCONCLUSIVE: "bold magenta",
    Verdict.ERROR: "bold yellow",
    Verdict.SKIPPED: "cyan",
    Verdict.INTERRUPTED: "yellow",
    Verdict.NOT_REACHED: "yellow",
}


def real_stdout() -> Console:
    """A console on the process's own standard output; behave puts a buffer in place of `sys.stdout`."""
    return Console(file=sys.__stdout__, highlight=False)


class Progress:
    """The lines of one run. Close it at the end, or the terminal keeps the moving line."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self._console = console or real_stdout()
        self._total = total
        self._started = self._ended = self._failed = 0
        self._running: Scenario | None = None
        self._since = 0.0
        self._spinner = Spinner("dots")
        # behave swaps sys.stdout for each step: rich must not swap it as well
        self._live = Live(
            console=self._console,
            get_renderable=self._line,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def started(self, scenario: Scenario) -> None:
        """A scenario begins."""
        self._started += 1
        self._running, self._since = scenario, time.monotonic()
        if self._console.is_terminal:
            self._live.start()
            self._live.refresh()
        else:
            line = f"[{self._started}/{self._total}] {_title(scenario)} ..."
            self._console.print(line, markup=False, soft_wrap=True)

    def _line(self) -> Spinner:
        title = _title(self._running) if self._running else ""
        failed = f", {self._failed} failed" if self._failed else ""
        text = f"{self._started} of {self._total}{failed} · {time.monotonic() - self._since:.0f} s · {title}"
        self._spinner.update(text=Text(text, no_wrap=True, overflow="ellipsis"))
        return self._spinner

    def ended(self, result: ScenarioResult) -> None:
        """A scenario has its verdict."""
        self._ended += 1
        self._failed += result.verdict.failed
        left = f"{self._total - self._ended} left"
        style = STYLES[result.verdict]
        if self._console.is_terminal:
            line = f"[{style}]{result.verdict:<14}[/] {escape(_title(result.scenario))} [dim]{result.seconds:.1f} s[/]"
        else:
            unseen = "" if result.scenario == self._running else f" {escape(_title(result.scenario))}"
            line = f"    [{style}]{result.verdict}[/]{unseen} in {result.seconds:.1f} s, {left}"
        self._console.print(line, soft_wrap=True)
        self._reason(result)

    def corrected(self, result: ScenarioResult) -> None:
        """A scenario that had a verdict has another one after all."""
        self._failed += 1
        style = STYLES[result.verdict]
        self._console.print(f"[{style}]{result.verdict} after all[/] {escape(_title(result.scenario))}", soft_wrap=True)
        self._reason(result)

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def _reason(self, result: ScenarioResult) -> None:
        if result.reason:
            self._console.print(f"    {result.reason_in_a_line}", style="dim", markup=False, soft_wrap=True)


def _title(scenario: Scenario) -> str:
    return " ".join([*scenario.ids, scenario.name])
