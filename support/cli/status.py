"""`accept status`: members, roles, lag and memory of a cluster that is up, and how to connect to it."""

import shlex
from collections.abc import Iterator

from rich.table import Table

from support.cli import targets
from support.cli.clusters import KeptCluster
from support.cli.console import out
from support.hosts import Host
from support.target.cluster import Cluster
from support.target.patroni import ClusterView, MemberView
from support.waiting import NotYet

MEGABYTE = 10**6
WIDE = 140
"""Width of the table where there is no terminal."""


def show(cluster: KeptCluster) -> None:
    """Print the state of a cluster. Has to run inside its sandbox."""
    groups = Cluster(cluster.topology).groups if "patroni" not in cluster.topology.lacks else ()
    views = [_view(group) for group in groups]
    members = {one.name: one for view in views for one in view.members}
    table = Table(box=None, pad_edge=False)
    for heading in ("host", "address", "programs", "role", "state", "timeline", "lag", "memory"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "memory" else "left")
    hosts = cluster.sandbox.hosts.values()
    memory = {host.name: host.memory for host in hosts}
    for host in hosts:
        role = _role(members.get(host.name))
        table.add_row(host.name, host.address, _programs(host), *role, _megabytes(memory[host.name]))
    out.print(table, width=None if out.is_terminal else WIDE)
    paused = "; failover is paused" if any(view.paused for view in views) else ""
    out.print(f"{_megabytes(sum(memory.values()))} in total{paused}")


def _view(group: Cluster) -> ClusterView:
    try:
        return group.view()
    except NotYet as error:
        out.print(f"group {group.group}: {error}", style="red", markup=False)
        return ClusterView((), paused=False, scope="")


def _programs(host: Host) -> str:
    running = [name for name, process in host.processes.items() if process.pid]
    return ", ".join(running) or ("no program runs" if host.powered else "powered off")


def _role(member: MemberView | None) -> tuple[str, str, str, str]:
    if member is None:
        return "", "", "", ""
    lag = "" if member.leads else "unknown" if member.lag is None else f"{member.lag} bytes"
    return member.role, member.state, str(member.timeline or ""), lag


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.0f} MB"


def show_connections(cluster: KeptCluster) -> None:
    """Print how to connect to a cluster from this machine, ready to be copied."""
    if cluster.target.exists():
        for name, value in targets.of_file(cluster.target).items():
            out.print(f"export {name.upper()}={shlex.quote(str(value))}", markup=False)
        out.print(f"# or as a file: --target {cluster.target}", markup=False)
        for what, how in _commands(cluster):
            out.print(f"# {what:<16}{how}", markup=False)
    else:
        for what, how in (*_endpoints(cluster), *_commands(cluster)):
            out.print(f"{what:<16}{how}", markup=False)


def _endpoints(cluster: KeptCluster) -> Iterator[tuple[str, str]]:
    topology, published = cluster.topology, cluster.sandbox.published
    login = topology.application
    for name in ("write", "read"):
        host, port = published[name]
        psql = f"psql -h {host} -p {port} -U {login.user} {topology.database}"
        yield f"{name} endpoint", f"PGPASSWORD={login.password} {psql}"
    if topology.redis is not None:
        host, port = published["redis"]
        yield "cache", f"REDISCLI_AUTH={topology.redis.password} redis-cli -h {host} -p {port}"
    if topology.statistics is not None and (page := topology.statistics.login) is not None:
        host, port = published["statistics"]
        yield "statistics", f"http://{host}:{port}/ (user {page.user}, password {page.password})"


def _commands(cluster: KeptCluster) -> Iterator[tuple[str, str]]:
    """The commands of this program for the cluster, and the superuser of one that is reached from outside."""
    topology, outside = cluster.topology, cluster.target.exists()
    endpoints = "|".join(["write", *([] if outside else ["read"]), *(member.name for member in topology.members)])
    yield "psql", f"./accept psql [{endpoints}] --name {cluster.name}"
    if outside and (login := topology.administrator):
        yield "superuser", f"{login.user}, password {login.password}"
    yield "shell", f"./accept shell {topology.members[0].name} --name {cluster.name}"
    yield "scenarios", f"./accept run --target {cluster.name}"
    yield "stop", f"./accept down {cluster.name}"
