"""What to do about a broken promise: `features/on-call.toml`, for the on-call engineer.

A table of the file is for one promise ([FO-01]), for all promises whose ids begin alike ([FO]), or for a capability
([failover]). A promise uses its own table, or else the next wider one, so that a new promise has an entry from
the first day. `accept lint` says which promises only the widest one covers.

The user's own folder can have such a file as well, also with tables for the suite's promises.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.errors import UsageError
from support.reporting.promises import Promise
from support.reporting.scenario import EPICS

FILE = "on-call.toml"
"""Name of the file in the folder of the features."""
UNKNOWN = "[{}] is about no promise: use an id such as [FO-01], the beginning of ids such as [FO], or a capability"
_TEXT, _LISTS = "means", ("causes", "look", "fixes", "first", "facts")


@dataclass(frozen=True)
class Guide:
    """What somebody needs to know who is woken up by a broken promise."""

    about: str
    """The id, the beginning of ids, or the capability that it is for."""
    means: str
    """What it means for users that the promise is broken."""
    causes: tuple[str, ...] = ()
    """What usually causes it, the likeliest first."""
    look: tuple[str, ...] = ()
    """What to look at first, in that order; commands in backquotes."""
    fixes: tuple[str, ...] = ()
    """How others fixed it."""
    first: tuple[str, ...] = ()
    """Ids of promises that may be the cause if they are broken as well, and have to be fixed first."""
    facts: tuple[str, ...] = ()
    """Names of facts about the target, as the report lists them, that matter here."""


def load(path: Path) -> Mapping[str, Guide]:
    """The guides by what they are about; none if there is no such file.

    Raises UsageError with a line for each mistake: not TOML, an unknown or missing key, a value of another kind.
    """
    if not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    if complaints := [f"{path}: {what}" for about, table in tables.items() for what in _complaints(about, table)]:
        raise UsageError("\n".join(complaints))
    return {
        about: Guide(about, table[_TEXT].strip(), *(tuple(table.get(key, ())) for key in _LISTS))
        for about, table in tables.items()
    }


def load_all(files: Iterable[Path]) -> Mapping[str, Guide]:
    """The guides of several files: a table takes the place of the one with the same name in an earlier file."""
    return {about: guide for file in files for about, guide in load(file).items()}


def guide_for(promise: Promise, guides: Mapping[str, Guide]) -> Guide:
    """The guide for a promise; if there is none at all, one that says what is promised."""
    for about in (promise.id, promise.id.partition("-")[0], promise.capability):
        if about in guides:
            return guides[about]
    return Guide("", f"This no longer holds: {promise.sentence}")


def unknown(guides: Iterable[str], promises: Mapping[str, Promise]) -> Iterator[str]:
    """Tables that are about no promise, and no capability."""
    known = {*promises, *(id.partition("-")[0] for id in promises), *EPICS}
    return (about for about in guides if about not in known)


def unknown_causes(guides: Mapping[str, Guide], promises: Mapping[str, Promise]) -> Iterator[tuple[str, str]]:
    """Ids in `first` that are no promise, each with the table in which they are."""
    return ((about, id) for about, one in guides.items() for id in one.first if id not in promises)


def only_general(guides: Mapping[str, Guide], promises: Mapping[str, Promise]) -> list[str]:
    """The ids of the promises that no table but that of their capability covers."""
    return [id for id, one in promises.items() if guide_for(one, guides).about not in (id, id.partition("-")[0])]


def _complaints(about: str, table: Any) -> Iterator[str]:
    if not isinstance(table, dict):
        yield f"{about!r} belongs to no table: put it below one such as [FO-01]"
        return
    for key in table:
        if key not in (_TEXT, *_LISTS):
            yield f"[{about}]: there is no key {key!r}; the keys are {', '.join((_TEXT, *_LISTS))}"
    if not isinstance(table.get(_TEXT), str) or not table[_TEXT].strip():
        yield f"[{about}]: {_TEXT!r} must be a text that is not empty"
    for key in _LISTS:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            yield f"[{about}]: {key!r} must be a list of texts"
