"""Installs packages of the system, and sees to it that no service of theirs is started, now or at the next boot."""

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
"""How the lines of apt-get's output begin that are worth telling."""


def command(names: Sequence[str]) -> str:
    """What a user types to install packages."""
    return " ".join(["sudo", "apt-get", "install", "--no-install-recommends", *names])


def install(names: Sequence[str], services: Sequence[str], on_progress: Callable[[str], None]) -> None:
    """Install packages without asking; `services` are those that they bring, and that must not start.

    Raises UsageError with the command to type when that is not possible.
    """
    become_root = _way_to_root()
    if become_root is None or shutil.which("apt-get") is None:
        wanted = ", ".join(names)
        raise UsageError(f"{wanted} must be installed, which takes root or sudo without a password: {command(names)}")
    on_progress(f"installing {', '.join(names)}")
    quietly = [*become_root, "sh", str(QUIETLY), str(POLICY), ",".join(services)]
    said = _run([*quietly, *INSTALL, *names], on_progress)
    if said is not None:  # the lists may be missing or old
        on_progress("updating the lists of packages")
        said = _run([*become_root, *UPDATE], on_progress) or _run([*quietly, *INSTALL, *names], on_progress)
    if said is not None:
        raise UsageError(f"{', '.join(names)} could not be installed: {said}; install by hand: {command(names)}")


def _way_to_root() -> list[str] | None:
    """What to put before a command so that root runs it; None where that takes a password."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "--non-interactive"]
    if shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0:
        return [*sudo]
    return None


def _run(argv: Sequence[str], on_progress: Callable[[str], None]) -> str | None:
    """Run a command to its end, telling what it says; returns the last words of a failed one."""
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
