"""For which standbys a commit waits."""

import json
import re
from functools import partial

import requests

from support import sql
from support.errors import ConnectFailed
from support.target import dcs
from support.target.cluster import Cluster
from support.target.configured import await_configured, configured
from support.target.member_status import status_of
from support.waiting import NotYet, eventually

THE_DCS, THE_SETTING, THE_STREAMS = "the DCS", "synchronous_standby_names", "the leader's streams"
"""Who can tell for whom a commit waits."""


def require_as_declared(cluster: Cluster) -> None:
    """Raises AssertionError where Patroni is configured otherwise than [expect] declares."""
    agreed, expected = await_configured(cluster), cluster.topology.expectations
    wanted = expected.wants_synchronous
    if wanted is not None and agreed.synchronous is not wanted:
        kind, setting = ("synchronous", "off") if wanted else ("asynchronous", "on")
        key = "synchronous_standbys" if expected.synchronous_standbys else "synchronous"
        raise AssertionError(
            f"{kind} replication was declared ([expect] {key} = {json.dumps(getattr(expected, key))}), and Patroni's "
            f"synchronous_mode is {setting}"
        )
    if expected.synchronous_standbys and agreed.standbys < expected.synchronous_standbys:
        raise AssertionError(
            f"[expect] synchronous_standbys = {expected.synchronous_standbys} was declared, and Patroni's "
            f"synchronous_node_count is {agreed.standbys}"
        )


def standbys_asked_for(cluster: Cluster) -> int:
    """For how many standbys a commit is to wait: as is declared, or configured as far as there are so many."""
    agreed, declared = configured(cluster), cluster.topology.expectations.synchronous_standbys
    return (declared or min(agreed.standbys, len(cluster.members) - 1)) if agreed.synchronous else 0


def standbys_waited_for(cluster: Cluster) -> list[str]:
    """The standbys for which the leader's PostgreSQL makes commits wait now."""
    streams = status_of(cluster, cluster.leader()).streams
    return [name for name, state in streams.items() if state in ("sync", "quorum")]


def standbys_by_observer(cluster: Cluster) -> dict[str, frozenset[str]]:
    """Who can tell -> the members for which commits wait, by its word."""
    synchronous = json.loads(dcs.key(cluster.topology, "sync", cluster.group) or "{}")
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
    told = standbys_by_observer(cluster)
    named = set(told.values())
    if len(named) != 1 or not all(named) or any(former in names for names in named):
        said = (f"{observer}: {' and '.join(sorted(names)) or 'nobody'}" for observer, names in told.items())
        raise NotYet("; ".join(said))
