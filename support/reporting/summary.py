"""How a run ended, in short, as Markdown for a CI server, a chat or a ticket."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.reporting import obstacles
from support.reporting.journal import RunRecord
from support.reporting.scenario import Scenario, Verdict
from support.reporting.tally import (
    columns_of,
    failures,
    known_limits,
    lost_line,
    promises_of,
    sentences_of,
    tally,
    unfinished,
)

_SPECIAL_IN_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~])")


def markdown(record: RunRecord) -> str:
    """The table of promises, then what failed, was flaky or was skipped, with reason and promise; then known limits."""
    return "\n".join([*_table(record), "", *_failed(record), *_flaky_and_skipped(record), *_limits(record)]) + "\n"


def append_markdown(record: RunRecord, path: Path) -> None:
    """Append it to a file. Raises OSError."""
    with path.open("a", encoding="utf-8") as file:
        file.write(markdown(record))


def _table(record: RunRecord) -> Iterator[str]:
    suites = tally(record)
    columns = columns_of(suites)
    headings = ["capability", "promises", *(title for title, _ in columns), "seconds"]
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
    if lost := lost_line(record):
        yield _entry("lost since the previous run", "", lost)
    for one in failures(record):
        yield _entry(one.verdict, one.scenario.title, one.reason)
        yield from _promised(one.scenario)
    for (verdict, why), scenarios in unfinished(record).items():
        yield _entry(verdict, promises_of(scenarios), why)
        yield from _promised(*scenarios)


def _flaky_and_skipped(record: RunRecord) -> Iterator[str]:
    for one in record.flaky:
        first = record.earlier[one.scenario.key]
        yield _entry("flaky", one.scenario.title, f"passed on the rerun; {first.verdict} at first: {first.reason}")
        yield from _promised(one.scenario)
    for obstacle in obstacles.of_run(record):
        word = "required but missing" if obstacle.required else "skipped"
        yield _entry(word, obstacle.extent, obstacle.why)
    yield from _promised(*(one.scenario for one in record.of(Verdict.SKIPPED)))


def _limits(record: RunRecord) -> Iterator[str]:
    for limit in known_limits(record):
        yield _entry("known limit", "", limit)


def _entry(word: str, title: str, reason: str) -> str:
    return f"- **{word}**: {plain(title)}{' – ' if title else ''}{plain(reason)}"


def _promised(*scenarios: Scenario) -> Iterator[str]:
    """The promises of the scenarios in the entries above."""
    for id, sentence in sentences_of(scenarios):
        yield f"  - {plain(id)} promises: {plain(sentence)}"


def _row(cells: "Iterator[str] | Sequence[str]") -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """The text in one line, escaped for Markdown."""
    return _SPECIAL_IN_MARKDOWN.sub(r"\\\1", " ".join(text.split()))
