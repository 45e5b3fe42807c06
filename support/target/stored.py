"""What a process may have stored in a target's tables: noted before it is stored, and removed by name.

The notes are in a file in the run's folder. A run that is killed leaves them there, and the next run on this machine
removes exactly those namespaces, by equality: in a table of many millions of rows nothing else is affordable.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from support import sql
from support.errors import AcceptError, ConnectFailed
from support.example_app import schema
from support.example_app.profile import PARTS, Profile
from support.run import STORED
from support.target.topology import Topology
from support.timeouts import RECOVERY
from support.waiting import eventually

PARTS_OF = {"related": ("related",), "graph": ("nodes", "edges"), "reference": ("reference",)}
"""Tag -> the parts in which a scenario with it stores rows. All scenarios may store entries."""


def parts_of(tags: Collection[str]) -> frozenset[str]:
    """The parts in which a scenario with these tags stores rows.

    A scenario cannot use others: where they are missing, it would not be skipped.
    """
    return frozenset({"entries"}.union(*(parts for tag, parts in PARTS_OF.items() if tag in tags)))


@dataclass
class Noted:
    """The namespaces in which rows may be stored, and the tables that are meant."""

    profile: Profile
    namespaces: dict[str, frozenset[str]] = field(default_factory=dict)
    """Namespace -> the parts in which it may have rows."""

    def remove(self, where: sql.Endpoint, on_progress: Callable[[int], None] = lambda deleted: None) -> int:
        """Delete these rows; returns how many. Raises sql.Error or ConnectFailed, with some of them deleted; and
        NotAvailable if rows are still there that were deleted.
        """
        deleted = 0
        for parts in set(self.namespaces.values()):
            names = [name for name, those in self.namespaces.items() if those == parts]
            deleted += schema.remove(where, self.profile, names, parts, partial(_add, deleted, on_progress))
        return deleted

    def remove_soon(self, where: sql.Endpoint, on_progress: Callable[[int], None] = lambda deleted: None) -> None:
        """Delete these rows as soon as the endpoint takes writes. Raises AcceptError if it does not in time."""
        try:
            eventually(
                lambda: self.remove(where, on_progress),
                within=RECOVERY,
                subject="the write endpoint takes writes",
                retry_on=(sql.Error, ConnectFailed),
            )
        except AssertionError as error:
            first = next(iter(self.namespaces), "")
            raise AcceptError(f"rows with a namespace like '{first}%' are left in the database: {error}") from error


def _add(before: int, on_progress: Callable[[int], None], deleted: int) -> None:
    on_progress(before + deleted)


class Notes:
    """Notes of what one process stores in one target."""

    def __init__(self, directory: Path, topology: Topology, own_tables: bool = False) -> None:
        """`directory` is the folder of the run. Rows in tables of its own need no note: they end with the tables."""
        self._own_tables = own_tables
        self.file = directory / STORED
        self.noted = Noted(topology.profile)
        profile = _PROFILE.dump_python(topology.profile, mode="json")
        sandbox = topology.sandbox and str(topology.sandbox)
        self._write({"target": identity(topology), "sandbox": sandbox, "profile": profile})

    def add(self, namespace: str, parts: Collection[str] = PARTS) -> None:
        """Note a namespace, before anything is stored in it."""
        self.noted.namespaces[namespace] = frozenset(parts)
        if not self._own_tables:
            self._write({"namespace": namespace, "parts": sorted(parts)})

    def removed(self) -> None:
        """Everything is removed: nothing is left for another run to do."""
        self.file.unlink(missing_ok=True)

    def _write(self, line: Mapping[str, object]) -> None:
        with self.file.open("a", encoding="utf-8") as file:  # one write, so that a kill leaves whole lines
            file.write(f"{json.dumps(line)}\n")


def identity(topology: Topology) -> str:
    """What tells this target from others: where it is reached, or the sandbox that it is in."""
    return f"{topology.called}/{topology.database}" + (f" in {topology.sandbox}" if topology.sandbox else "")


def noted(directory: Path, target: str) -> list[Noted]:
    """What the run with that folder has noted for that target; empty if it has noted nothing."""
    found: list[Noted] = []
    meant = False
    for line in _lines(directory / STORED):
        if "target" in line:
            meant = line["target"] == target
            found += [Noted(_PROFILE.validate_python(line["profile"]))] if meant else []
        elif meant:
            found[-1].namespaces[line["namespace"]] = frozenset(line["parts"])
    return found


def is_pending(directory: Path) -> bool:
    """Whether the run with that folder has noted rows in a target that may still exist; not if its sandbox is gone."""
    begun = [line for line in _lines(directory / STORED) if "target" in line]
    return any(line["sandbox"] is None or Path(line["sandbox"]).exists() for line in begun)


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    with suppress(FileNotFoundError):
        for line in file.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):  # the disk was full
                yield json.loads(line)


_PROFILE = TypeAdapter(Profile)
