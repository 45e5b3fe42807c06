"""The end of a run on the terminal: the figures, a table of promises, and last of all what failed and why.

What matters most comes last: there it is on the screen, and in the end of a log that somebody else has cut."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from support.reporting.journal import RunRecord
from support.reporting.progress import STYLES
from support.reporting.tally import by_reason, columns_of, failures, promises_of, tally, unfinished, why_unfinished
from support.reporting.verdict import Verdict

_MISSING = "bold red"
_STOPPED = "yellow"


def show(record: RunRecord, console: Console) -> None:
    """Print all of it; 80 columns are enough."""
    console.print(Group(*_parts(record)), soft_wrap=False)


def _parts(record: RunRecord) -> Iterator[RenderableType]:
    yield from _figures(record)
    yield _table(record)
    yield from _skipped(record)
    if record.known_limits:
        yield _entry("known limits of this cluster", _STOPPED, "", "\n".join(f"- {one}" for one in record.known_limits))
    for verdict, scenarios in unfinished(record).items():
        yield _entry(verdict, STYLES[verdict], promises_of(scenarios), why_unfinished(record))
    for result in record.flaky:
        earlier = record.earlier[result.scenario.key]
        title = " ".join([*result.scenario.ids, result.scenario.name])
        yield _entry(
            "flaky",
            _STOPPED,
            title,
            f"passed on the rerun; {earlier.verdict} at first: {earlier.reason_in_a_line}",
        )
    for trouble in record.troubles:
        yield _entry("the run", STYLES[Verdict.ERROR], "", " ".join(trouble.message.split()))
    for result in failures(record):
        title = " ".join([*result.scenario.ids, result.scenario.name])
        yield _entry(result.verdict, STYLES[result.verdict], title, result.reason_in_a_line)


def _table(record: RunRecord) -> Table:
    suites = tally(record)
    columns = columns_of(suites)
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, footer_style="bold")
    table.add_column("promises", footer="all")
    table.add_column("promised", justify="right", footer=str(sum(suite.promised for suite in suites)))
    for title, ends in columns:
        table.add_column(title, justify="right", footer=str(sum(suite.count(*ends) for suite in suites)))
    table.add_column("seconds", justify="right", footer=f"{sum(suite.seconds for suite in suites):.1f}")
    for suite in suites:
        cells = []
        for _, ends in columns:
            count, style = suite.count(*ends), STYLES[ends[0]]
            cells.append(Text(str(count), style=style if count else "dim"))
        table.add_row(suite.name, str(suite.promised), *cells, f"{suite.seconds:.1f}")
    return table


def _entry(word: str, style: str, title: str, reason: str) -> RenderableType:
    heading = Text.assemble((f"{word}: ", style), (title, "bold"))
    return Group(heading, Padding(Text(reason), (0, 0, 0, 4)))


def _skipped(record: RunRecord) -> Iterator[RenderableType]:
    for reason, results in by_reason(record.of(Verdict.SKIPPED)).items():
        required = any(result in record.required_and_missing for result in results)
        word, style = ("required, not there", _MISSING) if required else (Verdict.SKIPPED, STYLES[Verdict.SKIPPED])
        yield _entry(word, style, promises_of(result.scenario for result in results), reason)


def _figures(record: RunRecord) -> Iterator[RenderableType]:
    measured = [(result.scenario, measure) for result in record.results for measure in result.measures]
    if not measured:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("measured")
    table.add_column("figure", justify="right")
    table.add_column("limit in force", justify="right")
    for scenario, one in measured:
        table.add_row(f"{scenario.promise} {one.name}", one.figure, one.allowed)
    yield table
    yield Text()
