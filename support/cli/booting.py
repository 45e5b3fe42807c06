"""Booting an embedded cluster, with its progress shown."""

import time
from collections.abc import Callable
from pathlib import Path

from support.cli.console import err
from support.embedded import boot, programs, target_file
from support.embedded.plan import Layout, published
from support.embedded.programs import Missing
from support.embedded.shape import OWN, Shape
from support.embedded.swarm_shapes import shape_like
from support.errors import RequirementMissing, UsageError
from support.example_app.vectors import PGVECTOR, RUVECTOR, VectorDialect
from support.hosts import NAMESPACES, Sandbox, enter, probe, why_not_namespaces
from support.settings import Settings
from support.target.topology import Topology

TARGET = "target.toml"
"""The file in a cluster's folder that says how it is reached from outside, where it is met from there only."""

WORKERS = 2
"""Groups of workers of an embedded cluster with Citus, unless said."""


class Progress:
    """Shows what goes on, each line with the seconds since the beginning."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, text: str) -> None:
        err.print(f"[dim]{time.monotonic() - self._begun:6.1f} s[/]  ", end="")
        err.print(text, markup=False)


def shape_of(settings: Settings) -> Shape:
    """The shape that the settings ask for."""
    return OWN if settings.accept_like is None else shape_like(settings.accept_like)


def layout_of(settings: Settings, citus_missing: str) -> Layout:
    """The size and shape that the settings ask for.

    Raises UsageError for workers where Citus is missing, with that reason.
    """
    shape, said = shape_of(settings), settings.model_fields_set
    workers = settings.accept_workers if settings.accept_workers is not None else shape.workers
    if workers is None:
        workers = 0 if citus_missing else WORKERS
    elif workers and citus_missing:
        raise UsageError(f"there can be no worker groups: {citus_missing}")
    return Layout(
        members=settings.embedded_members if "accept_members" in said else shape.members,
        workers=workers,
        worker_members=settings.accept_worker_members if "accept_worker_members" in said else shape.worker_members,
        etcd=settings.accept_etcd if "accept_etcd" in said else shape.etcd,
        shape=shape,
    )


def dialect_of(settings: Settings, shape: Shape, missing: Missing) -> VectorDialect:
    """The vector extension that is wanted. Raises UsageError where its PostgreSQL has none of it."""
    wanted = settings.accept_vector or shape.vector
    if wanted == "auto":
        return PGVECTOR if missing.ruvector else RUVECTOR
    why, dialect = (missing.ruvector, RUVECTOR) if wanted == "ruvector" else (missing.pgvector, PGVECTOR)
    if why:
        raise UsageError(f"{why}; --vector says which extension to use, --pg-bindir which PostgreSQL")
    return dialect


def with_ruvector(settings: Settings) -> Settings:
    """The settings of an embedded cluster that has RuVector. Raises RequirementMissing where that cannot be."""
    if settings.accept_vector == "pgvector":
        raise RequirementMissing("ruvector is required, and --vector pgvector asks for another extension")
    if missing := programs.missing_extensions(settings.accept_pg_bindir).ruvector:
        raise RequirementMissing(f"ruvector is required and not there: {missing}")
    return settings.model_copy(update={"accept_vector": "ruvector"})


def provide_citus(settings: Settings, progress: Callable[[str], None]) -> None:
    """See to it that an embedded cluster has worker groups; Citus is installed where the package manager knows it.

    Raises RequirementMissing, with the reason, where that cannot be.
    """
    if settings.accept_workers == 0:
        raise RequirementMissing("citus is required, and no worker groups are wanted (--workers 0)")
    missing = programs.citus_missing(settings.accept_pg_bindir)
    if missing and settings.accept_pg_bindir is None and programs.install_citus(progress):
        missing = programs.citus_missing(None)
    elif missing:
        missing = f"{missing}; {programs.NO_CITUS_PACKAGE}"
    if missing:
        raise RequirementMissing(f"citus is required and not there: {missing}")


def boot_cluster(
    settings: Settings, directory: Path, progress: Callable[[str], None], met_from_outside: bool = False
) -> tuple[Sandbox, Topology]:
    """Boot a cluster in a sandbox in `directory/sandbox`, of the size and kind that the settings ask for.

    `directory/bin` leads to the programs of its PostgreSQL.

    A cluster in the shape of another installation has a target file in `directory` besides; it is for callers that
    stay outside and meet it by that.

    Returns in a new process, which lives inside the sandbox; the calling process waits for it outside, and ends with
    its exit status. Raises ClusterDidNotStart, or UsageError when a program is missing, saying what to do.
    """
    shape = shape_of(settings)
    if shape.outside and not met_from_outside:
        raise UsageError(f"a cluster like {shape.name} is for ./accept up and ./accept run alone (ACCEPT_LIKE)")
    found = programs.find(settings.accept_pg_bindir, progress, pooler=shape.pooler is not None)
    layout, dialect = layout_of(settings, found.missing.citus), dialect_of(settings, shape, found.missing)
    kind = probe() if settings.accept_sandbox == "auto" else settings.accept_sandbox
    if shape.outside and kind != NAMESPACES:
        why = why_not_namespaces() or f"--sandbox {kind}"
        raise UsageError(f"--like {shape.name} takes hosts made of namespaces, which alone know its names: {why}")
    if kind != NAMESPACES and settings.accept_sandbox == "auto":
        progress(f"hosts are loopback addresses: {why_not_namespaces()}")
    (directory / "bin").symlink_to(found.pg_bindir)
    wanted = shape.ports if settings.accept_ports == "usual" else {}
    sandbox = enter(kind, directory / "sandbox", publish=published(layout), prefer=wanted)
    for name, (_, port) in sandbox.published.items():
        if port != wanted.get(name, port):
            progress(f"port {wanted[name]} is taken: {name} is published at port {port}")
    topology = boot.boot(sandbox, layout, found, progress, dialect)
    if shape.outside:
        target_file.write(directory / TARGET, layout, topology, sandbox.published)
    progress(f"ready, in a sandbox of {kind}")
    return sandbox, topology
