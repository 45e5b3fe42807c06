"""behave as a process of its own: what it would run, and running it so that nothing outlives us."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.cli.suites import Selection
from support.errors import NothingJudged, UsageError
from support.waiting import NotYet, eventually

BEHAVE = (sys.executable, "-m", "behave")
STOPS_WITHIN = 2.0  # seconds to behave after Ctrl-C; the whole program has 5


@dataclass(frozen=True)
class Planned:
    """One scenario that a selection selects, before anything runs."""

    feature: str
    name: str
    location: str
    tags: frozenset[str]
    undefined: tuple[str, ...] = ()
    """Its steps that no step function implements."""


def plan(arguments: Sequence[str]) -> tuple[Planned, ...]:
    """What behave would run when told that, by its own dry run. Raises UsageError with its complaint."""
    with tempfile.TemporaryDirectory(prefix="accept-") as folder:
        told = Path(folder, "plan.json")
        dry = ["--dry-run", "--no-skipped", "--no-summary", "--no-snippets", "-f", "json", "-o", str(told)]
        ended = subprocess.run([*BEHAVE, *dry, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        written = told.read_text(encoding="utf-8") if told.exists() else ""
    try:
        return tuple(_planned(json.loads(written)))
    except ValueError:
        why = _complaint(f"{ended.stderr}\n{ended.stdout}")
        raise UsageError(f"behave cannot run that: {why}") from None


def plan_selection(selection: Selection) -> tuple[Planned, ...]:
    """The scenarios of a selection. Raises NothingJudged when there are none; behave would call that a success."""
    there = [path for path in selection.paths if Path(path.partition(":")[0]).exists()]
    planned = plan(selection.arguments) if there else ()
    if not planned:
        raise NothingJudged(f"no scenario is selected by: {selection}; nothing was judged")
    return planned


def _planned(features: Any) -> Iterator[Planned]:
    for feature in features:
        for element in feature.get("elements", ()):
            if element["type"] != "background":
                tags = frozenset([*feature["tags"], *element["tags"]])
                undefined = tuple(step["name"] for step in element["steps"] if "match" not in step)
                yield Planned(feature["name"], element["name"], element["location"], tags, undefined)


def _complaint(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("USING RUNNER")]
    telling = [line for line in lines if "Error" in line or "error:" in line]
    return (telling or lines or ["it said nothing"])[-1]


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it SIGTERM does what Ctrl-C does: it raises KeyboardInterrupt."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end, with further environment variables; its exit status.

    Ctrl-C is passed on to it, and to all that it started, as one SIGINT; it is killed when it does not heed it in
    time. Raises KeyboardInterrupt once it is gone.
    """
    # A process group of its own: the terminal's Ctrl-C would reach it a second time.
    child = subprocess.Popen(mortal(argv), stdin=subprocess.DEVNULL, process_group=0, env={**os.environ, **environment})
    try:
        return child.wait()
    except KeyboardInterrupt:
        _stop(child)
        raise


def mortal(argv: Sequence[str]) -> list[str]:
    """The command that runs a command which the kernel kills when the process that started it is gone."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


def _stop(child: "subprocess.Popen[bytes]") -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        os.killpg(child.pid, signal.SIGINT)

        def gone() -> None:
            if child.poll() is None:
                raise NotYet("it runs")

        try:
            eventually(gone, within=STOPS_WITHIN, subject="behave has stopped")
        except AssertionError:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
