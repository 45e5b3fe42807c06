"""Asking every group of a cluster the same."""

from collections.abc import Callable
from functools import partial

from support.cluster.cluster import Cluster
from support.cluster.rollcall import SILENCE
from support.timeouts import VISIBLE
from support.waiting import eventually


def in_each_group(cluster: Cluster, claim: Callable[[Cluster], object], subject: str) -> None:
    """Wait until a claim holds for each group, one after another. Raises NotInTime, which names the group."""
    for group in cluster.groups:
        within = f" in worker group {group.group}" if group.group else ""
        eventually(partial(claim, group), within=VISIBLE, subject=f"{subject}{within}", retry_on=SILENCE)
