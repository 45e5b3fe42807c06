"""For which standbys a commit waits."""

from support.cluster.cluster import Cluster
from support.cluster.standing import standing
from support.errors import NotAvailable


def standbys_asked_for(cluster: Cluster) -> int:
    """For how many standbys Patroni's configuration wants a commit to wait, as far as there are so many.

    Raises NotAvailable for a cluster that is configured to replicate asynchronously: it promises nothing here.
    """
    configuration = cluster.patroni(cluster.leader()).configuration()
    if str(configuration.get("synchronous_mode", "off")).lower() in ("off", "false"):
        raise NotAvailable("the cluster is configured to replicate asynchronously (synchronous_mode is off)")
    return min(int(configuration.get("synchronous_node_count", 1)), len(cluster.members) - 1)


def standbys_waited_for(cluster: Cluster) -> list[str]:
    """The standbys for which the leader's PostgreSQL makes commits wait now."""
    streams = standing(cluster, cluster.leader()).streams
    return [name for name, state in streams.items() if state in ("sync", "quorum")]
