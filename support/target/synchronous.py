"""Synchronous replication: the standbys for which a commit waits."""

import json
from functools import partial

from support import sql
from support.target import dcs
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, status_of
from support.target.patroni_configuration import await_configuration, configuration_of
from support.target.purposes import purposes
from support.target.standby_names import StandbyNames
from support.waiting import NotYet, eventually

THE_DCS, THE_SETTING, THE_STREAMS = "the DCS", "synchronous_standby_names", "the leader's streams"
"""The observers that know for which standbys a commit waits."""


def require_as_declared(cluster: Cluster) -> None:
    """Raises AssertionError where Patroni's configuration differs from what [expect] declares."""
    configured, expected = await_configuration(cluster), cluster.topology.expectations
    wanted = expected.wants_synchronous
    if wanted is not None and configured.synchronous is not wanted:
        kind, setting = ("synchronous", "off") if wanted else ("asynchronous", "on")
        key = "synchronous_standbys" if expected.synchronous_standbys else "synchronous"
        raise AssertionError(
            f"{kind} replication was declared ([expect] {key} = {json.dumps(getattr(expected, key))}), and Patroni's "
            f"synchronous_mode is {setting}"
        )
    if expected.synchronous_standbys and configured.standbys < expected.synchronous_standbys:
        raise AssertionError(
            f"[expect] synchronous_standbys = {expected.synchronous_standbys} was declared, and Patroni's "
            f"synchronous_node_count is {configured.standbys}"
        )


def standbys_asked_for(cluster: Cluster) -> int:
    """How many standbys a commit has to wait for: as declared, else as configured, and at most all that there can be.

    In the embedded cluster every replica can be one: whatever its tags say, nobody meant them.
    """
    configured, declared = configuration_of(cluster), cluster.topology.expectations.synchronous_standbys
    if not configured.synchronous:
        return 0
    if declared:
        return declared
    able = len(cluster.members) - 1
    if not cluster.topology.embedded:
        able = sum(one.may_be_synchronous for one in purposes(cluster).values())
    return min(configured.standbys, able)


def standbys_waited_for(cluster: Cluster) -> list[str]:
    """The standbys for which the leader's PostgreSQL makes commits wait now."""
    streams = status_of(cluster, cluster.leader()).streams
    return [name for name, state in streams.items() if state in ("sync", "quorum")]


def await_replaced(cluster: Cluster, former: str, within: float, since: float) -> None:
    """Wait until commits wait for another standby than `former`, and all observers agree.

    `since` is the monotonic time from which `within` seconds count.
    """
    subject = f"commits wait for a standby other than {former}, and all observers agree"
    eventually(
        partial(_require_replaced, cluster, former), within=within, subject=subject, retry_on=NO_ANSWER, since=since
    )


def _require_replaced(cluster: Cluster, former: str) -> None:
    told = standbys_by_observer(cluster)
    named = set(told.values())
    if len(named) != 1 or not all(named) or any(former in names for names in named):
        said = (f"{observer}: {' and '.join(sorted(names)) or 'nobody'}" for observer, names in told.items())
        raise NotYet("; ".join(said))


def standbys_by_observer(cluster: Cluster) -> dict[str, frozenset[str]]:
    """Observer -> the members for which commits wait, according to it."""
    setting = StandbyNames.parse(str(sql.value(cluster.of_member(cluster.leader()), "SHOW synchronous_standby_names")))
    return {
        THE_DCS: dcs.state(cluster.topology, cluster.group).standbys,
        THE_SETTING: frozenset(filter(setting.named, cluster.members)),
        THE_STREAMS: frozenset(standbys_waited_for(cluster)),
    }
