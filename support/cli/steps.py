"""`accept steps`: the step catalogue, read from the sources of the steps.

The sources are imported only to tell which values a parameter, or a column of a step's table, can have.
"""

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType

from parse import parse

from support import own_folder
from support.cli.behave_process import CannotLoad
from support.cli.capability_needs import needed
from support.cli.console import complain, out, say
from support.cli.handed_over import Value, exchange
from support.cli.paths import STEPS
from support.cli.step_uses import Sentence, is_said, keywords_of, uses_of
from support.cli.word_search import best_first, nothing_found
from support.own_folder import OwnFolder
from support.places import ROOT
from support.reporting.mistakes import told
from support.vocabulary import Columns, Kind, counted

_KINDED = re.compile(r"\{(\w+):([A-Z]\w*)\}")
"""A parameter whose type is registered with behave."""
KEYWORDS = ("given", "when", "then", "step")
_OURS = ROOT / STEPS


@dataclass(frozen=True)
class Step:
    """One wording of a step, and what it does."""

    keyword: str
    """given, when or then; "step" stands for any of them."""
    wording: str
    meaning: str
    """The docstring of its function; empty if there is none."""
    file: Path
    line: int

    @property
    def loose(self) -> str:
        """The wording with any text for parameters that have a kind."""
        return _KINDED.sub(r"{\1}", self.wording)

    @property
    def said_with(self) -> str:
        """The keyword as a feature has it; of a step for any keyword those with which the features use it."""
        return keywords_of(self.loose) if self.keyword == "step" else self.keyword.capitalize()

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Parameter -> its kind, for those that have one."""
        types = dict(_KINDED.findall(self.wording))
        known = _registered(self.file) if types else {}
        return {name: known[type] for name, type in types.items() if type in known}

    @property
    def text(self) -> str:
        """What a search looks at."""
        return f"{self.keyword} {self.wording} {self.meaning} {self.file.stem}".lower()


def steps(folder: Path = STEPS) -> tuple[Step, ...]:
    """Every step in the files of a folder, by file and line."""
    return tuple(step for file in sorted(folder.rglob("*.py")) for step in _steps_of(file))


def own_steps(own: OwnFolder) -> tuple[Step, ...]:
    """The steps in the user's own folder. A file that is not Python has none; the dry run says why."""
    found = list[Step]()
    for file in (file for folder in own.step_folders for file in sorted(folder.glob("*.py"))):
        with suppress(SyntaxError, ValueError):  # a ValueError: of bytes that are no text
            found += _steps_of(file)
    return tuple(found)


def all_steps() -> tuple[Step, ...]:
    """Our steps, and those in the user's own folder."""
    own = own_folder.given()
    return (*steps(), *(own_steps(own) if own else ()))


