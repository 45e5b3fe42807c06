"""Sabotages one cluster, and runs the scenarios that must notice."""

import shutil
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from support.cli import behave_process
from support.cli.behave_process import Planned, behave_argv, going_on, run_arguments
from support.cli.paths import RESULTS, STATE
from support.errors import UsageError
from support.example_app import schema
from support.faults.nemesis import Fault
from support.hosts.processors import busy_machine
from support.places import as_seen
from support.reporting.journal import RunRecord, read
from support.reporting.merging import JOURNAL
from support.reporting.scenario import ScenarioResult, Verdict
from support.reporting.trust import NOT_TRIED, HealthyRun, Heard, Proof
from support.run import Run, begin_run
from support.sabotage.catalogue import part_of
from support.sabotage.damage import SILENCE, Damage
from support.sabotage.sabotage import Notice, Sabotage
from support.target.cluster import Cluster
from support.target.health import await_all
from support.target.topology import Topology
from support.timeouts import RECOVERY
from support.waiting import NotYet, describe, eventually

ALARMS = STATE / "alarms"
"""The evidence of healthy runs in which a scenario failed, a folder each."""
ALARMS_KEPT = 20
"""How many of them a new proof keeps: the newest ones."""
EFFECT_WITHIN = 30.0
"""Seconds that a sabotage has to take effect."""
APPLICATION = "support.sabotage.application"
ON_A_BUSY_MACHINE = "try it on a quieter machine, or with a sabotage that changes a state instead of a speed"
"""What to do about a scenario that could not judge its limit because the machine was busy."""


@dataclass(frozen=True)
class Prover:
    """Sabotages an embedded cluster. Runs inside its sandbox."""

    topology: Topology
    scenarios: Sequence[Planned]
    """All scenarios that fit the cluster."""
    log: Path
    """File for the output of behave."""
    all_fast: bool = False
    """Run every fast scenario for each sabotage, to see which others notice."""

    def prove(self, sabotage: Sabotage, failing: Mapping[str, str], only: Container[str] | None = None) -> Proof:
        """Sabotage, run the scenarios that must notice, undo, and check that the cluster is healthy again.

        Nothing is broken for scenarios that are `failing` on the healthy cluster: title -> what happened. `only`: the
        titles of those to be run, of all that must notice; the others then have no verdict.
        """
        begun = time.monotonic()
        record, failed, unhealthy = RunRecord(), list[str](), list[str]()
        concerned = self._concerned(sabotage)
        sound = [one for one in concerned if one.name not in failing and (only is None or one.name in only)]
        for batch in _batches(sound) if sound or not concerned else ():
            try:
                found = self._sabotaged(sabotage, batch)
                record = replace(found, results=(*record.results, *found.results))
            except Exception as error:
                failed.append(f"{type(error).__name__}: {describe(error)}")
            if unhealthy := self._still_unhealthy():
                break
        seen = {id for one in record.of(Verdict.BROKEN) for id in (*one.scenario.ids, *one.also_broken)}
        return Proof(
            sabotage.name,
            part_of(sabotage),
            sabotage.description,
            tuple(one for notice in sabotage.noticed_by for one in heard(notice, record, self.scenarios, failing)),
            "; ".join(failed + unhealthy),
            tuple(sorted(seen - set(sabotage.ids))),
            time.monotonic() - begun,
            recovered=not unhealthy,
        )

    def _sabotaged(self, sabotage: Sabotage, scenarios: Sequence[Planned]) -> RunRecord:
        """Run scenarios while the sabotage is in effect."""
        damage = sabotage.damage(Cluster(self.topology))
        try:
            _inject(damage)
            record = self._run(scenarios, sabotage)
        finally:
            damage.heal()
        _require_undone(damage)
        return record

    def run_healthy(self, scenarios: Sequence[Planned], name: str = "") -> HealthyRun:
        """Run scenarios while nothing is broken. Each that fails is a false alarm.

        The cluster has to be healthy again after destructive ones.
        """
        begun, kept = time.monotonic(), list[Path]()
        record = self._run(scenarios, keep=kept.append)
        alarms = [
            f"{', '.join(one.scenario.ids)} {one.scenario.name}: {one.verdict}: {one.reason_in_a_line}"
            for one in record.failing
            if one.verdict is not Verdict.INCONCLUSIVE
        ]
        alarms += [f"{one.name}: it did not finish" for one in record.without_verdict]
        if (selected := len(record.selected)) < len(scenarios):
            alarms.append(f"the run: {len(scenarios) - selected} of {len(scenarios)} scenarios did not begin")
        alarms += [f"the run: {one.message}" for one in record.troubles]
        destructive = sum(one.is_destructive for one in scenarios)
        unhealthy = self._still_unhealthy() if destructive else []
        alarms += [f"{name}: {why}" for why in unhealthy]
        seconds = time.monotonic() - begun
        return HealthyRun(
            len(record.results),
            tuple(alarms),
            seconds,
            name,
            recovered=not unhealthy,
            destructive=destructive,
            failed={one.scenario.name: _ended(one) for one in record.of(Verdict.BROKEN, Verdict.ERROR)},
            inconclusive={one.scenario.name: one.reason_in_a_line for one in record.of(Verdict.INCONCLUSIVE)},
            passed=tuple(one.scenario.name for one in record.of(Verdict.PASSED)),
            evidence=as_seen(kept[0]) if kept else "",
        )

    def _concerned(self, sabotage: Sabotage) -> list[Planned]:
        return [
            one
            for one in self.scenarios
            if (self.all_fast and not one.is_destructive)
            or any(notice.applies_to(one.ids, one.name) for notice in sabotage.noticed_by)
        ]

    def _run(
        self,
        scenarios: Sequence[Planned],
        sabotage: Sabotage | None = None,
        keep: Callable[[Path], object] | None = None,
    ) -> RunRecord:
        """Run scenarios as `accept run --target` does, and return the record.

        If they do not all pass, `keep` gets the folder that the evidence is kept in; without it, none is kept.
        """
        if not scenarios:
            raise UsageError("no scenario has to notice this sabotage")  # behave would run all scenarios
        module = [APPLICATION, sabotage.application] if sabotage and sabotage.application else ["behave"]
        places = sorted((one.location for one in scenarios), key=_line)
        with going_on(begin_run(), self.topology, notes=False) as run:
            behave = [*behave_argv(module), *run_arguments(run, places)]
            behave_process.run(behave, sabotage.variables if sabotage else {}, self.log)
            record = read(run.journal)
            if keep is not None and (record.failing or record.without_verdict or record.troubles):
                keep(_kept(run))
            return record

    def _still_unhealthy(self) -> list[str]:
        """Why the cluster is not healthy after a sabotage. Removes data that the scenarios could not remove."""
        cluster = Cluster(self.topology)
        try:
            await_all(cluster, RECOVERY)
            schema.sweep(cluster.write, cluster.profile, "accept")
            cluster.forget_cached("accept")
        except Exception as error:
            return [f"not healthy afterwards: {describe(error)}"]
        return []


