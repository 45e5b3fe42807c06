"""`accept compare`: two runs, or two sets of runs, side by side, in the terminal and as a page."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from support import own_folder
from support.cli.console import out, say
from support.cli.paths import FEATURES, REPORT, STATE, from_command_line
from support.errors import UsageError
from support.places import as_seen
from support.reporting import journal, merging, past
from support.reporting.chance import Change
from support.reporting.comparison import NOT_COMPARABLE, Comparison, FigureRow, Side, compare
from support.reporting.journal import BROKEN, NOTHING_JUDGED, PASSED, RunRecord
from support.reporting.pages.site import Knowledge, write_comparison
from support.reporting.past import PastRun
from support.reporting.rendering import NAME
from support.vocabulary import counted

PAGE = "compare.html"
"""The page, beside the report."""
_ON_RECORD = re.compile(r"last(?:~(\d+))?(?:\.\.(\d+))?")
_DEPTH = 3
"""Folders below a named one in which runs are looked for."""
_GAP = "  "
"""Between two columns."""
_OUTCOMES = {"broken": "red", "kept": "green", "none": "none"}
"""The outcome's style on the page -> in the terminal."""
_STYLES = {Change.WORSE: "bold red", Change.BETTER: "green", Change.UNCLEAR: "yellow", Change.NONE: "dim"}


def show(before: str, now: str, everything: bool = False) -> int:
    """Print what differs, and write the page.

    Returns the exit status: 1 if something got significantly worse, or could not be judged any more; 3 if the two sides
    have nothing in common.

    `everything`: print also what cannot be compared, what may be chance, and the figures that do not differ.
    """
    found = compare(side(before), side(now))
    _print(found, everything)
    page = write_comparison(found, REPORT / PAGE, NAME, _sentences())
    out.print(f"page: {page}", markup=False, soft_wrap=True)
    out.print(found.sentence, markup=False, soft_wrap=True, style=_OUTCOMES[found.style])
    return BROKEN if found.failed else NOTHING_JUDGED if found.empty else PASSED


def side(word: str) -> Side:
    """The runs that a word on the command line names. Raises UsageError if there are none.

    A folder with results, with a report, or with several of them in folders of their own; or runs on record: `last`,
    `last~1` (the one before it), `last~4..0` (the last five).
    """
    if found := _ON_RECORD.fullmatch(word):
        runs = _on_record(word, int(found[1] or 0), int(found[2] if found[2] is not None else found[1] or 0))
        return Side(word, runs)
    folder = from_command_line(Path(word))
    if not folder.is_dir():
        raise UsageError(
            f"{word!r} is neither a folder with a run nor a run on record; name a folder with allure-results, or last, "
            "last~1, last~4..0"
        )
    unique = {(one.began, one.target): one for one in _in_folder(folder)}
    if not unique:
        raise UsageError(f"{word}: there is no run in it: neither {merging.JOURNAL} nor {past.RUN}")
    return Side(word, tuple(sorted(unique.values(), key=lambda one: one.began)))


def _on_record(word: str, first: int, last: int) -> tuple[PastRun, ...]:
    known = past.read(STATE / past.PAST)
    newest_first = known[::-1]
    low, high = sorted((first, last))
    if not known:
        raise UsageError(f"{word}: no run is on record yet; ./accept run adds one")
    if high >= len(known):
        raise UsageError(f"{word}: of {counted(len(known), 'run')} on record the oldest is last~{len(known) - 1}")
    return newest_first[low : high + 1][::-1]


def _in_folder(folder: Path) -> Iterator[PastRun]:
    """The runs in a folder and in those below it; a journal says more than the short form of the same run."""
    for depth in range(_DEPTH + 1):
        for path in sorted(folder.glob("*/" * depth + past.RUN)):
            yield from past.read(path)
    for depth in range(_DEPTH + 1):
        for path in sorted(folder.glob("*/" * depth + merging.JOURNAL)):
            record = journal.read(path)
            if record.selected:
                yield past.run_of(_not_judged(record, path.parent) if merging.is_superseded(path.parent) else record)


def _not_judged(record: RunRecord, results: Path) -> RunRecord:
    """What stands for a run that left no results where those of an earlier run are: it judged none of their promises.

    It keeps the beginning of the earlier run, and so takes its place wherever else in the folder that one is.
    """
    say(f"{as_seen(results)}: {merging.LEFT_NONE}")
    return replace(record, results=(), started={}, left_out={}, interrupted=True)


def _print(found: Comparison, everything: bool) -> None:
    verdicts = [one for one in found.verdicts if everything or one.label != NOT_COMPARABLE]
    if verdicts:
        table = Table("promise", "before", "now", "change", box=None, pad_edge=False, header_style="bold")
        for row in verdicts:
            style = "bold red" if row.no_longer_judged else _STYLES[row.change]
            table.add_row(
                Text(row.promise), Text(row.before), Text(row.now), Text(f"{row.label}: {row.words}", style=style)
            )
        out.print(table)
    shown = [one for one in found.figures if everything or one.change in (Change.WORSE, Change.BETTER)]
    if shown:
        named = Counter(map(_name, found.figures))
        out.print(_figures([(_titled(one, named), one) for one in shown], out.width), soft_wrap=False)
    for fact, then, later in found.facts:
        out.print(f"{fact}: {then} before, {later} now", markup=False, style="dim")
    if alone := len(found.verdicts) - len(verdicts):
        out.print(f"not comparable: {counted(alone, 'promise')} judged on at most one side (--all)", markup=False)
    changes = Counter(one.change for one in found.figures if one not in shown)
    if unclear := changes[Change.UNCLEAR]:
        out.print(f"may be chance: {counted(unclear, 'figure')} (--all)", markup=False)
    out.print(f"the same: {counted(found.alike, 'promise')}, {counted(changes[Change.NONE], 'figure')}", markup=False)


def _figures(rows: Sequence[tuple[str, FigureRow]], width: int) -> Group:
    """Named figures, a line each. A name that is too long for its column has the whole width, above its figures."""
    cells = [("before", "now", "ratio", "change"), *((*one.values, one.ratio, one.label) for _, one in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = max(len("figure"), width - sum(widths) - len(_GAP) * len(widths))
    styles = ["bold", *(_STYLES[one.change] for _, one in rows)]
    lines = list[Text]()
    for name, those, style in zip(["figure", *(name for name, _ in rows)], cells, styles, strict=True):
        if len(name) > room:
            lines.append(Text(name))
        beside = name if len(name) <= room else ""
        before, now, ratio, change = those
        numbers = [text.rjust(fill) for text, fill in zip((before, now, ratio), widths, strict=False)]
        line = Text(_GAP.join([beside.ljust(room), *numbers, ""]), style="bold" if beside == "figure" else "")
        lines.append(line.append(change, style=style))
    return Group(*lines)


def _titled(row: FigureRow, named: Mapping[str, int]) -> str:
    """Its name, with the title of its scenario where several scenarios have a figure of that name."""
    return _name(row) if named[_name(row)] == 1 else f"{_name(row)} ({row.figure.scenario})"


def _name(row: FigureRow) -> str:
    return f"{row.figure.promise} {row.figure.measure.name}"


def _sentences() -> dict[str, str]:
    own = own_folder.given()
    known = Knowledge(FEATURES, own=own.features if own else None)
    return {id: one.sentence for id, one in known.listed.items()}
