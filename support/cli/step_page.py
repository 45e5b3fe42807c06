"""`accept steps --html`: the step catalogue as a page that is searched in the browser, and opens from disk."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import parse
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from support.cli.feature_files import Outline, read
from support.cli.paths import FEATURES, STATE
from support.cli.steps import Step, needs_of
from support.own_folder import OwnFolder
from support.reporting.pages import POLICY_TAG
from support.vocabulary import counted, with_article

EXAMPLES = 3
"""The most examples of a step."""
_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = Path(__file__).parents[1] / "reporting" / "templates" / "page.css"
_PARAMETER = re.compile(r"\{(\w*)(?::(\w+))?\}")
_KINDS = {
    "d": "a whole number",
    "g": "a number",
    "f": "a number",
    "n": "a number",
    "w": "a word",
    "S": "a text without spaces",
    "": "a text",
}
"""behave's types of parameters, in words."""


@dataclass(frozen=True)
class Example:
    """A sentence of a scenario that is this step."""

    sentence: str
    scenario: str
    location: str
    """file:line."""


@dataclass(frozen=True)
class Parameter:
    """A value in the wording of a step."""

    name: str
    meaning: str
    values: tuple[str, ...] = ()
    """The values that it can have; empty if they cannot be listed."""


def parameters(step: Step) -> tuple[Parameter, ...]:
    """The parameters of a step, in the order of its wording."""
    kinds = step.kinds
    return tuple(
        Parameter(name, with_article(kinds[name].noun), (*kinds[name].values, *kinds[name].shown))
        if name in kinds
        else Parameter(name, _KINDS.get(type, f"of the type {type}"))
        for name, type in _PARAMETER.findall(step.wording)
    )


def examples(catalogue: Sequence[Step], outlines: Iterable[Outline]) -> Mapping[Step, Sequence[Example]]:
    """Sentences of the scenarios that each step has, the shortest first and each once."""
    patterns = [(step, parse.compile(step.loose, case_sensitive=True)) for step in catalogue]
    said = dict[str, Example]()
    for outline in outlines:
        for line in outline.steps:
            said.setdefault(line.text, Example(line.text, outline.name, f"{outline.file}:{line.line}"))
    found = defaultdict[Step, list[Example]](list)
    for text in sorted(said, key=len):
        for step, pattern in patterns:
            if len(found[step]) < EXAMPLES and (match := pattern.parse(_filled(text))) is not None:
                allowed = (kind.allows(str(match.named[name])) for name, kind in step.kinds.items())
                if "<" in text or all(allowed):
                    found[step].append(said[text])
    return found


def _filled(text: str) -> str:
    """The sentence of an outline with something in place of `<seconds>`, which is a value only in its rows."""
    return re.sub(r"<[^>]+>", "1", text)


def page(catalogue: Sequence[Step], outlines: Iterable[Outline]) -> str:
    """The page, as HTML without anything from elsewhere."""
    used = examples(catalogue, outlines)
    ordered = sorted(catalogue, key=lambda one: (_subject(one), str(one.file), one.line))
    subjects = {
        name: [
            {
                "step": step,
                "wording": _marked(step.wording),
                "keyword": step.said_with,
                "parameters": parameters(step),
                "needs": tuple(needs_of(step)),
                "examples": used.get(step, ()),
                "text": " ".join([step.text, *(one.sentence.lower() for one in used.get(step, ()))]),
            }
            for step in steps
        ]
        for name, steps in groupby(ordered, key=_subject)
    }
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["unwrapped"] = _unwrapped
    environment.globals["counted"] = counted
    template = environment.get_template("steps.html.j2")
    style = Markup(_STYLE.read_text(encoding="utf-8"))
    return template.render(policy=Markup(POLICY_TAG), css=style, subjects=subjects, count=len(catalogue))


def _subject(step: Step) -> str:
    return step.file.parent.name


def _unwrapped(text: str) -> str:
    """A docstring without the line breaks within its paragraphs."""
    return re.sub(r"(?<!\n)\n(?=\S)(?![-*|])", " ", text)


def _marked(wording: str) -> Markup:
    """The wording, with its parameters marked."""
    return Markup("").join(
        Markup("<var>{}</var>").format(part[1:-1].partition(":")[0]) if part.startswith("{") else part
        for part in re.split(r"(\{\w*(?::\w+)?\})", wording)
    )


def of_project(catalogue: Sequence[Step], own: OwnFolder | None) -> Path:
    """Write the page, with examples from our features and the user's, and return its absolute path."""
    outlines, _ = read((*sorted(FEATURES.rglob("*.feature")), *(own.feature_files if own else ())))
    file = STATE / "steps.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page(catalogue, outlines), encoding="utf-8")
    return file.absolute()
