"""Which processes of a host are the cluster's programs, by what the host lists."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from support.hosts.interface import Running
from support.hosts.processes import SERVERS

_PATRONI = re.compile(r"(^|[\s/])patroni((_start)?\.py)?(\s|$)")
_GUARD = re.compile(r"\S*sh \S*/accept[^/ ]*/\w+/guard$")
"""The suite's own guard of a fault. In a container, it is a child of the first process, whichever that is."""
_OF_DISTRIBUTION = re.compile(r"postgresql(@.*|-\d+)?\.service$")
_NO_UNITS = re.compile(
    r"^(ssh|sshd|docker|containerd|podman|cron|getty@|user@|init|supervisor|monit\.|runit|runsvdir|s6|circus|pm2)",
    re.IGNORECASE,
)
"""Units that start other programs: starting one does not start a program that it has started."""
_ZOOKEEPER = re.compile(r"org\.apache\.zookeeper\.server\.")
_SENTINEL = re.compile(r"\[sentinel\]|\s--sentinel\b")
_AGENT = re.compile(r"\sagent(\s|$)")
_FINISH = re.compile(r"\s-s[ft]((?:\s+\d+)*)(?=\s|$)")
_NAME = re.compile(r"\s--cluster_name=(\S+)")
_FIRST: Mapping[str, Callable[[Running], bool]] = {
    "patroni": lambda one: one.name.startswith(("patroni", "python")) and _PATRONI.search(one.title) is not None,
    "etcd": lambda one: one.name == "etcd",
    "zookeeper": lambda one: one.name == "java" and _ZOOKEEPER.search(one.title) is not None,
    "consul": lambda one: one.name == "consul" and _AGENT.search(one.title) is not None,
    "haproxy": lambda one: one.name == "haproxy",
    "redis": lambda one: (
        one.name in ("redis-server", "valkey-server", "keydb-server") and not _SENTINEL.search(one.title)
    ),
}
"""Program -> how its own processes are recognised."""


def first_process(program: str, tree: Sequence[Running]) -> Running | None:
    """The one by which the program is controlled. It need not be the oldest: PostgreSQL outlives a restart of Patroni.

    None if there is none.
    """
    own = [one for one in tree if _FIRST[program](one)]
    return next((one for one in own if not _relieved(one, own)), None)


def writers(program: str, tree: Sequence[Running], scope: str) -> list[Running]:
    """The processes that open what the program logs to: its own, and the first one of PostgreSQL."""
    own = [one for one in tree if _FIRST[program](one)]
    return own + (servers(tree, scope) if program == "patroni" else [])


def parsed_table(text: str) -> list[Running]:
    """What the script's `table` answers."""
    rows = (line.split("\t", 6) for line in text.splitlines() if line.count("\t") >= 6)
    return [
        Running(int(pid), int(started), state, name, title.strip(), int(parent), service)
        for pid, started, state, parent, name, service, title in rows
    ]


def of_own_unit(one: Running) -> bool:
    """Whether a unit of systemd has started it, which starts nothing else."""
    return one.service.endswith(".service") and not _NO_UNITS.match(one.service)


def program_trees(
    table: Sequence[Running], scope: str, units: Mapping[str, str] | None = None
) -> dict[str, list[Running]]:
    """Program -> its processes and their descendants, zombies apart, the oldest first.

    PostgreSQL counts as Patroni's, whatever its parent process is. If there are several servers, only the one that
    Patroni started for the cluster with this scope does: any other server on the machine is left alone. `units`:
    program -> the systemd unit in which it runs, if known: processes of other units, and of containers, are left alone.
    """
    living = [one for one in table if not one.over]
    ours = {one.pid for one in _with_descendants([one for one in living if _GUARD.match(one.title)], living)}
    living = [one for one in living if one.pid not in ours]
    found = {}
    for program, is_first in _FIRST.items():
        own = _not_of_others(living, (units or {}).get(program, ""))
        roots = [one for one in own if is_first(one)]
        if program == "patroni":
            roots += servers(own, scope)
        if tree := list(_with_descendants(roots, living)):
            found[program] = sorted(tree, key=lambda one: (one.started, one.pid))
    return found


def _not_of_others(table: Sequence[Running], unit: str) -> list[Running]:
    return [one for one in table if not unit or one.service == unit or not (of_own_unit(one) or one.contained)]


def runs_in(unit: str, program: str, table: Sequence[Running]) -> bool:
    """Whether the program itself runs in that unit, and not in a container that the unit has started."""
    return any(one.service == unit and _FIRST[program](one) for one in table)


