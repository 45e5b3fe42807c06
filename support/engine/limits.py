"""The limits that steps state, and those that users set instead of them.

A step looks its limit up with `world.limit(seconds, "p95")`: the number of its sentence, and the name of what is
measured. So every limit of every scenario can be read from the sources of the steps before anything runs. `[limits]`
replaces one by the id of the promise and that name, such as "DQ-03.p95", or by the id alone if the promise states one
limit only.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support.target.timing import Span
from support.vocabulary import suggestion

UNITS = {
    "seconds": "s",
    "milliseconds": "ms",
    "days": "days",
    "percent": "%",
    "times": "times",
    "rate": "/s",
    "count": "",
    "megabytes": "MB",
    "fraction": "",
}
"""Name of a step's parameter that is a limit -> its unit."""


@dataclass(frozen=True)
class Stated:
    """A limit that a step of a scenario states."""

    measure: str
    """What it limits, such as "p95"; unique within the scenario."""
    value: float
    parameter: str
    """The name of the step's parameter, which says what kind of number it is; see UNITS."""
    span: Span | None = None
    """What the cluster needs the time for: its own timing may make the limit longer."""

    @property
    def figure(self) -> str:
        """The value with its unit."""
        return f"{self.value:g} {UNITS.get(self.parameter, self.parameter)}".rstrip()

    def complaint(self, value: float) -> str:
        """Why another value cannot replace it; empty if it can."""
        if self.parameter == "fraction" and value > 1:
            return "a share is at most 1"
        if self.parameter == "percent" and value > 100:
            return "a percentage is at most 100"
        if self.parameter == "count" and value != int(value):
            return "it is a whole number"
        return ""


def named(measure: str) -> str:
    """The name of a measure as it is written in [limits]."""
    return re.sub(r"\W+", "-", measure).strip("-")


def own_limit(limits: Mapping[str, float], ids: Iterable[str], measure: str) -> tuple[str, float] | None:
    """The user's limit for that measure of a scenario with these ids, with the name that it has in [limits]."""
    keys = [key for id in ids for key in (f"{id}.{named(measure)}", id)]
    return next(((key, limits[key]) for key in keys if key in limits), None)


def stated_by(file: Path, line: int, arguments: Mapping[str, object]) -> tuple[Stated, ...]:
    """The limits of the step function at that line (of its first decorator, or of its def), called with `arguments`."""
    found = []
    for first, last, limits in _functions(file):
        if first <= line <= last:
            for parameter, parts, span in limits:
                value = arguments.get(parameter)
                if isinstance(value, int | float):
                    words = [str(arguments.get(name, name)) if is_name else name for name, is_name in parts]
                    needs = Span(str(arguments[span[0]] if span[1] else span[0])) if span else None
                    found.append(Stated(named("".join(words)), float(value), parameter, needs))
    return tuple(found)


def of_scenario(scenario: Any, registry: Any) -> tuple[Stated, ...]:
    """The limits that the steps of a `behave.model.Scenario` state, found with behave's registry of steps."""
    found = list[Stated]()
    for step in scenario.all_steps:
        if (match := registry.find_match(step)) is not None:
            arguments = {one.name: one.value for one in match.arguments}
            found += stated_by(Path(match.location.filename), match.location.line, arguments)
    return tuple(found)


def complaints(limits: Mapping[str, float], stated: Mapping[str, Sequence[Stated]]) -> Iterator[str]:
    """A line for each of the user's limits that replaces none, or several, of the limits `stated` by id."""
    for key, value in limits.items():
        id, _, measure = key.partition(".")
        if id not in stated:
            yield f'[limits] "{key}": no scenario has the id {id}{suggestion(id, stated)}'
            continue
        there = sorted(set(stated[id]), key=lambda one: (one.measure, one.value))
        names = list(dict.fromkeys(one.measure for one in there))
        listed = ", ".join(f'"{id}.{name}"' for name in names)
        known = f"the limits of {id} are {listed}" if listed else f"no step of {id} states a limit"
        if measure and measure not in names:
            yield f'[limits] "{key}": {known}' + suggestion(measure, names, f'"{id}.{{}}"')
        elif not measure and len(there) != 1:
            figures = {name: " or ".join(one.figure for one in there if one.measure == name) for name in names}
            each = ", ".join(f'"{id}.{name}" ({said})' for name, said in figures.items())
            yield f'[limits] "{key}": {f"{id} states several limits; name one of {each}" if there else known}'
        else:
            for one in there:
                if one.measure == (measure or one.measure) and (why := one.complaint(value)):
                    yield f'[limits] "{key}" is {value:g}: {why}'
                    break


Part = tuple[str, bool]
"""A text, and whether it is the name of a parameter instead."""
Limits = tuple[tuple[str, tuple[Part, ...], Part | None], ...]
"""For each call of `limit` its parameter, the parts of its name, and what its span is, if it has one."""


@cache
def _functions(file: Path) -> tuple[tuple[int, int, Limits], ...]:
    """For each function of a file the line of its first decorator, that of its def, and the limits that it looks up."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return tuple((first_line(node), node.lineno, tuple(_limits(node))) for node in functions)


def first_line(node: ast.FunctionDef) -> int:
    """The line of a function's first decorator, or of its def: where Python and behave consider it to begin."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


def _limits(function: ast.FunctionDef) -> Iterator[tuple[str, tuple[Part, ...], Part | None]]:
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(attr="limit"), args=[ast.Name(id=parameter), measure, *more]):
                yield parameter, tuple(_parts(measure)), _span(more[0]) if more else None


def _span(given: ast.expr) -> Part | None:
    """`Span.FAILOVER`, or `Span(event)` of a parameter."""
    match given:
        case ast.Attribute(value=ast.Name(id="Span"), attr=name):
            return Span[name].value, False
        case ast.Call(func=ast.Name(id="Span"), args=[ast.Name(id=parameter)]):
            return parameter, True
    return None


def _parts(measure: ast.expr) -> Iterator[Part]:
    match measure:
        case ast.Constant(value=str(text)):
            yield text, False
        case ast.Name(id=name):
            yield name, True
        case ast.JoinedStr(values=values):
            for one in values:
                match one:
                    case ast.Constant(value=str(text)):
                        yield text, False
                    case ast.FormattedValue(value=ast.Name(id=name)):
                        yield name, True
