"""The work of `accept prove` on one cluster: sabotages, with runs on the healthy cluster in between."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from support.cli.behave_process import Planned
from support.cli.console import err, say
from support.cli.paths import STATE
from support.cli.prover import Prover, is_destructive
from support.reporting.trust import HealthyRun, Proof, note
from support.sabotage.sabotage import Sabotage
from support.work import WorkQueue

TRUST = STATE / "trust.jsonl"
"""The results of the last `accept prove`."""
FAST_SECONDS, DESTRUCTIVE_SECONDS = 8.0, 75.0
"""Estimated seconds for a sabotage, by whether a destructive scenario must notice it."""
HEALTHY_SECONDS = 30.0
"""Estimated seconds for a destructive scenario on the healthy cluster."""
DESTRUCTIVE_WEIGHT = 3
"""How many sabotages one with a destructive scenario stands for when healthy runs are due."""


@dataclass(frozen=True)
class DestructiveRun:
    """The destructive scenarios of one feature, to be run on the healthy cluster."""

    name: str
    scenarios: tuple[Planned, ...]


Work = Sabotage | DestructiveRun


def ordered(sabotages: Sequence[Sabotage], scenarios: Sequence[Planned], rounds: int, narrowed: bool) -> list[Work]:
    """What is done on one cluster: fast sabotages, then destructive ones with `rounds` healthy runs spread among them.

    `scenarios` are those that fit the cluster. With `narrowed` only the destructive scenarios that must notice one of
    the sabotages run on the healthy cluster.
    """
    fast = [one for one in sabotages if not is_destructive(one, scenarios)]
    slow = [one for one in sabotages if is_destructive(one, scenarios)]
    notices = [notice for one in slow for notice in one.noticed_by]
    healthy = [
        one
        for one in scenarios
        if one.is_destructive and (not narrowed or any(notice.applies_to(one.ids, one.name) for notice in notices))
    ]
    work: list[Work] = [*fast]
    for done in range(rounds):
        work += _destructive_runs(healthy, done + 1)
        work += slow[done * len(slow) // rounds : (done + 1) * len(slow) // rounds]
    return work if rounds else [*fast, *slow]


def _destructive_runs(scenarios: Sequence[Planned], number: int) -> Iterator[DestructiveRun]:
    for file, those in groupby(scenarios, lambda one: one.location.rpartition(":")[0]):
        yield DestructiveRun(f"healthy run {number} of {file}", tuple(those))


class Share:
    """The work of one process on one cluster."""

    def __init__(self, claims: WorkQueue, every: int, prover: Prover, work: Sequence[Work], narrowed: bool) -> None:
        self._claims, self._every = claims, every
        self._prover, self._work = prover, work
        self._begun = time.monotonic()
        wanted = {id for one in work if isinstance(one, Sabotage) for id in one.ids}
        self._fast = [one for one in prover.scenarios if not one.is_destructive and (not narrowed or wanted & one.ids)]

    def work(self) -> None:
        """Do what nobody else does, with fast healthy runs before, between and after.

        Ends early if the cluster does not recover.
        """
        self._run_healthy()
        since = 0
        for one, number in self._claimed():
            self._tell(f"{number}/{len(self._work)} {_title(one)}")
            result = self._do(one)
            if not result.recovered:
                return
            destructive = isinstance(one, DestructiveRun) or is_destructive(one, self._prover.scenarios)
            since += DESTRUCTIVE_WEIGHT if destructive else 1
            if since >= self._every:
                self._run_healthy()
                since = 0
        if since:
            self._run_healthy()

    def _do(self, one: Work) -> Proof | HealthyRun:
        if isinstance(one, DestructiveRun):
            run = self._prover.run_healthy(one.scenarios, one.name)
            _note_healthy(run)
            return run
        proof = self._prover.prove(one)
        note(TRUST, "proof", proof)
        for heard in proof.heard:
            said = f"    {heard.id} {heard.scenario}: {'noticed' if heard.noticed else 'NOT NOTICED'}: {heard.message}"
            err.print(said, markup=False, style="green" if heard.noticed else "red")
        if proof.failed:
            err.print(f"    FAILED: {proof.failed}", markup=False, style="red")
        return proof

    def _claimed(self) -> Iterator[tuple[Work, int]]:
        for number, one in enumerate(self._work, 1):
            if self._claims.take(one.name):
                yield one, number

    def _run_healthy(self) -> None:
        if self._fast:
            self._tell(f"healthy: {len(self._fast)} scenarios")
            _note_healthy(self._prover.run_healthy(self._fast))

    def _tell(self, what: str) -> None:
        left = sum(self._seconds(one) for one in self._work if not self._claims.taken(one.name))
        elapsed = time.monotonic() - self._begun
        say(f"{elapsed:6.0f} s, about {left / 60:.0f} min left  {what}")

    def _seconds(self, one: Work) -> float:
        if isinstance(one, DestructiveRun):
            return HEALTHY_SECONDS * len(one.scenarios)
        return DESTRUCTIVE_SECONDS if is_destructive(one, self._prover.scenarios) else FAST_SECONDS


def _title(one: Work) -> str:
    if isinstance(one, DestructiveRun):
        return f"{one.name}: {len(one.scenarios)} destructive scenarios"
    return f"{one.name}: {one.description}"


def _note_healthy(run: HealthyRun) -> None:
    note(TRUST, "healthy", run)
    for alarm in run.alarms:
        err.print(f"    FALSE ALARM: {alarm}", markup=False, style="red")
