"""What the hosts of a user's cluster allow: the capabilities that they lack, each with what would change that."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from support.hosts.remote import HostAccess
from support.setting_values import bare
from support.target import dcs, etcd
from support.target.topology import Topology
from support.waiting import NotYet

MARK = "/etc/accept-breakable"
"""The file by which a host says that it may be broken."""
OURS_ALONE = ("disks", "volatile_disks", "slow_links", "own_programs", "spare_worker")
"""Capabilities that only the embedded cluster's hosts have."""
OF_HOSTS = (
    "hosts",
    "crashes",
    "partitions",
    "dcs_links",
    "poor_links",
    "member_files",
    "member_data",
    "rebuildable",
    "dcs_hosts",
    "dcs_apart",
    "proxy_host",
    "proxy_apart",
    "proxy_reload",
    "cache_host",
)
"""Capabilities that a user's hosts can have."""


@dataclass(frozen=True)
class Looked:
    """What one host reports about itself, and why it may not be broken."""

    name: str
    access: HostAccess
    obstacles: tuple[str, ...] = ()
    """Why no fault may be injected there, each with what would change that."""
    remarks: tuple[str, ...] = ()
    """What was found there."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Capability -> why the programs there lack it, such as a member's files, or HAProxy."""
    marks: tuple[str, ...] = ()
    """What its mark says, line by line: the scopes of the clusters that may be broken there."""
    comes_from: str = ""
    """The address from which our commands come, as the host sees it; empty if they do not come over its network."""
    not_cut: str = ""
    """Why its links are not cut; empty if they are. It is among the remarks, too."""


def members_of_dcs(topology: Topology) -> int | None:
    """How many members the DCS has; if it is not etcd, a lower bound. None if etcd does not answer.

    The settings may name only one of several addresses.
    """
    if dcs.program(topology) != "etcd":
        return dcs.nodes(topology)
    try:
        return etcd.quorum(topology).voters
    except NotYet:
        return None


def others_in_dcs(topology: Topology) -> tuple[list[str], str]:
    """The paths of the other clusters that use the DCS, and why these are not known, if they are not."""
    if dcs.program(topology) != "etcd":
        return [], f"that is known for etcd only, and the DCS is {dcs.kind(topology)}"
    if not topology.dcs:
        return [], "its addresses are not known"
    try:
        return etcd.other_clusters(topology), ""
    except NotYet as error:
        return [], str(error)


def lacking(
    looked: Mapping[str, Looked], topology: Topology, in_dcs: int | None, others: Collection[str] = ()
) -> dict[str, str]:
    """Capability -> why a user's hosts do not have it.

    `in_dcs`: how many members the DCS has, if that is known; `others`: the paths of other clusters that use it.
    """
    lacks = dict.fromkeys(OURS_ALONE, "not on a cluster that the suite did not boot")
    members = [one.name for one in topology.members]
    if why := _lacks_all(looked, members):
        return lacks | dict.fromkeys(OF_HOSTS, why)
    own = {name: looked[name].access for name in members}
    able = {name: one.access for name, one in looked.items() if not one.obstacles}
    program = dcs.program(topology)
    in_use = _lacks_links(looked, program)
    dcs_hosts = (
        _lacks_program(program, program or dcs.kind(topology), looked, own)
        or _lacks_hosts_of_dcs(looked, topology, in_dcs)
        or _lacks_marks_of_others(looked, topology, others)
    )
    proxy_host = _lacks_program("haproxy", "HAProxy", looked, own)
    beside_redis = {program: "the DCS", "haproxy": "the proxy"}
    cache_host = _lacks_program("redis", "Redis", looked, own) or _on_machine_of("redis", "Redis", beside_redis, looked)
    whys = {
        "crashes": _lacks_crashes(own),
        **{one: _fixed(one, looked, members) for one in ("member_files", "member_data", "rebuildable")},
        "dcs_hosts": dcs_hosts,
        "proxy_host": proxy_host,
        "cache_host": cache_host,
        "proxy_apart": _on_machine_of("haproxy", "HAProxy", {program: "the DCS"}, looked),
        "dcs_apart": _lacks_dcs_apart(looked, topology, in_dcs),
        "proxy_reload": proxy_host or _fixed("proxy_reload", looked, looked),
        "dcs_links": in_use.get("dcs_links") or dcs_hosts or _lacks_dcs_links(able, topology),
        "partitions": in_use.get("partitions") or _lacks_partitions(looked, own, topology, in_dcs),
        "poor_links": _lacks_poor_links(looked) or in_use.get("poor_links", ""),
    }
    return lacks | {capability: why for capability, why in whys.items() if why}


