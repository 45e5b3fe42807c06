"""One cluster, sabotaged again and again: each time the scenarios that must notice are run, and heard."""

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from support.cli import behaving
from support.cli.behaving import Planned
from support.cli.running import FORMATTER
from support.embedded.readiness import await_all
from support.errors import UsageError
from support.example_app import schema
from support.faults.nemesis import Fault
from support.reporting.journal import RunRecord, read
from support.reporting.trust import HealthyRun, Heard, Proof
from support.reporting.verdict import ScenarioResult, Verdict
from support.run import begin_run
from support.sabotage.catalogue import PART_OF
from support.sabotage.damages import SILENCE
from support.sabotage.sabotage import Notice, Sabotage
from support.target.cluster import Cluster
from support.target.topology import Topology
from support.timeouts import RECOVERY
from support.waiting import NotYet, describe, eventually

EFFECT_WITHIN = 30.0
"""Seconds for a sabotage to take effect."""
APPLICATION = "support.sabotage.application"


@dataclass(frozen=True)
class Prover:
    """Sabotages one embedded cluster, from a process in its sandbox."""

    topology: Topology
    scenarios: Sequence[Planned]
    """All that there are."""
    log: Path
    """What the runs of behave print."""
    wide: bool = False
    """Run every fast scenario each time, to see who else notices."""

    def prove(self, sabotage: Sabotage) -> Proof:
        """Do it, see that it took effect, run the scenarios that must notice, undo it, see that all is well again."""
        begun = time.monotonic()
        record, failed, unwell = RunRecord(), list[str](), list[str]()
        for batch in _batches(self._concerned(sabotage)):
            try:
                record = _joined(record, self._sabotaged(sabotage, batch))
            except Exception as error:
                failed.append(f"{type(error).__name__}: {describe(error)}")
            if unwell := self._not_well():
                break
        return Proof(
            sabotage.name,
            PART_OF[sabotage.name],
            sabotage.words,
            tuple(heard(notice, record) for notice in sabotage.noticed_by),
            "; ".join(failed + unwell),
            tuple(sorted(_failing_ids(record) - set(sabotage.ids))),
            time.monotonic() - begun,
            recovered=not unwell,
        )

    def _sabotaged(self, sabotage: Sabotage, scenarios: Sequence[Planned]) -> RunRecord:
        """What the scenarios say while it lasts."""
        damage = sabotage.damage(Cluster(self.topology))
        try:
            _inject(damage)
            record = self._run(scenarios, sabotage)
        finally:
            damage.heal()
        _require_undone(damage)
        return record

    def healthy(self, scenarios: Sequence[Planned]) -> HealthyRun:
        """Run those scenarios while nothing is broken: a scenario that does not pass is a false alarm."""
        begun = time.monotonic()
        record = self._run(scenarios)
        alarms = [
            f"{', '.join(one.scenario.ids)} {one.scenario.name}: {one.verdict}: {one.reason_in_a_line}"
            for one in record.failing
        ]
        alarms += [f"{one.name}: it did not end" for one in record.without_verdict]
        alarms += [f"the run: {one.message}" for one in record.troubles]
        return HealthyRun(len(record.results), tuple(alarms), time.monotonic() - begun)

    def _concerned(self, sabotage: Sabotage) -> list[Planned]:
        return [
            one
            for one in self.scenarios
            if (self.wide and "destructive" not in one.tags)
            or any(notice.meant(ids_of(one), one.name) for notice in sabotage.noticed_by)
        ]

    def _run(self, scenarios: Sequence[Planned], sabotage: Sabotage | None = None) -> RunRecord:
        """What behave's journal says of a run, as `accept run --target` makes one."""
        if not scenarios:
            raise UsageError("no scenario is concerned")  # behave would run all there are
        run = begin_run()
        try:
            self.topology.save(run.topology)
            module = [APPLICATION, sabotage.application] if sabotage and sabotage.application else ["behave"]
            places = sorted((one.location for one in scenarios), key=_line)
            options = ["-D", f"accept_run={run.file}", "--format", FORMATTER, "--outfile", str(run.results)]
            behave = [sys.executable, "-m", *module, *options, "--no-summary", *places]
            behaving.run(behave, sabotage.variables if sabotage else {}, self.log)
            return read(run.journal)
        finally:
            shutil.rmtree(run.directory, ignore_errors=True)

    def _not_well(self) -> list[str]:
        """What is amiss when a sabotage should be undone; what its scenarios could not remove is removed."""
        cluster = Cluster(self.topology)
        try:
            await_all(cluster, RECOVERY)
            schema.sweep(cluster.write, cluster.profile, "accept")
            cluster.forget_cached("accept")
        except Exception as error:
            return [f"not well after it: {describe(error)}"]
        return []


