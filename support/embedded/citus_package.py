"""Citus from the system's packages: `postgresql-NN-citus...`, as Citus' own package repository and others name it.

Source: https://docs.citusdata.com/en/v13.0/installation/multi_node_debian.html
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable

from support.embedded import packages
from support.embedded.programs import ANSWER_WITHIN, OLDEST_POSTGRES

_NAME = re.compile(r"postgresql-(?P<major>\d+)-citus(-(?P<version>[\d.]+))?")
NO_PACKAGE = "the package manager knows no postgresql-NN-citus package; docs/embedded-cluster.md says where to get one"


def obtain(on_progress: Callable[[str], None]) -> bool:
    """Install Citus with its PostgreSQL and the vector extension; False when the package manager knows no Citus.

    Raises UsageError with the command to type when it knows one that cannot be installed without a question.
    """
    wanted = best(_known())
    if wanted:
        packages.install(wanted, ["postgresql"], on_progress)
    return bool(wanted)


def best(names: Iterable[str]) -> tuple[str, ...]:
    """Of all packages that there are those to install: for the newest PostgreSQL that will do, its newest Citus.

    Empty where none of them is Citus for a PostgreSQL that will do and that has the vector extension.
    """
    known = set(names)
    found = [
        (int(named["major"]), tuple(int(part) for part in (named["version"] or "0").split(".")), name)
        for name in known
        if (named := _NAME.fullmatch(name))
        and int(named["major"]) >= OLDEST_POSTGRES
        and f"postgresql-{named['major']}-pgvector" in known
    ]
    if not found:
        return ()
    major, _, citus = max(found)
    return f"postgresql-{major}", f"postgresql-{major}-pgvector", citus


def _known() -> list[str]:
    """The names of the packages for PostgreSQL that apt knows of."""
    if shutil.which("apt-cache") is None:
        return []
    answer = subprocess.run(
        ["apt-cache", "pkgnames", "postgresql-"], capture_output=True, text=True, timeout=ANSWER_WITHIN, check=False
    )
    return answer.stdout.split()
