"""What a run of the tests accounts for at its end: tests that it skipped, programs that it missed, files that it left.

Without it a run in which half of the tests found nothing to test would look like a whole one.
"""

import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

WORKER = "PYTEST_XDIST_WORKER" in os.environ
NOT_INSTALLED = pytest.StashKey[str]()
"""Why programs that the tests need could not be installed."""
UNTRACKED = pytest.StashKey[frozenset[str]]()
"""The files of the project's folder that were neither tracked nor ignored when the tests began."""


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if not WORKER:
        session.config.stash[UNTRACKED] = untracked(session.config.rootpath)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that left files, or, in CI (where `CI` is set), one for which a program could not be installed."""
    if WORKER:
        return
    missed = NOT_INSTALLED in session.config.stash and "CI" in os.environ
    if (missed or _left(session.config)) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    if reports:
        terminalreporter.section(f"{len(reports)} skipped, and why")
        for line in skips(reports):
            terminalreporter.line(line)
    if why := config.stash.get(NOT_INSTALLED, ""):
        terminalreporter.section("programs could not be installed", red=True)
        terminalreporter.line(why)
    if left := _left(config):
        terminalreporter.section("the tests left files in the project's folder", red=True)
        terminalreporter.line(", ".join(sorted(left)))


def skips(reports: Iterable[pytest.TestReport | pytest.CollectReport]) -> Iterator[str]:
    """Each reason, the most frequent first, with the files of the tests that it applies to."""
    files: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for report in reports:
        words = report.longrepr[2] if isinstance(report.longrepr, tuple | list) else str(report.longrepr)
        reason = " ".join(str(words).removeprefix("Skipped: ").split())
        files[reason][report.nodeid.partition("::")[0]] += 1
    for reason, counts in sorted(files.items(), key=lambda item: (-item[1].total(), item[0])):
        yield f"{counts.total():4} {reason}"
        yield f"     {', '.join(sorted(counts))}"


def untracked(folder: Path) -> frozenset[str]:
    """Files and folders directly in `folder` that git neither tracks nor ignores; none without git.

    Programs that a test starts without a folder of their own leave their files there.
    """
    command = ["git", "ls-files", "--others", "--exclude-standard", "--directory"]
    try:
        listed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return frozenset()
    return frozenset(line for line in listed if "/" not in line.removesuffix("/"))


def _left(config: pytest.Config) -> frozenset[str]:
    return untracked(config.rootpath) - config.stash[UNTRACKED]
