"""All settings of a target that runs change for a while: Patroni's dynamic configuration, and those of Redis."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from support.target import temporary_configuration, temporary_redis_settings
from support.target.changes import GivenBack, Note
from support.target.cluster import Cluster
from support.target.redis import ERRORS
from support.target.topology import Topology


def left(cluster: Cluster) -> Sequence[Note]:
    """The changes that anybody has made and not given back, according to what answers; nothing is changed."""
    found: list[Note] = [*temporary_configuration.left(cluster)]
    if cluster.topology.redis is not None:
        with suppress(*ERRORS):
            found += temporary_redis_settings.left(cluster.topology.redis)
    return found


def give_back(cluster: Cluster) -> GivenBack:
    """Give back what runs that are over have changed. Never raises."""
    found = temporary_configuration.give_back(cluster)
    if cluster.topology.redis is not None:
        found += temporary_redis_settings.give_back_if_possible(cluster.topology.redis)
    return found


def undisturbed(topology: Topology, found: GivenBack) -> Topology:
    """The topology, in which nothing may be disturbed while somebody else's change is in force."""
    if not found.kept:
        return topology
    why = f"settings are changed by somebody else: {'; '.join(found.kept)}"
    return replace(topology, lacks={**topology.lacks, "destructive": why})
