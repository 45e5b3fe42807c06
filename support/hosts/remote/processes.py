"""Which processes of a host are the cluster's programs, by what the host lists."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from support.hosts.interface import Running

_SERVERS = ("postgres", "postmaster", "edb-postgres")
_PATRONI = re.compile(r"(^|[\s/])patroni((_start)?\.py)?(\s|$)")
_GUARD = re.compile(r"\S*sh \S*/accept[^/ ]*/\w+/guard$")
"""The suite's own guard of a fault. In a container, it is a child of the first process, whichever that is."""
_OF_DISTRIBUTION = re.compile(r"postgresql(@.*|-\d+)?\.service$")
_ZOOKEEPER = re.compile(r"org\.apache\.zookeeper\.server\.")
_FIRST: Mapping[str, Callable[[Running], bool]] = {
    "patroni": lambda one: one.name.startswith(("patroni", "python")) and _PATRONI.search(one.title) is not None,
    "etcd": lambda one: one.name == "etcd",
    "zookeeper": lambda one: one.name == "java" and _ZOOKEEPER.search(one.title) is not None,
    "consul": lambda one: one.name == "consul",
    "haproxy": lambda one: one.name == "haproxy",
    "redis": lambda one: one.name in ("redis-server", "valkey-server", "keydb-server"),
}
"""Program -> how its own processes are recognised."""


def first_process(program: str, tree: Sequence[Running]) -> Running | None:
    """The one by which the program is controlled. It need not be the oldest: PostgreSQL outlives a restart of Patroni.

    None if there is none.
    """
    return next((one for one in tree if _FIRST[program](one)), None)


def parsed_table(text: str) -> list[Running]:
    """What the script's `table` answers."""
    rows = (line.split("\t", 6) for line in text.splitlines() if line.count("\t") >= 6)
    return [
        Running(int(pid), int(started), state, name, title.strip(), int(parent), service)
        for pid, started, state, parent, name, service, title in rows
    ]


def program_trees(table: Sequence[Running], scope: str) -> dict[str, list[Running]]:
    """Program -> its processes and their descendants, zombies apart, the oldest first.

    PostgreSQL belongs to Patroni, whoever its parent is. If there are several servers, only that of the cluster with
    this scope does, which Patroni has started as such: another one on the same machine is nobody's victim."""
    living = [one for one in table if not one.over]
    ours = {one.pid for one in _with_descendants([one for one in living if _GUARD.match(one.title)], living)}
    living = [one for one in living if one.pid not in ours]
    found = {}
    for program, is_first in _FIRST.items():
        roots = [one for one in living if is_first(one)]
        if program == "patroni":
            roots += servers(living, scope)
        if tree := list(_with_descendants(roots, living)):
            found[program] = sorted(tree, key=lambda one: (one.started, one.pid))
    return found


def servers(table: Sequence[Running], scope: str) -> list[Running]:
    """The first process of the cluster's PostgreSQL; of several, those that belong to the scope.

    A single one is taken for the cluster's, unless a unit of the distribution's own has started it: that is still there
    when the cluster's is down.
    """
    by_pid = {one.pid: one for one in table}
    first = [
        one
        for one in table
        if one.name in _SERVERS and not (one.parent in by_pid and by_pid[one.parent].name in _SERVERS)
    ]
    of_patroni = {one.service for one in table if _FIRST["patroni"](one)}
    return [
        one
        for one in first
        if f"--cluster_name={scope} " in f"{one.title} "
        or (len(first) == 1 and (one.service in of_patroni or not _OF_DISTRIBUTION.match(one.service)))
    ]


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
