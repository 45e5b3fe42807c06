"""The hosts of a user's cluster: what [hosts] says about them, completed by what is found there, and what they allow.

Nothing is changed by looking. Whatever keeps the suite from a host is said with the command or the line that would
allow it; the capabilities that need the host are lacking then.
"""

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from support.errors import ProcessFailed, UsageError
from support.hosts.interface import Running
from support.hosts.remote import HostAccess, ProgramAccess, Reach
from support.hosts.remote.access import NEVER_DIRECT, told
from support.hosts.remote.processes import (
    first_process,
    instances,
    of_own_unit,
    program_trees,
    runs_in,
    unit_of_servers,
)
from support.hosts.remote.ways import way_in
from support.target import dcs
from support.target.discovery.host_answers import HostAnswer, ask, shortened
from support.target.discovery.host_capabilities import (
    MARK,
    OF_HOSTS,
    Looked,
    lacking,
    members_of_dcs,
    others_in_dcs,
    ways_to_others,
)
from support.target.discovery.host_links import NOT_ISOLATED, links_of
from support.target.discovery.host_programs import not_the_clusters, only_a_client, redis_elsewhere
from support.target.discovery.user_addresses import open_links
from support.target.discovery.user_files import find_files
from support.target.discovery.user_logs import unread_logs
from support.target.discovery.user_units import by_process, by_words, startable
from support.target.topology import MemberAddress, Topology
from support.vocabulary import suggestion
from support.waiting import describe

PROGRAMS = ("patroni", *dcs.PROGRAMS, "haproxy", "redis")
KEYS = ("reach", "address", "programs", "line", "network", "configuration")
"""What the table of a host can have."""
_PRODUCTION = re.compile(r"(?<![a-z])(prod|production|prd|live)(?![a-z])", re.IGNORECASE)
EVEN_PRODUCTION = "even-production"
"""A further line of a mark: the host may be broken although something is called like production."""
_WATCHDOGS = {
    "patroni": "set Patroni's watchdog mode to off",
    "python": "set Patroni's watchdog mode to off",
    "systemd": "set RuntimeWatchdogSec=0 in /etc/systemd/system.conf, and systemctl daemon-reexec",
    "watchdog": "systemctl disable --now watchdog",
    "wd_keepalive": "systemctl disable --now wd_keepalive",
}
"""Name of a process that has a watchdog open -> how to change that."""
_LISTENING = "0A"  # the state of a socket in /proc/net/tcp
_MOST_PORTS, _SSH = 8, 22
_USUAL_PORTS = frozenset({5432, 8008, 2379, 2380, 2181, 8500, 5000, 5001, 6379, 26379})


@dataclass(frozen=True)
class Found:
    """The hosts that can be used, and what is lacking."""

    hosts: Mapping[str, HostAccess] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    looked: Mapping[str, Looked] = field(default_factory=dict)


def find(given: Mapping[str, Any], topology: Topology) -> Found:
    """Look at every host of [hosts] at once. Raises UsageError for what is wrong in the settings themselves."""
    if not given:
        why = "no [hosts] are given, so the suite has no access to them (docs/your-cluster.md)"
        return Found(lacks=dict.fromkeys(OF_HOSTS, why))
    declared = {name: declared_access(name, said) for name, said in given.items()}
    with ThreadPoolExecutor(len(declared)) as each:
        looked = dict(
            zip(declared, each.map(lambda one: look(one[0], one[1], topology), declared.items()), strict=True)
        )
    for name, why in redis_elsewhere({name: one.access for name, one in looked.items()}, topology).items():
        if "redis" not in declared[name].programs:
            looked[name] = look(name, declared[name], topology, {"redis": why})
    for name, others in ways_to_others(looked).items():
        looked[name] = _with_links(looked[name], f"our own connection to {' and '.join(others)} comes through them")
    hosts = {name: one.access for name, one in looked.items() if not one.obstacles}
    others, unknown = others_in_dcs(topology)
    if unknown:
        note, program = f"whether other clusters use this DCS is not known: {unknown}", dcs.program(topology)
        for name, one in looked.items():
            if program in one.access.programs:
                looked[name] = replace(one, remarks=(note, *one.remarks))
    lacks = lacking(looked, topology, members_of_dcs(topology), others)
    return Found(hosts, lacks if "partitions" in lacks else {**open_links(hosts, topology), **lacks}, looked)