def heard(notice: Notice, record: RunRecord) -> Heard:
    """What the scenarios that a notice means said, in that run."""
    ended = [one for one in record.results if notice.meant(one.scenario.ids, one.scenario.name)]
    wanted = Verdict.SKIPPED if notice.skipped else Verdict.BROKEN
    for one in ended:
        if one.verdict is wanted and notice.understands(one.reason_in_a_line):
            return Heard(notice.id, True, one.verdict, one.scenario.name, one.reason_in_a_line)
    if not ended:
        return Heard(notice.id, False, "no verdict", notice.scenario, "no scenario that must notice came to its end")
    worst = next((one for one in ended if one.verdict.failed), ended[0])
    return Heard(notice.id, False, worst.verdict, worst.scenario.name, _why_not(worst, notice))


def _why_not(result: ScenarioResult, notice: Notice) -> str:
    if result.verdict is Verdict.PASSED:
        return "it passed all the same"
    if result.verdict is Verdict.BROKEN:
        return f"it says nothing of {notice.says!r}: {result.reason_in_a_line}"
    return result.reason_in_a_line


def ids_of(scenario: Planned) -> frozenset[str]:
    """The promises that a scenario is about."""
    return frozenset(tag.removeprefix("id.") for tag in scenario.tags if tag.startswith("id."))


def _batches(scenarios: Sequence[Planned]) -> list[list[Planned]]:
    """What may run one after the other: all but destructive ones, after which a sabotaged cluster may not recover."""
    fast = [one for one in scenarios if "destructive" not in one.tags]
    alone = [[one] for one in scenarios if "destructive" in one.tags]
    return [fast, *alone] if fast or not alone else alone


def _joined(one: RunRecord, other: RunRecord) -> RunRecord:
    return replace(other, results=(*one.results, *other.results))


def _inject(damage: Fault) -> None:
    damage.inject()
    eventually(damage.require_in_effect, within=EFFECT_WITHIN, subject=f"it took effect: {damage}", retry_on=SILENCE)


def _require_undone(damage: Fault) -> None:
    """Its sign is gone."""

    def gone() -> None:
        try:
            damage.require_in_effect()
        except Exception:
            return
        raise NotYet("it is so still")

    if not getattr(damage, "leaves_its_sign", False):
        eventually(gone, within=EFFECT_WITHIN, subject=f"it is undone: {damage}")


def _failing_ids(record: RunRecord) -> set[str]:
    return {id for one in record.of(Verdict.BROKEN) for id in one.scenario.ids}


def _line(location: str) -> tuple[str, int]:
    """behave takes the lines of a file only when they come together."""
    path, _, line = location.rpartition(":")
    return path, int(line)


def destructive(sabotage: Sabotage, scenarios: Iterable[Planned]) -> bool:
    """Whether a scenario that must notice disturbs the cluster itself: such take a minute, others a few seconds."""
    return any(
        "destructive" in one.tags and notice.meant(ids_of(one), one.name)
        for one in scenarios
        for notice in sabotage.noticed_by
    )
