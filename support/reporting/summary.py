"""How a run ended, in short: the head of the dashboard (HTML), and Markdown for a CI server, a chat or a ticket."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from support.reporting.allure_results import STATUSES
from support.reporting.journal import RunRecord
from support.reporting.scenario import Measure, Scenario, ScenarioResult, Verdict
from support.reporting.tally import (
    NOT_JUDGED,
    SuiteTally,
    by_reason,
    columns_of,
    failures,
    lost_line,
    promises_of,
    sentences_of,
    tally,
    unfinished,
)

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
_SPECIAL_IN_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~])")


def dashboard_head(record: RunRecord, name: str, tree: str, trust: str = "") -> str:
    """HTML above the charts. `name` is the report's, `tree` the page with every scenario, `trust` the trust matrix."""
    suites = tally(record)
    sentence, colour = _sentence(record, suites)
    return TEMPLATES.get_template("summary.html.j2").render(
        name=name,
        tree=tree,
        trust=trust,
        sentence=sentence,
        colour=colour,
        began=time.strftime("%d %B %Y, %H:%M %Z", time.localtime(record.began)),
        suites=suites,
        columns=[(title.capitalize(), STATUSES[ends[0]], ends) for title, ends in columns_of(suites)],
        counts=lambda ends: sum(suite.count(*ends) for suite in suites),
        facts=record.facts,
        limits=record.known_limits,
        failures=list(_failures(record)),
        flaky=[(one.scenario, record.earlier[one.scenario.key]) for one in record.flaky],
        figures=list(_figures(record)),
        skipped=[
            (reason, promises_of(scenarios), sentences_of(scenarios))
            for reason, results in by_reason(record.of(Verdict.SKIPPED)).items()
            if (scenarios := [result.scenario for result in results])
        ],
    )


def _sentence(record: RunRecord, suites: Sequence[SuiteTally]) -> tuple[str, str]:
    """The run in one sentence, and its colour."""
    verdicts = Counter(verdict for suite in suites for verdict in suite.promises.values())
    kept, broken = verdicts[Verdict.PASSED], verdicts[Verdict.BROKEN]
    why = [(title, sum(verdicts[one] for one in those)) for title, those in NOT_JUDGED]
    sentence = f"{kept} of {verdicts.total()} promises kept" + (f", {broken} broken" if broken else "")
    if not_judged := sum(count for _, count in why):
        told = (f"{count} {title.removesuffix('s') if count == 1 else title}" for title, count in why if count)
        sentence += f", {not_judged} not judged ({', '.join(told)})"
    if record.flaky:
        sentence += f"; flaky scenarios: {len(record.flaky)}"
    if record.failing or record.troubles or record.required_and_missing or (record.fail_on_flaky and record.flaky):
        return sentence, "failed"
    return sentence, "unknown" if record.without_verdict or not kept else "passed"


def _failures(record: RunRecord) -> Iterator[tuple[str, str, str, str, str, str]]:
    for trouble in record.troubles:
        yield "broken", "error", "The run as a whole", "blocker", "", trouble.message
    if lost := lost_line(record):
        yield "unknown", "lost", "What the target had in its last run", "critical", "", lost
    for one in failures(record):
        about = one.scenario
        yield STATUSES[one.verdict], one.verdict, about.title, about.severity, about.sentence, one.reason_in_a_line


def _figures(record: RunRecord) -> Iterator[tuple[str, str, Measure]]:
    for result in record.results:
        for one in result.measures:
            yield result.scenario.promise, result.scenario.name, one


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
        yield _entry("lost since the last run", "", lost)
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
    for reason, results in by_reason(record.of(Verdict.SKIPPED)).items():
        yield _entry(_word(record, results), promises_of(one.scenario for one in results), reason)
        yield from _promised(*(one.scenario for one in results))


def _limits(record: RunRecord) -> Iterator[str]:
    for limit in record.known_limits:
        yield _entry("known limit", "", limit)


def _word(record: RunRecord, results: Sequence[ScenarioResult]) -> str:
    return "required but missing" if any(one in record.required_and_missing for one in results) else "skipped"


def _entry(word: str, title: str, reason: str) -> str:
    return f"- **{word}**: {plain(title)}{' – ' if title else ''}{plain(reason)}"


def _promised(*scenarios: Scenario) -> Iterator[str]:
    """The promises of the scenarios in the entry above."""
    for id, sentence in sentences_of(scenarios):
        yield f"  - {plain(id)} promises: {plain(sentence)}"


def _row(cells: "Iterator[str] | Sequence[str]") -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """The text in one line, escaped for Markdown."""
    return _SPECIAL_IN_MARKDOWN.sub(r"\\\1", " ".join(text.split()))
