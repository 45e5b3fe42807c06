"""behave in a process of its own: its dry run, and commands that never outlive this program."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from typing import Any

from support.cli.console import say
from support.cli.suites import Selection
from support.errors import NothingJudged, NotInTime, UsageError
from support.reporting.console import can_move, real_stdout
from support.run import Run, forget
from support.target.topology import Topology
from support.waiting import NotYet, eventually

FORMATTER = "allure_behave.formatter:AllureFormatter"
STOP_TIMEOUT = 2.0
"""Seconds that a command has after Ctrl-C, if nothing outlives the whole program, which has 5."""
RUNNER = ("--runner", "environment:Runner")
"""The options of behave for a runner that has our steps, and the user's, wherever the features are."""
Behave = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]
"""Runs behave with these arguments, to its end, and returns what it printed."""
_NOT_LOADED = re.compile(r"(?m)^ConfigError: (.+?:\d+: .+)$")
"""What behave prints where `environment.Runner` could not load a file of steps."""
_LOADS_HOOKS = """
try:
    import environment
except Exception as error:
    from support.reporting.mistakes import told
    print(told(error))
"""


@dataclass(frozen=True)
class PlannedStep:
    """A step that would run, with the step function that behave found for it."""

    location: str
    """Its file:line in the feature."""
    function: str
    """The file:line of its function; empty if there is none."""
    arguments: Mapping[str, object]
    sentence: str = ""
    """Without its keyword."""
    table: tuple[tuple[str, ...], ...] = ()
    """The headings of its table, and then its rows."""


@dataclass(frozen=True)
class Planned:
    """A scenario that would run; `location` is file:line."""

    feature: str
    name: str
    location: str
    tags: frozenset[str]
    steps: tuple[PlannedStep, ...] = field(default=(), compare=False, repr=False)

    @property
    def ids(self) -> frozenset[str]:
        """The promises that the scenario proves."""
        return frozenset(tag.removeprefix("id.") for tag in self.tags if tag.startswith("id."))

    @property
    def is_destructive(self) -> bool:
        """Whether the scenario itself disturbs the cluster."""
        return "destructive" in self.tags

    @property
    def is_blocker(self) -> bool:
        """Whether its severity is blocker. Its own severity takes precedence over the feature's; behave gives both."""
        return "blocker" in self.tags and not self.tags & {"critical", "normal", "minor"}


@dataclass(frozen=True)
class Undefined:
    """A step without a step function; `location` is file:line."""

    step: str
    location: str


@dataclass(frozen=True)
class DryRun:
    """What behave would do."""

    scenarios: tuple[Planned, ...]
    undefined: tuple[Undefined, ...] = ()


class CannotLoad(UsageError):
    """A file of steps, or environment.py, cannot be loaded. The message begins with the file and the line."""


