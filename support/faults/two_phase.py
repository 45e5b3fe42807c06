"""A coordinator that stays in the middle of a two-phase commit.

With synchronous replication, a commit on the coordinator waits for a standby after every worker has prepared, and
before any of them is told to commit.
"""

import psutil

from support.cluster.cluster import Cluster
from support.cluster.synchrony import standbys_waited_for
from support.errors import Inconclusive
from support.faults.server_processes import resume, server_processes
from support.waiting import NotYet


class CommitHeld:
    """The processes that receive WAL stand still on every standby for which the coordinator's commits wait.

    After wal_sender_timeout the coordinator would take another standby instead: be quick.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._held: list[psutil.Process] = []

    def __str__(self) -> str:
        return "commits on the coordinator wait"

    def inject(self) -> None:
        hosts = [self._cluster.sandbox.hosts[name] for name in standbys_waited_for(self._cluster)]
        self._held = [process for host in hosts for process in server_processes(host, "walreceiver")]
        for process in self._held:
            process.suspend()

    def require_bitten(self) -> None:
        if not self._held:
            raise Inconclusive("commits on the coordinator wait for no standby")
        if awake := [one.pid for one in self._held if one.status() != psutil.STATUS_STOPPED]:
            raise NotYet(f"they still receive: {awake}")

    def cure(self) -> None:
        resume(self._held)
