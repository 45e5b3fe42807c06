"""`accept steps`: the step catalogue, read from the sources of the steps without importing them."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from parse import parse

from support.cli.console import out, say

STEPS = Path("steps")
KEYWORDS = ("given", "when", "then", "step")


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
    def text(self) -> str:
        """What a search looks at."""
        return f"{self.keyword} {self.wording} {self.meaning} {self.file.stem}".lower()


def steps(folder: Path = STEPS) -> tuple[Step, ...]:
    """Every step, by file and line."""
    return tuple(step for file in sorted(folder.rglob("*.py")) for step in _steps_of(file))


def search(words: str, among: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps that contain all of the words, in any order; or that match a sentence of a scenario or a report."""
    sentence = " ".join(words.split())
    for keyword in ("Given ", "When ", "Then ", "And ", "But "):
        sentence = sentence.removeprefix(keyword)
    matching = tuple(step for step in among if sentence and parse(step.wording, sentence) is not None)
    return matching or tuple(step for step in among if all(word in step.text for word in words.lower().split()))


def show(found: Sequence[Step]) -> None:
    """Print steps, each with its docstring and where it is."""
    for step in found:
        out.print(f"{step.keyword.capitalize()} {step.wording}", style="bold", markup=False)
        for line in step.meaning.splitlines():
            out.print(f"    {line}", markup=False)
        out.print(f"    {step.file}:{step.line}", style="dim", markup=False)
    say(f"{len(found)} steps")


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
