"""What `accept bench` found, as a table, and below it what is to be said of it."""

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from support.bench.figures import Bench, Change, Measured, changes, differences, spread
from support.bench.row import Row
from support.cli.console import out

AGREEMENT = 0.2
"""By how much two programs that measure the same may differ."""
_STYLES = {Change.WORSE: "bold red", Change.BETTER: "green"}


def catalogue(rows: Sequence[Row]) -> None:
    """The rows there are."""
    table = Table("row", "what is measured", "unit", "floor", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(row.name, row.words, row.unit, row.floor)
    out.print(table)


def show(bench: Bench, rows: Sequence[Row], missing: Mapping[str, str], before: Bench | None) -> None:
    """Print all of it; 80 columns are enough."""
    since = changes(bench, before) if before else {}
    if rows:
        out.print(_table(bench, rows, since))
    for line in _remarks(bench, rows, missing, before):
        out.print(line, markup=False)


def _table(bench: Bench, rows: Sequence[Row], since: Mapping[str, Change]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("row", no_wrap=True)
    for title in ("median", "quartiles", "floor", "ratio"):
        table.add_column(title, justify="right", no_wrap=True)
    if since:
        table.add_column("since the baseline", no_wrap=True)
    for row in rows:
        change = since.get(row.name)
        told = [Text(change or "", style=_STYLES.get(change, "") if change else "")] if since else []
        table.add_row(row.name, *_cells(bench.rows[row.name]), *told)
    return table


def _cells(row: Measured) -> Iterator[str]:
    yield f"{_number(row.figure.median)} {row.unit}"
    yield f"{_number(row.figure.low)} .. {_number(row.figure.high)}"
    yield f"{_number(row.floor)} {row.unit}" if row.floor else "-"
    yield f"{spread(row.ratios).median:.2f}" if row.ratios else "-"


def _remarks(bench: Bench, rows: Sequence[Row], missing: Mapping[str, str], before: Bench | None) -> Iterator[str]:
    for row in rows:
        yield from _of_floor(row, bench.rows[row.name])
    for name, why in missing.items():
        yield f"{name}: not measured: {why}"
    if before is None:
        return
    for difference in differences(bench.facts, before.facts):
        yield f"the baseline is of another {difference}"
    for name, change in changes(bench, before).items():
        if change is not Change.NONE:
            yield f"{name}: {change}{_medians(before.rows[name], bench.rows[name])}"


def _medians(then: Measured, now: Measured) -> str:
    if not then.ratios or not now.ratios:
        return ""
    return f": {spread(then.ratios).median:.2f} times its floor then, {spread(now.ratios).median:.2f} now"


def _of_floor(row: Row, measured: Measured) -> Iterator[str]:
    if measured.apart is None:
        whys = {one.why for one in measured.samples if one.why}
        yield f"{row.name}: no floor ({row.floor}): {'; '.join(sorted(whys)) or 'it is nothing'}"
    elif row.peer:
        verdict = "agree" if abs(measured.apart - 1) <= AGREEMENT else "DO NOT agree"
        yield f"{row.name}: we and {row.floor} {verdict}: {measured.apart - 1:+.0%} (at most {AGREEMENT:.0%})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
