"""What tests may cost that destroy data, or write or remove WAL: whether members may be copied, how much WAL may be
written, and whether WAL may be missed."""

from contextlib import suppress

from support import sql
from support.errors import AcceptError, ConnectFailed
from support.expectations import Expectations
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.patroni_configuration import PatroniConfiguration
from support.target.slots import at_risk

_SIZE = """
    SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database
    WHERE has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'MEMBER')
"""
"""The total size of the databases that the login may see; usually all of them."""
_LARGEST = 10 * 2**30
"""Bytes. A test does not copy more than this."""
MOST_WAL = 2**30
"""Bytes. A test does not write more WAL than this on purpose: a member that falls behind keeps all of it."""


def not_copyable(cluster: Cluster, largest: int = _LARGEST) -> str:
    """Why a test should not copy a member; empty if that costs little, or if the cost is not known."""
    topology = cluster.topology
    if topology.embedded:
        return ""
    endpoint = topology.endpoint("write", topology.administrator or topology.application)
    with suppress(sql.Error, ConnectFailed):
        if (size := int(sql.value(endpoint, _SIZE))) > largest:
            return f"the databases have {size / 2**30:.0f} GB, and tests copy no more than {largest >> 30} GB"
    return ""


def wal_beyond(lag: int) -> int:
    """How many bytes of WAL a test writes to make a replica lag by more than `lag` bytes, whenever one looks."""
    return 2 * lag


def read_lag_too_large(configured: PatroniConfiguration | None, expected: Expectations) -> str:
    """Why a test should not let a replica lag too far to serve reads; empty if that costs little, or is not known.

    `configured` is the configuration of the replica's group.
    """
    most = f"a test writes at most {MOST_WAL >> 30} GB of WAL to exceed it"
    if (declared := expected.read_lag) is not None:
        too_large = wal_beyond(declared) > MOST_WAL
        return f"[expect] read_lag is {declared:,} bytes, and {most}" if too_large else ""
    if configured is None or wal_beyond(configured.maximum_lag) <= MOST_WAL:
        return ""
    return (
        "how far a replica may lag and still serve reads is not declared; maximum_lag_on_failover, which is used in "
        f"its place, is {configured.maximum_lag:,} bytes, and {most}: declare read_lag ([expect])"
    )


def wal_not_expendable(cluster: Cluster) -> str:
    """Why a test should not remove WAL before every consumer has read it; empty if that is harmless, or not known."""
    if cluster.topology.embedded or cluster.topology.administrator is None:
        return ""
    endpoint = cluster.topology.endpoint("write", cluster.topology.administrator)
    with suppress(sql.Error, ConnectFailed), sql.session(endpoint) as session:
        return at_risk(session, (*cluster.as_declared.members, *_known_to_patroni(cluster)))
    return ""


def _known_to_patroni(cluster: Cluster) -> list[str]:
    with suppress(AcceptError, *NO_ANSWER):
        return [one.name for one in cluster.view().members]
    return []
