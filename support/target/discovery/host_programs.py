"""Which of the programs that run on a host are the cluster's, by what is known of the cluster. Others are left alone:
killing a Redis that belongs to somebody else may cost its data, and tells nothing about the cluster."""

import posixpath
import re
import shlex
from collections.abc import Collection, Mapping, Sequence

from support.errors import ProcessFailed
from support.hosts.interface import Running
from support.hosts.remote import HostAccess, Reach
from support.target import dcs
from support.target.discovery.addresses import names_of
from support.target.topology import Topology

_SERVES = re.compile(r"\s--?(server|dev)(=true)?(\s|$)")
_CONFIGURED = re.compile(r"\s--?config-(?:file|dir)[=\s]\s*(\S+)")
_SERVER = re.compile(r"""(^|[{,\s])["']?server["']?\s*[=:]\s*true\b""")
_COMMENTS = re.compile(r"^\s*(#|//).*$", re.MULTILINE)


def not_the_clusters(
    programs: Collection[str], declared: HostAccess, topology: Topology, elsewhere: Mapping[str, str]
) -> dict[str, str]:
    """Program -> why it is left alone. What the user says of a host decides; `elsewhere`: what else is known."""
    found: dict[str, str] = {}
    for program in programs:
        if program in declared.left_out:
            found[program] = "programs says that it is not the cluster's"
        elif program not in declared.programs and (why := _not_used(program, topology) or elsewhere.get(program)):
            found[program] = why
    return found


def _not_used(program: str, topology: Topology) -> str:
    if program in dcs.PROGRAMS and program != dcs.program(topology):
        return "it is not the DCS that the settings name"
    if program == "redis" and topology.redis is None:
        return "no setting names it"
    if program == "haproxy" and not _may_be_proxied(topology):
        return "every endpoint is a member's own PostgreSQL, and no setting names a statistics page"
    return ""


def _may_be_proxied(topology: Topology) -> bool:
    own = {(name, one.postgres.port) for one in topology.members for name in names_of(one.postgres.host)}
    endpoints = (*topology.write_hosts, *topology.read_hosts)
    return topology.statistics is not None or any(
        not own & {(name, one.port) for name in names_of(one.host)} for one in endpoints
    )


def redis_elsewhere(hosts: Mapping[str, HostAccess], topology: Topology) -> dict[str, str]:
    """Host -> why the Redis there is not the cluster's: its address is another host's, on which one runs as well.

    Sentinels, and the nodes of a Redis Cluster, name further hosts, so that nothing is known then.
    """
    if topology.redis is None or topology.redis.mode != "standalone":
        return {}
    named = names_of(topology.redis.address.host)
    having = {name: one for name, one in hosts.items() if "redis" in one.programs}
    own = [name for name, one in having.items() if named & {*one.addresses}]
    if not own:
        return {}
    return {name: f"the cluster's is on {own[0]}" for name in having if name not in own}


def only_a_client(reach: Reach, consul: Sequence[Running]) -> str:
    """Why the Consul on a host is no part of the DCS; empty if it is a server, or if that cannot be told."""
    agents = [one for one in consul if one.name == "consul"]
    if any(_serves(reach, one) for one in agents) or not agents:
        return ""
    return "it is a client of Consul, not one of its servers"


def _serves(reach: Reach, agent: Running) -> bool:
    if _SERVES.search(agent.title):
        return True
    paths = _CONFIGURED.findall(agent.title)
    try:
        texts = [text for path in paths for text in _configuration(reach, path)]
    except ProcessFailed:
        return True
    return any(_SERVER.search(_COMMENTS.sub("", text)) for text in texts)


def _configuration(reach: Reach, path: str) -> list[str]:
    """The text of each file that Consul reads at a path. Raises ProcessFailed if there is nothing to read."""
    listing = f'for f in {shlex.quote(path)}/*.hcl {shlex.quote(path)}/*.json; do [ ! -f "$f" ] || echo "$f"; done'
    if not posixpath.isabs(path):
        raise ProcessFailed(f"{path} depends on where Consul was started")
    listed = reach.run("sh", "-c", f"if [ -d {shlex.quote(path)} ]; then {listing}; else echo {shlex.quote(path)}; fi")
    return [reach.run("cat", file) for file in listed.splitlines()]
