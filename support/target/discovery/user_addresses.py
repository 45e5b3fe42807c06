"""Whether the hosts of a user's cluster reach one another at more addresses than those at which links would be cut.

A floating address, one that is published elsewhere, or a network for replication alone would stay open, and the cluster
be judged as if it was not.
"""

from collections.abc import Collection, Mapping
from ipaddress import ip_address

from support.errors import ProcessFailed
from support.hosts.remote import HostAccess, RemoteSite
from support.setting_values import bare, toml
from support.target import dcs, etcd
from support.target.topology import Topology
from support.waiting import NotYet


def open_links(hosts: Mapping[str, HostAccess], topology: Topology) -> dict[str, str]:
    """Capability -> the address at which a host is reached that is none of its own, and what to do about it.

    What the members and etcd tell others to connect to is resolved on the members' hosts. Nothing is known of a name
    that cannot be resolved there.
    """
    members = {one.name: hosts[one.name] for one in topology.members if one.name in hosts}
    of_members = {name: hosts_of for name, hosts_of in topology.advertised.items() if name in members}
    of_etcd = _of_etcd(topology)
    named = {host for each in (*of_members.values(), *of_etcd.values()) for host in each}
    seen = {name: _resolved(name, access, named) for name, access in members.items()}
    for name, told in of_members.items():
        elsewhere = [known for other, known in seen.items() if other != name]  # its own name may lead it to itself
        if found := _further(told, elsewhere, members[name].addresses):
            address, host = found
            own = toml([*filter(_normal, members[name].addresses), address])
            why = f"the others reach {name} at {_as_told(address, host)}, which is none of its addresses: "
            return {"partitions": f"{why}[hosts.{bare(name)}] address = {own}"}
    etcds = [one.addresses for one in hosts.values() if dcs.program(topology) in one.programs]
    for name, its in of_etcd.items():
        if found := _further(its, list(seen.values()), [address for each in etcds for address in each]):
            why = f"etcd's member {name} is reached at {_as_told(*found)}, which is no address of its host: "
            return dict.fromkeys(("partitions", "dcs_links"), f"{why}add it to the `address` of that host in [hosts]")
    return {}


def _of_etcd(topology: Topology) -> Mapping[str, Collection[str]]:
    if dcs.program(topology) != "etcd" or not topology.dcs:
        return {}
    try:
        return etcd.advertised(topology)
    except NotYet:
        return {}


def _resolved(name: str, access: HostAccess, hosts: Collection[str]) -> Mapping[str, Collection[str]]:
    """Host -> the addresses that it leads to from there. What is an address already needs no resolving."""
    found = {host: {host} for host in hosts if _normal(host)}
    if unknown := [host for host in hosts if host not in found]:
        try:
            said = RemoteSite({name: access}).machines[name].reach.run("resolved", *unknown)
        except ProcessFailed:
            return found
        for host, _, address in (line.partition("\t") for line in said.splitlines()):
            found.setdefault(host, set()).add(address)
    return found


def _further(
    told: Collection[str], seen: Collection[Mapping[str, Collection[str]]], own: Collection[str]
) -> tuple[str, str] | None:
    """An address that one of these hosts leads to, and that is none of `own`; with that host."""
    known = {_normal(one) for one in own}
    for host in told:
        for address in sorted({one for each in seen for one in each.get(host, ())}):
            if (normal := _normal(address)) and normal not in known:
                return normal, host
    return None


def _normal(word: str) -> str:
    """An address as the rules of a firewall have it; empty for a name, and for what leads nowhere but to oneself."""
    try:
        address = ip_address(word.partition("%")[0])
    except ValueError:
        return ""
    return "" if address.is_loopback or address.is_unspecified else str(address)


def _as_told(address: str, host: str) -> str:
    return address if address == host else f"{address} ({host})"
