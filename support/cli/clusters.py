"""The clusters that `accept up` started: where they are kept, which of them live, and how to reach them."""

import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from support.cli.booting import TARGET
from support.errors import UsageError
from support.hosts import Sandbox, alive, attach, stale
from support.run import CLUSTERS, RUNS
from support.target.topology import Topology

NEWEST = "up"
"""As a target: the cluster that was started last, whatever its name."""
FORGOTTEN_AFTER = 24 * 3600.0
"""Seconds after which a run that nothing tells of is taken to be over."""
BESIDE = "beside"
"""In the folder of a run: that of a cluster which it booted and meets from outside."""
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,29}$")


@dataclass(frozen=True)
class Kept:
    """One cluster's folder under `.accept/clusters`."""

    directory: Path

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def sandbox_directory(self) -> Path:
        return self.directory / "sandbox"

    @property
    def file(self) -> Path:
        """Its topology; written when it is ready."""
        return self.directory / "topology.json"

    @property
    def target(self) -> Path:
        """The target file of a cluster that is met from outside only; other clusters have none."""
        return self.directory / TARGET

    @property
    def log(self) -> Path:
        """What the process that keeps it up had to say."""
        return self.directory / "accept.log"

    @property
    def psql(self) -> Path:
        """The psql of its PostgreSQL; the system's where that one brings none."""
        own = self.directory / "bin" / "psql"
        return own if own.exists() else Path("psql")

    @property
    def lives(self) -> bool:
        return alive(self.sandbox_directory)

    @cached_property
    def topology(self) -> Topology:
        return Topology.load(self.file)

    @cached_property
    def sandbox(self) -> Sandbox:
        return attach(self.sandbox_directory)

    def remove(self) -> None:
        """Remove what it left on the disk."""
        shutil.rmtree(self.directory, ignore_errors=True)


def kept(name: str) -> Kept:
    """The folder of that name, whether there is a cluster or not. Raises UsageError for a name that cannot be one."""
    if not _NAME.match(name) or name == NEWEST:
        raise UsageError(f"a cluster cannot be named {name!r}; a name is of small letters, digits and dashes")
    return Kept((CLUSTERS / name).absolute())


def living() -> tuple[Kept, ...]:
    """The clusters that are up and ready, the newest first."""
    found = [Kept(path.parent.absolute()) for path in CLUSTERS.glob("*/topology.json")]
    ready = [one for one in found if one.lives]
    return tuple(sorted(ready, key=lambda one: one.file.stat().st_mtime, reverse=True))


def find(name: str | None) -> Kept:
    """The living cluster of that name ("up": the newest); without a name the only one. Raises UsageError if none is."""
    there = living()
    names = ", ".join(one.name for one in there)
    if not there:
        raise UsageError("no cluster is up; ./accept up starts one")
    if name == NEWEST or (name is None and len(there) == 1):
        return there[0]
    if name is None:
        raise UsageError(f"several clusters are up ({names}): say which one")
    for one in there:
        if one.name == name:
            return one
    raise UsageError(f"no cluster {name!r} is up; there is {names}")


def sweep() -> None:
    """Remove what dead clusters and dead runs left on the disk: their data, and the passwords of it."""
    for folder in (*CLUSTERS.glob("*/"), *RUNS.glob("*/")):
        if stale(folder / "sandbox") or stale(folder / BESIDE / "sandbox") or _forgotten(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _forgotten(folder: Path) -> bool:
    """Whether it is of a run that had no sandbox of its own and is long over: nothing tells that such a run lives."""
    with suppress(FileNotFoundError):
        return folder.parent == RUNS and not (folder / "sandbox").exists() and _age(folder) > FORGOTTEN_AFTER
    return False


def _age(folder: Path) -> float:
    return time.time() - folder.stat().st_mtime
