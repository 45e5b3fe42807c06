"""A replica that receives all WAL and replays none of it: it serves stale data."""

import time

from support import sql
from support.errors import Inconclusive
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.faults.process import server_processes
from support.hosts.interface import Running
from support.target.cluster import Cluster
from support.target.copying import MOST_WAL
from support.waiting import NotYet

_MEGABYTE = 2**20
_WRITE = "SELECT pg_logical_emit_message(false, 'accept', repeat('x', %s))"
_WRITES_WITHIN = 60.0  # seconds for all of it: less than the guard on a user's host lets a fault last
# The replica reports both positions.
_BEHIND = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"


class ReplayStuck(Fault):
    """A replica's replay process is suspended, and the leader has written `behind` bytes of WAL since.

    pg_wal_replay_pause() would not do: Patroni resumes a paused replay at once.
    """

    builds_up = True
    """The replica is too far behind only when the WAL has been written, which takes a while on a slow disk."""

    def __init__(self, cluster: Cluster, replica: str, behind: int) -> None:
        """Raises Inconclusive if that is more WAL than a test writes."""
        if behind > MOST_WAL:
            raise Inconclusive(
                f"{replica} would have to get {behind / _MEGABYTE:,.0f} MB behind, and a test writes at most "
                f"{MOST_WAL / _MEGABYTE:,.0f} MB of WAL"
            )
        self._cluster, self._replica, self._behind = cluster, replica, behind
        self._stuck: list[Running] = []

    @property
    def target_member(self) -> str:
        """See Fault."""
        return self._replica

    def told(self, names: Names) -> str:
        return f"{names.member(self._replica)} replays nothing, and gets {self._behind / _MEGABYTE:.0f} MB behind"

    def on_hosts(self) -> None:
        """See OnHosts."""
        host = self._cluster.site.hosts[self._replica]
        self._stuck = server_processes(host, "startup")
        host.suspend(self._stuck)

    def inject(self) -> None:
        """Raises Inconclusive if the leader does not write the WAL in time: the replica must not be stuck for long."""
        self.on_hosts()
        within = self._cluster.topology.timing.wait(_WRITES_WITHIN)
        deadline = time.monotonic() + within
        with sql.session(self._cluster.of_member(self._cluster.leader())) as session:
            for written in range(self._behind // _MEGABYTE + 1):
                if time.monotonic() >= deadline:
                    raise Inconclusive(f"the leader wrote only {written} MB of WAL in {within:g} s")
                sql.execute(session, _WRITE, [_MEGABYTE])

    def require_in_effect(self) -> None:
        if not self._stuck:
            raise Inconclusive(f"no process replays on {self._replica}")
        behind = int(sql.value(self._cluster.of_member(self._replica), _BEHIND))
        if behind < self._behind:
            raise NotYet(f"{self._replica} is {behind} bytes behind")

    def heal(self) -> None:
        if self._stuck:
            self._cluster.site.hosts[self._replica].resume(self._stuck)
