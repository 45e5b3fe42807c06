"""The list of promises, `features/promises.toml`: what each id means, in a sentence that users can read."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support import own_folder
from support.errors import UsageError
from support.places import ROOT
from support.reporting.scenario import EPICS, SEVERITIES
from support.vocabulary import QUOTED, suggestion

FILE = "promises.toml"
"""Name of the file in the folder of the features."""
_ID = re.compile(r"[A-Z]{2}-\d{2}")
_TABLE = re.compile(r"""^\s*\[\s*["']?([^\]"']+?)["']?\s*\]""")
_KEYS = ("capability", "promise", "severity")
_NAME = "name"
LONGEST_NAME = 28
"""Characters of a name."""
_MEANT_FOR = {"capability": tuple(EPICS), "severity": SEVERITIES}


@dataclass(frozen=True)
class Promise:
    """One promise of the cluster."""

    id: str
    capability: str
    """The folder of its scenarios: cluster, sharding, failover, isolation, cache, security."""
    sentence: str
    """What is promised, for management."""
    severity: str
    """How bad it is when it is broken; none of its scenarios is more severe."""
    line: int = 0
    """Its line in the file."""
    name: str = ""
    """What it is about, in a few words; empty if the file does not say."""


def load(path: Path) -> Mapping[str, Promise]:
    """The promises by id, in the order of the file.

    Raises UsageError with a line for each mistake: no file, not TOML, a duplicate id, an unknown or missing key, an
    invalid value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: the file does not exist; it lists the promises that the scenarios prove") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error}") from None
    lines, complaints = _lines(text)
    if complaints:
        raise UsageError("\n".join(f"{path}:{one}" for one in complaints))
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    complaints = [
        f"{path}:{lines.get(id, 1)}: {what}" for id, table in tables.items() for what in _complaints(id, table)
    ]
    if complaints:
        raise UsageError("\n".join(complaints))
    return {id: _promise(id, table, lines.get(id, 0)) for id, table in tables.items()}


def sentence_of(id: str, feature: Path) -> str:
    """The sentence of that promise in the list beside a feature file; empty where the list does not have it.

    A list that cannot be read costs a run only its sentences: `accept lint` reports what is wrong with it.
    """
    for folder in feature.parents:
        if folder.name == "features":
            known = _known(folder / FILE).get(id)
            return known.sentence if known else ""
    return ""


def severity_of(id: str) -> str:
    """The severity of that promise in our list, or in that of the user's own folder; empty where neither has it."""
    own = own_folder.given()
    for path in (ROOT / own_folder.FEATURES / FILE, *([own.promises] if own else ())):
        if known := _known(path).get(id):
            return known.severity
    return ""


def listed(folder: Path = Path("features")) -> frozenset[str]:
    """The ids in the list of promises of that folder; none if the list is missing or cannot be read."""
    return frozenset(_known(folder / FILE))


@cache
def _known(path: Path) -> Mapping[str, Promise]:
    try:
        return load(path)
    except UsageError:
        return {}


def _promise(id: str, table: Mapping[str, str], line: int) -> Promise:
    sentence, name = table["promise"].strip(), table.get(_NAME, "").strip()
    return Promise(id, table["capability"], sentence, table["severity"], line, name)


def _lines(text: str) -> tuple[dict[str, int], list[str]]:
    """The line of each table, and a complaint for each duplicate id; the TOML parser names no line."""
    lines: dict[str, int] = {}
    twice = []
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.match(line):
            first = lines.setdefault(found[1], number)
            if first != number:
                twice.append(f"{number}: {found[1]} is already in line {first}; list each id once")
    return lines, twice


def _complaints(id: str, table: Any) -> Iterator[str]:
    if not isinstance(table, dict):
        yield f"{id!r} belongs to no promise: put it below a table such as [FO-01]"
        return
    if not _ID.fullmatch(id):
        yield f"[{id}] is not an id of the form AB-12"
    for key in table:
        if key not in (keys := (*_KEYS, _NAME)):
            yield f"{id}: there is no key {key!r}{suggestion(key, keys, QUOTED)} (known: {', '.join(keys)})"
    name = table.get(_NAME, "-")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= LONGEST_NAME or "\n" in name:
        yield f"{id}: name = {name!r}: must be a text of at most {LONGEST_NAME} characters, in one line"
    for key in _KEYS:
        value = table.get(key)
        if value is None:
            yield f"{id}: {key!r} is missing"
        elif not isinstance(value, str) or not value.strip():
            yield f"{id}: {key} = {value!r}: must be a text that is not empty"
        elif key in _MEANT_FOR and value not in _MEANT_FOR[key]:
            known = _MEANT_FOR[key]
            yield f"{id}: {key} = {value!r}: must be one of {', '.join(known)}{suggestion(value, known, QUOTED)}"
        elif "\n" in value.strip():
            yield f"{id}: {key}: must be a single line"
