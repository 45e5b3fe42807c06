"""What code may run into: the places that a function reaches through the functions and classes that it names.

Calls through a variable's methods are not followed, unless the method is one of those looked for.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from support.engine.limits import first_line
from support.places import ROOT

_THE_WHOLE = frozenset({"Cluster", "World", "Experiment", "Topology"})
"""Classes that nearly all code names; what a function uses of them it names itself."""


@dataclass(frozen=True)
class Place:
    """Something that code names: an attribute of an expression, or a function."""

    name: str
    of: str = ""
    """A regular expression of the expression before the dot; empty for a function."""

    def is_named_by(self, node: ast.expr) -> bool:
        """Whether that expression is the place."""
        if isinstance(node, ast.Attribute) and node.attr == self.name:
            return not self.of or re.search(self.of, ast.unparse(node.value)) is not None
        return isinstance(node, ast.Name) and node.id == self.name and not self.of


@dataclass(frozen=True)
class Module:
    """A source file."""

    path: Path

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.path)

    @cached_property
    def definitions(self) -> Mapping[str, ast.FunctionDef | ast.ClassDef]:
        return {one.name: one for one in self.tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef)}

    @cached_property
    def imports(self) -> Mapping[str, tuple[str, str]]:
        found = dict[str, tuple[str, str]]()
        for one in ast.walk(self.tree):
            if isinstance(one, ast.ImportFrom) and one.module:
                found |= {name.asname or name.name: (one.module, name.name) for name in one.names}
            elif isinstance(one, ast.Import):
                found |= {name.asname or name.name: ("", name.name) for name in one.names}
        return found

    @cached_property
    def constants(self) -> Mapping[str, ast.expr]:
        """Name -> the expression to which the module sets it."""
        found = dict[str, ast.expr]()
        for one in self.tree.body:
            match one:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    found[name] = value
        return found

    def function_at(self, line: int) -> ast.FunctionDef:
        """The function whose text, decorators included, has that line."""
        for one in self.tree.body:
            if isinstance(one, ast.FunctionDef) and first_line(one) <= line <= (one.end_lineno or one.lineno):
                return one
        raise LookupError(f"no function at {self.path}:{line}")


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def module(path: Path) -> Module:
    """The source file at that path, read once."""
    return Module(path)


@dataclass(frozen=True)
class Definition:
    """A function or class of the project, or of the user's own folder."""

    module: Module
    node: ast.FunctionDef | ast.ClassDef


@cache
def definitions(location: str, closed: frozenset[Definition] = frozenset()) -> Mapping[Definition, str]:
    """The functions and classes that the function at that location (file:line) reaches, itself first.

    Each with its path: the names on the way there, and its own. `closed` definitions are left out, with everything that
    only they reach. Raises LookupError if there is no function.
    """
    path, _, line = location.rpartition(":")
    where = module(ROOT / path)
    begin = where.function_at(int(line))
    todo = [(Definition(where, begin), begin.name)]
    found = dict[Definition, str]()
    while todo:
        one, way = todo.pop()
        if one not in found and one not in closed:
            found[one] = way
            todo += [(other, f"{way} > {other.node.name}") for other in _named_by(one)]
    return found


def reached(
    location: str, places: Mapping[Place, str], closed: frozenset[Definition] = frozenset()
) -> Mapping[str, str]:
    """What `places` stands for -> the way there, from the function at that location (file:line); see `definitions`."""
    found: dict[str, str] = {}
    for one, way in definitions(location, closed).items():
        for stands_for, line in _named_there(one, tuple(places.items())):
            found.setdefault(stands_for, f"{way} > {one.module.path.stem}:{line}")
    return found


@cache
def _named_there(one: Definition, places: tuple[tuple[Place, str], ...]) -> tuple[tuple[str, int], ...]:
    """What the places stand for that its code names, each with the line."""
    return tuple(
        (stands_for, node.lineno) for node in _code(one.node) for place, stands_for in places if place.is_named_by(node)
    )


@cache
def _named_by(one: Definition) -> tuple[Definition, ...]:
    """What its code names, in their order and each once; for a constant what that names."""
    return tuple(dict.fromkeys(other for node in _code(one.node) for other in _meant(one.module, node)))


def _meant(where: Module, node: ast.expr) -> Iterator[Definition]:
    if (found := _place_of(where, node)) is None:
        return
    there, name = found
    if name in there.definitions:
        yield Definition(there, there.definitions[name])
    elif name in there.constants:
        for inside in _names(there.constants[name]):
            yield from _meant(there, inside)


def named(where: Module, node: ast.expr) -> Definition | None:
    """The function or class that an expression names in a module."""
    found = _place_of(where, node)
    return Definition(found[0], found[0].definitions[found[1]]) if found and found[1] in found[0].definitions else None


def _place_of(where: Module, node: ast.expr) -> tuple[Module, str] | None:
    """The module and the name in it that an expression means; None for what is not of the project."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in where.imports:
        package, name = where.imports[node.value.id]
        found = _file(f"{package}.{name}".lstrip("."), where.path.parent)
        return (module(found), node.attr) if found else None
    if not isinstance(node, ast.Name) or node.id in _THE_WHOLE:
        return None
    if node.id in where.definitions or node.id in where.constants:
        return where, node.id
    if node.id in where.imports:
        package, name = where.imports[node.id]
        found = _file(package, where.path.parent) if package else None
        return (module(found), name) if found else None
    return None


@cache
def _code(definition: ast.FunctionDef | ast.ClassDef) -> tuple[ast.Name | ast.Attribute, ...]:
    """The names and attributes in a function or class, without those in its annotations and decorators."""
    return tuple(_names(*definition.body))


def _names(*nodes: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name | ast.Attribute):
            yield node
        if isinstance(node, ast.FunctionDef):
            todo += [*node.body, *node.args.defaults]
        elif isinstance(node, ast.AnnAssign):
            todo += [node.value] if node.value else []
        else:
            todo += ast.iter_child_nodes(node)


@cache
def _file(package: str, beside: Path) -> Path | None:
    """The file of a module of the project, or of one in the same folder, as step files import one another."""
    inside = Path(package.replace(".", "/"))
    places = [
        folder / form for folder in (ROOT, beside) for form in (inside.with_suffix(".py"), inside / "__init__.py")
    ]
    return next((one for one in places if one.is_file()), None)
