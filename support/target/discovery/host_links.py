"""Whether the links of a user's host may be cut, and what else needs them, so that a crash leaves them alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from support.hosts.interface import Running
from support.hosts.remote import Reach
from support.hosts.remote.access import LOCAL, NEVER_DIRECT
from support.hosts.remote.processes import other_clusters
from support.target.discovery.host_answers import HostAnswer, shortened
from support.target.discovery.host_capabilities import MARK

NOT_ISOLATED = "a crash leaves the links alone, as {}: peers see at once that its programs died"
_FENCING = ("corosync", "DRBD")
"""What connects machines beside the cluster; when it loses another machine, it may reset that one, or stop this one."""
_FENCED = "links cannot be cut: {} there would lose the machines that it is connected with, and might have one reset"
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class HostLinks:
    """What is known of the links of one host."""

    cutter: str
    """nft or iptables, by which they are cut; empty if they are not."""
    not_cut: str
    """Why they are not cut; empty if they are."""
    line: str
    """Whence the host sees our commands come, if it cannot tell; empty if it can, or if that is not known."""
    comes_from: str
    """The address from which our commands come, as the host sees it; empty if they do not come over its network."""
    storage: str
    """Its storage that is lost with them, such as "iSCSI"."""
    tunnel: str
    """Why our own connection needs more of them than the one to the host; empty if it does not."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """For people; whether they are cut is the last."""
        needed = [f"storage is behind them ({self.storage})"] if self.storage else []
        needed += [self.tunnel] if self.tunnel else []
        return (*(NOT_ISOLATED.format(why) for why in needed), self.not_cut or f"links are cut by {self.cutter}")


def links_of(answer: HostAnswer, patroni: Sequence[Running], data: str, scope: str) -> HostLinks:
    """`patroni`: the processes of the cluster's Patroni and PostgreSQL there; `data`: the data directory, if known."""
    way, facts = answer.way, answer.facts
    line = way.access.line or ("" if facts.get("line", [""])[0] else _UNKNOWN)
    # The storage of a container is its machine's: it does not depend on the container's own network.
    storage = [] if way.container else way.reach.run("behind_network", *filter(None, [data])).splitlines()
    comes_from = "" if NEVER_DIRECT in (way.reach.line, line) else way.access.line or _comes_from(facts)
    shared = _why_shared(*other_clusters(answer.table, patroni, scope), facts.get("mark", ()))
    fenced = [one for one in (*(process.name for process in answer.table), *storage) if one in _FENCING]
    not_cut = _why_not_cut(answer, line != _UNKNOWN, fenced, shared)
    return HostLinks(
        cutter="" if not_cut else answer.cutter,
        not_cut=not_cut,
        line="" if line == _UNKNOWN else line,
        comes_from=comes_from,
        storage=", ".join(storage),
        tunnel="" if answer.network else _tunnel(way.reach, comes_from),
    )


def _why_not_cut(answer: HostAnswer, line_known: bool, fenced: Sequence[str], shared: str) -> str:
    """Why links are not cut; empty if they are. `fenced`: what there might have a machine reset; `shared`: why not, if
    members of other clusters run there, too."""
    beside_us = not answer.network and _is_here(answer.way.reach, answer.facts)
    if answer.cutter and line_known and not (beside_us or fenced or shared):
        return ""
    if answer.cutter and shared:
        return shared
    if answer.way.why_not_cut:
        return answer.way.why_not_cut
    if fenced:
        return _FENCED.format(fenced[0])
    if beside_us:
        return "links cannot be cut: the suite itself runs there, and its own clients would be cut off as well"
    if answer.cutter:
        return 'where commands come from is not known: set line = "our address, as seen there" (or "none")'
    return "links cannot be cut: neither nft nor iptables can be used there (root, and apt install nftables)"


def _why_shared(scopes: Sequence[str], unknown: Sequence[Running], marks: Collection[str]) -> str:
    """Why links are left alone where members of other clusters run, too; empty if these may be disturbed as well."""
    words = "links are neither cut nor, in a crash, isolated: that would cut off"
    if unmarked := [one for one in scopes if one not in marks]:
        return (
            f"{words} the member of {' and of '.join(unmarked)} that runs there, too; if that may be disturbed, too, "
            f"add a line to {MARK}: {', '.join(unmarked)}"
        )
    if unknown:
        told = shortened(unknown[0].title)
        return f"{words} {told!r}, which runs there, too, and whose scope is not known while its PostgreSQL is down"
    return ""


def _is_here(reach: Reach, facts: Mapping[str, Sequence[str]]) -> bool:
    """Whether the suite runs on that very machine: what is cut there would be cut for its clients, too."""
    comes_from = _comes_from(facts)
    own = {*facts.get("address", ()), "::1"}
    return reach.words == LOCAL or comes_from in own or comes_from.startswith("127.")


def _comes_from(facts: Mapping[str, Sequence[str]]) -> str:
    return facts.get("line", [""])[0].partition(" ")[0].removeprefix("::ffff:")


def _tunnel(reach: Reach, comes_from: str) -> str:
    """Why an isolation would cut our own line: a tunnel carries it that ends there. Empty if none does."""
    if not comes_from:
        return ""
    for line in reach.run("tunnels", comes_from).splitlines():
        kind, _, what = line.partition(" ")
        if kind == "device":
            return f"our own connection comes through the tunnel {what}"
        if _is_in(comes_from, what):
            return "our own connection comes through IPsec"
    return ""


def _is_in(address: str, network: str) -> bool:
    """Whether an address is in a network; what the user says of our line need not be one."""
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False
