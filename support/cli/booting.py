"""Booting an embedded cluster, with its progress shown."""

import time
from collections.abc import Callable
from pathlib import Path

from support.cli.console import err
from support.cluster.embedded import boot, citus_package, programs
from support.cluster.embedded.layout import Layout
from support.cluster.embedded.plan import PUBLISHED
from support.cluster.topology import Topology
from support.errors import RequirementMissing, UsageError
from support.hosts import Stand, enter, probe, why_not_namespaces
from support.settings import Settings

WORKERS = 2
"""Groups of workers of an embedded cluster with Citus, unless said."""


class Progress:
    """Shows what goes on, each line with the seconds since the beginning."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, text: str) -> None:
        err.print(f"[dim]{time.monotonic() - self._begun:6.1f} s[/]  ", end="")
        err.print(text, markup=False)


def layout_of(settings: Settings, citus_missing: str) -> Layout:
    """The size that the settings ask for. Raises UsageError for workers where Citus is missing, with that reason."""
    workers = settings.accept_workers
    if workers is None:
        workers = 0 if citus_missing else WORKERS
    elif workers and citus_missing:
        raise UsageError(f"there can be no worker groups: {citus_missing}")
    return Layout(
        members=settings.embedded_members,
        workers=workers,
        worker_members=settings.accept_worker_members,
        etcd=settings.accept_etcd,
    )


def provide_citus(settings: Settings, progress: Callable[[str], None]) -> None:
    """See to it that an embedded cluster has worker groups; Citus is installed where the package manager knows it.

    Raises RequirementMissing, with the reason, where that cannot be.
    """
    if settings.accept_workers == 0:
        raise RequirementMissing("citus is required, and no worker groups are wanted (--workers 0)")
    missing = programs.citus_missing(settings.accept_pg_bindir)
    if missing and settings.accept_pg_bindir is None and citus_package.obtain(progress):
        missing = programs.citus_missing(None)
    elif missing:
        missing = f"{missing}; {citus_package.NO_PACKAGE}"
    if missing:
        raise RequirementMissing(f"citus is required and not there: {missing}")


def boot_cluster(settings: Settings, directory: Path, progress: Callable[[str], None]) -> tuple[Stand, Topology]:
    """Boot a cluster on a stand in `directory/stand`, of the size and kind that the settings ask for.

    `directory/bin` leads to the programs of its PostgreSQL.

    Returns in a new process, which lives inside the stand; the calling process waits for it outside, and ends with
    its exit status. Raises ClusterDidNotStart, or UsageError when a program is missing, saying what to do.
    """
    found = programs.find(settings.accept_pg_bindir, progress)
    layout = layout_of(settings, found.citus_missing)
    kind = probe() if settings.accept_stand == "auto" else settings.accept_stand
    if kind != "namespaces" and settings.accept_stand == "auto":
        progress(f"hosts are loopback addresses: {why_not_namespaces()}")
    (directory / "bin").symlink_to(found.pg_bindir)
    stand = enter(kind, directory / "stand", publish=PUBLISHED)
    topology = boot.boot(stand, layout, found, progress)
    progress(f"ready, on a stand of {kind}")
    return stand, topology