def unit_of_servers(table: Sequence[Running], scope: str) -> str:
    """The unit of the Patroni that has started the server of this scope; empty if there is none, or several are."""
    found = {one.service for one in _first_servers(table) if _named(one) == scope and of_own_unit(one)}
    return found.pop() if len(found) == 1 else ""


def other_clusters(
    table: Sequence[Running], own: Sequence[Running], scope: str
) -> tuple[Sequence[str], Sequence[Running]]:
    """The scopes of the other Patroni clusters that have a member there, and each further Patroni, of which it is not
    known to which cluster it belongs: its PostgreSQL does not run.

    `own`: the processes of the cluster's Patroni and PostgreSQL there.
    """
    ours, living = {one.pid for one in own}, [one for one in table if not one.over]
    named = [one for one in _first_servers(living) if _named(one)]
    patronis = {one.pid: one for one in living if _FIRST["patroni"](one)}
    first = [one for one in patronis.values() if one.pid not in ours and one.parent not in patronis]
    silent = [one for one in first if one.service not in {server.service for server in named}]
    return list(dict.fromkeys(_named(one) for one in named if _named(one) != scope)), silent


def instances(program: str, tree: Sequence[Running]) -> list[Running]:
    """The first process of each time that a program runs: of the processes that one unit has started, one."""
    first = [one for one in tree if _FIRST[program](one)]
    if program == "patroni" and len(_first_servers(tree)) > 1:
        first = _first_servers(tree)
    parents = {one.pid: one.parent for one in tree}
    firsts = {one.pid for one in first}

    def begun_by_another(one: Running) -> bool:
        above, seen = one.parent, {one.pid}
        while above in parents and above not in seen:
            if above in firsts:
                return True
            seen.add(above)
            above = parents[above]
        return False

    found = [one for one in first if not begun_by_another(one) and not _relieved(one, first)]
    return list({one.service if of_own_unit(one) else one.pid: one for one in found}.values())


def _relieved(one: Running, others: Sequence[Running]) -> bool:
    """Whether it is an HAProxy from before a reload, which stays as long as its sessions do.

    The newer one is given the ids of the last ones only (-sf), so of any older one the rest of the command tells it.
    """
    command, _ = _reload_of(one)
    return any(
        (one.started, one.pid) < (other.started, other.pid)
        and one.name == other.name == "haproxy"
        and one.service == other.service
        and one.pid != other.parent  # that is its master process
        and (one.pid in finishing or (finishing and command == newer))
        for other in others
        for newer, finishing in [_reload_of(other)]
    )


def _reload_of(haproxy: Running) -> tuple[str, set[int]]:
    """The command of an HAProxy without the ids of those that it relieves, and these ids."""
    ids = {int(pid) for given in _FINISH.findall(haproxy.title) for pid in given.split()}
    return " ".join(_FINISH.sub(" ", haproxy.title).split()), ids


def servers(table: Sequence[Running], scope: str) -> list[Running]:
    """The first process of the cluster's PostgreSQL; of several, those that belong to the scope.

    A single one without a name is taken for the cluster's, unless it is of a unit of the distribution's own, or of a
    container without a Patroni: that is still there when the cluster's is down.
    """
    first = _first_servers(table)
    of_patroni = {one.service for one in table if _FIRST["patroni"](one)}
    return [
        one
        for one in first
        if _named(one) == scope
        or (
            len(first) == 1
            and not _named(one)
            and (one.service in of_patroni or not (one.contained or _OF_DISTRIBUTION.match(one.service)))
        )
    ]


def _first_servers(table: Sequence[Running]) -> list[Running]:
    by_pid = {one.pid: one for one in table}
    return [
        one
        for one in table
        if one.name in SERVERS and not (one.parent in by_pid and by_pid[one.parent].name in SERVERS)
    ]


def _named(server: Running) -> str:
    """The cluster's name that a server was started with; Patroni starts its own with its scope."""
    found = _NAME.search(server.title)
    return found[1] if found else ""


def _with_descendants(roots: Sequence[Running], table: Sequence[Running]) -> Iterator[Running]:
    children: dict[int, list[Running]] = {}
    for one in table:
        children.setdefault(one.parent, []).append(one)
    todo, seen = list(roots), set[int]()
    while todo:
        one = todo.pop()
        if one.pid not in seen:
            seen.add(one.pid)
            yield one
            todo += children.get(one.pid, ())
