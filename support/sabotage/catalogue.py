"""All sabotages, by the part of the cluster that they break; and those of the user's own folder."""

import functools
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from support import own_folder
from support.errors import UsageError
from support.own_folder import OwnFolder
from support.sabotage import (
    cache,
    driver,
    encryption,
    hosts,
    members,
    patroni,
    postgres,
    proxy,
    schema,
    security,
    servers,
    sharding,
    workers,
)
from support.sabotage.sabotage import Notice, Sabotage
from support.vocabulary import QUOTED, suggestion
from support.waiting import describe

PARTS: Mapping[str, Sequence[Sabotage]] = {
    "PostgreSQL": (*postgres.SABOTAGES, *servers.SABOTAGES, *members.SABOTAGES),
    "schema": schema.SABOTAGES,
    "application": driver.SABOTAGES,
    "Redis and cache": cache.SABOTAGES,
    "HAProxy": proxy.SABOTAGES,
    "security": (*security.SABOTAGES, *encryption.SABOTAGES),
    "hosts and network": hosts.SABOTAGES,
    "Patroni and DCS": patroni.SABOTAGES,
    "Citus": (*sharding.SABOTAGES, *workers.SABOTAGES),
}
SABOTAGES: Mapping[str, Sabotage] = {one.name: one for part in PARTS.values() for one in part}
PART_OF: Mapping[str, str] = {one.name: part for part, sabotages in PARTS.items() for one in sabotages}
OWN_PART = "own folder"
"""In place of a part of the cluster, for the sabotages of the user's own folder."""
_TUPLE = "SABOTAGES"
"""The name of the tuple in the user's file."""


def every_sabotage(own: OwnFolder | None = None) -> Mapping[str, Sabotage]:
    """The suite's sabotages, and those of the user's own folder: `own`, or else the one of this process, if any.

    Raises UsageError as `own_sabotages` does.
    """
    folder = own or own_folder.given()
    return {**SABOTAGES, **({one.name: one for one in own_sabotages(folder.sabotages)} if folder else {})}


def part_of(sabotage: Sabotage) -> str:
    """The part of the cluster that it breaks."""
    return PART_OF.get(sabotage.name, OWN_PART)


@functools.cache
def own_sabotages(file: Path) -> tuple[Sabotage, ...]:
    """The sabotages in a file of the user's; none if there is no such file.

    Raises UsageError, with the file and the line, if it cannot be imported, has no tuple of sabotages, or uses a name
    twice or one of the suite's.
    """
    if not file.exists():
        return ()
    found = getattr(_imported(file), _TUPLE, None)
    if not isinstance(found, list | tuple) or not all(isinstance(one, Sabotage) for one in found):
        raise UsageError(f"{file}:1: it has no tuple {_TUPLE} with a Sabotage(...) for each way to break the cluster")
    names = [one.name for one in found]
    for name in names:
        if name in SABOTAGES or names.count(name) > 1:
            whose = "one of the suite's" if name in SABOTAGES else "there twice"
            raise UsageError(f"{file}:{line_of(name, file)}: the sabotage {name!r} is {whose}; choose another name")
    return tuple(found)


def line_of(name: str, file: Path) -> int:
    """The line of the user's file in which that sabotage is, as far as can be told from the text."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if f'"{name}"' in line or f"'{name}'" in line), 1)


def _imported(file: Path) -> ModuleType:
    module = ModuleType(f"own_{file.stem}")
    module.__file__ = str(file)
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), vars(module))
    except Exception as error:
        calls = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(file)]
        line = error.lineno if isinstance(error, SyntaxError) else next(reversed(calls), 1)
        raise UsageError(f"{file}:{line or 1}: {type(error).__name__}: {describe(error)}") from None
    return module


def chosen(words: Collection[str], ids: Collection[str]) -> tuple[Sabotage, ...]:
    """The sabotages that names and ids of promises select; all if there are none.

    An id selects each sabotage that the promise must notice, with this notice only. Raises UsageError for a word that
    is neither a sabotage nor an id.
    """
    known = every_sabotage()
    wanted = dict(known) if not words else {word: known[word] for word in words if word in known}
    for word in words:
        if word in known:
            continue
        noticed = [one for one in known.values() if word in one.ids]
        if not noticed:
            meant = suggestion(word, {*known, *ids}, QUOTED)
            why = f"neither a promise nor a sabotage{meant}"
            if word in ids:
                why = f"no sabotage is to be noticed by it; try one: ./accept prove SABOTAGE --also {word}"
            raise UsageError(f"{word!r}: {why}; ./accept prove --list shows all sabotages")
        for one in noticed:
            kept = [notice for notice in one.noticed_by if notice.id == word]
            before = wanted.get(one.name)
            if before is None or one.name not in words:
                more = before.noticed_by if before else ()
                wanted[one.name] = replace(one, noticed_by=(*more, *kept))
    return tuple(wanted.values())


def tried_on(sabotages: Iterable[Sabotage], ids: Collection[str], known: Collection[str]) -> tuple[Sabotage, ...]:
    """The sabotages, to be noticed by the scenarios of these promises and no others, whatever their message.

    To find out whether a new scenario notices them. Raises UsageError for an id that no scenario has.
    """
    for id in ids:
        if id not in known:
            raise UsageError(f"--also {id}: no scenario has the tag @id.{id}{suggestion(id, known)}")
    return tuple(replace(one, noticed_by=tuple(Notice(id, "") for id in ids)) for one in sabotages)
