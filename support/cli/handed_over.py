"""What steps need from earlier steps of the scenario, and what they provide, read from their code.

That is what a class derived from `Handover` declares, and what the properties of `World` and `Experiment` raise
MissingStep without. What a step both provides and uses counts as provided: which comes first is not looked at.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TypeVar

from support.cli.behave_process import Planned, PlannedStep
from support.cli.reach import Definition, Module, definitions, module, named
from support.places import ROOT

T = TypeVar("T")
_WORLD, _EXPERIMENT = Path("support/engine/world.py"), Path("support/engine/experiment.py")
_STATE = {"World": (_WORLD, "world"), "Experiment": (_EXPERIMENT, "experiment")}
"""Class -> its file, and the word with which an expression for an object of it ends."""
PROVIDED_BY: Mapping[tuple[str, str], frozenset[str]] = {
    ("World", "history"): frozenset({"history =", "start(2)"}),
    ("World", "clients"): frozenset({"workload =", "start(2)"}),
    ("World", "readers"): frozenset({"readers ="}),
    ("World", "experiment"): frozenset({"experiment ="}),
    ("World", "session"): frozenset({"sessions"}),
    ("World", "error"): frozenset({"error ="}),
    ("Experiment", "target_member"): frozenset({"inject"}),
    ("Experiment", "injected_fault"): frozenset({"inject"}),
    ("Experiment", "healing_since"): frozenset({"heal", "conclude"}),
    ("Experiment", "over_since"): frozenset({"heal", "conclude"}),
}
"""A property that raises MissingStep -> the attributes that provide it where code names them, whatever they are of.

"history =": where it is set. "start(2)": where it is called with two arguments, as only `World.start` is.
"""


@dataclass(frozen=True)
class Value:
    """Something that steps hand to one another."""

    name: str
    words: str = field(compare=False)
    """What it is, and a step that provides it: 'clients, such as "Given 8 clients ..."'."""
    of: str
    """Where it is declared: file and class."""


@dataclass(frozen=True)
class Exchange:
    """What code needs of earlier steps, and what it provides to later ones."""

    needs: frozenset[Value]
    provides: frozenset[Value]
    sets: frozenset[str]
    """The names of attributes that it sets on something of an unknown kind: they may be values as well."""

    def can_provide(self, value: Value) -> bool:
        return value in self.provides or value.name in self.sets


@cache
def exchange(function: str) -> Exchange:
    """What the step function at `file:line` needs and provides, together with all that it calls."""
    parts = [_exchange(one) for one in definitions(function)]
    whole = Exchange(frozenset(), _all(one.provides for one in parts), _all(one.sets for one in parts))
    needs = (one for one in _all(one.needs for one in parts) if not whole.can_provide(one))
    return replace(whole, needs=frozenset(needs))


def _all(sets: Iterable[frozenset[T]]) -> frozenset[T]:
    return frozenset(chain.from_iterable(sets))


def lacking(scenario: Planned) -> Iterator[tuple[PlannedStep, Value]]:
    """What no step of a scenario provides to a later one that needs it, with the first step that does."""
    before: list[Exchange] = []
    told = set[Value]()
    for step in scenario.steps:
        if not step.function:
            continue
        now = exchange(step.function)
        for value in sorted(now.needs - told, key=lambda one: one.words):
            if not any(one.can_provide(value) for one in before):
                told.add(value)
                yield step, value
        before.append(now)


@cache
def state_values() -> Mapping[tuple[str, str], Value]:
    """What the properties of the scenario's state raise MissingStep without: class and property -> what that is."""
    found = dict[tuple[str, str], Value]()
    for name, (file, _) in _STATE.items():
        for method in _methods(module(ROOT / file).definitions[name]):
            for call in (node for node in ast.walk(method) if isinstance(node, ast.Call)):
                if isinstance(call.func, ast.Name) and call.func.id == "missing":
                    what, *steps = (one.value for one in call.args if isinstance(one, ast.Constant))
                    found[name, method.name] = Value(method.name, _words(str(what), steps), name)
    return found


def _words(what: str, steps: Sequence[object]) -> str:
    return what + "".join(f', such as "{step}"' for step in steps)


