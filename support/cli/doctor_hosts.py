"""What `accept doctor` says of a user's hosts, one by one: what can be done there, and what is in the way."""

from collections.abc import Iterator, Mapping, Sequence

from support.cli.behave_process import Planned
from support.hosts.remote.access import told
from support.setting_values import bare, toml
from support.target.discovery.host_capabilities import OF_HOSTS, Looked
from support.target.topology import Topology

_WAYS = "ssh://root@ADDRESS"
_FIXED = {
    "member_files": "Patroni's file is left as it is",
    "member_data": "the data is left where it is",
    "rebuildable": "Patroni is not told to reinitialize it",
    "proxy_reload": "the proxy is not reloaded",
}


def host_lines(topology: Topology, looked: Mapping[str, Looked]) -> Iterator[str]:
    """Host by host, a line or more each."""
    for name, one in looked.items():
        if one.obstacles:
            yield f"host {name} ({told(one.access.reach)}): nothing is done to it"
            yield from (f"  {obstacle}" for obstacle in one.obstacles)
        else:
            yield f"host {name} ({told(one.access.reach)}): can be broken: {'; '.join(_possible(one))}"
        yield from (f"  {remark}" for remark in one.remarks)
        yield from (f"  {_FIXED[name]}: {why}" for name, why in one.fixed.items() if why and not one.obstacles)
    members = [one for one in topology.members if one.name not in looked]
    if looked and members:
        yield f"no host in [hosts] for {', '.join(one.name for one in members)}:"
    elif members:
        yield f"hosts: none in [hosts]; `./accept init --hosts {_WAYS}` tries and writes such lines:"
    yield from (f"  {bare(one.name)} = {toml(_way_to(one.postgres.host))}" for one in members)


def _way_to(host: str) -> str:
    return _WAYS.replace("ADDRESS", f"[{host}]" if ":" in host else host)


def _possible(one: Looked) -> Iterator[str]:
    """What can be done to a host that nothing is in the way of."""
    programs = ", ".join(one.access.programs)
    yield f"{programs} killed and frozen"
    started = [name for name, program in one.access.programs.items() if program.start]
    if started:
        yield f"crashed and started again: {', '.join(started)}"
    if one.access.cutter:
        yield f"links cut by {one.access.cutter}"


def waiting_for_hosts(lacks: Mapping[str, str], scenarios: Sequence[Planned]) -> list[Planned]:
    """The scenarios that lack nothing but access to the hosts, and the permission to use it."""
    able = {*OF_HOSTS, "destructive"}
    return [one for one in scenarios if (own := one.tags & lacks.keys()) and own <= able and own & {*OF_HOSTS}]
