"""What a run came to, in Markdown: for the summary page of a CI server, a chat, a ticket."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.reporting.journal import RunRecord
from support.reporting.scenario import Scenario
from support.reporting.tally import (
    by_reason,
    columns_of,
    failures,
    promises_of,
    sentences_of,
    tally,
    unfinished,
    why_unfinished,
)
from support.reporting.verdict import ScenarioResult, Verdict

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~])")


def markdown(record: RunRecord) -> str:
    """The table of promises, then what failed, was flaky or was skipped, why, and what was promised.

    Last the known limits.
    """
    return "\n".join([*_table(record), "", *_failed(record), *_flaky_and_skipped(record), *_limits(record)]) + "\n"


def append(record: RunRecord, path: Path) -> None:
    """Add it to the end of a file. Raises OSError."""
    with path.open("a", encoding="utf-8") as file:
        file.write(markdown(record))


def _table(record: RunRecord) -> Iterator[str]:
    suites = tally(record)
    columns = columns_of(suites)
    headings = ["promises", "promised", *(title for title, _ in columns), "seconds"]
    yield _row(headings)
    yield _row(["---", *("---:" for _ in headings[1:])])
    for suite in suites:
        counts = [str(suite.count(*ends)) for _, ends in columns]
        yield _row([plain(suite.name), str(suite.promised), *counts, f"{suite.seconds:.1f}"])
    sums = [str(sum(suite.count(*ends) for suite in suites)) for _, ends in columns]
    promised, seconds = sum(suite.promised for suite in suites), sum(suite.seconds for suite in suites)
    yield _row(f"**{cell}**" for cell in ["all", str(promised), *sums, f"{seconds:.1f}"])


def _failed(record: RunRecord) -> Iterator[str]:
    for trouble in record.troubles:
        yield _entry("the run", "", trouble.message)
    for one in failures(record):
        yield _entry(one.verdict, " ".join([*one.scenario.ids, one.scenario.name]), one.reason)
        yield from _promised(one.scenario)
    for verdict, scenarios in unfinished(record).items():
        yield _entry(verdict, promises_of(scenarios), why_unfinished(record))
        yield from _promised(*scenarios)


def _flaky_and_skipped(record: RunRecord) -> Iterator[str]:
    for one in record.flaky:
        first = record.earlier[one.scenario.key]
        title = " ".join([*one.scenario.ids, one.scenario.name])
        yield _entry("flaky", title, f"passed on the rerun; {first.verdict} at first: {first.reason}")
        yield from _promised(one.scenario)
    for reason, results in by_reason(record.of(Verdict.SKIPPED)).items():
        yield _entry(_word(record, results), promises_of(one.scenario for one in results), reason)
        yield from _promised(*(one.scenario for one in results))


def _limits(record: RunRecord) -> Iterator[str]:
    for limit in record.known_limits:
        yield _entry("known limit", "", limit)


def _word(record: RunRecord, results: Sequence[ScenarioResult]) -> str:
    return "required, not there" if any(one in record.required_and_missing for one in results) else "skipped"


def _entry(word: str, title: str, reason: str) -> str:
    return f"- **{word}**: {plain(title)}{' – ' if title else ''}{plain(reason)}"


def _promised(*scenarios: Scenario) -> Iterator[str]:
    """What their promises say, below an entry."""
    for id, sentence in sentences_of(scenarios):
        yield f"  - {plain(id)} promises: {plain(sentence)}"


def _row(cells: "Iterator[str] | Sequence[str]") -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
