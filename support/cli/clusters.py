"""The clusters that `accept up` started: where they are kept, which of them are up, and how to enter them."""

import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from support.errors import UsageError
from support.hosts import Sandbox, alive, attach, reentry_argv, stale
from support.run import CLUSTERS, RUNS, Life, forget, life_of
from support.target.stored import is_pending
from support.target.topology import Topology

NEWEST = "up"
"""As a target: the cluster that was started last, whatever its name."""
FORGOTTEN_AFTER = 24 * 3600.0
"""Seconds after which a run counts as over, if nothing shows whether it is alive."""
BESIDE = "beside"
"""In a run's folder: the folder of a cluster that the run booted and reaches from outside."""
TARGET_FILE = "target.toml"
"""In the folder of a cluster that is reached from outside: its target file."""
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,29}$")


@dataclass(frozen=True)
class KeptCluster:
    """A cluster with a folder of its own, usually under `.accept/clusters`."""

    directory: Path

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def sandbox_directory(self) -> Path:
        return self.directory / "sandbox"

    @property
    def file(self) -> Path:
        """Its topology. Written when the cluster is ready."""
        return self.directory / "topology.json"

    @property
    def target(self) -> Path:
        """The target file. Exists only for a cluster that is reached from outside."""
        return self.directory / TARGET_FILE

    @property
    def log(self) -> Path:
        """The log of the process that keeps the cluster up."""
        return self.directory / "accept.log"

    @property
    def psql(self) -> Path:
        """The psql of the cluster's PostgreSQL, or the system's if it has none."""
        own = self.directory / "bin" / "psql"
        return own if own.exists() else Path("psql")

    @property
    def is_up(self) -> bool:
        return alive(self.sandbox_directory)

    @cached_property
    def topology(self) -> Topology:
        return Topology.load(self.file)

    @cached_property
    def sandbox(self) -> Sandbox:
        return attach(self.sandbox_directory)

    def remove(self) -> None:
        """Remove the cluster's folder."""
        shutil.rmtree(self.directory, ignore_errors=True)


def named(name: str) -> KeptCluster:
    """The folder of that name, whether or not there is a cluster in it. Raises UsageError if the name is not valid."""
    if not _NAME.match(name) or name in (NEWEST, "embedded"):
        raise UsageError(
            f"a cluster cannot be named {name!r}; use small letters, digits and dashes, and neither {NEWEST!r} "
            "nor 'embedded'"
        )
    return KeptCluster((CLUSTERS / name).absolute())


def running() -> tuple[KeptCluster, ...]:
    """The clusters that are up and ready, the newest first."""
    ready = [one for one in _kept() if one.file.exists() and one.is_up]
    return tuple(sorted(ready, key=lambda one: one.file.stat().st_mtime, reverse=True))


def find(name: str | None) -> KeptCluster:
    """The running cluster of that name ("up": the newest), or the only one. Raises UsageError if there is none."""
    found = running()
    names = ", ".join(one.name for one in found)
    if not found:
        raise UsageError("no cluster is up; ./accept up starts one")
    if name == NEWEST or (name is None and len(found) == 1):
        return found[0]
    if name is None:
        raise UsageError(f"several clusters are up; name one of {names}")
    for one in found:
        if one.name == name:
            return one
    raise UsageError(f"no cluster {name!r} is up; there is {names}")


def to_stop(name: str | None, every: bool = False) -> tuple[KeptCluster, ...]:
    """The clusters that `accept down` is to stop: as `find`, or all; and also one that is still starting.

    Raises UsageError if there is none of that name.
    """
    starting = [one for one in _kept() if one.is_up and not one.file.exists()]
    if every:
        return (*running(), *starting)
    return tuple(one for one in starting if one.name == name) or (find(name),)


def _kept() -> list[KeptCluster]:
    return [KeptCluster(path.absolute()) for path in sorted(CLUSTERS.glob("*/"))]


def sweep() -> None:
    """Remove the folders of dead clusters and dead runs, with their data and passwords.

    What a run noted of rows that it may have left in another cluster stays, until a run there has removed them.
    """
    for folder in (*CLUSTERS.glob("*/"), *RUNS.glob("*/")):
        if _is_going_on(folder):
            continue
        if stale(folder / "sandbox") or stale(folder / BESIDE / "sandbox"):
            shutil.rmtree(folder, ignore_errors=True)
        elif _is_forgotten(folder) and is_pending(folder):
            forget(folder)
        elif _is_forgotten(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_going_on(folder: Path) -> bool:
    """Whether it is the folder of a run, or of a job's share of one, that is going on, maybe on its second cluster."""
    return folder.parent == RUNS and life_of(folder.name.partition("-")[0]) is Life.GOING_ON


def _is_forgotten(folder: Path) -> bool:
    """Whether it is the folder of an old run without a sandbox of its own. Only its age tells that it is over."""
    with suppress(FileNotFoundError):
        age = time.time() - folder.stat().st_mtime
        return folder.parent == RUNS and not (folder / "sandbox").exists() and age > FORGOTTEN_AFTER
    return False


def accept_argv(arguments: Sequence[str]) -> list[str]:
    """The command that runs this program with these arguments."""
    return [sys.executable, "-P", "-m", "support.cli", *arguments]


def continue_inside(cluster: KeptCluster, arguments: Sequence[str]) -> None:
    """Replace this process by the same program inside the cluster's sandbox. Returns only if it is there already."""
    program = accept_argv(arguments)
    argv = reentry_argv(cluster.sandbox_directory, program)
    if argv != program:
        os.execvp(argv[0], argv)