def _with_links(one: Looked, needed: str) -> Looked:
    """A host whose links a crash leaves alone, as we need them."""
    remarks = [NOT_ISOLATED.format(needed)] if one.access.isolated else []
    return replace(one, access=replace(one.access, links_needed=needed), remarks=(*remarks, *one.remarks))


def declared_access(name: str, said: Any) -> HostAccess:
    """One entry of [hosts]: a way to reach it, or a table. Raises UsageError."""
    where = f"[hosts] {name}"
    table = {"reach": said} if isinstance(said, str) else said
    if not isinstance(table, Mapping) or not isinstance(table.get("reach"), str):
        raise UsageError(f'{where} should be like "ssh://root@10.0.0.1", or a table with the key reach')
    if unknown := sorted(table.keys() - set(KEYS)):
        meant = suggestion(unknown[0], KEYS, otherwise=f"; the keys are {', '.join(KEYS)}")
        raise UsageError(f"{where}: {unknown[0]} is not a key{meant}")
    programs = table.get("programs", {})
    if not isinstance(programs, Mapping) or not all(isinstance(one, str) for one in programs.values()):
        raise UsageError(f'{where}: programs should be like {{ patroni = "systemd:patroni" }}')
    if unknown := sorted(programs.keys() - set(PROGRAMS)):
        raise UsageError(f"{where}: programs has {unknown[0]}; the programs are {', '.join(PROGRAMS)}")
    addresses = _ip_addresses(table.get("address", ()), where)
    reach = Reach.of(table["reach"])  # raises UsageError
    if not isinstance(configuration := table.get("configuration", ""), str):
        raise UsageError(f'{where}: configuration should be the path of a file such as "/etc/patroni/config.yml"')
    if not isinstance(network := table.get("network", ""), str):
        raise UsageError(f'{where}: network should be a text such as "nsenter --net=/run/netns/pg1"')
    started = {program: by_words(how) for program, how in programs.items() if how}
    left_out = tuple(program for program, how in programs.items() if not how)
    line = str(table.get("line", reach.line))
    return HostAccess(
        reach.words,
        addresses,
        started,
        line=line,
        network=network,
        configuration=configuration,
        left_out=left_out,
    )


def _ip_addresses(said: Any, where: str) -> tuple[str, ...]:
    """As the rules of a firewall have them. Raises UsageError."""
    each = [said] if isinstance(said, str) else said
    try:
        return tuple(str(ip_address(str(one))) for one in each)
    except (TypeError, ValueError):
        raise UsageError(
            f'{where}: address should be an IP address such as "10.0.0.1", or a list of them, and is {said!r}'
        ) from None


def look(name: str, declared: HostAccess, topology: Topology, elsewhere: Mapping[str, str] | None = None) -> Looked:
    """Ask one host. Never raises for what is wrong there: that is an obstacle.

    `elsewhere`: program -> why that on this host is known not to be the cluster's.
    """
    try:
        way = way_in(declared)
        declared = way.access
        answer = ask(way)
    except ProcessFailed as error:
        return Looked(name, declared, (_unreached(describe(error)),))
    scope, facts = topology.scope, answer.facts
    trees, others = _programs_there(answer, topology, elsewhere or {})
    patroni = trees.get("patroni", ())
    programs = _with_their_start(answer, trees)
    files = find_files(way.reach, patroni, scope, declared.configuration)
    links = links_of(answer, patroni, files.data, scope)
    member = next((one for one in topology.members if one.name == name), None)
    addresses = declared.addresses or tuple(facts.get("address", ())) or ((member.postgres.host,) if member else ())
    access = replace(
        declared,
        addresses=addresses,
        programs=programs,
        scope=scope,
        line=links.line,
        as_root=facts.get("uid") == ["0"],
        cutter=links.cutter,
        behind_network=links.storage,
        links_needed=links.tunnel,
        network=answer.network,
        configuration=files.configuration,
        data=files.data,
        binaries=files.binaries,
        python=_python(way.reach, patroni),
        ports=_ports(answer.sockets, _ports_of(member)),
    )
    remarks = (
        *_program_remarks(programs, others),
        f"addresses {', '.join(addresses) or 'unknown'}",
        *unread_logs(way.reach, trees, programs, scope, way.container is not None),
        *filter(None, [way.guarded]),
        *links.remarks,
    )
    fixed = {"member_files": files.file_fixed, "member_data": files.data_fixed, "rebuildable": files.data_moves}
    fixed["proxy_reload"] = why_no_reload(trees.get("haproxy", ()))
    obstacles = _obstacles(name, way.reach, facts, answer.left, trees, topology)
    marks = tuple(facts.get("mark", ()))
    return Looked(name, access, tuple(obstacles), remarks, fixed, marks, links.comes_from, links.not_cut)


