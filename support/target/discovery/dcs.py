"""etcd as it is reached from here, and where Patroni keeps its keys in it."""

from dataclasses import replace

import requests

from support.errors import RequirementMissing
from support.target import dcs
from support.target.topology import Topology
from support.waiting import NotYet


def look(topology: Topology, system: str) -> tuple[Topology, dict[str, str]]:
    """The topology with Patroni's namespace, and what it lacks, by capability.

    `system` is the cluster's system identifier: two clusters in one etcd may have one scope. Raises RequirementMissing
    where etcd was declared and none of its members answers.
    """
    if not topology.dcs:
        why = "etcd's addresses were not given (ETCD_HOSTS)"
        return topology, {"dcs": why, "dcs_keys": why}
    try:
        dcs.quorum(topology)
    except NotYet as error:
        if not dcs.answers(topology):
            raise RequirementMissing(f"ETCD_HOSTS declares what is not there: {error}") from None
        why = f"etcd answers, but not by the JSON gateway of its API v3 (etcd 3.4 and newer): {error}"
        return topology, {"dcs": why, "dcs_keys": why}
    try:
        found = dcs.namespaces(topology)
    except (NotYet, requests.RequestException) as error:
        return topology, {"dcs_keys": f"etcd does not show its keys: {error}"}
    own = [namespace for namespace, identifier in found.items() if identifier == system] or list(found)
    if len(own) == 1:
        return replace(topology, dcs_namespace=own[0]), {}
    if own:
        return topology, {"dcs_keys": f"clusters called {topology.scope} are in {' and '.join(sorted(own))}"}
    return topology, {
        "dcs_keys": f"etcd's v3 API shows no keys of Patroni's cluster {topology.scope or '(its name is not known)'}: "
        "Patroni may keep them by etcd's API v2, or in another etcd than ETCD_HOSTS names"
    }
