"""What the steps of a scenario can reach: the functions that they call, and those in turn, found in the sources.

Calls by name and by module are followed, and a class stands for all of its methods. What is called through an object
that was handed over is not found.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from program import ROOT

from support.cli.behave_process import Planned, dry_run

Name = tuple[str, str]
"""A module, and a function, class or constant of it."""


@dataclass
class Sources:
    """Every module of `support` and `steps`."""

    definitions: dict[Name, ast.AST] = field(default_factory=dict)
    """Functions and classes, and the values of constants."""
    names: dict[str, dict[str, Name]] = field(default_factory=dict)
    """Module -> what a name means in it."""
    functions: dict[tuple[str, int], Name] = field(default_factory=dict)
    """File, and line of the def or of a decorator -> the function."""


@cache
def sources() -> Sources:
    """Read once."""
    found = Sources()
    for file in (*ROOT.glob("support/**/*.py"), *ROOT.glob("steps/**/*.py")):
        path = file.relative_to(ROOT)
        module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(file.read_text(encoding="utf-8"))
        own = found.names[module] = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        for node in tree.body:
            for name, definition in _defined(node):
                found.definitions[module, name], own[name] = definition, (module, name)
            if isinstance(node, ast.FunctionDef):
                for line in (node.lineno, *(one.lineno for one in node.decorator_list)):
                    found.functions[str(path), line] = module, node.name
    return found


@cache
def reached(function: str) -> frozenset[Name]:
    """The definitions that a step function reaches, itself included; `function` is file:line, as in a dry run."""
    file, _, line = function.rpartition(":")
    todo, found = [sources().functions[file, int(line)]], set[Name]()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _used(name)
    return frozenset(found)


@cache
def scenarios() -> tuple[Planned, ...]:
    """All of ours. Read once in each process of the tests, as behave takes seconds for it."""
    return dry_run(["features"]).scenarios


def scenarios_that_reach(is_it: Callable[[ast.AST], bool]) -> list[Planned]:
    """Those of our scenarios with a step that reaches such a piece of code."""
    having = {name for name in sources().definitions if any(map(is_it, _within(name)))}
    return [one for one in scenarios() if any(having & reached(step.function) for step in one.steps)]


def _defined(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, node
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value


@cache
def _within(name: Name) -> tuple[ast.AST, ...]:
    """Everything in a definition but its docstrings."""
    nodes = tuple(ast.walk(sources().definitions[name]))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return tuple(node for node in nodes if id(node) not in docstrings)


@cache
def _used(name: Name) -> frozenset[Name]:
    module, _ = name
    meant, definitions = sources().names[module], sources().definitions
    found = set[Name]()
    for node in _within(name):
        match node:
            case ast.Name(id=word) if word in meant:
                found.add(meant[word])
            case ast.Attribute(value=ast.Name(id=word), attr=attribute) if word in meant:
                found.add((".".join(meant[word]), attribute))
    return frozenset(found & definitions.keys())
