"""`accept run --watch`: runs the selected scenarios again whenever a file changes, on a cluster that stays up.

What takes long is done once: the cluster is up, and a process there has imported everything (see behave_server.py).
Before each run it checks what every `accept run` checks before anything boots. No report is rendered: `accept report`
does that, for the last run.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from support import own_folder
from support.cli import behave_process, behave_server, clusters, preflight, report, up
from support.cli.behave_process import going_on, run_arguments
from support.cli.cluster_under_test import TargetCluster, as_variables, target_of
from support.cli.clusters import KeptCluster
from support.cli.console import INTERRUPTED, out, say
from support.cli.paths import STEPS
from support.cli.run_options import RunOptions
from support.errors import AcceptError, UsageError
from support.places import WRITES_IN
from support.reporting.journal import read
from support.reporting.terminal import show
from support.run import begin_run
from support.waiting import NotYet, eventually

NAME = "watch"
"""The cluster that is started if none is up."""
_OURS = (Path("features"), STEPS, Path("environment.py"), WRITES_IN / own_folder.SETTINGS, Path("support"))
_WATCHED = {".feature", ".py", ".toml", ".j2"}
_LOOK_EVERY = 0.1
"""Seconds between two looks at the files."""
Seen = Mapping[Path, int]
"""File -> when it was changed last."""


def run_on_changes(options: RunOptions) -> int:
    """Run, wait for a change, run again, until Ctrl-C. Returns 0; 130 if Ctrl-C came while scenarios were running."""
    if (options.jobs or 1) > 1 or options.repeat > 1 or options.rerun or options.keep:
        raise UsageError("--watch goes with none of --jobs, --repeat, --rerun and --keep")
    preflight.require_known_tags(options.selection)
    options = replace(options, cluster=_cluster(options))
    target = target_of(options, options.cluster or KeptCluster(Path()), say)
    with ExitStack() as cleanup, behave_process.sigterm_interrupts():
        watcher = _Watcher(options, target)
        cleanup.callback(watcher.close)
        changed = list[Path]()
        while True:
            seen = snapshot()
            try:
                watcher.run(changed)
            except KeyboardInterrupt:
                say("stopped")
                return INTERRUPTED
            try:
                say("waiting for a file to change; Ctrl-C stops, ./accept report renders the report of the last run")
                changed = _await_change(seen)
            except KeyboardInterrupt:
                return 0
            say(f"\nchanged: {', '.join(map(str, changed[:3]))}{', ...' if len(changed) > 3 else ''}")
            if any(map(_is_imported, changed)):
                watcher.close()  # it has imported what was there before


def _is_imported(path: Path) -> bool:
    return path.is_relative_to("support") or path == Path("environment.py")


def _cluster(options: RunOptions) -> KeptCluster | None:
    """The cluster to use: the one that was named, the user's (None), the newest that is up, or a new one."""
    if options.cluster is not None or options.settings.external:
        return options.cluster
    try:
        return clusters.find(clusters.NEWEST)
    except UsageError:
        cluster = clusters.named(NAME)
        say(f"no cluster is up; starting one that stays up until ./accept down {NAME}")
        if up.up(cluster, options.settings):
            raise AcceptError("there is no cluster to run on") from None
        return cluster


def snapshot() -> Seen:
    """The files whose change starts another run."""
    own = own_folder.given()
    roots = [*_OURS, *([own.features, own.settings, own.directory / own_folder.STEPS] if own else [])]
    found = dict[Path, int]()
    for root in roots:
        for path in [root] if root.is_file() else root.rglob("*"):
            if path.suffix in _WATCHED:
                try:
                    found[path] = path.stat().st_mtime_ns
                except FileNotFoundError:  # an editor replaces it right now
                    continue
    return found


def _await_change(before: Seen) -> list[Path]:
    """Wait until files differ from what was seen, and return them."""

    def changed() -> list[Path]:
        now = snapshot()
        if found := sorted(path for path in {*before, *now} if before.get(path) != now.get(path)):
            return found
        raise NotYet("no file has changed")

    return eventually(changed, within=math.inf, subject="a file has changed", pause=_LOOK_EVERY)


class _Watcher:
    """Runs the selected scenarios in a process that is ready for them."""

    def __init__(self, options: RunOptions, target: TargetCluster) -> None:
        self._options, self._target = options, target
        self._warm: subprocess.Popen[str] | None = None
        self._topology = target.topology
        self._limits_due = True
        """Whether the user's limits are still to be checked."""

    def close(self) -> None:
        """End the process; the next run starts another."""
        if self._warm is not None and self._warm.stdin is not None:
            self._warm.stdin.close()
            self._warm.wait()
            self._warm = None

    def run(self, changed: Sequence[Path] = ()) -> None:
        """Check the scenarios, run them once, and print how they ended. Raises KeyboardInterrupt after Ctrl-C.

        If anything about them is wrong, that is printed instead. `changed` are the files that started the run.
        """
        begun = time.time()
        if not self._are_sound(changed):
            say("nothing was run")
            return
        asked = self._options
        with going_on(begin_run(asked.seed, asked.required, asked.shuffled), self._topology) as run:
            report.supersede_results()
            self._ask({"behave": run_arguments(run, ["--no-snippets", *asked.selection.arguments])})
            record = read(run.journal)
            show(record, out)
            report.keep(run.journal, run.results)
            first = min((one.began for one in record.results), default=begun)
        say(f"{time.time() - begun:.1f} s in all, {first - begun:.1f} s to the first scenario")

    def _are_sound(self, changed: Sequence[Path]) -> bool:
        """Whether nothing is wrong with the scenarios; the process prints what is.

        The user's limits are held against all scenarios, not only the selected ones. That takes a second or two, so
        it is done only when the settings have changed.
        """
        self._limits_due = self._limits_due or any(path.name == own_folder.SETTINGS for path in changed)
        sound = self._ask({"check": asdict(self._options.selection), "limits": self._limits_due}) == 0
        self._limits_due = self._limits_due and not sound
        return sound

    def _ask(self, asked: Mapping[str, object]) -> int:
        """Let the process do something, and return the exit status. Raises KeyboardInterrupt after Ctrl-C."""
        process = self._warm or self._started()
        assert process.stdin is not None
        process.stdin.write(f"{json.dumps(asked)}\n")
        process.stdin.flush()
        try:
            return self._answer(process)
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGINT)
            self._answer(process)
            raise

    def _started(self) -> "subprocess.Popen[str]":
        own = own_folder.given()
        folders = [str(STEPS), *(map(str, own.step_folders) if own else ())]
        argv = self._target.inside([sys.executable, "-m", "support.cli.behave_server", *folders])
        variables = {**os.environ, **as_variables({**self._options.given, **self._target.given})}
        self._warm = subprocess.Popen(
            behave_process.dies_with_us(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # or the terminal's Ctrl-C would reach it as well
            env=variables,
        )
        self._answer(self._warm)
        return self._warm

    def _answer(self, process: "subprocess.Popen[str]") -> int:
        """Read the line that tells that it has done what was asked, and return the exit status."""
        assert process.stdout is not None
        said, _, status = process.stdout.readline().strip().partition(" ")
        if said != behave_server.ENDED:
            self._warm = None
            raise AcceptError("the process that runs the scenarios has ended; its messages are above")
        return int(status)
