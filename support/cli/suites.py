"""Which scenarios a command line selects: suites to folders and tags, and the rest of the words for behave."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cucumber_tag_expressions import TagExpressionError
from cucumber_tag_expressions import parse as parse_tags

from support.cli.places import FEATURES
from support.errors import UsageError
from support.reporting.scenario import EPICS

FOLDERS = tuple(EPICS)
TAGS = {
    "fast": "not @slow and not @destructive",
    "slow": "@slow",
    "destructive": "@destructive",
    "performance": "@id.PF-*",
}
SUITES = ("all", *FOLDERS, *TAGS)

# behave takes these for the name of one tag, which no scenario has, and so selects nothing or everything.
_OLD_STYLE = re.compile(r"^[~-]|,")


@dataclass(frozen=True)
class Selection:
    """What behave is told to run."""

    words: tuple[str, ...]
    """What the user asked for, for messages."""
    paths: tuple[str, ...]
    tags: tuple[str, ...] = ()
    """Tag expressions; a scenario is selected when all of them hold."""
    names: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    """What is behave's alone to understand."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """behave's command line, without its program name."""
        tags = tuple(f"--tags={tag}" for tag in self.tags)
        names = tuple(f"--name={name}" for name in self.names)
        return (*tags, *names, *self.rest, *self.paths)

    def __str__(self) -> str:
        filters = [*(f"--tags {tag!r}" for tag in self.tags), *(f"--name {name!r}" for name in self.names), *self.rest]
        return " ".join([*(self.words or ("all",)), *filters])


def select(words: Sequence[str], tags: Sequence[str] = (), names: Sequence[str] = ()) -> Selection:
    """Make a selection of what the command line says.

    Folder suites name folders, tag suites (fast, slow, destructive, performance) narrow them down; several of a kind
    add up. Feature files may stand beside them. From the first unknown option on, all words are behave's. Raises
    UsageError for a word that is none of these, and for tags that behave would misunderstand.
    """
    ours = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    asked, rest = words[:ours], words[ours:]
    folders, narrowing, paths = [], [], []
    for word in asked:
        if word in TAGS:
            narrowing.append(TAGS[word])
        elif word in FOLDERS:
            folders.append(FEATURES / word)
        elif word == "all":
            folders.append(FEATURES)
        else:
            paths.append(_feature(word))
    found = [str(folder) for folder in folders if folder.is_dir()] + paths
    if folders and not found:
        found = [str(folder) for folder in folders]
    for expression in tags:
        _require_new_style(expression)
    either = " or ".join(f"({one})" for one in narrowing)
    return Selection(
        words=tuple(asked),
        paths=tuple(found or [str(FEATURES)]),
        tags=(*([either] if either else []), *tags),
        names=tuple(names),
        rest=tuple(word for word in rest if word != "--"),
    )


def _feature(word: str) -> str:
    path = re.sub(r":\d+$", "", word)
    if Path(path).exists():
        return word
    if word.startswith("@"):
        raise UsageError(f"{word!r} is no suite; say --tags {word!r}")
    raise UsageError(
        f"there is no suite, command or feature file {word!r}; the suites are {', '.join(SUITES)}; "
        "./accept --help lists the commands"
    )


def _require_new_style(expression: str) -> None:
    if _OLD_STYLE.search(expression):
        terms = [re.sub(r"^[~-]", "not ", term.strip()) for term in expression.split(",")]
        raise UsageError(f"--tags {expression!r} is of the old style; say --tags {' or '.join(terms)!r}")
    try:
        parse_tags(expression)
    except TagExpressionError as error:
        why = " ".join(str(error).split())
        raise UsageError(
            f"--tags {expression!r} is no tag expression ({why}); an example: '@cache and not @slow'"
        ) from None
