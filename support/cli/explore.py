"""`accept explore`: random faults, one after another and several at once, until an invariant breaks or time is over.

Clients append to a ledger, run transactions and read meanwhile. What breaks is repeated, shortened as far as it still
breaks, and printed as a scenario.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from support.cli import behave_process, clusters
from support.cli.behave_process import behave_argv, going_on, run_arguments, sigterm_interrupts
from support.cli.boot import boot_cluster
from support.cli.cluster_under_test import as_configured, as_variables
from support.cli.clusters import KeptCluster
from support.cli.console import Progress, out, say
from support.cli.episodes import Episode, Move, episode, possible
from support.cli.paths import STATE
from support.errors import NotInTime, UsageError
from support.reporting.journal import BROKEN, NOTHING_JUDGED, PASSED, read
from support.reporting.scenario import ScenarioResult, Verdict
from support.run import begin_run, new_id
from support.settings import Settings
from support.target.baseline import apply_baseline
from support.target.cluster import Cluster
from support.target.discovery import user_cluster
from support.target.health import await_all
from support.target.topology import Topology
from support.timeouts import RECOVERY
from support.vocabulary import counted

LOG = STATE / "explore.log"
"""The output of behave."""
FOUND = STATE / "explored"
"""The folder of the scenarios that broke."""
_AGAIN = 2  # how often a shortened episode is tried before it counts as sound: what broke once may need luck


@dataclass(frozen=True)
class ExploreOptions:
    """What the user asked for. Raises UsageError for a time that is too short for anything."""

    settings: Settings
    minutes: float
    seed: int
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The settings of the target, which behave has to know, too."""
    cluster: KeptCluster | None = None

    def __post_init__(self) -> None:
        if self.minutes < 1:
            raise UsageError("--minutes: one episode takes about a minute")


@dataclass(frozen=True)
class Tried:
    """One run of an episode."""

    episode: Episode
    verdict: Verdict
    reason: str
    seconds: float

    @property
    def broke(self) -> bool:
        return self.verdict is Verdict.BROKEN


Try = Callable[[Episode, str], Tried]
"""Runs an episode under a title."""


def explore(options: ExploreOptions, arguments: Sequence[str]) -> int:
    """Explore until the time is up or something breaks.

    Returns the exit status: 0 if at least half of all episodes could be judged, and all of those held.
    """
    if options.cluster is not None:
        clusters.continue_inside(options.cluster, ["explore", *arguments])
    with ExitStack() as cleanup, sigterm_interrupts():
        topology, end = _target(options, cleanup), time.monotonic() + 60 * options.minutes
        known, _ = apply_baseline(topology, options.settings.expectations, options.settings.accept_timeout_multiplier)
        if "destructive" in known.lacks:
            raise UsageError(f"explore disturbs the cluster: {known.lacks['destructive']}")
        moves = possible(known.lacks)
        if not moves:
            raise UsageError("no fault can be injected: the suite can reach neither the hosts nor Patroni's API")
        say(
            f"seed {options.seed} (--seed {options.seed} repeats the episodes); {counted(len(moves), 'kind')} of faults"
        )
        outlives = options.cluster is not None or options.settings.external
        runner = _Runner(topology, options.given, 2 * topology.timing.recovery if outlives else 0.0)
        return conclude(search(runner, options.seed, moves, not known.accepted_loss, end), runner, options.seed, end)


def search(attempt: Try, seed: int, moves: Sequence[Move], transactions: bool, end: float) -> list[Tried]:
    """Try one episode after another until one breaks, or until `end` (monotonic clock)."""
    tried: list[Tried] = []
    while time.monotonic() < end and not any(one.broke for one in tried):
        number = len(tried) + 1
        wanted = episode(Random(f"{seed}/{number}"), moves, transactions)
        one = attempt(wanted, f"Every invariant holds, seed {seed}, episode {number}")
        tried.append(one)
        out.print(f"{number:4}  {one.verdict}  {one.seconds:4.0f} s  {wanted}", markup=False, soft_wrap=True)
        if one.reason and not one.broke:
            out.print(f"      {one.reason}", markup=False, soft_wrap=True)
    return tried


