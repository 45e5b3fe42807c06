"""Installs system packages without letting them start a service, now or at the next boot."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from support.errors import UsageError

POLICY = Path("/usr/sbin/policy-rc.d")
"""The file that Debian's packages ask whether they may start a service."""
QUIETLY = Path(__file__).with_name("without_services.sh")
INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends")
UPDATE = ("apt-get", "update")
TOLD = ("Get:", "Setting up")
"""The beginnings of lines in apt-get's output that are worth showing."""


def command(names: Sequence[str]) -> str:
    """What a user types to install packages."""
    return " ".join(["sudo", "apt-get", "install", "--no-install-recommends", *names])


def install(names: Sequence[str], services: Sequence[str], on_progress: Callable[[str], None]) -> None:
    """Install packages without asking; `services` are those that they bring and that must not start.

    Raises UsageError with the command to type when that is impossible.
    """
    become_root = _way_to_root()
    if become_root is None or shutil.which("apt-get") is None:
        wanted = ", ".join(names)
        raise UsageError(f"{wanted} must be installed, which takes root or sudo without a password: {command(names)}")
    on_progress(f"installing {', '.join(names)}")
    quietly = [*become_root, "sh", str(QUIETLY), str(POLICY), ",".join(services)]
    said = _run([*quietly, *INSTALL, *names], on_progress)
    if said is not None:  # the package lists may be missing or old
        on_progress("updating the package lists")
        said = _run([*become_root, *UPDATE], on_progress) or _run([*quietly, *INSTALL, *names], on_progress)
    if said is not None:
        raise UsageError(f"{', '.join(names)} could not be installed: {said}; install by hand: {command(names)}")


def _way_to_root() -> list[str] | None:
    """The words before a command that make root run it; None where that takes a password."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "--non-interactive"]
    if shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0:
        return [*sudo]
    return None


def _run(argv: Sequence[str], on_progress: Callable[[str], None]) -> str | None:
    """Run a command to its end and report its progress; returns the last line of output if it failed."""
    running = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    last = ""
    try:
        assert running.stdout is not None
        for line in running.stdout:
            last = line.strip() or last
            if line.startswith(TOLD):
                on_progress(line.strip())
        return None if running.wait() == 0 else last
    except BaseException:
        running.send_signal(signal.SIGTERM)  # never SIGKILL: the script has something to restore
        running.wait()
        raise
