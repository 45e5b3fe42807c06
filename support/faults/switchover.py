"""A leader that hands over because it was asked to: planned, and yet a disturbance for its clients."""

from support.cluster.cluster import Cluster
from support.cluster.orders import Reply, switch_over
from support.waiting import NotYet


class Switchover:
    """The leader hands over to the candidate, or to whom Patroni likes best."""

    planned = True
    """It stops in order, and what it acknowledged is on its successor first."""

    def __init__(self, cluster: Cluster, candidate: str | None = None) -> None:
        self._cluster = cluster
        self.leader, self.candidate = cluster.leader(), candidate
        self.reply: Reply | None = None

    def __str__(self) -> str:
        return f"{self.leader} hands over to {self.candidate or 'any other member'}"

    def inject(self) -> None:
        """Raises AssertionError, with Patroni's reason, when it is not carried out."""
        self.reply = switch_over(self._cluster, self.leader, self.candidate)
        if not self.reply.done:
            raise AssertionError(f"{self}: refused: {self.reply}")

    def require_bitten(self) -> None:
        if self._cluster.leader() == self.leader:
            raise NotYet(f"{self.leader} leads")

    def cure(self) -> None:
        """Nothing is left to be undone: the former leader follows by itself."""