def _lacks_all(looked: Mapping[str, Looked], members: Sequence[str]) -> str:
    """Why nothing can be done to any host, by what is known of the members' own; empty if something can be done."""
    if untold := [name for name in members if name not in looked]:
        return f"[hosts] has no {', '.join(untold)}: add how the suite gets access to it"
    if bad := {name: looked[name].obstacles for name in members if looked[name].obstacles}:
        return "; ".join(f"{name}: {obstacles[0]}" for name, obstacles in bad.items())
    own = {name: looked[name].access for name in members}
    if one_machine := _on_one_machine(own):
        return f"{' and '.join(one_machine)} are on one machine: a fault of one would hit the other"
    if without := [name for name, one in own.items() if "patroni" not in one.programs]:
        return f"no Patroni was found on {', '.join(without)}"
    return ""


def _lacks_crashes(own: Mapping[str, HostAccess]) -> str:
    """Why members' hosts are not crashed: something there could not be started again. Empty if all could be."""
    if without := [name for name, one in own.items() if not one.programs["patroni"].start]:
        if why := own[without[0]].programs["patroni"].unstarted:
            return f"{without[0]}: {why}"
        return (
            f"how Patroni is started on {', '.join(without)} is not known: "
            f'[hosts.{bare(without[0])}] programs = {{ patroni = "systemd:UNIT" }}, or the command'
        )
    if not (unstarted := _started_by_nobody(own)):
        return ""
    name, program = unstarted
    if why := own[name].programs[program].unstarted:
        return f"{name}: {why}"
    return (
        f"how {program} is started on {name} is not known: [hosts.{bare(name)}] programs = "
        f'{{ {program} = "systemd:UNIT" }}, or the command; {program} = "" if it is not the cluster\'s'
    )


def _fixed(capability: str, looked: Mapping[str, Looked], names: Iterable[str]) -> str:
    """Why programs on these hosts lack a capability; empty if none of them does."""
    whys = {name: looked[name].fixed.get(capability, "") for name in names}
    return "; ".join(f"{name}: {why}" for name, why in whys.items() if why)


def _started_by_nobody(own: Mapping[str, HostAccess]) -> tuple[str, str] | None:
    """A member's host and a program there that nobody could start after a crash. All in a container start with it."""
    for name, one in own.items():
        for program, known in one.programs.items():
            if not known.start and not _contained(one):
                return name, program
    return None


def _lacks_program(program: str, what: str, looked: Mapping[str, Looked], own: Mapping[str, HostAccess]) -> str:
    """Why the hosts of a program cannot be broken; empty if they can."""
    having = {name: one for name, one in looked.items() if program in one.access.programs}
    if not having:
        others = [f"{name}: {one.obstacles[0]}" for name, one in looked.items() if one.obstacles]
        return f"[hosts] has no host on which {what} runs" + (f" ({'; '.join(others)})" if others else "")
    if bad := [f"{name}: {one.obstacles[0]}" for name, one in having.items() if one.obstacles]:
        return "; ".join(bad)
    if shared := [name for name, one in having.items() if name in own or _shares(one.access, own.values())]:
        return f"{what} runs on the members' own machines ({', '.join(shared)}), so it cannot fail separately"
    if untold := [name for name, one in having.items() if not one.access.programs[program].start]:
        if why := having[untold[0]].access.programs[program].unstarted:
            return f"{untold[0]}: {why}"
        return f"how {what} is started on {untold[0]} is not known: [hosts.{bare(untold[0])}] programs"
    return ""


def _on_machine_of(program: str, what: str, others: Mapping[str, str], looked: Mapping[str, Looked]) -> str:
    """Why a program cannot fail without one of the others, nor be left when they do; empty if it can."""
    for (name, one), (other, by) in itertools.product(looked.items(), repeat=2):
        if program not in one.access.programs or (name != other and not _one_machine(one.access, by.access)):
            continue
        for its, words in others.items():
            if its in by.access.programs:
                return f"{what} runs on {name}, a machine of {words}, so neither fails separately"
    return ""


def _lacks_hosts_of_dcs(looked: Mapping[str, Looked], topology: Topology, in_dcs: int | None) -> str:
    """Why [hosts] may not name every host of the DCS; empty if it does."""
    program = dcs.program(topology)
    having = sum(program in one.access.programs for one in looked.values())
    if in_dcs is None:
        return f"{program} does not say how many members it has: set ETCD_HOSTS or [dcs]"
    if having < in_dcs:
        return f"{program} has {in_dcs} members, and [hosts] has {having} of their hosts"
    return ""


def _lacks_marks_of_others(looked: Mapping[str, Looked], topology: Topology, others: Collection[str]) -> str:
    """Why the DCS may not be disturbed: others need it, and its hosts do not all say that these may be disturbed, too.

    Another cluster with the very scope of this one has to be named by its path.
    """
    program = dcs.program(topology)
    marks = [{*one.marks} for one in looked.values() if program in one.access.programs]
    named = set[str].intersection(*marks) - {topology.scope} if marks else set[str]()
    if not (unnamed := [path for path in others if not {path, _scope_of(path)} & named]):
        return ""
    words = sorted({_scope_of(path) if _scope_of(path) != topology.scope else path for path in unnamed})
    return (
        f"{program} is also the DCS of {', '.join(unnamed)}, where nobody could write without its quorum; if these "
        f"may be disturbed, too, add a line for each to {MARK} on every host of {program}: {', '.join(words)}"
    )


