"""A destructive scenario's frame: a healthy cluster, faults under watch, and what must hold when all is over.

Whatever the scenario itself asks for, afterwards no two members may have accepted writes at the same time, nothing of
a fault may be left, the members of each group stream on one timeline, and no log may hold a PANIC or a "report it as
a BUG".
"""

import time
from pathlib import Path

from support.embedded.readiness import await_all
from support.engine.checks.writers import Nap, at_most_one_writer, awake
from support.engine.finding import Finding, listed
from support.engine.watch import Watch
from support.errors import Inconclusive
from support.faults.nemesis import Fault, InjectedFault, Nemesis
from support.faults.process import Freeze
from support.target.cluster import Cluster

WAKING = 5.0
"""Seconds that a leader which stood still has to learn that it was replaced: nothing can tell it before it looks.

Until then it takes transactions that it cannot acknowledge, because no standby follows it any more; that none was
acknowledged is for the scenario to prove, by clients of its own.
"""
ALARMS = ("PANIC:", "report it as a BUG", "TRAP: failed Assert")


class Experiment:
    """From a healthy cluster to a healthy cluster. `target_member` is the member or host that the last fault hit."""

    def __init__(self, cluster: Cluster) -> None:
        """Wait until the cluster is well, and begin to watch. Raises NotInTime when it was not well to begin with."""
        self.begun = time.monotonic()
        self._recovery = cluster.topology.timing.recovery
        await_all(cluster, self._recovery)
        self.cluster, self.nemesis = cluster, Nemesis(cluster.topology.timing.effect)
        self.began_at = time.time()
        self.target_member = ""
        self.planned = False
        """The last fault was a switchover that went in order: it may lose nothing, however commits are replicated."""
        self.recovered_in: float | None = None
        self.leaders = [cluster.leader()]
        """Who led when the experiment began, and each time that a step looked since."""
        self.foreseen: list[str] = []
        """Words by which one tells alarms that belong to the fault itself, from those that must never be."""
        self._frozen: list[tuple[str, InjectedFault]] = []
        self._marks = {path: path.stat().st_size for path in _logs(cluster)}
        self.watch = Watch({name: cluster.of_member(name) for group in cluster.groups for name in group.members})
        self.watch.__enter__()

    def inject(self, fault: Fault, target_member: str) -> InjectedFault:
        """Inject a fault that hits `target_member`."""
        self.target_member = target_member
        self.planned = bool(getattr(fault, "planned", False))
        injected_fault = self.nemesis.inject(fault)
        if isinstance(fault, Freeze):
            self._frozen.append((target_member, injected_fault))
        return injected_fault

    @property
    def injected_fault(self) -> InjectedFault:
        """The last fault. Raises Inconclusive when there was none."""
        if not self.nemesis.injected_faults:
            raise Inconclusive("no fault was injected")
        return self.nemesis.injected_faults[-1]

    @property
    def healing_since(self) -> float:
        """When the healing of the last fault began. Raises Inconclusive while it lasts."""
        if self.injected_fault.healing is None:
            raise Inconclusive(f"{self.injected_fault.words}: it was not healed")
        return self.injected_fault.healing

    def conclude(self) -> None:
        """Heal everything, wait until the cluster is well again, and require what must always hold."""
        try:
            self.nemesis.heal()
            self.recovered_in = await_all(self.cluster, self._recovery)
        finally:
            self.watch.__exit__()
            self._require_one_writer()  # graver than a cluster that is not well, and likely the reason for it
        self._no_alarm().require()

    def _require_one_writer(self) -> None:
        looks = awake(self.watch.samples, self._naps)
        for group in self.cluster.groups:
            at_most_one_writer(looks, group.members).require()

    @property
    def _naps(self) -> list[Nap]:
        return [Nap(name, one.begun, one.healing + WAKING) for name, one in self._frozen if one.healing is not None]

    @property
    def alarms(self) -> list[str]:
        """What servers said, since the beginning, of what must never happen."""
        found = []
        for path in _logs(self.cluster):
            with path.open(errors="replace") as log:
                log.seek(self._marks.get(path, 0))
                alarms = [line.strip() for line in log if any(one in line for one in ALARMS)]
            found += [f"{path.parent.name}: {line}" for line in alarms]
        return found

    def _no_alarm(self) -> Finding:
        """No server said that it met what must never happen."""
        found = [line for line in self.alarms if not any(words in line for words in self.foreseen)]
        return Finding.false(f"in the logs: {listed(found)}") if found else Finding.true("no alarm in the logs")


def _logs(cluster: Cluster) -> list[Path]:
    """What the programs of every host write."""
    return [
        process.log
        for host in cluster.sandbox.hosts.values()
        for process in host.processes.values()
        if process.log.exists()
    ]
