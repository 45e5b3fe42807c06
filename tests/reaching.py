"""What code may run into: the places that a function reaches through the functions and classes that it names.

Calls through a variable's methods are not followed, unless the method is one of those looked for.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent
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
class _Module:
    path: Path

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.path)

    @cached_property
    def definitions(self) -> Mapping[str, ast.FunctionDef | ast.ClassDef]:
        return {one.name: one for one in self.tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef)}

    @cached_property
    def imports(self) -> Mapping[str, tuple[str, str]]:
        found = (one for one in ast.walk(self.tree) if isinstance(one, ast.ImportFrom) and one.module)
        return {name.asname or name.name: (str(one.module), name.name) for one in found for name in one.names}

    def function_at(self, line: int) -> ast.FunctionDef:
        """The function whose text, decorators included, has that line."""
        for one in self.tree.body:
            if isinstance(one, ast.FunctionDef):
                first = min([one.lineno, *(decorator.lineno for decorator in one.decorator_list)])
                if first <= line <= (one.end_lineno or one.lineno):
                    return one
        raise LookupError(f"no function at {self.path}:{line}")


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _module(path: Path) -> _Module:
    return _Module(path)


def reached(location: str, places: Mapping[Place, str]) -> Mapping[str, str]:
    """What `places` stands for -> the way there, from the function at that location (file:line)."""
    return _reached(location, tuple(places.items()))


@cache
def _reached(location: str, places: tuple[tuple[Place, str], ...]) -> Mapping[str, str]:
    path, _, line = location.rpartition(":")
    module = _module(ROOT / path)
    found: dict[str, str] = {}
    begin = module.function_at(int(line))
    todo: list[tuple[_Module, ast.FunctionDef | ast.ClassDef, str]] = [(module, begin, begin.name)]
    seen: set[tuple[Path, str]] = set()
    while todo:
        module, definition, way = todo.pop()
        if (module.path, definition.name) in seen:
            continue
        seen.add((module.path, definition.name))
        for node in _code(definition):
            for place, stands_for in places:
                if place.is_named_by(node):
                    found.setdefault(stands_for, f"{way} > {module.path.stem}:{node.lineno}")
            if (named := _named(module, node)) is not None:
                todo.append((*named, f"{way} > {named[1].name}"))
    return found


@cache
def _code(definition: ast.FunctionDef | ast.ClassDef) -> tuple[ast.expr, ...]:
    """The names and attributes in a function or class, without those in its annotations and decorators."""
    todo: list[ast.AST] = list(definition.body)
    found = []
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name | ast.Attribute):
            found.append(node)
        if isinstance(node, ast.FunctionDef):
            todo += [*node.body, *node.args.defaults]
        elif isinstance(node, ast.AnnAssign):
            todo += [node.value] if node.value else []
        else:
            todo += ast.iter_child_nodes(node)
    return tuple(found)


def _named(module: _Module, node: ast.AST) -> tuple[_Module, ast.FunctionDef | ast.ClassDef] | None:
    """The function or class of the project that an expression names."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.imports:
        package, name = module.imports[node.value.id]
        return _defined(_file(f"{package}.{name}"), node.attr)
    if not isinstance(node, ast.Name) or node.id in _THE_WHOLE:
        return None
    if node.id in module.definitions:
        return module, module.definitions[node.id]
    if node.id in module.imports:
        package, name = module.imports[node.id]
        return _defined(_file(package), name)
    return None


def _defined(path: Path, name: str) -> tuple[_Module, ast.FunctionDef | ast.ClassDef] | None:
    if not path.exists() or name not in _module(path).definitions:
        return None
    return _module(path), _module(path).definitions[name]


def _file(package: str) -> Path:
    path = ROOT / package.replace(".", "/")
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


def raising(error: str) -> dict[str, list[str]]:
    """The functions of `support` that raise that error -> where: "module.function" -> "file:line"."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "support").rglob("*.py")):
        for function in (one for one in ast.walk(_parsed(path)) if isinstance(one, ast.FunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Raise) and node.exc and re.match(rf"(\w+\.)?{error}\(", ast.unparse(node.exc)):
                    found.setdefault(f"{path.stem}.{function.name}", []).append(f"{path.name}:{node.lineno}")
    return found
