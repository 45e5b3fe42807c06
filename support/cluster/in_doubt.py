"""Transactions that workers have prepared, and of which they have not been told the end.

Source: https://docs.citusdata.com/en/v13.0/develop/api_guc.html (two-phase commit)
"""

from support import sql
from support.cluster.cluster import Cluster
from support.cluster.rollcall import SILENCE
from support.cluster.shard_contents import leaders_of_nodes
from support.waiting import NotYet, eventually

# Citus names a part of a transaction by the group and the process that coordinate it.
_IN_RECOVERY = "SELECT pg_is_in_recovery()"
_IN_DOUBT = "SELECT gid FROM pg_prepared_xacts WHERE starts_with(gid, %s) ORDER BY gid"
_ANY, _COORDINATED_BY = "citus_", "citus_0_{pid}_"


def in_doubt(cluster: Cluster, pid: int | None = None) -> dict[str, list[str]]:
    """Node -> what is prepared there; of the coordinator's backend `pid` alone, where given. Nodes without are absent.

    Raises one of SILENCE while a node has no leader that answers.
    """
    beginning = _ANY if pid is None else _COORDINATED_BY.format(pid=pid)
    found = {node: _prepared(where, beginning) for node, where in leaders_of_nodes(cluster).items()}
    return {node: gids for node, gids in found.items() if gids}


def _prepared(where: sql.Endpoint, beginning: str) -> list[str]:
    with sql.session(where) as session:
        if sql.value(session, _IN_RECOVERY):  # it holds what was prepared, and does not show it before it is promoted
            raise NotYet(f"the leader of {where.name} is in recovery")
        return [gid for (gid,) in sql.rows(session, _IN_DOUBT, [beginning])]


def await_prepared(cluster: Cluster, pid: int, nodes: int, within: float) -> list[str]:
    """Wait until so many nodes have prepared the transaction that this backend coordinates; returns which."""

    def prepared() -> list[str]:
        found = in_doubt(cluster, pid)
        if len(found) < nodes:
            raise NotYet(f"it is prepared on {' and '.join(found) or 'none'}")
        return list(found)

    return eventually(prepared, within=within, subject=f"{nodes} nodes have prepared the transaction", pause=0.02)


def await_resolved(cluster: Cluster, within: float) -> None:
    """Wait until every node answers, and none holds a prepared transaction of Citus."""

    def resolved() -> None:
        if found := in_doubt(cluster):
            raise NotYet("; ".join(f"{node} holds {', '.join(gids)}" for node, gids in found.items()))

    eventually(resolved, within=within, subject="no transaction is in doubt on any node", retry_on=SILENCE)
