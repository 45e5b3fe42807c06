"""What a run came to, in Markdown: for the summary page of a CI server, a chat, a ticket."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.reporting.journal import RunRecord
from support.reporting.scenario import Scenario
from support.reporting.tally import by_reason, columns_of, failures, promises_of, sentences_of, tally
from support.reporting.verdict import ScenarioResult, Verdict

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~])")


def markdown(record: RunRecord) -> str:
    """The table of promises, then what failed, was unsteady or was not proved, why, and what was promised.

    Last the known limits.
    """
    return "\n".join([*_table(record), "", *_failed(record), *_unproved(record), *_limits(record)]) + "\n"


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
    if record.without_verdict:
        why = "the run was stopped" if record.interrupted else "no verdict came of them"
        yield _entry("not reached", promises_of(record.without_verdict), why)
        yield from _promised(*record.without_verdict)


def _unproved(record: RunRecord) -> Iterator[str]:
    for one in record.unsteady:
        first = record.earlier[one.scenario.key]
        title = " ".join([*one.scenario.ids, one.scenario.name])
        yield _entry("unsteady", title, f"proved when it was run once more; at first {first.verdict}: {first.reason}")
        yield from _promised(one.scenario)
    for reason, results in by_reason(record.of(Verdict.NOT_PROVED)).items():
        yield _entry(_word(record, results), promises_of(one.scenario for one in results), reason)
        yield from _promised(*(one.scenario for one in results))


def _limits(record: RunRecord) -> Iterator[str]:
    for limit in record.known_limits:
        yield _entry("known limit", "", limit)


def _word(record: RunRecord, results: Sequence[ScenarioResult]) -> str:
    return "required, not there" if any(one in record.required_and_missing for one in results) else "not proved"


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
