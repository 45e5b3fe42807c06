"""The frame of a destructive scenario: a healthy cluster, faults under watch, and what must hold afterwards.

Whatever else a scenario asks for: at no time may two members have accepted writes (split brain), every fault must be
healed, every group must stream on one timeline again, and no log may hold a PANIC or "report it as a BUG".
"""

import math
import time
from collections.abc import Callable, Collection, Sequence

from support.engine.checks.writers import Coverage, FrozenPeriod, SilentPeriod, at_most_one_writer, without_frozen
from support.engine.finding import Finding, listed
from support.engine.watch import LONGEST_SILENCE, Watch
from support.engine.world import missing
from support.errors import NotInTime, UnhealthyCluster
from support.faults.nemesis import Fault, InjectedFault, Nemesis
from support.faults.process import Freeze
from support.hosts.interface import Log, LogName, of_each_log
from support.target.cluster import Cluster
from support.target.health import await_all, is_healthy
from support.target.translations import PANICS

THAW_GRACE = 5.0
"""Seconds that a thawed leader has to learn that it was replaced: until it asks the DCS, it cannot know.

Until then it accepts transactions. With synchronous replication it cannot acknowledge them, because no standby follows
it any more; clients of its own prove that none was acknowledged and lost (support/engine/fencing.py). With asynchronous
replication it acknowledges them in vain: then the same clients find out how many, and that is a known limit. The excuse
ends with its first refusal.
"""
ONE_WRITER = "SB-01"
"""The promise that at no time more than one member accepts writes."""
BUG = "report it as a BUG"
ALARMS = (*PANICS, BUG, "TRAP: failed Assert")


