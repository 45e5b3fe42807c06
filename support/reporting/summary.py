"""The head of the dashboard, for management: what was promised, what is not so, and the figures; plain HTML."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from support.reporting.journal import RunRecord
from support.reporting.settling import STATUSES
from support.reporting.tally import End, SuiteTally, by_reason, columns_of, failures, promises_of, sentences_of, tally
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
        columns=[(title.capitalize(), _colour(ends[0]), ends) for title, ends in columns_of(suites)],
        counts=lambda ends: sum(suite.count(*ends) for suite in suites),
        facts=record.facts,
        limits=record.known_limits,
        failures=list(_failures(record)),
        unsteady=[(one.scenario, record.earlier[one.scenario.key]) for one in record.unsteady],
        figures=list(_figures(record)),
        unproved=[
            (
                reason,
                promises_of(result.scenario for result in results),
                sentences_of(result.scenario for result in results),
            )
            for reason, results in by_reason(record.of(Verdict.NOT_PROVED)).items()
        ],
    )


def _sentence(record: RunRecord, suites: Sequence[SuiteTally]) -> tuple[str, str]:
    """The run in one sentence, and its colour."""
    promised = sum(suite.promised for suite in suites)
    counted = [(title, sum(suite.count(*ends) for suite in suites)) for title, ends in columns_of(suites)]
    proved = counted[0][1]
    others = [f"{count} {title}" for title, count in counted[1:] if count]
    others += [f"{len(record.unsteady)} of the scenarios unsteady"] if record.unsteady else []
    sentence = f"{proved} of {promised} promises proved" + "".join(f", {other}" for other in others)
    if record.failing or record.troubles or record.required_and_missing:
        return sentence, "failed"
    return sentence, "unknown" if record.without_verdict or not proved else "passed"


def _failures(record: RunRecord) -> Iterator[tuple[str, str, str, str, str, str]]:
    for trouble in record.troubles:
        yield "broken", "error", "The run as a whole", "blocker", "", trouble.message
    for one in failures(record):
        title = " ".join([*one.scenario.ids, one.scenario.name])
        scenario = one.scenario
        yield _colour(one.verdict), one.verdict, title, scenario.severity, scenario.sentence, one.reason_in_a_line


def _figures(record: RunRecord) -> Iterator[tuple[str, str, Measure]]:
    for result in record.results:
        for one in result.measures:
            yield result.scenario.promise, result.scenario.name, one


def _colour(end: End) -> str:
    return STATUSES[end] if end else "unknown"