def search(words: str, among: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps that contain all of the words, in any order; or that match a sentence of a scenario or a report.

    Those that have the words in their wording, and as whole words, come first.
    """
    sentence = without_keyword(words)
    matching = tuple(step for step in among if sentence and parse(step.loose, sentence) is not None)
    return matching or best_first(words, among, lambda step: f"{step.keyword} {step.wording}", lambda step: step.text)


def matching(sentence: str, among: Sequence[Step]) -> tuple[Step, ...]:
    """The steps whose wording the sentence is, with values that its parameters can have."""
    return tuple(
        step
        for step in among
        if (found := parse(step.loose, sentence, case_sensitive=True)) is not None
        and all(kind.allows(str(found.named[name])) for name, kind in step.kinds.items())
    )


def function_at(file: Path, line: int) -> FunctionType | None:
    """The step function whose first decorator is on that line; None if there is none, as for a generated function."""
    where = _module(ROOT / file)
    own = (one for one in vars(where).values() if isinstance(one, FunctionType) and one.__module__ == where.__name__)
    return next((one for one in own if one.__code__.co_firstlineno == line), None)


def columns_of(file: Path, line: int) -> Columns | None:
    """The columns that the step function at that line (of its first decorator) declares for its table."""
    columns: Columns | None = getattr(function_at(file, line), "columns", None)
    return columns


def _module(file: Path) -> ModuleType:
    """The step module in a file. Importing it beside behave, from the same working directory, has no effects.

    If it were imported again from another directory, behave would see duplicate steps. Raises CannotLoad.
    """
    return _imported(file.resolve())


@cache
def _imported(file: Path) -> ModuleType:
    try:
        return _import(file)
    except Exception as error:
        raise CannotLoad(told(error)) from error


def _import(file: Path) -> ModuleType:
    if file.is_relative_to(_OURS):
        return importlib.import_module(".".join((STEPS.name, *file.relative_to(_OURS).with_suffix("").parts)))
    spec = importlib.util.spec_from_file_location(f"steps_in_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))  # as behave does
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module


def _registered(file: Path) -> Mapping[str, Kind]:
    return _kinds(file.resolve())


@cache
def _kinds(file: Path) -> Mapping[str, Kind]:
    """The kinds that a step module registers with behave: the name of the type -> the kind."""
    found = dict[str, object]()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="register_type") | ast.Attribute(attr="register_type"), keywords=keywords):
                found |= _evaluated(keywords, _module(file))
    return {type: kind for type, kind in found.items() if isinstance(kind, Kind)}


def _evaluated(keywords: Sequence[ast.keyword], module: ModuleType) -> Mapping[str, object]:
    """The arguments of a call, by name, evaluated again where the module's own names are known.

    Empty if that is not possible, as for a call inside a function, which uses names of the function.
    """
    names: list[ast.expr | None] = [ast.Constant(one.arg) if one.arg else None for one in keywords]
    arguments = ast.Expression(ast.Dict(names, [one.value for one in keywords]))
    code = compile(ast.fix_missing_locations(arguments), str(module.__file__), "eval")
    with suppress(Exception):
        return dict(eval(code, vars(module)))
    return {}


def without_keyword(words: str) -> str:
    sentence = " ".join(words.split())
    for keyword in ("Given ", "When ", "Then ", "And ", "But "):
        sentence = sentence.removeprefix(keyword)
    return sentence


def show(found: Sequence[Step], words: str, among: Sequence[Step]) -> None:
    """Print the steps found, each with its docstring, what it needs, and where it is; or how to search for others."""
    for step in found:
        out.print(f"{step.said_with} {step.wording}", style="bold", markup=False)
        for line in step.meaning.splitlines():
            out.print(f"    {line}", markup=False)
        for name, kind in step.kinds.items():
            out.print(f"    {name}: {', '.join((*kind.values, *kind.shown))}", markup=False)
        for line in needs_of(step):
            out.print(f"    {line}", markup=False)
        out.print(f"    {step.file}:{step.line}", style="dim", markup=False)
    if found:
        say(counted(len(found), "step"))
    else:
        complain(f"{nothing_found('step', words, [step.text for step in among])} (./accept steps lists them all)")


def needs_of(step: Step) -> Iterator[str]:
    """What must be there for a step: of the target, by its tags, and of earlier steps of the scenario."""
    function = f"{step.file}:{step.line}"
    if tags := needed(function, step.wording):
        yield f"needs: {' '.join(f'@{tag}' for tag in tags)}"
    words = {_provided(step, value) for value in exchange(function).needs}
    yield from (f"needs from an earlier step: {one}" for one in sorted(words))


def _provided(step: Step, value: Value) -> str:
    """What a value is, and a step that provides it: the one that is declared, unless no scenario has both of them.

    Then it is one that a scenario has before this step, if any has.
    """
    scenarios, declared = uses_of(step.loose), value.words.partition(', such as "')[2].removesuffix('"')
    if not scenarios or any(_is_like(declared, one) for uses in scenarios for one in uses):
        return value.words
    for uses in scenarios:
        at = next(at for at, one in enumerate(uses) if is_said(step.loose, one))
        for sentence in (one for one in reversed(uses[:at]) if one.is_filled):
            if any(exchange(f"{one.file}:{one.line}").can_provide(value) for one in _that_say(sentence)):
                return f'{value.words.partition(", such as ")[0]}, such as "{sentence}"'
    return value.words


def _is_like(declared: str, sentence: Sentence) -> bool:
    """Whether the sentence is the declared step; one of the two may have other values."""
    if not declared:
        return False
    said = Sentence("", without_keyword(declared).removesuffix("...").strip())
    return any(is_said(one.loose, sentence) for one in _that_say(said)) or sentence.text.startswith(said.text)


@cache
def _that_say(sentence: Sentence) -> tuple[Step, ...]:
    """The steps of that wording."""
    return tuple(one for one in _catalogue() if is_said(one.loose, sentence))


@cache
def _catalogue() -> tuple[Step, ...]:
    return all_steps()


def _steps_of(file: Path) -> Iterator[Step]:
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        meaning = ast.get_docstring(node) or ""
        for decorator in reversed(node.decorator_list):
            match decorator:
                case ast.Call(func=ast.Name(id=keyword), args=[ast.Constant(value=str(wording)), *_]) if (
                    keyword in KEYWORDS
                ):
                    yield Step(keyword, wording, meaning, file, node.lineno)
