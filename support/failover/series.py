"""Leaders that are lost one after the other."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import requests

from support.engine.recovery import inject_until_replaced, require_rejoined
from support.engine.world import World
from support.failover.checks import someone_may_lead
from support.faults.nemesis import Fault
from support.faults.process import DataDestroyed, Freeze, HostCrash
from support.faults.roles import host_of
from support.hosts import Host
from support.target.cluster import Cluster
from support.target.failover_readiness import obstacles
from support.waiting import eventually

LOSSES: Mapping[str, Callable[[Host], Fault]] = {
    "its host crashes": HostCrash,
    "its host freezes": Freeze,
    "its data directory is destroyed": DataDestroyed,
}
"""How a leader can be lost."""


def lose_leaders(world: World, losses: Iterable[str]) -> None:
    """Lose one leader after the other, each as LOSSES names it; each is replaced, and streams, before the next one.

    Raises LookupError for a loss that is not there, NotInTime when the cluster does not get over one.
    """
    for loss in losses:
        may_go_on = partial(_require_successor, world.cluster)
        eventually(
            may_go_on,
            within=world.timing.rejoin,
            subject="a replica may take over",
            retry_on=(requests.RequestException,),
        )
        host = host_of(world.cluster, "the leader")
        inject_until_replaced(world, LOSSES[loss](host), host.name)
        require_rejoined(world, world.timing.rejoin)


def _require_successor(cluster: Cluster) -> None:
    someone_may_lead(obstacles(cluster)).require()
