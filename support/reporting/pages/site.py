"""Renders the pages of a run into a folder: each a single file without third parties, with attachments beside them."""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from support.errors import UsageError
from support.files import replace_file
from support.places import as_called
from support.reporting import on_call, past, promises, trust
from support.reporting.chance import Change
from support.reporting.comparison import NOT_COMPARABLE, Comparison
from support.reporting.journal import RunRecord
from support.reporting.pages import POLICY_TAG, dashboard, grid, trends
from support.reporting.pages import on_call as on_call_page
from support.reporting.pages import scenarios as scenarios_page
from support.reporting.past import PastRun
from support.reporting.scenario import Verdict
from support.reporting.tally import counts_line
from support.reporting.trust import Trust
from support.vocabulary import counted

DASHBOARD, SCENARIOS, ON_CALL, ALLURE = "dashboard.html", "index.html", "on-call.html", "allure.html"
PDF = "dashboard.pdf"
"""The dashboard on paper, beside the page."""
_ID = re.compile(r"\b[A-Z]{2}-\d{2}\b")
_TEMPLATES = Path(__file__).parent.parent / "templates"
_ENVIRONMENT = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _ids(text: str) -> Markup:
    """A text as HTML in which no id of a promise is broken at the end of a line."""
    return Markup(_ID.sub(r'<span class="nowrap">\g<0></span>', str(escape(text))))


_ENVIRONMENT.filters["ids"] = _ids
_ENVIRONMENT.globals["counted"] = counted


@dataclass(frozen=True)
class Knowledge:
    """What the pages tell beside the run itself."""

    features: Path = Path("features")
    """The folder with the list of promises and the guides for the on-call engineer."""
    sabotages: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Id of a promise -> descriptions of the sabotages that it must notice."""
    trust: Path | None = None
    """What `accept prove` noted, if it ever ran."""
    own: Path | None = None
    """The features of the user's own folder, with a list and guides of their own."""

    @property
    def listed(self) -> Mapping[str, promises.Promise]:
        """All promises, the user's own last. A mistake in a list costs the report only what that list says."""
        found = dict[str, promises.Promise]()
        for folder in self._folders:
            with suppress(UsageError):  # `accept lint` tells
                found |= promises.load(folder / promises.FILE)
        return found

    @property
    def guides(self) -> Mapping[str, on_call.Guide]:
        """All guides; the user's own take the place of ours."""
        found = dict[str, on_call.Guide]()
        for folder in self._folders:
            with suppress(UsageError):
                found |= on_call.load(folder / on_call.FILE)
        return found

    @property
    def _folders(self) -> tuple[Path, ...]:
        return (self.features, *([self.own] if self.own else []))


def write_pages(
    record: RunRecord,
    results: Path,
    output: Path,
    name: str,
    knowledge: Knowledge,
    known: Sequence[PastRun] = (),
    *,
    allure: bool = False,
) -> None:
    """Write the pages, and the run in short for `accept compare`.

    `known` are all runs on record; `allure`: Allure's page is beside them. Raises OSError.
    """
    output.mkdir(parents=True, exist_ok=True)
    run = past.run_of(record)
    before = past.before(run, known)
    listed, guides = knowledge.listed, knowledge.guides
    states = grid.states(record, listed)
    told = scenarios_page.stories(record, results, output, before[-past.SHOWN :])
    proved = trust.read(knowledge.trust) if knowledge.trust else Trust()
    proved_at = knowledge.trust.stat().st_mtime if knowledge.trust and knowledge.trust.exists() else 0.0
    answer = dashboard.answer(record, states)
    head = {
        "name": name,
        "policy": Markup(POLICY_TAG),
        "css": _file("page.css"),
        "picture_js": _file("picture.js"),
        "page_js": _file("page.js"),
        "when": _clock(record.began),
        "target": record.facts.get("Target", "unknown target"),
        "about": dashboard.about(record),
        "took": dashboard.took(record),
        "answer": answer,
        "has_allure": allure,
        "has_trust": (output / trust.PAGE).exists(),
        "styles": grid.STYLES,
        "words": grid.WORDS,
        "sentences": {id: one.sentence for id, one in listed.items()},
    }
    pictures = [one.picture for one in told if one.picture is not None]
    causes = on_call_page.causes(states, guides)
    of_dashboard = dashboard.context(
        record, states, run, before, pictures, proved, proved_at, knowledge.sabotages, causes
    )
    save = partial(_save, output)
    save(DASHBOARD, "dashboard.html.j2", {**head, **of_dashboard})
    save(SCENARIOS, "scenarios.html.j2", {**head, **_of_scenarios(record, told)})
    entries = on_call_page.entries(states, guides, knowledge.sabotages, record.facts, record.options)
    save(ON_CALL, "on_call.html.j2", {**head, "entries": entries, "code": on_call_page.with_code})
    past.write(output / past.RUN, [run])


def write_unfinished(output: Path, name: str, began: float) -> None:
    """Replace the pages of the last run by word of one that has not ended. `began` is its wall-clock time.

    They would be taken for its report if it were killed. Raises OSError.
    """
    for page in (DASHBOARD, SCENARIOS, ON_CALL):
        if (output / page).exists():
            values = {"name": name, "policy": Markup(POLICY_TAG), "css": _file("page.css"), "when": _clock(began)}
            _save(output, page, "unfinished.html.j2", values)
    for file in (ALLURE, past.RUN, PDF):
        (output / file).unlink(missing_ok=True)


def write_comparison(found: Comparison, page: Path, name: str, sentences: Mapping[str, str]) -> Path:
    """Write the page of a comparison; `sentences` are those of the promises, by id. Raises OSError."""
    page.parent.mkdir(parents=True, exist_ok=True)
    values = {"found": found, "name": name, "sentences": sentences, "day": trends.day, "not_comparable": NOT_COMPARABLE}
    values["figures_by_change"] = [
        ("", [one for one in found.figures if one.change in (Change.WORSE, Change.BETTER)]),
        ("may differ by chance", [one for one in found.figures if one.change is Change.UNCLEAR]),
        ("do not differ", [one for one in found.figures if one.change is Change.NONE]),
    ]
    values |= {"policy": Markup(POLICY_TAG), "css": _file("page.css")}
    _save(page.parent, page.name, "comparison.html.j2", values)
    return page


def _of_scenarios(record: RunRecord, told: Sequence[scenarios_page.Story]) -> dict[str, Any]:
    groups = [
        (epic, [(name, list(those)) for name, those in groupby(stories, key=lambda one: one.scenario.feature)])
        for epic, same in groupby(told, key=lambda one: one.scenario.epic)
        if (stories := sorted(same, key=lambda one: (one.scenario.path, one.scenario.line)))
    ]
    return {
        "failures": scenarios_page.failed_first(told),
        "flaky": [one for one in told if one.earlier is not None and not one.verdict.failed],
        "groups": groups,
        "total": len(told),
        "counts_line": counts_line(record),
        "passed": bool(record.of(Verdict.PASSED)),
        "missing": bool(record.required_and_missing),
        "unfinished": bool(record.without_verdict),
        "troubles": record.troubles,
    }


def _clock(moment: float) -> str:
    return time.strftime("%d %B %Y, %H:%M %Z", time.localtime(moment))


def _file(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _save(output: Path, name: str, template: str, values: Mapping[str, Any]) -> None:
    replace_file(output / name, as_called(_ENVIRONMENT.get_template(template).render(values).lstrip()))
