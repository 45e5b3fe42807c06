"""How scenarios are written here; each rule of DESIGN's that a program can tell, over parsed feature files.

A rule is a function from the outlines of all features to the findings against it.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from gherkin.errors import CompositeParserException
from gherkin.parser import Parser

from support.reporting.scenario import EPICS, SEVERITIES
from support.target.capabilities import CAPABILITIES

COSTS = frozenset({"slow", "destructive"})
KNOWN_TAGS = frozenset([*CAPABILITIES, *SEVERITIES, *EPICS, *COSTS])
ID = re.compile(r"^id\.[A-Z]{2}-\d{2}$")
MOST_STEPS = 8
# What a reader of promises need not see: an address, a statement of SQL.
TECHNICAL = (
    (re.compile(r"\w+://"), "a URL"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b|:\d{4,5}\b|\bport \d+"), "an address or a port"),
    (re.compile(r"\b(SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE)\b"), "SQL (a docstring may)"),
)


@dataclass(frozen=True)
class Finding:
    """Something to mend."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Line:
    """One step as it is written. `kind` is Context, Action, Outcome or Conjunction: Given, When, Then, And."""

    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Outline:
    """One scenario as it is written, with the background's steps left out."""

    file: Path
    line: int
    feature: str
    name: str
    tags: tuple[str, ...]
    """Its own and the inherited ones, without the @."""
    steps: tuple[Line, ...]
    examples: tuple[tuple[str, ...], ...] = ()
    """Of an outline, the tags of each of its tables of examples."""

    @property
    def id(self) -> str:
        """The promise that it names; empty where it names none."""
        return next((tag.removeprefix("id.") for tag in self.tags if tag.startswith("id.")), "")

    @property
    def severity(self) -> str:
        """The nearest one of its tags; empty where there is none."""
        return next((tag for tag in reversed(self.tags) if tag in SEVERITIES), "")

    def finding(self, text: str, line: int | None = None) -> Finding:
        return Finding(self.file, line or self.line, text)


Rule = Callable[[tuple[Outline, ...]], Iterator[Finding]]


def read(files: Iterable[Path]) -> tuple[tuple[Outline, ...], tuple[Finding, ...]]:
    """The scenarios of those files, and what is no Gherkin in them."""
    outlines: list[Outline] = []
    findings: list[Finding] = []
    for file in files:
        try:
            document = Parser().parse(file.read_text(encoding="utf-8"))
        except CompositeParserException as error:
            for one in error.errors:
                text = re.sub(r"^\(\d+:\d+\): ", "", " ".join(str(one).split()))
                findings.append(Finding(file, one.location["line"], text))
            continue
        feature = document.get("feature")
        if feature is None:
            findings.append(Finding(file, 1, "no feature in it"))
        else:
            outlines += _outlines(file, feature["name"], feature, ())
    return tuple(outlines), tuple(findings)


def check(outlines: tuple[Outline, ...]) -> tuple[Finding, ...]:
    """What all rules together have against those scenarios."""
    return tuple(finding for rule in RULES for finding in rule(outlines))


def _outlines(file: Path, feature: str, parent: Any, inherited: tuple[str, ...]) -> Iterator[Outline]:
    tags = (*inherited, *_tags(parent))
    for child in parent["children"]:
        if "rule" in child:
            yield from _outlines(file, feature, child["rule"], tags)
        elif "scenario" in child:
            scenario = child["scenario"]
            examples = tuple(_tags(table) for table in scenario["examples"])
            own = (*tags, *_tags(scenario), *chain.from_iterable(examples))
            line = scenario["location"]["line"]
            yield Outline(file, line, feature, scenario["name"], own, tuple(_lines(scenario["steps"])), examples)


def _tags(node: Any) -> tuple[str, ...]:
    return tuple(tag["name"].removeprefix("@") for tag in node["tags"])


def _lines(steps: Any) -> Iterator[Line]:
    for step in steps:
        yield Line(step["keywordType"], step["text"], step["location"]["line"])


def _titles_are_unique(outlines: tuple[Outline, ...]) -> Iterator[Finding]:
    titles: dict[str, list[Outline]] = defaultdict(list)
    features: dict[str, set[Path]] = defaultdict(set)
    for outline in outlines:
        titles[outline.name].append(outline)
        features[outline.feature].add(outline.file)
    for title, same in titles.items():
        for outline in same[1:]:
            yield outline.finding(f"the title {title!r} is also at {same[0].file}:{same[0].line}")
    for name, files in features.items():
        for file in sorted(files)[1:]:
            yield Finding(file, 1, f"the feature's name {name!r} is also that of {min(files)}")


def _each_keeps_one_promise(outlines: tuple[Outline, ...]) -> Iterator[Finding]:
    for outline in outlines:
        ids = [tag for tag in outline.tags if tag.startswith("id.")]
        if len(ids) != 1:
            yield outline.finding(f"it needs exactly one @id, and has {len(ids)}: {' '.join(ids) or 'none'}")
        for one in ids:
            if not ID.match(one):
                yield outline.finding(f"@{one} is no id of the form @id.AB-12")


def _tags_are_known(outlines: tuple[Outline, ...]) -> Iterator[Finding]:
    for outline in outlines:
        if not set(SEVERITIES).intersection(outline.tags):
            yield outline.finding(f"it needs a severity: one of @{' @'.join(SEVERITIES)}")
        for tag in outline.tags:
            if tag not in KNOWN_TAGS and not tag.startswith(("id.", "allure.")):
                yield outline.finding(f"@{tag} is no tag of ours: no capability, severity or cost (a slip of the pen?)")


def _each_has_one_behaviour(outlines: tuple[Outline, ...]) -> Iterator[Finding]:
    for outline in outlines:
        whens = [step for step in outline.steps if step.kind == "Action"]
        if len(whens) > 1:
            yield outline.finding("a second When: one behaviour a scenario", whens[1].line)
        if not any(step.kind == "Outcome" for step in outline.steps):
            yield outline.finding("no Then: it claims nothing")
        if len(outline.steps) > MOST_STEPS:
            yield outline.finding(f"{len(outline.steps)} steps; more than {MOST_STEPS} hide the claim")


def _words_are_the_users(outlines: tuple[Outline, ...]) -> Iterator[Finding]:
    for outline in outlines:
        for step in (Line("", outline.name, outline.line), *outline.steps):
            for pattern, what in TECHNICAL:
                if pattern.search(step.text):
                    yield outline.finding(f"{what} in {step.text!r}", step.line)


RULES: tuple[Rule, ...] = (
    _titles_are_unique,
    _each_keeps_one_promise,
    _tags_are_known,
    _each_has_one_behaviour,
    _words_are_the_users,
)