def _kept(run: Run) -> Path:
    """Copy the journal and results of a run to a folder that outlives it, as `accept report` reads them."""
    results = ALARMS / run.id / RESULTS.name
    results.parent.mkdir(parents=True)
    shutil.copytree(run.results, results)
    shutil.copyfile(run.journal, results / JOURNAL)
    return results.parent


def forget_old_alarms() -> None:
    """Remove the evidence of all false alarms but the newest. The id of a run begins with the time when it began."""
    for folder in sorted(ALARMS.glob("*"))[:-ALARMS_KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def heard(
    notice: Notice, record: RunRecord, scenarios: Iterable[Planned], failing: Mapping[str, str]
) -> tuple[Heard, ...]:
    """Whether each of the scenarios that a notice stands for noticed, and what it reported.

    Those that are `failing` on the healthy cluster were not tried: title -> what happened there.

    What must hold in every destructive scenario is part of what it reports: "SB-01: two members accepted writes" in a
    scenario about something else.
    """
    ended = {one.scenario.name: one for one in record.results if notice.id in one.scenario.ids}
    concerned = [one.name for one in scenarios if notice.applies_to(one.ids, one.name)]
    if not concerned:
        return (Heard(notice.id, False, "no verdict", notice.scenario, "no scenario of this cluster has to notice"),)
    return tuple(
        Heard(notice.id, False, NOT_TRIED, name, failing[name])
        if name in failing
        else _heard(notice, name, ended.get(name))
        for name in concerned
    )


def _heard(notice: Notice, name: str, result: ScenarioResult | None) -> Heard:
    if result is None:
        return Heard(notice.id, False, "no verdict", name, "it did not finish")
    wanted = Verdict.SKIPPED if notice.skipped else Verdict.BROKEN
    noticed = result.verdict is wanted and notice.matches(result.reason_in_a_line)
    return Heard(
        notice.id, noticed, result.verdict, name, result.reason_in_a_line if noticed else _why_not(result, notice)
    )


def _why_not(result: ScenarioResult, notice: Notice) -> str:
    if result.verdict is Verdict.PASSED:
        return "it passed all the same"
    if result.verdict is Verdict.BROKEN:
        return f"its message does not match {notice.pattern!r}: {result.reason_in_a_line}"
    if result.verdict is Verdict.INCONCLUSIVE and busy_machine(result.reason_in_a_line):
        return f"{result.reason_in_a_line}; {ON_A_BUSY_MACHINE}"
    return result.reason_in_a_line


def _ended(result: ScenarioResult) -> str:
    """How a scenario failed on the healthy cluster, and what that means for the proof."""
    how = "is broken" if result.verdict is Verdict.BROKEN else "ends as an error"
    return f"it {how} on the healthy cluster, so no sabotage was tried on it; fix that first: {result.reason_in_a_line}"


def _batches(scenarios: Sequence[Planned]) -> list[list[Planned]]:
    """Scenarios that can share one sabotage. A destructive one runs alone: the cluster may not recover from it."""
    fast = [one for one in scenarios if not one.is_destructive]
    alone = [[one] for one in scenarios if one.is_destructive]
    return [fast, *alone] if fast or not alone else alone


def _inject(damage: Fault) -> None:
    damage.inject()
    eventually(damage.require_in_effect, within=EFFECT_WITHIN, subject=f"it took effect: {damage}", retry_on=SILENCE)


def _require_undone(damage: Fault) -> None:
    """The damage no longer shows."""

    def gone() -> None:
        try:
            damage.require_in_effect()
        except Exception:
            return
        raise NotYet("it is still in effect")

    if not (isinstance(damage, Damage) and damage.passes_when_undone):
        eventually(gone, within=EFFECT_WITHIN, subject=f"it is undone: {damage}")


def _line(location: str) -> tuple[str, int]:
    """A sort key for locations: behave accepts several lines of a file only if they come one after another."""
    path, _, line = location.rpartition(":")
    return path, int(line)


def is_destructive(sabotage: Sabotage, scenarios: Iterable[Planned]) -> bool:
    """Whether a destructive scenario must notice the sabotage. That takes a minute, others a few seconds."""
    return any(
        one.is_destructive and notice.applies_to(one.ids, one.name)
        for one in scenarios
        for notice in sabotage.noticed_by
    )
