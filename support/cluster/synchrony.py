"""For which standbys a commit waits."""

import json
import re
from functools import partial

import requests

from support import sql
from support.cluster import etcd
from support.cluster.cluster import Cluster
from support.cluster.rollcall import configuration
from support.cluster.standing import standing
from support.errors import ConnectFailed, NotAvailable
from support.waiting import NotYet, eventually

THE_DCS, THE_SETTING, THE_STREAMS = "the DCS", "synchronous_standby_names", "the leader's streams"
"""Who can tell for whom a commit waits."""


def standbys_asked_for(cluster: Cluster) -> int:
    """For how many standbys Patroni's configuration wants a commit to wait, as far as there are so many.

    Raises NotAvailable for a cluster that is configured to replicate asynchronously: it promises nothing here.
    """
    agreed = configuration(cluster)
    if str(agreed.get("synchronous_mode", "off")).lower() in ("off", "false"):
        raise NotAvailable("the cluster is configured to replicate asynchronously (synchronous_mode is off)")
    return min(int(agreed.get("synchronous_node_count", 1)), len(cluster.members) - 1)


def standbys_waited_for(cluster: Cluster) -> list[str]:
    """The standbys for which the leader's PostgreSQL makes commits wait now."""
    streams = standing(cluster, cluster.leader()).streams
    return [name for name, state in streams.items() if state in ("sync", "quorum")]


def standbys_by_witness(cluster: Cluster) -> dict[str, frozenset[str]]:
    """Who can tell -> the members for which commits wait, by its word."""
    synchronous = json.loads(etcd.key(cluster.topology, "sync", cluster.group) or "{}")
    setting = str(sql.value(cluster.of_member(cluster.leader()), "SHOW synchronous_standby_names"))
    return {
        THE_DCS: frozenset(filter(None, (synchronous.get("sync_standby") or "").split(","))),
        THE_SETTING: frozenset(name for name in cluster.members if re.search(rf"\b{re.escape(name)}\b", setting)),
        THE_STREAMS: frozenset(standbys_waited_for(cluster)),
    }


def await_replaced(cluster: Cluster, former: str, within: float) -> None:
    """Wait until commits wait for another standby than `former`, and all who can tell agree."""
    silent = (requests.RequestException, ConnectFailed, sql.Error)
    subject = f"commits wait for another standby than {former}, and all who can tell agree"
    eventually(partial(_require_replaced, cluster, former), within=within, subject=subject, retry_on=silent)


def _require_replaced(cluster: Cluster, former: str) -> None:
    told = standbys_by_witness(cluster)
    named = set(told.values())
    if len(named) != 1 or not all(named) or any(former in names for names in named):
        said = (f"{witness}: {' and '.join(sorted(names)) or 'nobody'}" for witness, names in told.items())
        raise NotYet("; ".join(said))