def _programs_there(
    answer: HostAnswer, topology: Topology, elsewhere: Mapping[str, str]
) -> tuple[dict[str, list[Running]], dict[str, str]]:
    """The cluster's programs on a host, with their processes; and for the others why they are left alone."""
    declared, table = answer.way.access, answer.table
    units = {name: one.unit for name, one in declared.programs.items() if one.unit}
    known = {"patroni": unit_of_servers(table, topology.scope)}
    known |= {name: unit for name, unit in units.items() if runs_in(unit, name, table)}
    trees = program_trees(table, topology.scope, known)
    known_otherwise = {"consul": only_a_client(answer.way.reach, trees.get("consul", ())), **elsewhere}
    others = not_the_clusters(trees, declared, topology, known_otherwise)
    return {program: tree for program, tree in trees.items() if program not in others}, others


def _with_their_start(answer: HostAnswer, trees: Mapping[str, Sequence[Running]]) -> Mapping[str, ProgramAccess]:
    """The programs, each with how it is started: as declared, or else as its processes tell."""
    way, found = answer.way, dict[str, ProgramAccess]()
    for program, tree in trees.items():
        first = first_process(program, tree) or tree[0]
        started = way.access.programs.get(program) or by_process(first, "systemd" in answer.facts)
        found[program] = replace(started, service=first.service if of_own_unit(first) else "")
    return way.started_by_engine(startable(way.reach, found, trees, answer.table, _why_no_systemd(answer.facts)))


def _program_remarks(programs: Mapping[str, ProgramAccess], others: Mapping[str, str]) -> Iterator[str]:
    """By what each program is started, and why each of the others is left alone."""
    for program, one in programs.items():
        unstarted = f", and is not crashed: {one.unstarted}" if one.unstarted else ""
        yield f"{program}: {one.how or 'running; how it is started is not known'}{unstarted}"
    yield from (f"{program}: left alone, as {why}" for program, why in others.items())


def _obstacles(
    name: str,
    reach: Reach,
    facts: Mapping[str, Sequence[str]],
    left: Sequence[str],
    trees: Mapping[str, Sequence[Running]],
    topology: Topology,
) -> list[str]:
    found, scope, marks = [], topology.scope, facts.get("mark", [])
    if scope not in marks:
        has = f"it says {', '.join(marks)}" if marks else "it is not there"
        found.append(f"{MARK} does not say {scope} ({has}); there: echo {shlex.quote(scope)} | sudo tee {MARK}")
    named = [word for word in (scope, topology.database, name, reach.words) if _PRODUCTION.search(word)]
    if named and EVEN_PRODUCTION not in marks:
        found.append(
            f"{told(named[0])!r} has a name like production; if it is not production: echo {EVEN_PRODUCTION} >> {MARK}"
        )
    if busy := facts.get("busy"):
        found.append(f"another run is at work there ({', '.join(busy)}): wait until it ends; it undoes its own changes")
    if idle := [one for one in left if one not in facts.get("busy", ())]:
        found.append(f"an earlier run left {', '.join(idle)} there: ./accept heal")
    if holders := facts.get("watchdog"):
        found.append(_watched(holders))
    in_container = reach.line == NEVER_DIRECT
    for program, tree in trees.items():
        if len(several := instances(program, tree)) > 1:
            shown = " and ".join(repr(shortened(one.title)) for one in several)
            by_unit = (
                "say which one is the cluster's, by its unit as `systemctl status PID` names it: "
                f'programs = {{ {program} = "systemd:UNIT" }}; or that none is'
            )
            advice = "give each a container of its own, or say that none is the cluster's" if in_container else by_unit
            found.append(f'{program} runs there more than once, as {shown}; {advice}: programs = {{ {program} = "" }}')
    if not trees:
        found.append(f"none of the cluster's programs ({', '.join(PROGRAMS)}) runs there")
    mine = [str(one.pid) for tree in trees.values() for one in tree[:1]]
    if mine and (facts.get("uid", ["0"])[0] != "0" or in_container):
        try:
            reach.run("kill", "-0", *mine)
        except ProcessFailed:
            found.append(
                "root in the container is not permitted to send signals to its programs (cap_add: [KILL])"
                if in_container
                else f"the login there is neither root nor the user of its programs, and sudo -n sh is refused"
                f"{''.join(f' ({why})' for why in facts.get('sudo', ()))}: allow it for that user, or log in as root"
            )
    return found


