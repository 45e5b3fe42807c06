"""Whether a member may miss WAL, and be copied anew, for a test."""

from contextlib import suppress

from support import sql
from support.errors import AcceptError, ConnectFailed
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.slots import at_risk

_SIZE = "SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database"
_LARGEST = 10 * 2**30
"""Bytes: more is not copied for a test."""


def not_copyable(cluster: Cluster) -> str:
    """Why no member should miss WAL and be copied in a test; empty if that costs little, or is not known."""
    if cluster.topology.embedded or cluster.topology.administrator is None:
        return ""
    endpoint = cluster.topology.endpoint("write", cluster.topology.administrator)
    with suppress(sql.Error, ConnectFailed), sql.session(endpoint) as session:
        if (size := int(sql.value(session, _SIZE))) > _LARGEST:
            return f"the databases have {size / 2**30:.0f} GB, and more than {_LARGEST >> 30} are not copied for a test"
        return at_risk(session, (*cluster.as_declared.members, *_known_to_patroni(cluster)))
    return ""


def _known_to_patroni(cluster: Cluster) -> list[str]:
    with suppress(AcceptError, *NO_ANSWER):
        return [one.name for one in cluster.view().members]
    return []
