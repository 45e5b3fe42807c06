"""Packages of npm that tests need, in the versions that are pinned, installed once into the virtual environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.errors import ProcessFailed
from support.reporting import installing


def installed(wanted: Path) -> tuple[Path, Path]:
    """The node to run, and the folder with the packages that `wanted`/package.json asks for.

    Skips the test where npm cannot install them.
    """
    folder = Path(sys.prefix) / f"{wanted.name}-tests"
    try:
        installing.install_renderer(lambda _: None)
        node = installing._node(installing.INSTALLED)
        assert node is not None
        lock = (wanted / "package-lock.json").read_text()
        if not (folder / "package-lock.json").exists() or (folder / "package-lock.json").read_text() != lock:
            fresh = folder.with_name(f"{folder.name}-{os.getpid()}")
            shutil.copytree(wanted, fresh)
            command = [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=fresh, capture_output=True, check=True, timeout=150)
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
    except (ProcessFailed, subprocess.SubprocessError) as failed:
        pytest.skip(f"npm cannot install what {wanted.name}/package.json asks for: {failed}")
    return node.program, folder
