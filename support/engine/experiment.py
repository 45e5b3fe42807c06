"""The frame of a destructive scenario: a healthy cluster, faults under watch, and what must hold afterwards.

Whatever else a scenario asks for: at no time may two members have accepted writes (split brain), every fault must be
healed, every group must stream on one timeline again, and no log may hold a PANIC or "report it as a BUG".
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from support.engine.checks.writers import (
    THAW_GRACE,
    Coverage,
    FrozenPeriod,
    SilentPeriod,
    at_most_one_writer,
    without_frozen,
)
from support.engine.fencing import start_clients
from support.engine.finding import Finding, listed
from support.engine.watch import LONGEST_SILENCE, Watch
from support.engine.world import World, missing
from support.errors import Inconclusive, NotInTime, UnhealthyCluster
from support.faults.naming import Roles
from support.faults.nemesis import Fault, InjectedFault, Nemesis, without_preparations
from support.hosts.interface import Log, LogName, of_each_log
from support.target.cluster import Cluster
from support.target.health import await_all, is_healthy
from support.target.translations import PANIC

ONE_WRITER = "SB-01"
"""The promise that at no time more than one member accepts writes."""
BUG = "report it as a BUG"
ALARMS = (BUG, "TRAP: failed Assert")
"""Alarms besides a PANIC."""


class Experiment:
    """From a healthy cluster to a healthy cluster. `target_member` is the member or host that the last fault hit."""

    def __init__(self, world: World, begun: float, leader: str, watch: Watch, marks: Mapping[LogName, str]) -> None:
        """The cluster must be healthy; `begin` makes sure of that. `marks`: the current end of each log."""
        self.cluster, self.begun, self.watch = world.cluster, begun, watch
        self._world = world
        self._recovery = world.timing.recovery
        self._running = ExitStack()
        self._nemeses: list[Nemesis] = []
        self._nemesis, self._until_end = self._new_nemesis(), self._new_nemesis()
        self.planned = False
        """The last fault was an orderly switchover: it must not lose anything, even if replication is asynchronous."""
        self.recovered_in: float | None = None
        self.redundant_at: float | None = None
        """When every member was first seen to be healthy again, with all faults healed; monotonic clock."""
        self._watched_until: float | None = None
        self.leaders = [leader]
        """The leader when the experiment began, and each new one that a step has seen since."""
        self.expected_alarms: list[str] = []
        """Words that mark an alarm as a consequence of the injected fault; any other alarm breaks the scenario."""
        self._marks = marks

    @classmethod
    def begin(cls, world: World) -> "Experiment":
        """Wait until the cluster is healthy, then watch it until the experiment is concluded.

        Raises UnhealthyCluster if it does not become healthy.
        """
        cluster, begun = world.cluster, time.monotonic()
        try:
            await_all(cluster, world.timing.recovery)
        except NotInTime as error:
            raise UnhealthyCluster(f"the cluster was unhealthy before any fault was injected: {error}") from error
        leader, marks = cluster.leader(), _of_each_log(cluster, lambda name, log: log.end())
        watch = Watch({name: cluster.of_member(name) for group in cluster.groups for name in group.members})
        experiment = cls(world, begun, leader, watch, marks)
        experiment._running.enter_context(watch)
        return experiment

    def prepare(self, fault: Fault, *, until_end: bool = False) -> InjectedFault:
        """Bring the cluster into the state in which a fault is to hit it; the figures begin with that fault.

        It is healed with the faults; with `until_end`, only when the scenario has ended and its clients have stopped.
        Raises Inconclusive if it does not take effect.
        """
        nemesis = self._until_end if until_end else self._nemesis
        return nemesis.inject(fault, preparation=True)

    @contextmanager
    def prepared(self, fault: Fault) -> Iterator[None]:
        """Like `prepare`, for the duration of a `with` block."""
        with self._new_nemesis() as own:
            own.inject(fault, preparation=True)
            yield

    def inject(self, fault: Fault, target_member: str = "") -> InjectedFault:
        """Inject a fault. Raises Inconclusive if it does not take effect.

        `target_member` counts in place of the fault's own; a fault that has none needs it.

        The scenario's clients work at full speed until it does, so that it hits as many operations as possible.

        If the fault keeps a leader from learning that it was replaced, clients connected directly to that leader find
        out whether anything that it acknowledges is lost (support/engine/fencing.py).
        """
        target = target_member or fault.target_member
        if not target:
            raise ValueError(f"{fault}: whoever injects it has to say which member or host it hits")
        self.redundant_at, self.planned = None, fault.planned
        leads = fault.unaware and target in {group.leader() for group in self.cluster.groups}
        judge_at_the_end = start_clients(self._world, target) if leads else None
        with self._world.clients_at_full_speed():
            injected_fault = self._nemesis.inject(fault, target, kind=fault.told(self._roles()))
        if judge_at_the_end is not None:
            judge_at_the_end(injected_fault)
        return injected_fault

    def heal(self) -> None:
        """Heal every fault, the last one first. Harmless if already done."""
        self._nemesis.heal()

    @property
    def target_member(self) -> str:
        """The member or host that the last fault hit. Raises MissingStep if there was none."""
        if not self.faults:
            raise missing("a fault", "When the host of the leader crashes")
        return self.faults[-1].target_member

    @property
    def injected_fault(self) -> InjectedFault:
        """The last fault. Raises MissingStep if there was none."""
        if not self.faults:
            raise missing("a fault", "When the host of the leader crashes")
        return self.faults[-1]

    @property
    def faults(self) -> Sequence[InjectedFault]:
        """All faults in the order in which they began, without preparations."""
        return without_preparations(self.injected_faults)

    @property
    def injected_faults(self) -> Sequence[InjectedFault]:
        """All faults and preparations in the order in which they began."""
        return sorted((one for nemesis in self._nemeses for one in nemesis.injected_faults), key=lambda one: one.begun)

    @property
    def frozen(self) -> Sequence[tuple[str, InjectedFault]]:
        """The members that a fault kept from knowing what happened, each with that fault."""
        return tuple((one.unaware, one) for one in self.injected_faults if one.unaware)

    @property
    def _silenced(self) -> Sequence[tuple[str, InjectedFault]]:
        return tuple((name, one) for one in self.injected_faults for name in one.silences)

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

    @property
    def over_since(self) -> float:
        """When the last fault was over at the latest: from then on, time counts against the cluster, not against the
        healing. Raises MissingStep while the fault lasts, or if it could not be healed."""
        if math.isinf(self.injected_fault.over):
            raise missing("the end of the last fault", "When the fault is healed")
        return self.injected_fault.over

    def look_for_redundancy(self) -> None:
        """Note the moment if no fault lasts and every member is healthy; a fault that comes later makes it void."""
        lasting = any(one.healed is None for one in self._nemesis.injected_faults)
        if self.redundant_at is None and not lasting and is_healthy(self.cluster):
            self.redundant_at = time.monotonic()

    def conclude(self) -> None:
        """Heal everything, wait until the cluster is healthy again, and require what must always hold.

        Raises PromiseBroken for two writers, which is worse than a cluster that stays unhealthy and may explain it.
        Raises Inconclusive if a fault had been ended before: the cluster recovers from it all the same.
        """
        try:
            try:
                with self._until_end:
                    self.heal()
            except Inconclusive:
                if all(math.isfinite(one.over) for one in self.injected_faults):  # otherwise one of them may last
                    self._await_recovery()
                raise
            self._await_recovery()
        finally:
            self._watched_until = time.monotonic()
            try:
                self._running.close()
            finally:  # a watch that does not end hides nothing that it has seen
                self._require_one_writer()
                found = self.alarms
                Finding(not found, f"in the logs: {listed(found)}" if found else "no alarm in the logs").require()
        self._require_one_writer(undecided=True)  # only now: what is unknown must not hide what is broken

    def _await_recovery(self) -> None:
        steady = self.redundant_at is not None and is_healthy(self.cluster)
        self.recovered_in = await_all(self.cluster, self._recovery)
        if not steady:
            self.redundant_at = time.monotonic()

    @property
    def coverage(self) -> Coverage | None:
        """When every member must have been seen: since the first fault, unless it was off or frozen. None without a
        fault."""
        faults = self.faults
        excused = [
            SilentPeriod(name, one.begun, math.inf if one.healed is None else one.healed)
            for name, one in self._silenced
        ]
        # What it said in that time is left out, so nothing can be missed in it either.
        excused += [
            SilentPeriod(name, one.begun, one.over + THAW_GRACE) for name, one in self.frozen if one.healing is not None
        ]
        timing = self.cluster.topology.timing
        # A slow machine needs more time for a look, but in a whole ttl, and less, a member could have led meanwhile.
        longest = min(timing.wait(LONGEST_SILENCE), max(LONGEST_SILENCE, timing.ttl / 2))
        until = self._watched_until or time.monotonic()
        return Coverage(min(one.begun for one in faults), until, longest, excused) if faults else None

    def _require_one_writer(self, undecided: bool = False) -> None:
        """Raises Inconclusive where a group's writers are unknown, if that is asked for (`undecided`)."""
        frozen = [
            FrozenPeriod(name, one.begun, one.over + THAW_GRACE) for name, one in self.frozen if one.healing is not None
        ]
        samples = without_frozen(self.watch.samples, frozen)
        for group in self.cluster.groups:
            finding = at_most_one_writer(samples, group.members, self.coverage)
            if finding.holds is not None or undecided:
                finding.require(ONE_WRITER)

    @property
    def alarms(self) -> list[str]:
        """The unexpected lines in the servers' logs, since the experiment began, that report what must never happen."""
        written = _of_each_log(self.cluster, lambda name, log: log.since(self._marks.get(name, "")))
        found = {name: alarms_in(text, self.expected_alarms) for name, text in written.items()}
        return [f"{host}: {line}" for (host, _), lines in found.items() for line in lines]

    def _roles(self) -> Roles:
        """What each member is now: a group's leader is the one that was last seen to accept writes."""
        writing = sorted((one for one in self.watch.samples if one.writable), key=lambda one: one.ended)
        return Roles(
            (group.members, next((one.member for one in reversed(writing) if one.member in group.members), ""))
            for group in self.cluster.groups
        )

    def _new_nemesis(self) -> Nemesis:
        self._nemeses.append(Nemesis(self._world.timing.effect))
        return self._nemeses[-1]


def _of_each_log(cluster: Cluster, read: Callable[[LogName, Log], str]) -> dict[LogName, str]:
    """What `read` finds in each readable log; empty if the suite does not reach the hosts."""
    return of_each_log(cluster.site, read) if cluster.topology.reaches_hosts else {}


def alarms_in(log: str, expected: Collection[str] = ()) -> list[str]:
    """The alarms in a log, without those that contain expected words.

    Patroni names the error behind its "report it as a BUG" in the line before, so that line is put in front of it.
    """
    found, before = [], ""
    for line in map(str.strip, log.splitlines()):
        alarming = PANIC.search(line) or any(one in line for one in ALARMS)
        if alarming and not any(words in line for words in expected):
            found.append(f"{before}: {line}" if BUG in line else line)
        before = line
    return found
