"""Programs of somebody else's that keep every processor busy."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.waiting import eventually

BURN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**5))"
BURN_ALL = f"""
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    for _ in range(2 * os.cpu_count()):
        subprocess.Popen([sys.executable, '-c', {BURN!r}])
    open(sys.argv[1], "w").write(str(os.getpid()))
    sys.stdin.read()
    os._exit(0)
"""
"""Starts programs that end with their parent, which ends with its standard input and is not our child."""


@contextmanager
def busy_machine(tmp_path: Path) -> Iterator[None]:
    """Other programs use every processor."""
    with subprocess.Popen([sys.executable, "-c", BURN_ALL, tmp_path / "begun"], stdin=subprocess.PIPE) as start:
        assert start.stdin is not None
        eventually(lambda: _require_begun(tmp_path / "begun"), within=60, subject="other programs run")
        yield
        start.stdin.close()


def _require_begun(file: Path) -> None:
    assert file.exists()
