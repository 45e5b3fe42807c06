"""Names in Python files that nothing defines: calling such a step would raise NameError, in the middle of a run."""

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path
from symtable import SymbolTable, symtable

from support.cli.feature_files import LintFinding
from support.own_folder import OwnFolder
from support.vocabulary import suggestion

_BUILT_IN = frozenset([*dir(builtins), *("__file__", "__path__", "__annotations__", "__module__", "__qualname__")])


def findings(own: OwnFolder) -> Iterator[LintFinding]:
    """A finding for each undefined name in the steps of the user's own folder."""
    for file in (file for folder in own.step_folders for file in sorted(folder.glob("*.py"))):
        yield from of_file(file)


def of_file(file: Path) -> Iterator[LintFinding]:
    """A finding for each undefined name in a file. What is not Python has none: its import fails."""
    try:
        text = file.read_text(encoding="utf-8")
        tree, table = ast.parse(text), symtable(text, str(file), "exec")
    except (SyntaxError, ValueError):  # a ValueError: of bytes that are no text
        return
    yield from _of_code(file, tree, table)


def _of_code(file: Path, tree: ast.AST, top: SymbolTable) -> Iterator[LintFinding]:
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return  # what it imports is known only to Python
    tables = list(_tables(top))
    defined = {
        one.get_name()
        for table in tables
        for one in table.get_symbols()
        if (table is top or one.is_declared_global()) and (one.is_assigned() or one.is_imported() or one.is_namespace())
    }
    used = {
        one.get_name()
        for table in tables
        for one in table.get_symbols()
        if one.is_referenced() and (table is top or one.is_global())
    }
    undefined = used - defined - _BUILT_IN
    told = set[str]()
    for node in sorted((one for one in ast.walk(tree) if isinstance(one, ast.Name)), key=lambda one: one.lineno):
        if node.id in undefined - told:
            told.add(node.id)
            meant = suggestion(node.id, defined | _BUILT_IN)
            yield LintFinding(file, node.lineno, f"the name {node.id!r} is defined nowhere{meant}")


def _tables(table: SymbolTable) -> Iterator[SymbolTable]:
    """The names of a file, and those of each class and function in it."""
    yield table
    for inner in table.get_children():
        yield from _tables(inner)
