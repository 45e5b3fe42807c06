"""Feature files as they are written: their scenarios, and findings about these and what belongs to them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from support.cli.paths import from_command_line
from support.places import as_seen
from support.reporting.scenario import SEVERITIES

_TOLD = re.compile(r"(?s)(.+?):(\d+): (.+)")


@dataclass(frozen=True)
class LintFinding:
    """Something to correct."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{as_seen(self.file)}:{self.line}: {self.text}"

    @classmethod
    def at(cls, location: str, text: str) -> "LintFinding":
        """`location` is file:line."""
        file, _, line = location.rpartition(":")
        return cls(Path(file), int(line), text)

    @classmethod
    def of_told(cls, message: str, otherwise: Path) -> "LintFinding":
        """For a message that begins with the file, as the user reaches it, and the line; else it is for `otherwise`."""
        found = _TOLD.fullmatch(message)
        return cls(from_command_line(Path(found[1])), int(found[2]), found[3]) if found else cls(otherwise, 1, message)

    @classmethod
    def of_message(cls, path: Path, message: str) -> "LintFinding":
        """For a message about a file, which may begin with the file and the line."""
        at, _, text = message.removeprefix(f"{path}:").partition(":")
        return cls(path, int(at), text.strip()) if at.isdigit() else cls(path, 1, f"{at}:{text}".strip(": "))


@dataclass(frozen=True)
class Line:
    """A step as written. `kind` is Context (Given), Action (When), Outcome (Then) or Conjunction (And)."""

    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Outline:
    """A scenario as written."""

    file: Path
    line: int
    feature: str
    name: str
    tags: tuple[str, ...]
    """Its own and inherited tags, without the @."""
    background: tuple[Line, ...]
    """The steps that are done before, of the feature's background and of its rule's."""
    steps: tuple[Line, ...]
    examples: tuple[tuple[str, ...], ...] = ()
    """The tags of each table of examples; empty if there are none."""

    @property
    def id(self) -> str:
        """The id of its promise; empty if it has none."""
        return next((tag.removeprefix("id.") for tag in self.tags if tag.startswith("id.")), "")

    @property
    def severity(self) -> str:
        """The severity among its tags, the scenario's own before the feature's; empty if there is none."""
        return next((tag for tag in reversed(self.tags) if tag in SEVERITIES), "")

    def finding(self, text: str, line: int | None = None) -> LintFinding:
        return LintFinding(self.file, line or self.line, text)


def read(files: Iterable[Path]) -> tuple[tuple[Outline, ...], tuple[LintFinding, ...]]:
    """The scenarios in the files, and the syntax errors."""
    from gherkin.errors import CompositeParserException  # a large parser, which `accept run` seldom needs
    from gherkin.parser import Parser

    outlines: list[Outline] = []
    findings: list[LintFinding] = []
    for file in files:
        try:
            document = Parser().parse(file.read_text(encoding="utf-8"))
        except CompositeParserException as error:
            for one in error.errors:
                text = re.sub(r"^\(\d+:\d+\): ", "", " ".join(str(one).split()))
                findings.append(LintFinding(file, one.location["line"], text))
            continue
        feature = document.get("feature")
        if feature is None:
            findings.append(LintFinding(file, 1, "the file has no feature"))
        else:
            outlines += _outlines(file, feature["name"], feature)
    return tuple(outlines), tuple(findings)


def _outlines(
    file: Path, feature: str, parent: Any, inherited: tuple[str, ...] = (), background: tuple[Line, ...] = ()
) -> Iterator[Outline]:
    """The outlines of a feature, or of a rule, which inherits the tags and the background of its feature."""
    tags = (*inherited, *_tags(parent))
    for child in parent["children"]:
        if "background" in child:
            background = (*background, *_lines(child["background"]["steps"]))
        elif "rule" in child:
            yield from _outlines(file, feature, child["rule"], tags, background)
        elif "scenario" in child:
            scenario = child["scenario"]
            examples = tuple(_tags(table) for table in scenario["examples"])
            own = (*tags, *_tags(scenario), *chain.from_iterable(examples))
            line, steps = scenario["location"]["line"], tuple(_lines(scenario["steps"]))
            yield Outline(file, line, feature, scenario["name"], own, background, steps, examples)


def _tags(node: Any) -> tuple[str, ...]:
    return tuple(tag["name"].removeprefix("@") for tag in node["tags"])


def _lines(steps: Any) -> Iterator[Line]:
    for step in steps:
        yield Line(step["keywordType"], step["text"], step["location"]["line"])