@cache
def _exchange(definition: Definition) -> Exchange:
    """What a function or class itself needs and provides, without what it calls."""
    reads, writes, sets = set[Value](), set[Value](), set[str]()
    kinds = _kinds(definition)
    for node in ast.walk(definition.node):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            arguments = len(node.args) + len(node.keywords)
            writes |= {
                value for key, value in state_values().items() if f"{node.func.attr}({arguments})" in PROVIDED_BY[key]
            }
        if not isinstance(node, ast.Attribute):
            continue
        is_set = isinstance(node.ctx, ast.Store)
        if is_set and ast.unparse(node.value) == "self":
            continue  # of an object of its own
        mentioned = {node.attr, f"{node.attr} ="} if is_set else {node.attr}
        for (name, attribute), value in state_values().items():
            if PROVIDED_BY[name, attribute] & mentioned:
                writes.add(value)
            elif node.attr == attribute and not is_set and ast.unparse(node.value).endswith(_STATE[name][1]):
                reads.add(value)
        if (kind := _kind_of(node.value, definition.module, kinds)) is not None:
            (writes if is_set else reads).update(_values_behind(kind, node.attr))
        elif is_set:
            sets.add(node.attr)
    return Exchange(frozenset(reads), frozenset(writes), frozenset(sets))


def _kinds(definition: Definition) -> Mapping[str, Definition]:
    """The variables and parameters of a function that are hand-overs."""
    found = dict[str, Definition]()
    for node in ast.walk(definition.node):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        match node:
            case ast.arg(arg=name, annotation=ast.Name() as annotation):
                if (kind := _handover(definition.module, annotation)) is not None:
                    found[name] = kind
            case ast.Assign(targets=targets, value=value):
                pairs = [(one, value) for one in targets]
            case ast.NamedExpr(target=named_so, value=value):
                pairs = [(named_so, value)]
        for target, value in pairs:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs += zip(target.elts, value.elts, strict=False)
            elif isinstance(target, ast.Name) and (kind := _kind_of(value, definition.module, found)) is not None:
                found[target.id] = kind
    return found


def _kind_of(expression: ast.expr, where: Module, kinds: Mapping[str, Definition]) -> Definition | None:
    """The class of an expression that is a hand-over; None for any other."""
    match expression:
        case ast.Name(id=name):
            return kinds.get(name)
        case ast.Call(func=ast.Attribute(attr="handover"), args=[ast.Name() as kind]):
            return _handover(where, kind)
        case ast.Call(func=function) if (called := named(where, function)) is not None:
            if isinstance(called.node, ast.FunctionDef) and isinstance(called.node.returns, ast.Name):
                return _handover(called.module, called.node.returns)
    return None


def _handover(where: Module, name: ast.Name) -> Definition | None:
    found = named(where, name)
    if found is None or not isinstance(found.node, ast.ClassDef):
        return None
    bases = [one for one in found.node.bases if isinstance(one, ast.Name)]
    return found if any(one.id == "Handover" or _handover(found.module, one) for one in bases) else None


@cache
def _declared(kind: Definition) -> Mapping[str, Value]:
    """The values that a hand-over declares and has no default for."""
    where, node = kind.module, kind.node
    assert isinstance(node, ast.ClassDef)
    found = dict[str, Value]()
    for base in (one for one in node.bases if isinstance(one, ast.Name)):
        if (inherited := _handover(where, base)) is not None:
            found |= _declared(inherited)
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and one.value is None and isinstance(one.target, ast.Name):
            name = one.target.id
            words = _words(name.replace("_", " "), [*_metadata(where, one.annotation)])
            found[name] = Value(name, words, f"{where.path}:{node.name}")
    return found


def _metadata(where: Module, annotation: ast.expr) -> Iterator[object]:
    """The steps that an annotation names: `Annotated[History, "When clients search"]`."""
    match annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[_, *metadata])):
            for one in metadata:
                said = where.constants.get(one.id) if isinstance(one, ast.Name) else one
                if isinstance(said, ast.Constant):
                    yield said.value


def _values_behind(kind: Definition, attribute: str) -> Iterator[Value]:
    """The value of that name, or those that a property or a method of that name uses."""
    declared = _declared(kind)
    if attribute in declared:
        yield declared[attribute]
    for method in _methods(kind.node):
        if method.name == attribute:
            used = {node.attr for node in ast.walk(method) if isinstance(node, ast.Attribute)}
            yield from (declared[one] for one in sorted(used & declared.keys()))


def _methods(node: ast.AST) -> Iterator[ast.FunctionDef]:
    assert isinstance(node, ast.ClassDef)
    yield from (one for one in node.body if isinstance(one, ast.FunctionDef))
