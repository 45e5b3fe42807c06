"""How the features use sentences: with which keywords, and together with which others in a scenario."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from parse import compile as pattern_of

from support import own_folder
from support.cli.paths import FEATURES

_STEP = re.compile(r"\s*(Given|When|Then|And|But|\*) +(.*\S)")
_BEGINS = re.compile(r"\s*(Background|Scenario|Scenario Outline|Example|Scenario Template|Rule)\s*:")
_DOCSTRING = ('"""', "```")
_ORDER = ("Given", "When", "Then")


@dataclass(frozen=True)
class Sentence:
    """A step as a feature has it."""

    keyword: str
    """Given, When or Then; of And and But the one before."""
    text: str

    @property
    def is_filled(self) -> bool:
        """Whether it has no `<value>`, which only the rows of an outline have."""
        return "<" not in self.text

    def __str__(self) -> str:
        return f"{self.keyword} {self.text}"


Uses = tuple[Sentence, ...]
"""The sentences of a scenario, in their order."""


def keywords_of(wording: str) -> str:
    """The keywords with which the features use a wording that stands for any of them: "When/Then"."""
    used = {one.keyword for uses in uses_of(wording) for one in uses if is_said(wording, one)}
    return "/".join(one for one in _ORDER if one in used) or "/".join(_ORDER)


@cache
def uses_of(wording: str) -> tuple[Uses, ...]:
    """The scenarios that have a sentence of that wording, whose parameters may be any text."""
    return tuple(uses for uses in _scenarios() if any(is_said(wording, one) for one in uses))


def is_said(wording: str, sentence: Sentence) -> bool:
    """Whether the sentence has that wording, whose parameters may be any text."""
    if not sentence.text.startswith(wording.partition("{")[0]):
        return False
    return _pattern(wording).parse(re.sub(r"<[^>]+>", "1", sentence.text)) is not None


@cache
def _pattern(wording: str) -> Any:
    return pattern_of(wording, case_sensitive=True)


def _scenarios() -> tuple[Uses, ...]:
    own = own_folder.given()
    return _read(own.features if own else None)


@cache
def _read(own: Path | None) -> tuple[Uses, ...]:
    files = [*sorted(FEATURES.rglob("*.feature")), *(sorted(own.rglob("*.feature")) if own else ())]
    return tuple(uses for file in files for uses in _of_text(file.read_text(encoding="utf-8")))


def _of_text(text: str) -> Iterator[Uses]:
    """The scenarios of a feature; those of its backgrounds belong to each that follows."""
    background, found, inside, in_docstring = list[Sentence](), list[Sentence](), "", False
    for line in text.splitlines():
        if line.lstrip().startswith(_DOCSTRING):
            in_docstring = not in_docstring
        if in_docstring:
            continue
        if begins := _BEGINS.match(line):
            if found and inside != "Background":
                yield (*background, *found)
            elif inside == "Background":
                background += found
            found, inside = [], begins[1]
        elif (said := _STEP.match(line)) and inside:
            before = found[-1].keyword if found else "Given"
            found.append(Sentence(said[1] if said[1] in _ORDER else before, said[2]))
    if found and inside != "Background":
        yield (*background, *found)
