"""The target file of a cluster that is reached from outside only: the variables that its users would have, no more."""

import json
from collections.abc import Mapping
from pathlib import Path

from support.embedded.plan import POOLER, Layout, Role, api_of
from support.files import write_private
from support.target.topology import Topology

HOST = "localhost"
Published = Mapping[str, tuple[str, int]]
"""Published name -> its address on this machine."""


def variables(layout: Layout, topology: Topology, published: Published) -> dict[str, str]:
    """Every variable that points at the cluster, by its name in the environment."""
    shape = layout.shape

    def port(name: str) -> str:
        return str(published[name][1])

    def address(name: str) -> str:
        return f"{HOST}:{port(name)}"

    members, workers = layout.members_of(0), [one for group in layout.groups[1:] for one in layout.members_of(group)]
    found = {
        "RUVECTOR_HOST": HOST,
        "RUVECTOR_PORT": port(POOLER if shape.pooler else "write" if shape.proxy else members[0].name),
        "RUVECTOR_DB": topology.database,
        "RUVECTOR_USER": topology.application.user,
        "RUVECTOR_PASSWORD": topology.application.password,
    }
    if shape.proxy:
        if not shape.pooler:  # users of the pooler do not write past it
            found["HAPROXY_PRIMARY_PORT"] = port("write")
        found["HAPROXY_REPLICA_PORT"] = port("read")
    if shape.proxy and shape.proxy.known:
        found["HAPROXY_STATS_URL"] = f"http://{address('statistics')}"
        if topology.statistics and (login := topology.statistics.login):
            found |= {"HAPROXY_STATS_USER": login.user, "HAPROXY_STATS_PASSWORD": login.password}
    if shape.patroni:
        found["PATRONI_HOSTS"] = ",".join(address(api_of(one.name)) for one in members)
        found["ETCD_HOSTS"] = ",".join(address(one.name) for one in layout.hosts(Role.ETCD))
    if workers and not shape.patroni:
        found["CITUS_COORDINATOR"] = HOST
        found["CITUS_WORKERS"] = ",".join(address(one.name) for one in workers)
    found |= {"REDIS_HOST": HOST, "REDIS_PORT": port("redis")}
    if topology.redis and topology.redis.password:
        found["REDIS_PASSWORD"] = topology.redis.password
    return found


def write(file: Path, layout: Layout, topology: Topology, published: Published) -> None:
    """Write them as a target file for `accept run --target`, readable by its owner only.

    The address of each member is in it as a comment, since users of such a cluster need not give it.
    """
    lines = [f"# A cluster like {layout.shape.name}: {layout.shape.summary}"]
    for name, value in variables(layout, topology, published).items():
        lines.append(f"{name.lower()} = {value if name.endswith('_PORT') else json.dumps(value)}")
    reached = {host.name: f"{HOST}:{published[host.name][1]}" for host in layout.hosts(Role.MEMBER)}
    table = "[nodes]" if not layout.shape.patroni else "[members]"
    lines += ["", "# The addresses of its servers on this machine, by the names that they use themselves:"]
    lines += [f"# {table}", *(f"# {json.dumps(name)} = {json.dumps(where)}" for name, where in reached.items())]
    write_private(file, "\n".join([*lines, ""]))
