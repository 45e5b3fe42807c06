"""Which scenarios a command line selects. Suites become folders and tags; unknown options go to behave."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from cucumber_tag_expressions import TagExpressionError
from cucumber_tag_expressions import parse as parse_tags

from support.cli.paths import FEATURES
from support.errors import UsageError
from support.own_folder import OwnFolder
from support.places import STARTED_IN
from support.reporting.scenario import EPICS
from support.vocabulary import QUOTED, suggestion

FOLDERS = tuple(EPICS)
SMOKE = "smoke"
"""The tag of the scenarios that give a quick answer: a few of each capability, one failover among them."""
TAGS = {
    SMOKE: f"@{SMOKE}",
    "fast": "not @slow and not @destructive",
    "slow": "@slow",
    "destructive": "@destructive",
    "performance": "@id.PF-*",
}
SUITES = ("all", *FOLDERS, *TAGS)

# behave takes these for the name of a single tag, which no scenario has, and selects nothing or everything.
_OLD_STYLE = re.compile(r"^[~-]|,")
_SHORT = {"-t": "--tags", "-n": "--name"}
"""The short forms of the options that select, as behave has them. They stand among the words that are behave's."""


@dataclass(frozen=True)
class Selection:
    """What behave has to run."""

    words: tuple[str, ...]
    """The suites and files as the user typed them, for messages."""
    paths: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    """The tag expressions of suites that are kinds: one of them must hold."""
    tags: tuple[str, ...] = ()
    """The user's tag expressions. A scenario is selected if all of them hold."""
    names: tuple[str, ...] = ()
    """Patterns of titles. A scenario is selected if one of them matches."""
    rest: tuple[str, ...] = ()
    """Further options of behave."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """behave's command line, without its program name."""
        either = [" or ".join(f"({one})" for one in self.kinds)] if self.kinds else []
        tags = tuple(f"--tags={tag}" for tag in (*either, *self.tags))
        names = tuple(f"--name={name}" for name in self.names)
        return (*tags, *names, *self.rest, *self.paths)

    @property
    def defined(self) -> dict[str, str]:
        """The names and values that behave's option -D defines. Most of them are settings."""
        found, words = dict[str, str](), iter(self.rest)
        for word in words:
            short, long = word.startswith("-D"), word == "--define" or word.startswith("--define=")
            if short or long:
                said = word.removeprefix("-D") if short else word.removeprefix("--define").removeprefix("=")
                name, equals, value = (said or next(words, "")).partition("=")
                found[name.strip().lower()] = value.strip() if equals else "true"
        return found

    def __str__(self) -> str:
        filters = [*(f"--tags {tag!r}" for tag in self.tags), *(f"--name {name!r}" for name in self.names), *self.rest]
        return " ".join([*self.words, *filters]) or "all"

    @property
    def limits(self) -> str:
        """What a run is limited to by its user, as a shell reads it; empty if nothing is selected."""
        filters = (*(("--tags", tag) for tag in self.tags), *(("--name", name) for name in self.names))
        return shlex.join([*self.words, *chain.from_iterable(filters)])


def select(
    words: Sequence[str], tags: Sequence[str] = (), names: Sequence[str] = (), own: OwnFolder | None = None
) -> Selection:
    """The selection that a command line asks for.

    Suites that are folders (cluster, cache, ...) add up; suites that are kinds (smoke, fast, slow, ...)
    narrow them down. Feature files may be named, too. From the first unknown option on, all words are for behave.
    With a folder of the user's own, its features are selected beside ours, or alone where no folder is named. Raises
    UsageError for any other word, for tag expressions that behave would misunderstand, and for names that are no
    pattern.
    """
    first_option = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    asked, rest = words[:first_option], list(words[first_option:])
    tags, names = [*tags, *_taken(rest, "-t")], [*names, *_taken(rest, "-n")]
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
    everything, theirs = FEATURES, list[Path]()
    if own is not None:
        everything, theirs = own.features, [own.features / folder.relative_to(FEATURES) for folder in folders]
    found = [str(folder) for folder in (*folders, *theirs) if folder.is_dir()] + paths
    if folders and not found:
        found = [str(folder) for folder in folders]
    for expression in tags:
        _require_valid(expression)
    for name in names:
        _require_pattern(name)
    return Selection(
        words=tuple(asked),
        paths=tuple(found or [str(everything)]),
        kinds=tuple(narrowing),
        tags=tuple(tags),
        names=tuple(names),
        rest=tuple(word for word in rest if word != "--"),
    )


def _taken(rest: list[str], short: str) -> list[str]:
    """Take the values of a short option from the words for behave, as behave reads it: "-t X", "-tX" or "-t=X".

    Raises UsageError if its value is missing.
    """
    found, left, words = list[str](), list[str](), iter(rest)
    for word in words:
        if not word.startswith(short):
            left.append(word)
            continue
        value = word.removeprefix(short).removeprefix("=") or next(words, "")
        if not value:
            raise UsageError(f"{short} ({_SHORT[short]}) needs a value")
        found.append(value)
    rest[:] = left
    return found


def _feature(word: str) -> str:
    path = re.sub(r":\d+$", "", word)
    if path and (typed := STARTED_IN / path).exists():
        return f"{_shown(typed)}{word.removeprefix(path)}"
    if path and Path(path).exists():
        return word
    if word.startswith("@"):
        raise UsageError(f"{word!r} is not a suite; to select by tag, use --tags {word!r}")
    raise UsageError(
        f"there is no suite, command or feature file {word!r}{suggestion(word, SUITES, QUOTED)} "
        f"(suites: {', '.join(SUITES)}; ./accept --help lists the commands)"
    )


def _shown(path: Path) -> str:
    """Relative to the working directory if it is there, as behave shows it; else absolute."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def outside(selection: Selection) -> tuple[Path, ...]:
    """The selected files and folders that are outside of this project."""
    project = Path.cwd().resolve()
    found = [Path(re.sub(r":\d+$", "", path)) for path in selection.paths]
    return tuple(path for path in found if path.exists() and not path.resolve().is_relative_to(project))


def _require_pattern(name: str) -> None:
    """Raises UsageError unless it is a regular expression, which behave looks for in the titles."""
    try:
        re.compile(name)
    except re.error as error:
        raise UsageError(
            f"--name {name!r} is not a regular expression: {error}; write a backslash before any of ()[]{{}}.*+?|^$\\ "
            "that is meant literally"
        ) from None


def _require_valid(expression: str) -> None:
    if _OLD_STYLE.search(expression):
        terms = [re.sub(r"^[~-]", "not ", term.strip()) for term in expression.split(",")]
        raise UsageError(f"--tags {expression!r} uses the old style; write --tags {' or '.join(terms)!r}")
    try:
        parse_tags(expression)
    except TagExpressionError as error:
        why = " ".join(str(error).split())
        raise UsageError(
            f"--tags {expression!r} is not a valid tag expression ({why}); write it like '@cache and not @slow'"
        ) from None