def _watched(holders: Sequence[str]) -> str:
    """What to do about the processes that have a watchdog open, each given as "name pid"."""
    names = [one.rpartition(" ")[0] for one in holders]
    advice = dict.fromkeys(words for name in names for sign, words in _WATCHDOGS.items() if sign in name)
    return (
        f"{' and '.join(holders)} there has a watchdog open, which would reset the machine; "
        f"{', and '.join(advice) or 'stop it'}"
    )


def why_no_reload(tree: Sequence[Running]) -> str:
    """Why an HAProxy cannot be told to reload; empty if it can, or if there is none."""
    processes = [one for one in tree if one.name == "haproxy"]
    if not processes or {one.parent for one in processes} & {one.pid for one in processes}:
        return ""
    return "HAProxy runs without a master process, so it cannot be told to reload: start it with haproxy -W (or -Ws)"


def _python(reach: Reach, tree: Sequence[Running]) -> str:
    """The interpreter of Patroni, for hosts that have no other."""
    patroni = first_process("patroni", tree)
    if patroni is None:
        return ""
    try:
        rows = [line.split("\t", 2) for line in reach.run("where", str(patroni.pid)).splitlines()]
    except ProcessFailed:
        return ""
    return next((row[2] for row in rows if len(row) == 3 and row[1] == "exe" and "python" in row[2]), "")


def _ports(tables: str, own: Collection[int] = ()) -> tuple[int, ...]:
    """Where something listens for others, by /proc/net/tcp: not on loopback alone.

    Those of the cluster's programs first, `own` and the usual ones: a firewall may let the members reach no others.
    """
    found = set()
    for line in tables.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTENING:
            address, _, port = fields[1].partition(":")
            if not address.endswith("7F") and address != "00000000000000000000000001000000":
                found.add(int(port, 16))
    order = sorted(found, key=lambda port: (port not in own, port not in _USUAL_PORTS, port == _SSH, port))
    return tuple(order[:_MOST_PORTS])


def _ports_of(member: MemberAddress | None) -> tuple[int, ...]:
    """Those of its PostgreSQL and of its Patroni, as far as they are known."""
    if member is None:
        return ()
    return (member.postgres.port, member.rest.port) if member.rest else (member.postgres.port,)


def _why_no_systemd(facts: Mapping[str, Sequence[str]]) -> str:
    """Why its units can be neither started nor kept down; empty if they can."""
    if "systemd" not in facts:
        return "systemd does not run there"
    return (
        "" if facts.get("uid", ["0"])[0] == "0" else "only root can keep its unit down, and the login there is not root"
    )


def _unreached(why: str) -> str:
    advice = {
        "Host key verification failed": "check its key, and add it: ssh-keyscan HOST >> ~/.ssh/known_hosts",
        "Permission denied": "it rejects the key: ssh-copy-id, or ssh-add here",
        "No such container": "docker ps --all lists them; one of compose is docker://project/service, and that of a "
        "Swarm task has a name of its own, such as SERVICE.1.ID, which docker ps shows on its node",
        "no such container": "podman ps --all lists them",
        "no such object": "its ps --all lists them",
        "Docker daemon socket": "that user has no access to the engine: add it to the group docker, or run as root",
        "Cannot connect to": "the engine is not running, or DOCKER_HOST (CONTAINER_HOST) names another",
        "sudo": "allow sudo -n sh for that user, or log in as root",
        "cannot be run here": "install that client",
    }
    told = next((f"; {advice}" for sign, advice in advice.items() if sign in why), "")
    return f"{why}{told}"
