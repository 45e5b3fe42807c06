"""How the features use sentences: with which keywords, and together with which others in a scenario."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from parse import compile as pattern_of

from support import own_folder
from support.cli.feature_files import Outline, read
from support.cli.paths import FEATURES

_KEYWORDS = {"Context": "Given", "Action": "When", "Outcome": "Then"}
"""The kind of a step, as `Line` has it -> its keyword."""


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
    return "/".join([one for one in _KEYWORDS.values() if one in used] or _KEYWORDS.values())


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
    scenarios, _ = read([*sorted(FEATURES.rglob("*.feature")), *(sorted(own.rglob("*.feature")) if own else ())])
    return tuple(map(_sentences, scenarios))


def _sentences(scenario: Outline) -> Uses:
    """The sentences of a scenario, those of its background first."""
    found = list[Sentence]()
    for step in (*scenario.background, *scenario.steps):
        before = found[-1].keyword if found else "Given"
        found.append(Sentence(_KEYWORDS.get(step.kind, before), step.text))
    return tuple(found)