def _scope_of(path: str) -> str:
    """The scope of a path in the DCS, which may end with the number of a Citus group."""
    *parents, last = path.split("/")
    return parents[-1] if last.isdecimal() and len(parents) > 2 else last


def _lacks_dcs_apart(looked: Mapping[str, Looked], topology: Topology, in_dcs: int | None) -> str:
    """Why crashes of members may take the quorum of the DCS away; empty if they leave it. Without it, nobody leads.

    If it is not known how many members the DCS has, those that were found are taken for all of them.
    """
    if "raft" in dcs.sections(topology):
        return "Patroni's own Raft has no quorum when all members but one are down"
    program = dcs.program(topology)
    having = {name: one.access for name, one in looked.items() if program in one.access.programs}
    every = max(in_dcs or 0, len(having))
    for group in topology.groups:
        own = {one.name: looked[one.name].access for one in topology.members if one.group == group}
        for left in own:
            down = [one for name, one in own.items() if name != left]
            lost = [name for name, one in having.items() if any(one is its or _one_machine(one, its) for its in down)]
            if lost and every - len(lost) <= every // 2:
                return (
                    f"{program} runs on the members' own machines, and has no quorum when all of them but {left} are "
                    f"down ({len(lost)} of {every} gone)"
                )
    return ""


def _lacks_dcs_links(able: Mapping[str, HostAccess], topology: Topology) -> str:
    """Why links within the DCS cannot be cut (at least one of any two hosts has to be able to); empty if they can."""
    unable = [name for name, one in able.items() if dcs.program(topology) in one.programs and not one.cutter]
    return f"{unable[0]} and {unable[1]} have no nft or iptables to use" if len(unable) > 1 else ""


def _lacks_partitions(
    looked: Mapping[str, Looked], own: Mapping[str, HostAccess], topology: Topology, in_dcs: int | None
) -> str:
    """Why members cannot be cut off from all others; empty if they can."""
    if without := [name for name, one in own.items() if not one.cutter]:
        return f"{without[0]}: {looked[without[0]].not_cut}"
    having = [one for one in looked.values() if dcs.program(topology) in one.access.programs]
    if not having or _lacks_hosts_of_dcs(looked, topology, in_dcs):
        return "[hosts] does not name every host of the DCS, from which a member has to be cut off, too"
    if any(one.name in own or _shares(one.access, own.values()) for one in having):
        return "the DCS runs on the members' own machines: no member can be cut off from it separately"
    return ""


def _lacks_poor_links(looked: Mapping[str, Looked]) -> str:
    """Why links cannot be made slow or lossy; empty if they can."""
    for name, one in looked.items():
        if one.obstacles:
            return f"{name}: {one.obstacles[0]}"
        if one.access.cutter != "nft":
            return f"{name}: {one.not_cut or 'dropping packets needs nft, which cannot be used there'}"
    return ""


def ways_to_others(looked: Mapping[str, Looked]) -> dict[str, list[str]]:
    """Host -> the others to which our commands come through it, such as a jump host."""
    found: dict[str, list[str]] = {}
    for (name, one), (other, by) in itertools.permutations(looked.items(), 2):
        if one.comes_from in by.access.addresses:
            found.setdefault(other, []).append(name)
    return found


def _lacks_links(looked: Mapping[str, Looked], of_dcs: str) -> dict[str, str]:
    """What cannot be done because it would cut links that our own commands use: those of a jump host, or of the host on
    which the suite runs."""
    lacks: dict[str, str] = {}
    for other, name in ((other, name) for other, names in ways_to_others(looked).items() for name in names):
        why = (
            f"commands come to {name} from {other}, so the links between the two cannot be cut: run the suite, and any "
            "jump host, on machines that are not in [hosts]"
        )
        lacks |= dict.fromkeys(("partitions", "poor_links"), why)
        if of_dcs in looked[name].access.programs and of_dcs in looked[other].access.programs:
            lacks["dcs_links"] = why
    return lacks


def _on_one_machine(own: Mapping[str, HostAccess]) -> tuple[str, ...]:
    """Two members that share a machine; containers count as separate, even on one machine and with its network."""
    for (name, one), (other, another) in itertools.combinations(own.items(), 2):
        if _one_machine(one, another):
            return name, other
    return ()


def _one_machine(one: HostAccess, another: HostAccess) -> bool:
    return one.reach == another.reach or (not (_contained(one) and _contained(another)) and _shares(one, [another]))


def _contained(access: HostAccess) -> bool:
    return access.reach.startswith(("docker://", "podman://"))


def _shares(access: HostAccess, others: Iterable[HostAccess]) -> bool:
    """Whether it is the same machine as one of the others: all addresses of one also belong to the other.

    Separate machines can have some addresses in common, such as that of docker0.
    """
    own = set(access.addresses)
    return any(
        other.reach == access.reach or (own and (own <= {*other.addresses} or own > {*other.addresses} > set()))
        for other in others
    )
