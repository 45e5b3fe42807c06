"""A soft reload of the proxy: new sessions get a new process, older ones stay in the old one, which checks nobody.

Source: https://github.com/haproxy/haproxy/issues/3330 (sessions from before a reload stay on a server that is down)
"""

from collections.abc import Sequence

from support.engine.world import World
from support.errors import Inconclusive
from support.hosts.interface import Running, SiteHost
from support.target.cluster import Cluster
from support.target.component_hosts import proxy_host
from support.target.leadership import WRITE_ROUTE, routes
from support.target.members import NO_ANSWER
from support.waiting import NotYet, eventually, precondition

_PROGRAM = "haproxy"


class Reload:
    """The proxy reloads its configuration."""

    def __init__(self, cluster: Cluster) -> None:
        self.host = proxy_host(cluster)

    def __str__(self) -> str:
        return f"HAProxy on {self.host.name} reloads its configuration"

    def on_hosts(self) -> None:
        """See OnHosts."""
        self.host.processes[_PROGRAM].reload()


def reload_proxy(world: World) -> None:
    """Reload the proxy, and wait until its new process routes as before.

    Raises Inconclusive if no process of before is left: that would have the older sessions.
    """
    cluster, reload = world.cluster, Reload(world.cluster)
    host = reload.host
    before, wanted = haproxy_workers(host), routes(cluster)[WRITE_ROUTE]
    reload.on_hosts()

    def reloaded() -> None:
        if not {one.identity for one in haproxy_workers(host)} - {one.identity for one in before}:
            raise NotYet("it has no new process")
        if (now := routes(cluster)[WRITE_ROUTE]) != wanted:
            raise NotYet(f"the write endpoint leads to {' and '.join(now) or 'nobody'}, not to {' and '.join(wanted)}")

    with precondition():
        within = world.timing.notice
        eventually(reloaded, within=within, subject="the proxy is reloaded, and routes as before", retry_on=NO_ANSWER)
    left = host.alive(before)
    world.evidence.attach("the proxy's processes from before the reload", "\n".join(map(str, left)) or "none")
    if not left:
        raise Inconclusive("no process from before the reload is left, so none has a session")


def haproxy_workers(host: SiteHost) -> Sequence[Running]:
    """The processes of HAProxy that serve sessions; none if there is no master process that could be told to reload."""
    found = [one for one in host.running() if one.name == _PROGRAM]
    master = host.processes[_PROGRAM].pid
    return [one for one in found if one.parent == master]
