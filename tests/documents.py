"""The project's documents as data: examples, links, headings; and a copy of the project with the examples in it.

An example that belongs into a file of the project begins with a comment that names the file:

    # steps/cache/room_steps.py
    # features/promises.toml                          added at the end of a file that is there
    # support/sabotage/cache.py, in SABOTAGES        put at the beginning of that tuple
"""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from program import ROOT, Program, copy

DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
_PLACE = re.compile(r"# (?P<path>(features|steps|support|tests)/\S+?)(, in (?P<name>\w+))?\n")
_LINK = re.compile(r"\]\(\s*(?!\w+:)(?P<path>[^)#\s]*)(#(?P<anchor>[^)\s]+))?\s*\)")
_COMMAND = re.compile(r"`(\./accept\b[^`]*)`")


@dataclass(frozen=True)
class Example:
    """A block of code in a document; `kind` is its language."""

    document: Path
    kind: str
    text: str

    @property
    def place(self) -> "re.Match[str] | None":
        """Where it belongs in the project, if it says so."""
        return _PLACE.match(self.text)

    @property
    def path(self) -> Path | None:
        return Path(self.place["path"]) if self.place else None


@dataclass(frozen=True)
class Link:
    """A link to a file of the project, or to a heading in one."""

    document: Path
    path: str
    anchor: str

    @property
    def target(self) -> Path:
        return self.document.parent / self.path if self.path else self.document


def examples(*kinds: str, among: tuple[Path, ...] = DOCUMENTS) -> Iterator[Example]:
    """The blocks of code of these languages; of every language unless said."""
    for document in among:
        for block in _FENCE.finditer(document.read_text(encoding="utf-8")):
            if not kinds or block["kind"] in kinds:
                yield Example(document, block["kind"], textwrap.dedent(block["text"]))


def commands(document: Path) -> Iterator[list[str]]:
    """Every command line of the program that the document shows, as words after `./accept`."""
    lines = [line for block in examples("bash", among=(document,)) for line in block.text.splitlines()]
    for line in [*lines, *(found.replace("\n", " ") for found in _COMMAND.findall(prose(document)))]:
        words = shlex.split(line, comments=True)
        if words and words[0] == "./accept":
            yield words[1 : words.index(">")] if ">" in words else words[1:]


def prose(document: Path) -> str:
    """The text without its blocks of code."""
    return _FENCE.sub("", document.read_text(encoding="utf-8"))


def links(document: Path) -> Iterator[Link]:
    for found in _LINK.finditer(prose(document)):
        yield Link(document, found["path"], found["anchor"] or "")


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def copy_with_examples(project: Path) -> Program:
    """The program in a copy of the project, with every example put where it says that it belongs."""
    program = copy(project)
    for example in examples():
        if example.place:
            _put(project / example.place["path"], example.place["name"], example.text)
    return program


def _put(file: Path, name: str | None, text: str) -> None:
    there = file.read_text(encoding="utf-8") if file.exists() else ""
    if name:
        begin = f"{name} = (\n"
        assert there.count(begin) == 1, f"{file} has no tuple {name}"
        entry = text.partition("\n")[2].rstrip().rstrip(",")
        there = there.replace(begin, f"{begin}{textwrap.indent(entry, '    ')},\n")
    else:
        there = f"{there}\n{text}" if there else text
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(there, encoding="utf-8")
