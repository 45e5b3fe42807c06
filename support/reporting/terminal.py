"""What a run prints: progress while it lasts; at its end the figures, the table of promises, and what failed and why.

On a terminal a view of a few lines moves (see live.py); elsewhere (a CI log) each scenario is one plain line when it
starts and one when it ends. What matters most is printed last: there it is still visible on a screen, and at the end
of a truncated log."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import FrameType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from support.reporting import obstacles
from support.reporting.console import can_move, real_stdout
from support.reporting.journal import RunRecord
from support.reporting.live import LiveView
from support.reporting.scenario import Scenario, ScenarioResult, Verdict
from support.reporting.tally import columns_of, failures, known_limits, lost_line, promises_of, tally, unfinished

STYLES = {
    Verdict.PASSED: "green",
    Verdict.BROKEN: "bold red",
    Verdict.INCONCLUSIVE: "bold magenta",
    Verdict.ERROR: "bold yellow",
    Verdict.SKIPPED: "cyan",
    Verdict.INTERRUPTED: "yellow",
    Verdict.NOT_REACHED: "yellow",
}
_WARNING, _MISSING = "yellow", "bold red"


class Progress:
    """Prints the progress of one run. Must be closed, or the moving line stays on the terminal."""

    def __init__(
        self,
        total: int,
        console: Console | None = None,
        scenarios: Sequence[Scenario] = (),
        known: Mapping[tuple[str, str], float] | None = None,
    ) -> None:
        """`known`: how long scenarios took in earlier runs, by path and title."""
        self._console = console or real_stdout()
        self._moves = can_move(self._console)
        self._total = total
        self._started = self._ended = self._failed = 0
        self._running: Scenario | None = None
        self.view = LiveView(total, scenarios, known or {}, self._console.options.ascii_only)
        # behave swaps sys.stdout for each step: rich must not swap it as well
        self._live = Live(
            console=self._console,
            get_renderable=self.view.render,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._answered_before: signal._HANDLER = None
        """What answered Ctrl-C before the view did."""

    def started(self, scenario: Scenario) -> None:
        """A scenario begins."""
        self._started += 1
        self._running = scenario
        self.view.begins(scenario)
        if self._moves:
            if not self._live.is_started:
                self._live.start()
                self._answer_interrupts()
            self._live.refresh()
        else:
            line = f"[{self._started}/{self._total}] {scenario.title} ..."
            self._console.print(line, markup=False, soft_wrap=True)

    def ended(self, result: ScenarioResult) -> None:
        """A scenario ended."""
        self._ended += 1
        self._failed += result.verdict.failed
        self.view.ended(result)
        left = f"{self._total - self._ended} left"
        style = STYLES[result.verdict]
        if self._moves:
            line = f"[{style}]{result.verdict:<12}[/] [dim]{result.seconds:6.1f} s[/]  {escape(result.scenario.title)}"
        else:
            unseen = "" if result.scenario == self._running else f" {escape(result.scenario.title)}"
            line = f"    [{style}]{result.verdict}[/]{unseen} in {result.seconds:.1f} s, {left}"
        self._console.print(line, soft_wrap=True)
        self._reason(result)

    def corrected(self, result: ScenarioResult) -> None:
        """The verdict on a scenario that ended before has changed."""
        self._failed += 1
        style = STYLES[result.verdict]
        self._console.print(f"[{style}]{result.verdict} after all[/] {escape(result.scenario.title)}", soft_wrap=True)
        self._reason(result)

    def close(self) -> None:
        """Restore the terminal."""
        self._live.stop()
        if self._answered_before is not None:
            signal.signal(signal.SIGINT, self._answered_before)
            self._answered_before = None

    def tell(self, line: str) -> bool:
        """Print a line above the view that moves; False if none does: then anybody may print it anywhere."""
        if not self._live.is_started:
            return False
        self._console.print(line, markup=False, soft_wrap=True)
        return True

    def _answer_interrupts(self) -> None:
        """Let the view answer Ctrl-C: a line that others print in its midst would be drawn over."""
        if callable(before := signal.getsignal(signal.SIGINT)):
            self._answered_before = before
            signal.signal(signal.SIGINT, self._interrupted)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self.view.stopping = True
        raise KeyboardInterrupt

    def _reason(self, result: ScenarioResult) -> None:
        if result.reason:
            self._console.print(f"    {result.reason_in_a_line}", style="dim", markup=False, soft_wrap=True)


def show(record: RunRecord, console: Console) -> None:
    """Print the end of a run; 80 columns are enough."""
    console.print(Group(*_parts(record)), soft_wrap=False)


def _parts(record: RunRecord) -> Iterator[RenderableType]:
    yield from _figures(record)
    yield _table(record)
    yield from _skipped(record)
    if limits := known_limits(record):
        yield _entry("known limits of this cluster", _WARNING, "", "\n".join(f"- {one}" for one in limits))
    if lost := lost_line(record):
        yield _entry("lost since the previous run", _MISSING, "", lost)
    for (verdict, why), scenarios in unfinished(record).items():
        yield _entry(verdict, STYLES[verdict], promises_of(scenarios), why)
    for result in record.flaky:
        earlier = record.earlier[result.scenario.key]
        why = f"passed on the rerun; {earlier.verdict} at first: {earlier.reason_in_a_line}"
        yield _entry("flaky", _WARNING, result.scenario.title, why)
    for key, crowded in record.crowded.items():
        now = record.by_key.get(key)
        again = now is not None and replace(now, reason=crowded.reason) != crowded
        alone = f"{record.verdict_on(key)} when it ran alone" if again else "should have been judged alone, but was not"
        why = f"{alone}; alongside other clusters: {crowded.reason_in_a_line}"
        yield _entry("judged alone", _WARNING, crowded.scenario.title, why)
    for trouble in record.troubles:
        yield _entry("the run", STYLES[Verdict.ERROR], "", " ".join(trouble.message.split()))
    for result in failures(record):
        why = result.reason_in_a_line + _at_first(record, result)
        yield _entry(result.verdict, STYLES[result.verdict], result.scenario.title, why)


def _at_first(record: RunRecord, result: ScenarioResult) -> str:
    """How a scenario that failed on the rerun as well had failed before, if that differs."""
    first = record.earlier.get(result.scenario.key)
    if first is None or (first.verdict is result.verdict and result.reason.startswith(first.reason)):
        return ""
    return f" (on the rerun; {first.verdict} at first: {first.reason_in_a_line})"


def _table(record: RunRecord) -> Table:
    suites = tally(record)
    columns = columns_of(suites)
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, footer_style="bold")
    table.add_column("capability", footer="all")
    table.add_column("promises", justify="right", footer=str(sum(suite.promised for suite in suites)))
    for title, ends in columns:
        table.add_column(title, justify="right", footer=str(sum(suite.count(*ends) for suite in suites)))
    table.add_column("seconds", justify="right", footer=f"{sum(suite.seconds for suite in suites):.1f}")
    for suite in suites:
        cells = []
        for _, ends in columns:
            count, style = suite.count(*ends), STYLES[ends[0]]
            cells.append(Text(str(count), style=style if count else "dim"))
        table.add_row(Text(suite.name), str(suite.promised), *cells, f"{suite.seconds:.1f}")
    return table


def _entry(word: str, style: str, title: str, reason: str) -> RenderableType:
    heading = Text.assemble((f"{word}: ", style), (title, "bold"))
    return Group(heading, Padding(Text(reason), (0, 0, 0, 4)))


def _skipped(record: RunRecord) -> Iterator[RenderableType]:
    for one in obstacles.of_run(record):
        word, style = ("required but missing", _MISSING) if one.required else (Verdict.SKIPPED, STYLES[Verdict.SKIPPED])
        yield _entry(word, style, one.extent, one.why)


def _figures(record: RunRecord) -> Iterator[RenderableType]:
    measured = [(result.scenario, measure) for result in record.results for measure in result.measures]
    if not measured:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("measurement")
    table.add_column("value", justify="right")
    table.add_column("limit", justify="right")
    for scenario, one in measured:
        table.add_row(*(Text(cell) for cell in (f"{scenario.promise} {one.name}", one.figure, one.allowed)))
    yield table
    yield Text()
