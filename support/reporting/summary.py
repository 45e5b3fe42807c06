"""The head of the dashboard, for management: what was promised, what is not so, and the figures; plain HTML."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from support.reporting.journal import RunRecord
from support.reporting.settling import STATUSES
from support.reporting.tally import (
    NOT_JUDGED,
    SuiteTally,
    by_reason,
    columns_of,
    failures,
    promises_of,
    sentences_of,
    tally,
)
from support.reporting.verdict import Measure, Verdict

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def summary(record: RunRecord, name: str, tree: str, trust: str = "") -> str:
    """The fragment of HTML. `name` is the report's, `tree` the page with every scenario, `trust` the trust matrix."""
    suites = tally(record)
    sentence, colour = _sentence(record, suites)
    return _TEMPLATES.get_template("summary.html.j2").render(
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
            (
                reason,
                promises_of(result.scenario for result in results),
                sentences_of(result.scenario for result in results),
            )
            for reason, results in by_reason(record.of(Verdict.SKIPPED)).items()
        ],
    )


def _sentence(record: RunRecord, suites: Sequence[SuiteTally]) -> tuple[str, str]:
    """The run in one sentence, and its colour."""
    promised = sum(suite.promised for suite in suites)
    kept, broken = (sum(suite.count(verdict) for suite in suites) for verdict in (Verdict.PASSED, Verdict.BROKEN))
    why = [(title, sum(suite.count(*verdicts) for suite in suites)) for title, verdicts in NOT_JUDGED]
    sentence = f"{kept} of {promised} promises kept" + (f", {broken} broken" if broken else "")
    if not_judged := sum(count for _, count in why):
        sentence += f", {not_judged} not judged ({', '.join(f'{count} {title}' for title, count in why if count)})"
    if record.flaky:
        sentence += f"; scenarios that are flaky: {len(record.flaky)}"
    if record.failing or record.troubles or record.required_and_missing:
        return sentence, "failed"
    return sentence, "unknown" if record.without_verdict or not kept else "passed"


def _failures(record: RunRecord) -> Iterator[tuple[str, str, str, str, str, str]]:
    for trouble in record.troubles:
        yield "broken", "error", "The run as a whole", "blocker", "", trouble.message
    for one in failures(record):
        title = " ".join([*one.scenario.ids, one.scenario.name])
        scenario = one.scenario
        yield STATUSES[one.verdict], one.verdict, title, scenario.severity, scenario.sentence, one.reason_in_a_line


def _figures(record: RunRecord) -> Iterator[tuple[str, str, Measure]]:
    for result in record.results:
        for one in result.measures:
            yield result.scenario.promise, result.scenario.name, one
