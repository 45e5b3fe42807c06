"""Asking every group of a cluster the same."""

from collections.abc import Callable
from functools import partial

from support.cluster.cluster import Cluster
from support.cluster.rollcall import SILENCE
from support.waiting import eventually


def in_each_group(cluster: Cluster, claim: Callable[[Cluster], object], subject: str) -> None:
    """Wait until a claim holds for each group, one after another. Raises NotInTime, which names the group."""
    for group in cluster.groups:
        where = f" in worker group {group.group}" if group.group else ""
        of_the_whole(group, claim, f"{subject}{where}")


def of_the_whole(cluster: Cluster, claim: Callable[[Cluster], object], subject: str) -> None:
    """Wait until a claim holds, for as long as the cluster may need until a change is seen everywhere."""
    within = cluster.topology.timing.visible
    eventually(partial(claim, cluster), within=within, subject=subject, retry_on=SILENCE)
