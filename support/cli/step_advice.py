"""What to do about a sentence that no step has: the nearest wordings, and the file where a new step belongs."""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches  # noqa: TID251 - among sentences, not names
from pathlib import Path

from parse import parse

from support import own_folder
from support.cli.paths import STEPS
from support.cli.steps import Step, without_keyword

MOST_NEAR = 3
"""How many of the nearest wordings a message lists."""
_ALIKE = 0.25
"""The likeness from which on a wording is worth a look."""


def advice(sentence: str, location: str, among: Sequence[Step]) -> str:
    """What to do about a sentence that no step has: the nearest wordings, and the file where a new step belongs.

    If a step has its wording, only the values are named that it cannot have. `location` is file:line in the feature.
    """
    if wrong := explain(sentence, among):
        return wrong
    near = nearest_steps(sentence, among)
    listed = "".join(f"\n    {one.said_with} {one.wording}  ({one.file}:{one.line})" for one in near)
    why = f"; did you mean one of these?{listed}" if near else "; ./accept steps searches those that exist"
    return f"{why}\n    a new one belongs in {belongs_in(sentence, location, among)}"


def nearest_steps(sentence: str, among: Sequence[Step]) -> tuple[Step, ...]:
    """The steps whose wordings have most in common with a sentence, the nearest first; of each wording one."""
    said = _words(without_keyword(sentence))
    rarity = _rarity(among)
    scores = {step.wording: (_likeness(said, _words(step.wording), rarity), step) for step in reversed(among)}
    ranked = sorted(scores.values(), key=lambda one: -one[0])
    return tuple(step for score, step in ranked[:MOST_NEAR] if score >= _ALIKE)


def belongs_in(sentence: str, location: str, among: Sequence[Step]) -> Path:
    """The file in which a step with this wording belongs: beside those like it, or in the user's own folder."""
    feature = Path(os.path.abspath(location.rpartition(":")[0]))  # behave shows a path such as ../mine/a.feature
    own = own_folder.given()
    if own is not None and feature.is_relative_to(own.features):
        folder = own.directory / own_folder.STEPS
        beside = [step for step in among if step.file.is_relative_to(own.directory)]
    else:
        folder = STEPS / feature.parent.name
        beside = [step for step in among if step.file.parent == folder]
    if not beside:
        return folder / f"{feature.stem}_steps.py"
    said, rarity = _words(without_keyword(sentence)), _rarity(among)
    best = max(beside, key=lambda step: _likeness(said, _words(step.wording), rarity))
    alike = _likeness(said, _words(best.wording), rarity) >= _ALIKE
    return best.file if alike else folder / f"{feature.stem}_steps.py"


def _words(text: str) -> tuple[str, ...]:
    """Its words without parameters and numbers, and without a plural's s."""
    found = re.findall(r"[a-z]+", re.sub(r"\{[^}]*\}", " ", text).lower())
    return tuple(word.removesuffix("s") if len(word) > 3 else word for word in found)


def _rarity(among: Sequence[Step]) -> Mapping[str, float]:
    """How much a word tells: the fewer steps have it, the more."""
    counts = Counter(word for step in among for word in set(_words(step.wording)))
    return {word: 1 / math.log2(1 + count) for word, count in counts.items()}


def _likeness(said: Sequence[str], wording: Sequence[str], rarity: Mapping[str, float]) -> float:
    """From 0 to 1: the share of words in common, each by its weight, and the order that they are in."""
    first, second = set(said), set(wording)
    # A word that no step has may be misspelt: the known word that is like it counts as common
    slips = {word: _meant(word, second - first) for word in first - rarity.keys()}
    meant = {slips.get(word) or word for word in first}

    def weight(words: Iterable[str]) -> float:
        return sum(rarity.get(word, 0.5) for word in words)

    every = weight(meant | second)
    order = SequenceMatcher(None, [slips.get(word) or word for word in said], list(wording)).ratio()
    return (2 * weight(meant & second) / every + order) / 3 if every else 0.0


def _meant(word: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(word, sorted(known), 1, cutoff=0.82)), "")


def explain(sentence: str, among: Sequence[Step]) -> str:
    """The values in this sentence that a step of its wording cannot have.

    Begins with a semicolon; empty if no step has its wording.
    """
    sentence = without_keyword(sentence)
    for step in among:
        if (found := parse(step.loose, sentence, case_sensitive=True)) is not None:
            values = {name: str(value) for name, value in found.named.items()}
            wrong = [kind.complaint(values[name]) for name, kind in step.kinds.items() if not kind.allows(values[name])]
            if wrong:
                return f"; {'; '.join(wrong)}"
    return ""
