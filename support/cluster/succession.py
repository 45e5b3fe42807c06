"""Who leads after whom, and who is back in line: what is waited for after a fault."""

import time
from functools import partial

import requests

from support import sql
from support.cluster.cluster import Cluster
from support.cluster.standing import REPLICA, standing
from support.errors import ConnectFailed
from support.waiting import NotYet, eventually

SILENT = (requests.RequestException, ConnectFailed, sql.Error)


def await_other_leader(cluster: Cluster, former: str, within: float) -> str:
    """Wait until another member holds the leader key and is out of recovery; returns its name."""
    probe = partial(_other_leader, cluster, former)
    return eventually(probe, within=within, subject=f"another member than {former} leads", retry_on=SILENT)


def await_streaming(cluster: Cluster, member: str, within: float) -> float:
    """Wait until a member streams from the leader, on its timeline; returns the seconds that it took."""
    begun = time.monotonic()
    probe = partial(_require_streaming, cluster, member)
    eventually(probe, within=within, subject=f"{member} streams as a replica", retry_on=SILENT)
    return time.monotonic() - begun


def _other_leader(cluster: Cluster, former: str) -> str:
    leader = cluster.leader()
    if leader == former:
        raise NotYet(f"{former} holds the leader key still")
    if sql.value(cluster.of_member(leader), "SELECT pg_is_in_recovery()"):
        raise NotYet(f"{leader} holds the leader key, and is in recovery")
    return leader


def _require_streaming(cluster: Cluster, member: str) -> None:
    # By its own word: what the DCS holds of a member that has just crashed is what it was before.
    mine, leading = standing(cluster, member), standing(cluster, cluster.leader())
    if mine.role != REPLICA or mine.replication != "streaming" or mine.timeline != leading.timeline:
        raise NotYet(
            f"{member} is a {mine.role}, {mine.state}, its replication {mine.replication}, on timeline "
            f"{mine.timeline} of {leading.timeline}"
        )
