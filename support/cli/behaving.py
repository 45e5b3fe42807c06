"""behave as a process of its own: what it would run, and running it so that nothing outlives us."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Any

from support.cli.suites import Selection
from support.errors import NothingJudged, UsageError
from support.waiting import NotYet, eventually

BEHAVE = (sys.executable, "-m", "behave")
STOPS_WITHIN = 2.0  # seconds to behave after Ctrl-C; the whole program has 5


@dataclass(frozen=True)
class Planned:
    """One scenario that would run; `location` is file:line."""

    feature: str
    name: str
    location: str
    tags: frozenset[str]


@dataclass(frozen=True)
class Undefined:
    """A step that no step function implements; `location` is file:line."""

    step: str
    location: str


@dataclass(frozen=True)
class Plan:
    """What behave would do."""

    scenarios: tuple[Planned, ...]
    undefined: tuple[Undefined, ...] = ()


def plan(arguments: Sequence[str]) -> Plan:
    """What behave would do when told that, by its own dry run. Raises UsageError with its complaint."""
    with tempfile.TemporaryDirectory(prefix="accept-") as folder:
        scenarios, usage = Path(folder, "scenarios.json"), Path(folder, "usage")
        formats = ["-f", "json", "-o", str(scenarios), "-f", "steps.usage", "-o", str(usage)]
        dry = [*BEHAVE, "--dry-run", "--no-skipped", "--no-summary", "--no-snippets", *formats, *arguments]
        ended = subprocess.run(dry, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        try:
            planned = tuple(_planned(json.loads(scenarios.read_text(encoding="utf-8"))))
            return Plan(planned, tuple(_undefined(usage.read_text(encoding="utf-8"))))
        except (FileNotFoundError, ValueError):
            raise UsageError(f"behave cannot run that: {_complaint(ended)}") from None


def plan_selection(selection: Selection) -> tuple[Planned, ...]:
    """The scenarios of a selection. Raises NothingJudged when there are none; behave would call that a success."""
    there = [path for path in selection.paths if Path(path.partition(":")[0]).exists()]
    planned = plan(selection.arguments).scenarios if there else ()
    if not planned:
        raise NothingJudged(f"no scenario is selected by: {selection}; nothing was judged")
    return planned


def _planned(features: Any) -> Iterator[Planned]:
    for feature in features:
        for element in feature.get("elements", ()):
            if element["type"] != "background":
                tags = frozenset([*feature["tags"], *element["tags"]])
                yield Planned(feature["name"], element["name"], element["location"], tags)


def _undefined(usage: str) -> Iterator[Undefined]:
    """behave's JSON gives a step the match of another one when a step before has none; its list of uses does not."""
    _, _, listed = usage.partition("UNDEFINED STEPS")
    for line in listed.splitlines()[1:]:
        step, mark, location = line.rpartition("  # ")
        if mark:
            yield Undefined(step.strip(), location.strip())


def _complaint(ended: "subprocess.CompletedProcess[str]") -> str:
    """What behave said against its task, in one line; of a traceback the error at its end."""
    lines = (ended.stderr if ended.stderr.strip() else ended.stdout).splitlines()
    if "Traceback (most recent call last):" in lines:
        frames = lines.index("Traceback (most recent call last):") + 1
        lines = list(dropwhile(lambda line: line.startswith(" "), lines[frames:]))
    said = " ".join(line.strip() for line in lines if not line.startswith(("USING RUNNER", "usage:")))
    return said.strip() or f"it ended with status {ended.returncode} and said nothing"


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it SIGTERM does what Ctrl-C does: it raises KeyboardInterrupt."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(argv: Sequence[str], environment: Mapping[str, str], log: Path | None = None) -> int:
    """Run a command to its end, with further environment variables; its exit status. With `log` it prints there.

    Ctrl-C is passed on to it, and to all that it started, as one SIGINT; it is killed when it does not heed it in
    time. Raises KeyboardInterrupt once it is gone.
    """
    # A process group of its own: the terminal's Ctrl-C would reach it a second time.
    variables = {**os.environ, **environment}
    with log.open("a") if log else nullcontext() as output:
        child = subprocess.Popen(
            mortal(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0, env=variables
        )
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
