"""`accept status`: members, their roles and lag, and what each host holds in memory."""

from rich.table import Table

from support.cli.clusters import Kept
from support.cli.console import out
from support.hosts import Host
from support.target.cluster import Cluster
from support.target.patroni import ClusterView, MemberView
from support.waiting import NotYet

MEGABYTE = 10**6
WIDE = 140
"""Columns where there is no terminal to tell how many it has."""


def show(cluster: Kept) -> None:
    """What is going on in a cluster; to be called inside its sandbox."""
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
    out.print(f"{_megabytes(sum(memory.values()))} in all{paused}")


def _view(group: Cluster) -> ClusterView:
    try:
        return group.view()
    except NotYet as error:
        out.print(f"group {group.group}: {error}", style="red", markup=False)
        return ClusterView((), paused=False, scope="")


def _programs(host: Host) -> str:
    running = [name for name, process in host.processes.items() if process.pid]
    return ", ".join(running) or ("none runs" if host.powered else "powered off")


def _role(member: MemberView | None) -> tuple[str, str, str, str]:
    if member is None:
        return "", "", "", ""
    lag = "" if member.leads else "unknown" if member.lag is None else f"{member.lag} bytes"
    return member.role, member.state, str(member.timeline or ""), lag


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.0f} MB"
