"""The programs that read our metrics, from Debian: Prometheus and promtool, the Pushgateway, node_exporter.

Where they are not installed their packages are fetched and unpacked: nothing is installed, and no service starts.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from booting import boots

from support.waiting import eventually

PACKAGES = {"promtool": "prometheus"}  # program -> package, where they are not of one name
FETCHED = Path(__file__).parent.parent / ".accept" / "packages"


@boots
def program(name: str) -> Path:
    """Where that program is. Skips the test on a system without apt; fails it where apt cannot fetch the package."""
    if found := shutil.which(name):
        return Path(found)
    package = FETCHED / PACKAGES.get(name, name)
    if not package.exists():
        if shutil.which("apt-get") is None:
            pytest.skip(f"{name} is not installed, and there is no apt-get to fetch it with")
        _fetch(package)
    return package / "usr" / "bin" / name


def _fetch(package: Path) -> None:
    package.parent.mkdir(parents=True, exist_ok=True)
    with package.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not package.exists():  # another process may have fetched it meanwhile
            _download(package)


def _download(package: Path) -> None:
    with tempfile.TemporaryDirectory(dir=package.parent) as folder:
        download = ["apt-get", "download", package.name]
        if _run(download, folder).returncode and os.geteuid() == 0:  # the lists may be missing or old
            _run(["apt-get", "update"], folder)
        if not list(Path(folder).glob("*.deb")) and (ended := _run(download, folder)).returncode:
            pytest.fail(f"apt-get cannot download {package.name}: {ended.stderr.strip()}")
        unpacked = Path(folder, "unpacked")
        for file in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", str(file), str(unpacked)], check=True)
        unpacked.rename(package)


def _run(command: Sequence[str], folder: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)


@boots
@contextmanager
def running(command: Sequence[object], ready: str, log: Path) -> Iterator[None]:
    """Run a server until the end; goes on when it answers at `ready`, a web address."""
    mortal = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
    with log.open("wb") as output, subprocess.Popen(mortal, stdout=output, stderr=output) as server:

        def answers() -> None:
            if server.poll() is not None:
                raise RuntimeError(f"{command[0]} has ended: {log.read_text()}")
            requests.get(ready, timeout=2).raise_for_status()

        try:
            eventually(answers, within=20, subject=f"{command[0]} answers", retry_on=(requests.RequestException,))
            yield
        finally:
            server.kill()
