"""The work of `accept prove` on one cluster: sabotages, with runs on the healthy cluster in between."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from support.cli.behave_process import Planned
from support.cli.console import err, say
from support.cli.job_plan import measures_speed
from support.cli.paths import TRUST
from support.cli.prover import Prover, is_destructive
from support.reporting.trust import HealthyRun, Proof, Trust, note, read
from support.sabotage.sabotage import Sabotage
from support.vocabulary import counted
from support.work import WorkQueue

FAST_SECONDS, DESTRUCTIVE_SECONDS = 8.0, 75.0
"""Estimated seconds for a sabotage, by whether a destructive scenario must notice it."""
HEALTHY_SECONDS = 30.0
"""Estimated seconds for a destructive scenario on the healthy cluster."""
_WORTH_TELLING = 30.0
"""Fewer seconds round to no minute, which is no estimate of what the work still takes."""
STYLES = {"noticed": "green", "INCONCLUSIVE": "yellow"}
"""How labels are shown in the terminal; all others are red."""
DESTRUCTIVE_WEIGHT = 3
"""How many sabotages one with a destructive scenario stands for when healthy runs are due."""


@dataclass(frozen=True)
class PlannedRun:
    """Scenarios to be run on the healthy cluster."""

    name: str
    scenarios: tuple[Planned, ...]
    repeated: bool = False
    """Whether the scenarios were inconclusive in earlier runs."""


Work = Sabotage | PlannedRun


def ordered(sabotages: Sequence[Sabotage], scenarios: Sequence[Planned], rounds: int, narrowed: bool) -> list[Work]:
    """What is done on one cluster: fast sabotages, then destructive ones with `rounds` healthy runs spread among them.

    `scenarios` are those that fit the cluster. With `narrowed` only the destructive scenarios that must notice one of
    the sabotages run on the healthy cluster.
    """
    fast = [one for one in sabotages if not is_destructive(one, scenarios)]
    slow = [one for one in sabotages if is_destructive(one, scenarios)]
    healthy = [one for one in scenarios if one.is_destructive and (not narrowed or _concerned(slow, one))]
    work: list[Work] = [*fast]
    for done in range(rounds):
        work += _destructive_runs(healthy, done + 1)
        work += slow[done * len(slow) // rounds : (done + 1) * len(slow) // rounds]
    return work if rounds else [*fast, *slow]


def _destructive_runs(scenarios: Sequence[Planned], number: int) -> Iterator[PlannedRun]:
    for file, those in groupby(scenarios, lambda one: one.location.rpartition(":")[0]):
        yield PlannedRun(f"healthy run {number} of {file}", tuple(those))


def needs_quiet(sabotage: Sabotage, scenarios: Iterable[Planned]) -> bool:
    """Whether a scenario that measures speed must notice it, which it cannot alongside other clusters."""
    return any(measures_speed(one) and _concerned([sabotage], one) for one in scenarios)


def speed_run(scenarios: Iterable[Planned], sharded: bool) -> PlannedRun | None:
    """The run of the scenarios that measure speed, on the healthy cluster; None if there are none."""
    those = tuple(one for one in scenarios if measures_speed(one) and not one.is_destructive)
    return PlannedRun(f"healthy run of speed{' on shards' if sharded else ''}", those) if those else None


def repeated(trust: Trust, sabotages: Iterable[Sabotage], scenarios: Iterable[Planned], sharded: bool) -> list[Work]:
    """What was inconclusive, to be tried once more on a cluster that has the machine to itself."""
    unclear = {proof.sabotage for proof in trust.proofs if proof.inconclusive}
    work: list[Work] = [one for one in sabotages if one.name in unclear]
    if those := tuple(one for one in scenarios if one.name in trust.unsettled):
        name = f"healthy run of what was inconclusive{' on shards' if sharded else ''}"
        return [PlannedRun(name, those, repeated=True), *work]
    return work


def _concerned(sabotages: Iterable[Sabotage], scenario: Planned) -> bool:
    return any(
        notice.applies_to(scenario.ids, scenario.name) for sabotage in sabotages for notice in sabotage.noticed_by
    )


class Share:
    """The work of one process on one cluster."""

    def __init__(
        self, claims: WorkQueue, every: int, prover: Prover, work: Sequence[Work], fast: Sequence[Planned]
    ) -> None:
        """`fast`: the scenarios to run on the healthy cluster before, between (after `every` sabotages) and after."""
        self._claims, self._every = claims, every
        self._prover, self._work, self._fast = prover, work, fast
        self._begun = time.monotonic()

    def work(self) -> None:
        """Do what nobody else does, with healthy runs of the fast scenarios.

        Ends early if the cluster does not recover.
        """
        self._run_healthy()
        since = 0
        for one, number in self._claimed():
            self._tell(f"{number}/{len(self._work)} {_title(one)}", one)
            result = self._do(one)
            if not result.recovered:
                return
            if isinstance(result, Proof) and not result.tried:
                continue
            destructive = isinstance(one, PlannedRun) or is_destructive(one, self._prover.scenarios)
            since += DESTRUCTIVE_WEIGHT if destructive else 1
            if since >= self._every:
                self._run_healthy()
                since = 0
        if since:
            self._run_healthy()

    def _do(self, one: Work) -> Proof | HealthyRun:
        so_far = read(TRUST)
        if isinstance(one, PlannedRun):
            sound = [each for each in one.scenarios if each.name not in so_far.failing]
            run = self._prover.run_healthy(sound, one.name) if sound else HealthyRun(0, name=one.name)
            run = replace(run, repeated=one.repeated)
            _note_healthy(run)
            return run
        first = next((proof for proof in so_far.proofs if proof.sabotage == one.name), None)
        proof = self._prover.prove(one, so_far.failing, only=first.unclear if first else None)
        if first:
            proof = first.with_second(proof)
        note(TRUST, "proof", proof)
        for heard in proof.heard:
            said = f"    {heard.id} {heard.scenario}: {heard.label}: {heard.message}"
            err.print(said, markup=False, style=STYLES.get(heard.label, "red"))
        if proof.failed:
            err.print(f"    FAILED: {proof.failed}", markup=False, style="red")
        elif proof.tried:
            err.print("    undone; the cluster is healthy again", markup=False)
        return proof

    def _claimed(self) -> Iterator[tuple[Work, int]]:
        for number, one in enumerate(self._work, 1):
            if self._claims.take(one.name):
                yield one, number

    def _run_healthy(self) -> None:
        failing = read(TRUST).failing  # once is enough to know that they have to be mended
        if sound := [one for one in self._fast if one.name not in failing]:
            self._tell(f"on the healthy cluster: {counted(len(sound), 'scenario')}")
            _note_healthy(self._prover.run_healthy(sound))

    def _tell(self, what: str, now: Work | None = None) -> None:
        """Say what begins `now`, and how long it and the rest will take, unless that rounds to nothing."""
        left = sum(self._seconds(one) for one in self._work if one is now or not self._claims.taken(one.name))
        estimate = f", about {left / 60:.0f} min left" if left >= _WORTH_TELLING else ""
        say(f"{time.monotonic() - self._begun:6.0f} s{estimate}  {what}")

    def _seconds(self, one: Work) -> float:
        if isinstance(one, PlannedRun):
            return HEALTHY_SECONDS * len(one.scenarios)
        return DESTRUCTIVE_SECONDS if is_destructive(one, self._prover.scenarios) else FAST_SECONDS


def _title(one: Work) -> str:
    if isinstance(one, PlannedRun):
        return f"{one.name}: {counted(len(one.scenarios), 'scenario')}"
    return f"{one.name}: {one.description}"


def _note_healthy(run: HealthyRun) -> None:
    note(TRUST, "healthy", run)
    if run.scenarios and not (run.alarms or run.inconclusive):
        skipped = f", skipped: {left}" if (left := run.scenarios - len(run.passed)) else ""
        healed = "; the cluster is healthy again" if run.destructive else ""
        err.print(f"    passed: {counted(len(run.passed), 'scenario')}{skipped}{healed}", markup=False)
    for alarm in run.alarms:
        err.print(f"    FALSE ALARM: {alarm}", markup=False, style="red")
    for title, why in run.inconclusive.items():
        err.print(f"    INCONCLUSIVE: {title}: {why}", markup=False, style="yellow")
    if run.evidence:
        err.print(f"    the evidence: ./accept report {run.evidence}", markup=False)