def shortest(attempt: Try, broken: Tried, seed: int, end: float) -> Tried:
    """The shortest episode found until `end` that still breaks, by leaving out one sentence after another."""
    shortened = True
    while shortened:
        shortened = False
        for candidate in broken.episode.shorter():
            for _ in range(_AGAIN):
                if time.monotonic() >= end:
                    return broken
                again = attempt(candidate, f"Every invariant holds, seed {seed}, shortened")
                if again.broke:
                    break
            if again.broke:
                out.print(f"still broken: {candidate}", markup=False, soft_wrap=True)
                broken, shortened = again, True
                break
    return broken


def conclude(tried: Sequence[Tried], runner: "_Runner", seed: int, end: float) -> int:
    """Say what was found, and return the exit status."""
    broken = next((one for one in tried if one.broke), None)
    judged = [one for one in tried if one.verdict in (Verdict.PASSED, Verdict.BROKEN)]
    if broken is None:
        enough = len(judged) >= max(1, len(tried) / 2)
        held = "every invariant held in them" if judged else "so nothing is known"
        few = ", which are too few for a verdict" if judged and not enough else ""
        out.print(f"{len(judged)} of {counted(len(tried), 'episode')} could be judged; {held}{few}", markup=False)
        return PASSED if enough else NOTHING_JUDGED
    out.print(f"broken: {broken.reason}", markup=False, soft_wrap=True, style="red")
    if runner.healthy():
        broken = shortest(runner, broken, seed, end)
    else:
        say("the cluster did not recover, so nothing can be tried again on it")
    text = broken.episode.gherkin(f"Every invariant holds, seed {seed}")
    FOUND.mkdir(parents=True, exist_ok=True)
    file = FOUND / f"seed-{seed}.feature"
    file.write_text(text, encoding="utf-8")
    out.print(f"\n{text}", markup=False, soft_wrap=True)
    out.print(f"it fails with: {broken.reason}\nkept as {file}", markup=False, soft_wrap=True)
    return BROKEN


class _Runner:
    """Runs episodes on one cluster, as `accept run` does. Inside its sandbox, if it has one."""

    def __init__(self, topology: Topology, given: Mapping[str, Any], heals_within: float = 0.0) -> None:
        """`heals_within`: the seconds that a cluster which outlives the exploration has to be healed after Ctrl-C."""
        self._topology, self._given, self._heals_within = topology, given, heals_within
        self._outlives = heals_within > 0

    def __call__(self, wanted: Episode, title: str) -> Tried:
        begun = time.monotonic()
        feature = FOUND / f"{new_id()}.feature"
        try:
            FOUND.mkdir(parents=True, exist_ok=True)
            feature.write_text(wanted.gherkin(title), encoding="utf-8")
            with going_on(begin_run(), self._topology, notes=self._outlives) as run:
                behave = [*behave_argv(), *run_arguments(run, [str(feature)])]
                behave_process.run(behave, as_variables(self._given), LOG, heals_within=self._heals_within)
                record = read(run.journal)
        finally:
            feature.unlink(missing_ok=True)
        seconds = time.monotonic() - begun
        result: ScenarioResult | None = next(iter(record.results), None)
        if result is None:
            why = "; ".join(one.message for one in record.troubles) or "it has no verdict"
            return Tried(wanted, Verdict.ERROR, why, seconds)
        return Tried(wanted, result.verdict, result.reason_in_a_line, seconds)

    def healthy(self) -> bool:
        """Whether the cluster is healthy again, after some time."""
        try:
            await_all(Cluster(self._topology), RECOVERY)
        except NotInTime:
            return False
        return True


def _target(options: ExploreOptions, cleanup: ExitStack) -> Topology:
    if options.cluster is not None:
        return options.cluster.topology
    if options.settings.external:
        return as_configured(user_cluster.discover(options.settings))
    place: Path = (STATE / f"explore-{new_id()}").absolute()
    place.mkdir(mode=0o700, parents=True)
    cleanup.callback(shutil.rmtree, place, ignore_errors=True)
    sandbox, topology = boot_cluster(options.settings, place, Progress())
    cleanup.callback(sandbox.close)
    return topology