class Experiment:
    """From a healthy cluster to a healthy cluster. `target_member` is the member or host that the last fault hit."""

    def __init__(self, cluster: Cluster) -> None:
        """Wait until the cluster is healthy, and start watching. Raises UnhealthyCluster if it does not become so."""
        self.begun = time.monotonic()
        self._recovery = cluster.topology.timing.recovery
        try:
            await_all(cluster, self._recovery)
        except NotInTime as error:
            raise UnhealthyCluster(f"the cluster was unhealthy before any fault was injected: {error}") from error
        self.cluster, self.nemesis = cluster, Nemesis(cluster.topology.timing.effect)
        self._target_member = ""
        self.planned = False
        """The last fault was an orderly switchover: it must not lose anything, even if replication is asynchronous."""
        self.recovered_in: float | None = None
        self.redundant_at: float | None = None
        """When every member was first seen to be healthy again, with all faults healed; monotonic clock."""
        self._watched_until: float | None = None
        self.leaders = [cluster.leader()]
        """The leader when the experiment began, and each new one that a step has seen since."""
        self.expected_alarms: list[str] = []
        """Words that mark an alarm as a consequence of the injected fault; any other alarm breaks the scenario."""
        self._frozen: list[tuple[str, InjectedFault]] = []
        self._silenced: list[tuple[str, InjectedFault]] = []
        self._marks = self._of_each_log(lambda name, log: log.end())
        self.watch = Watch({name: cluster.of_member(name) for group in cluster.groups for name in group.members})
        self.watch.__enter__()

    def inject(self, fault: Fault, target_member: str) -> InjectedFault:
        """Inject a fault that hits `target_member`."""
        self._target_member, self.redundant_at = target_member, None
        self.planned = bool(getattr(fault, "planned", False))
        injected_fault = self.nemesis.inject(fault)
        if isinstance(fault, Freeze) or getattr(fault, "unaware", False):
            self._frozen.append((target_member, injected_fault))
        self._silenced += [(name, injected_fault) for name in getattr(fault, "silences", ())]
        return injected_fault

    @property
    def target_member(self) -> str:
        """The member or host that the last fault hit. Raises MissingStep if there was none."""
        if not self._target_member:
            raise missing("a fault", "When the host of the leader crashes")
        return self._target_member

    @property
    def injected_fault(self) -> InjectedFault:
        """The last fault. Raises MissingStep if there was none."""
        if not self.nemesis.injected_faults:
            raise missing("a fault", "When the host of the leader crashes")
        return self.nemesis.injected_faults[-1]

    @property
    def frozen(self) -> Sequence[tuple[str, InjectedFault]]:
        """The members that a fault kept from knowing what happened, each with that fault."""
        return tuple(self._frozen)

    @property
    def silenced(self) -> frozenset[str]:
        """The hosts that a fault keeps from answering now."""
        return frozenset(name for name, one in self._silenced if one.healed is None)

    @property
    def healing_since(self) -> float:
        """When the healing of the last fault began. Raises MissingStep while the fault lasts."""
        if self.injected_fault.healing is None:
            raise missing("the end of the last fault", "When the fault is healed")
        return self.injected_fault.healing

    def look_for_redundancy(self) -> None:
        """Note the moment if no fault lasts and every member is healthy; a fault that comes later makes it void."""
        lasting = any(one.healed is None for one in self.nemesis.injected_faults)
        if self.redundant_at is None and not lasting and is_healthy(self.cluster):
            self.redundant_at = time.monotonic()

    def conclude(self) -> None:
        """Heal every fault, wait until the cluster is healthy again, and require what must always hold.

        Raises PromiseBroken for two writers, which is worse than a cluster that stays unhealthy and may explain it.
        """
        try:
            self.nemesis.heal()
            steady = self.redundant_at is not None and is_healthy(self.cluster)
            self.recovered_in = await_all(self.cluster, self._recovery)
            if not steady:
                self.redundant_at = time.monotonic()
        finally:
            self._watched_until = time.monotonic()
            self.watch.__exit__()
            self._require_one_writer()
            found = self.alarms
            Finding(not found, f"in the logs: {listed(found)}" if found else "no alarm in the logs").require()
        self._require_one_writer(undecided=True)  # only now: what is unknown must not hide what is broken

    @property
    def coverage(self) -> Coverage | None:
        """When every member must have been seen: since the first fault, unless it was off or frozen. None without a
        fault."""
        faults = self.nemesis.injected_faults
        excused = [
            SilentPeriod(name, one.begun, math.inf if one.healed is None else one.healed)
            for name, one in self._silenced
        ]
        # What it said in that time is left out, so nothing can be missed in it either.
        excused += [
            SilentPeriod(name, one.begun, one.healing + THAW_GRACE)
            for name, one in self._frozen
            if one.healing is not None
        ]
        longest = self.cluster.topology.timing.wait(LONGEST_SILENCE)
        until = self._watched_until or time.monotonic()
        return Coverage(min(one.begun for one in faults), until, longest, excused) if faults else None

    def _require_one_writer(self, undecided: bool = False) -> None:
        """Raises Inconclusive where a group's writers are unknown, if that is asked for (`undecided`)."""
        frozen = [
            FrozenPeriod(name, one.begun, one.healing + THAW_GRACE)
            for name, one in self._frozen
            if one.healing is not None
        ]
        samples = without_frozen(self.watch.samples, frozen)
        for group in self.cluster.groups:
            finding = at_most_one_writer(samples, group.members, self.coverage)
            if finding.holds is not None or undecided:
                finding.require(ONE_WRITER)

    @property
    def alarms(self) -> list[str]:
        """The unexpected lines in the servers' logs, since the experiment began, that report what must never happen."""
        written = self._of_each_log(lambda name, log: log.since(self._marks.get(name, "")))
        found = {name: alarms_in(text, self.expected_alarms) for name, text in written.items()}
        return [f"{host}: {line}" for (host, _), lines in found.items() for line in lines]

    def _of_each_log(self, read: Callable[[LogName, Log], str]) -> dict[LogName, str]:
        """What `read` finds in each log that can be read; nothing where the suite does not reach the hosts."""
        return of_each_log(self.cluster.site, read) if self.cluster.topology.reaches_hosts else {}


def alarms_in(log: str, expected: Collection[str] = ()) -> list[str]:
    """The alarms in a log, without those that contain expected words.

    Patroni names the error behind its "report it as a BUG" in the line before, so that line is put in front of it.
    """
    found, before = [], ""
    for line in map(str.strip, log.splitlines()):
        if any(one in line for one in ALARMS) and not any(words in line for words in expected):
            found.append(f"{before}: {line}" if BUG in line else line)
        before = line
    return found
