"""Modes of Patroni that decide what a leader does when it is alone."""

import time

from support.cluster.cluster import Cluster
from support.faults.configuration import Reconfigured
from support.waiting import NotYet


def without_failsafe(cluster: Cluster) -> Reconfigured:
    """A leader that loses the DCS stops to lead, even if every other member answers it."""
    return _mode(cluster, "no leader goes on without the DCS", {"failsafe_mode": False})


def strictly_synchronous(cluster: Cluster) -> Reconfigured:
    """A commit waits for a standby also when there is none."""
    return _mode(cluster, "a commit waits for a standby, be there one or not", {"synchronous_mode_strict": True})


def _mode(cluster: Cluster, words: str, values: dict[str, bool]) -> Reconfigured:
    decided = time.time()

    def effect(cluster: Cluster) -> None:
        """Each member has read the configuration since; it acts by it from then on."""
        read = {name: cluster.patroni(name).status().get("dcs_last_seen", 0) for name in cluster.members}
        stale = [name for name, when in read.items() if when <= decided + 1]
        if stale:
            raise NotYet(f"{', '.join(stale)} may not know it")

    return Reconfigured(cluster, words, values, effect)
