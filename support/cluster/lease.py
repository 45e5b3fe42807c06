"""How long a leader's lock in the DCS lasts unless it is renewed."""

from dataclasses import dataclass

from support.cluster.cluster import Cluster
from support.cluster.configured import configured


@dataclass(frozen=True)
class Lease:
    """Seconds, by Patroni's configuration."""

    ttl: float
    """From a renewal until the lock is gone."""
    renewed_every: float

    @property
    def least_left(self) -> float:
        """For how long the lock of a leader that is well lasts at the least, whenever it is cut off."""
        return self.ttl - self.renewed_every

    @property
    def surely_gone(self) -> float:
        """Seconds after which a lock that is not renewed is gone, and everybody has noticed."""
        return self.ttl + self.renewed_every


def lease(cluster: Cluster) -> Lease:
    """The lease as it is configured now."""
    agreed = configured(cluster)
    return Lease(agreed.ttl, agreed.loop_wait)