def in_a_process(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run behave with these arguments in a process of its own."""
    return subprocess.run([*behave_argv(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def dry_run(arguments: Sequence[str], behave: Behave = in_a_process) -> DryRun:
    """What behave would do with these arguments.

    Raises UsageError with behave's message if it refuses them; CannotLoad if that is due to the code of steps.
    """
    with tempfile.TemporaryDirectory(prefix="accept-") as folder:
        scenarios, usage = Path(folder, "scenarios.json"), Path(folder, "usage")
        formats = ["-f", "json", "-o", str(scenarios), "-f", "steps.usage", "-o", str(usage)]
        ended = behave(["--dry-run", "--no-skipped", "--no-summary", "--no-snippets", *formats, *arguments])
        try:
            planned = tuple(_planned(json.loads(scenarios.read_text(encoding="utf-8"))))
            return DryRun(planned, tuple(_undefined(usage.read_text(encoding="utf-8"))))
        except (FileNotFoundError, ValueError):
            raise _refusal(ended) from None


def behave_argv(module: Sequence[str] = ("behave",)) -> tuple[str, ...]:
    """The command that starts behave, or a module that wraps it, without its arguments."""
    return (sys.executable, "-m", *module, *RUNNER)


def run_arguments(run: Run, selected: Sequence[str]) -> tuple[str, ...]:
    """behave's arguments for scenarios of a run: what they share, and where Allure's results go.

    `selected` are the places of the scenarios (file:line), or whatever else of behave's arguments selects them.
    """
    formatter = ("--format", FORMATTER, "--outfile", str(run.results))
    return ("-D", f"accept_run={run.file}", *formatter, "--no-summary", *selected)


@contextmanager
def going_on(run: Run, topology: Topology, notes: bool = True) -> Iterator[Run]:
    """A run that behave can begin on that cluster. It is over at the end of the context; `notes`: see `forget`."""
    try:
        topology.save(run.topology)
        yield run
    finally:
        forget(run.directory, notes)


def selected(selection: Selection, behave: Behave = in_a_process) -> DryRun:
    """The scenarios of a selection. Raises NothingJudged if there are none, which behave would call a success.

    Raises UsageError if there are some, but none for one of several patterns of titles.
    """
    there = [path for path in selection.paths if Path(path.partition(":")[0]).exists()]
    plan = dry_run(selection.arguments, behave) if there else DryRun(())
    if not plan.scenarios:
        raise NothingJudged(f"no scenario is selected by: {selection}")
    for name in selection.names:
        if not any(re.search(name, one.name) for one in plan.scenarios):
            raise UsageError(f"--name {name!r}: no selected scenario has such a title")
    return plan


def _planned(features: Any) -> Iterator[Planned]:
    for feature in features:
        for element in feature.get("elements", ()):
            if element["type"] != "background":
                tags = frozenset([*feature["tags"], *element["tags"]])
                steps = tuple(map(_step, element["steps"]))
                yield Planned(feature["name"], element["name"], element["location"], tags, steps)


def _step(step: Any) -> PlannedStep:
    match, table = step.get("match", {}), step.get("table")
    arguments = {one["name"]: one["value"] for one in match.get("arguments", ()) if one.get("name")}
    rows = (tuple(table["headings"]), *map(tuple, table["rows"])) if table else ()
    return PlannedStep(step["location"], match.get("location", ""), arguments, step["name"], rows)


def _undefined(usage: str) -> Iterator[Undefined]:
    """Read the steps.usage format, since the JSON gives steps after an undefined one wrong matches."""
    _, _, listed = usage.partition("UNDEFINED STEPS")
    for line in listed.splitlines()[1:]:
        step, mark, location = line.rpartition("  # ")
        if mark:
            yield Undefined(step.strip(), location.strip())


def _refusal(ended: subprocess.CompletedProcess[str]) -> UsageError:
    """Why behave has not done a dry run."""
    said = f"{ended.stdout}\n{ended.stderr}"
    if found := _NOT_LOADED.search(said):
        return CannotLoad(found[1])
    if "BAD_RUNNER_CLASS" in said or "Traceback (most recent call last):" in said:
        # behave leaves out where the import of environment.py failed
        hooks = [sys.executable, "-c", _LOADS_HOOKS]
        loaded = subprocess.run(hooks, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if why := loaded.stdout.strip():
            return CannotLoad(why.splitlines()[-1])
    return UsageError(f"behave cannot run this: {_complaint(ended)}")


def _complaint(ended: subprocess.CompletedProcess[str]) -> str:
    """Behave's error message in one line; of a traceback only the error at its end."""
    lines = (ended.stderr if ended.stderr.strip() else ended.stdout).splitlines()
    if "Traceback (most recent call last):" in lines:
        frames = lines.index("Traceback (most recent call last):") + 1
        lines = list(dropwhile(lambda line: line.startswith(" "), lines[frames:]))
    message = " ".join(line.strip() for line in lines if not line.startswith(("USING RUNNER", "usage:")))
    message = message.strip().removeprefix("__main__.py: error: ")
    return message or f"it ended with status {ended.returncode} and printed nothing"


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Inside this context SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(argv: Sequence[str], environment: Mapping[str, str], log: Path | None = None, heals_within: float = 0.0) -> int:
    """Run a command with further environment variables, and return its exit status. With `log` it prints there.

    On Ctrl-C the command and its children get one SIGINT; if they do not end in time, they are killed. Then
    KeyboardInterrupt is raised. `heals_within`: the seconds that the command needs to leave in order what outlives it;
    meanwhile a second Ctrl-C kills it at once.
    """
    # A process group of its own, or the terminal's Ctrl-C would reach it a second time.
    variables = {**os.environ, **environment}
    with log.open("a") if log else nullcontext() as output:
        child = subprocess.Popen(
            dies_with_us(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0, env=variables
        )
    with _answered_by_view() if log is None else nullcontext():
        try:
            return child.wait()
        except KeyboardInterrupt:
            _stop(child, heals_within)
            raise


@contextmanager
def _answered_by_view() -> Iterator[None]:
    """Inside this context we print no answer to Ctrl-C if the command shows a view that moves, in which it does so."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or not can_move(real_stdout()):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def dies_with_us(argv: Sequence[str]) -> list[str]:
    """Wrap a command so that the kernel kills it when the process that started it is gone."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


def _stop(child: "subprocess.Popen[bytes]", heals_within: float = 0.0) -> None:
    again = threading.Event()
    ours = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda number, frame: again.set()) for one in ours}
    try:
        with suppress(ProcessLookupError):  # it has just ended
            os.killpg(child.pid, signal.SIGINT)

        def gone() -> None:
            if child.poll() is None and not (heals_within and again.is_set()):
                raise NotYet("it is still running")

        with suppress(NotInTime):
            eventually(gone, within=STOP_TIMEOUT, subject="behave has stopped")
        if heals_within and child.poll() is None and not again.is_set():
            say(f"faults are healed first, which may take {heals_within:.0f} s; Ctrl-C again leaves them as they are")
            with suppress(NotInTime):
                eventually(gone, within=heals_within, subject="behave has healed and stopped")
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if heals_within:
                say("some faults may not have been healed: ./accept heal undoes what is left")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
