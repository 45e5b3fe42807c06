"""A server whose PostgreSQL dies and does not finish starting, as after a crash with much WAL to replay."""

from support.faults.naming import Names
from support.faults.process import PostgresKilled, server_processes
from support.faults.roles import host_of
from support.hosts.interface import Running, SiteHost
from support.target.cluster import Cluster
from support.waiting import NotYet


class HangingStart(PostgresKilled):
    """PostgreSQL alone is killed on a member. When it starts again, the process that replays its WAL is suspended.

    Until then its clients are told that it is starting up, and Patroni waits for it beside it.
    """

    def __init__(self, host: SiteHost, starts: bool = True) -> None:
        """`starts`: Patroni starts it again, before it lets another member take over."""
        super().__init__(host)
        self._starts = starts
        self._recovering: list[Running] = []

    def told(self, names: Names) -> str:
        return f"PostgreSQL on {names.member(self.host.name)} is killed, and does not finish starting"

    def require_in_effect(self) -> None:
        """Kills it once more if it has finished starting before it could be suspended."""
        if not self._starts:
            super().require_in_effect()
            return
        if starting := server_processes(self.host, "startup"):  # looked for first: it may last for less than a second
            if all(one.stopped for one in starting):
                return
            self._recovering += starting  # before: they are resumed whatever happens
            self.host.suspend(starting)
            raise NotYet("what replays WAL is just being suspended")
        super().require_in_effect()
        if server_processes(self.host, "walwriter"):  # which only a server has that has started
            self.inject()
        raise NotYet("no process that replays WAL has been seen")

    def heal(self) -> None:
        if self._recovering:
            self.host.resume(self._recovering)


def hanging_start(cluster: Cluster, role: str) -> HangingStart:
    """The PostgreSQL of the member with that role is killed, and does not finish starting.

    With a timeout of 0, Patroni does not start a leader's again as long as another member can take over.
    """
    return HangingStart(host_of(cluster, role), starts=cluster.topology.timing.start_timeout > 0)
