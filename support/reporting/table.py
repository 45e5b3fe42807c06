"""The closing table of a run: per suite what was promised, proved, broken and not proved, and below it the why.

It counts promises (catalogue ids), not scenarios: a promise is proved when each of its scenarios is.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from support.reporting.journal import RunRecord
from support.reporting.progress import STYLES
from support.reporting.scenario import EPICS, Scenario
from support.reporting.verdict import ScenarioResult, Verdict

_GRAVEST_FIRST = (Verdict.BROKEN, Verdict.ERROR, Verdict.NOTHING_PROVED, None, Verdict.NOT_PROVED, Verdict.PROVED)
"""What several scenarios of one promise come to; None is a scenario without a verdict."""


@dataclass
class SuiteTally:
    """What became of the promises of one suite, and the seconds that its scenarios took."""

    name: str
    promises: dict[str, Verdict | None] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def promised(self) -> int:
        return len(self.promises)

    def count(self, *ends: Verdict | None) -> int:
        return sum(end in ends for end in self.promises.values())


def tally(record: RunRecord) -> list[SuiteTally]:
    """Suite by suite, in the order of the report."""
    ended = {result.scenario.key: result for result in record.results}
    suites: dict[str, SuiteTally] = {}
    for scenario in sorted(record.selected, key=_place):
        suite = suites.setdefault(scenario.suite, SuiteTally(scenario.epic))
        result = ended.get(scenario.key)
        suite.seconds += result.seconds if result else 0.0
        end = result.verdict if result else None
        known = suite.promises.get(scenario.promise, end)
        suite.promises[scenario.promise] = min(known, end, key=_GRAVEST_FIRST.index)
    return list(suites.values())


def counts_line(record: RunRecord) -> str:
    """The scenarios in one plain line, for CI."""
    failed = len(record.failing) + len(record.without_verdict)
    passed, skipped = len(record.of(Verdict.PROVED)), len(record.of(Verdict.NOT_PROVED))
    return f"{passed} passed, {failed} failed, {skipped} skipped"


def show(record: RunRecord, console: Console) -> None:
    """Print the table, and below it what failed, what was not proved, and the figures."""
    console.print(Group(*_parts(record)))


def _parts(record: RunRecord) -> Iterator[RenderableType]:
    yield _table(record)
    for trouble in record.troubles:
        yield Text.assemble(("the run: ", "bold yellow"), " ".join(trouble.message.split()))
    for result in sorted(record.failing, key=lambda one: _GRAVEST_FIRST.index(one.verdict)):
        yield _failure(result)
    yield from _reasons(record.of(Verdict.NOT_PROVED), record)
    yield from _not_reached(record)
    yield from _figures(record.results)


def _table(record: RunRecord) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, footer_style="bold")
    suites = tally(record)
    stopped = any(suite.count(None) for suite in suites)
    columns: list[tuple[str, str, tuple[Verdict | None, ...]]] = [
        ("proved", STYLES[Verdict.PROVED], (Verdict.PROVED,)),
        ("broken", STYLES[Verdict.BROKEN], (Verdict.BROKEN,)),
        ("error", STYLES[Verdict.ERROR], (Verdict.ERROR, Verdict.NOTHING_PROVED)),
        ("not proved", STYLES[Verdict.NOT_PROVED], (Verdict.NOT_PROVED,)),
        *([("not reached", "yellow", (None,))] if stopped else []),
    ]
    table.add_column("promises", footer="all")
    table.add_column("promised", justify="right", footer=str(sum(suite.promised for suite in suites)))
    for title, _, ends in columns:
        table.add_column(title, justify="right", footer=str(sum(suite.count(*ends) for suite in suites)))
    table.add_column("seconds", justify="right", footer=f"{sum(suite.seconds for suite in suites):.1f}")
    for suite in suites:
        cells = [_cell(suite.count(*ends), style) for _, style, ends in columns]
        table.add_row(suite.name, str(suite.promised), *cells, f"{suite.seconds:.1f}")
    return table


def _cell(count: int, style: str) -> Text:
    return Text(str(count), style=style if count else "dim")


def _failure(result: ScenarioResult) -> Text:
    first = result.reason_in_a_line
    title = " ".join([*result.scenario.ids, result.scenario.name])
    return Text.assemble((f"{result.verdict}: ", STYLES[result.verdict]), (title, "bold"), f"\n    {first}")


def _reasons(unproved: Iterable[ScenarioResult], record: RunRecord) -> Iterator[Text]:
    by_reason: dict[str, list[ScenarioResult]] = defaultdict(list)
    for result in unproved:
        by_reason[result.reason_in_a_line].append(result)
    for reason, results in by_reason.items():
        missing = any(result in record.required_and_missing for result in results)
        words = ("not proved, though required: ", "bold red") if missing else ("not proved: ", "cyan")
        promises = ", ".join(dict.fromkeys(result.scenario.promise for result in results))
        yield Text.assemble(words, promises, f"\n    {reason}")


def _not_reached(record: RunRecord) -> Iterator[Text]:
    if record.without_verdict:
        promises = ", ".join(dict.fromkeys(scenario.promise for scenario in record.without_verdict))
        why = "the run was stopped" if record.interrupted else "no verdict came of them"
        yield Text.assemble(("not reached: ", "yellow"), promises, f"\n    {why}")


def _figures(results: Iterable[ScenarioResult]) -> Iterator[RenderableType]:
    measured = [(result, measure) for result in results for measure in result.measures]
    if not measured:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("measured")
    table.add_column("figure", justify="right")
    table.add_column("limit in force", justify="right")
    for result, one in measured:
        limit = f"{one.limit:g} {one.unit}" if one.limit is not None else ""
        table.add_row(f"{result.scenario.promise} {one.name}", f"{one.value:.4g} {one.unit}", limit)
    yield Text()
    yield table


def _place(scenario: Scenario) -> tuple[int, str]:
    known = list(EPICS)
    return known.index(scenario.suite) if scenario.suite in known else len(known), scenario.suite
