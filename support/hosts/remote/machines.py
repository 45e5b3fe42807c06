"""A user's hosts as faults see them. Each operation is one call of the script on one host, see on_host.sh."""

import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from support.errors import Inconclusive, NotAvailable
from support.hosts.interface import Log, Running, SiteHost, SiteProgram
from support.hosts.remote.access import NEVER_DIRECT, HostAccess, ProgramAccess
from support.hosts.remote.guards import Guards, HostFault
from support.hosts.remote.network import RemoteNetwork
from support.hosts.remote.processes import parsed_table, program_trees
from support.hosts.remote.reach import HostUnreached, Reach, Sent
from support.waiting import describe

T = TypeVar("T")
_FREEZES = 4  # looks for what was forked meanwhile; the first process of a container cannot be suspended from inside
_STARTS_WITHIN = 60.0  # seconds for a command that starts a program


class RemoteLog:
    """A file on a host."""

    def __init__(self, reach: Reach, file: str) -> None:
        self._reach, self._file = reach, file

    def end(self) -> str:
        return self._reach.run("size", self._file).split("\t")[0].strip()

    def since(self, mark: str) -> str:
        return self._reach.run("tail_of", self._file, mark or "0", within=_STARTS_WITHIN)

    def last(self, most: int) -> str:
        return self._reach.run("tail", "-c", str(most), self._file, within=_STARTS_WITHIN)


class Journal:
    """What a systemd unit has logged."""

    def __init__(self, reach: Reach, unit: str) -> None:
        self._reach, self._unit = reach, unit

    def end(self) -> str:
        return self._reach.run("date", "+%s").strip()

    def since(self, mark: str) -> str:
        since = [f"--since=@{mark}"] if mark else []
        return self._read(*since)

    def last(self, most: int) -> str:
        return self._read("-n", str(most // 100))

    def _read(self, *options: str) -> str:
        words = ("journalctl", "--no-pager", "-o", "cat", "-u", self._unit)
        return self._reach.run(*words, *options, within=_STARTS_WITHIN)


class RemoteProgram:
    """One of the cluster's programs on a user's host."""

    def __init__(self, host: "RemoteHost", name: str, access: ProgramAccess) -> None:
        self._host, self.name, self.access = host, name, access

    @property
    def host(self) -> str:
        return self._host.name

    @property
    def pid(self) -> int | None:
        """See SiteProgram."""
        tree = self._host.trees().get(self.name, ())
        return tree[0].pid if tree else None

    def start(self) -> None:
        """See SiteProgram."""
        if not self._host.restore(self.name) and self.pid is None:
            self._host.reach.run("sh", "-c", self.access.start, within=_STARTS_WITHIN)

    def kill(self) -> None:
        """See SiteProgram."""
        self._host.bring_down([self.name], isolated=False)


class RemoteHost:
    """One host of a user's: a machine or a container."""

    def __init__(self, name: str, access: HostAccess, guards: Guards, note: Callable[[Sent], None]) -> None:
        self.name, self.access = name, access
        reach = Reach.of(access.reach)
        line = access.line or reach.line
        given = {"SCOPE": access.scope, "CUTTER": access.cutter, "LINE": "none" if line == NEVER_DIRECT else "ssh"}
        if access.python:
            given["PYTHON"] = access.python
        if line and line != NEVER_DIRECT:
            given["OWN_LINE"] = line
        self.reach = replace(reach, line=line, variables=given, note=note)
        self.guards = guards
        self._note = note
        self._down: dict[str, HostFault] = {}
        self._suspended: dict[frozenset[tuple[int, int]], HostFault] = {}
        self._frozen: list[HostFault] = []

    @property
    def address(self) -> str:
        return self.access.addresses[0] if self.access.addresses else ""

    @property
    def addresses(self) -> Collection[str]:
        return self.access.addresses

    @cached_property
    def processes(self) -> Mapping[str, SiteProgram]:
        """See SiteHost."""
        return {name: RemoteProgram(self, name, access) for name, access in self.access.programs.items()}

    # Looking

    def table(self) -> Sequence[Running]:
        """Every process on the host."""
        return parsed_table(self.reach.run("table"))

    def trees(self) -> Mapping[str, Sequence[Running]]:
        """Program -> its living processes, the first one first."""
        found = program_trees(self.table(), self.access.scope)
        return {name: found.get(name, ()) for name in self.access.programs}

    def running(self) -> Sequence[Running]:
        """See SiteHost."""
        return [process for tree in self.trees().values() for process in tree]

    def alive(self, processes: Collection[Running]) -> Sequence[Running]:
        """See SiteHost."""
        wanted = {process.identity for process in processes}
        return [one for one in self.table() if one.identity in wanted and not one.over]

    def awake(self) -> Sequence[str]:
        """See SiteHost."""
        return [f"{one.name} ({one.pid}) is {one.state}" for one in self.running() if not one.stopped]

    @property
    def powered(self) -> bool:
        """See SiteHost."""
        return bool(self.running())

    def listed(self) -> Sequence[Running]:
        """See SiteHost."""
        return self.table()

    def run_decoy(self, word: str, seconds: int) -> Callable[[], object]:
        """See SiteHost. It ends by itself; nothing but a sleep."""
        self._do("decoy", str(seconds), word)
        return lambda: self._do("strike", "KILL", *_identities([one for one in self.table() if word in one.title]))

    def logs(self) -> Mapping[str, Log]:
        """See SiteHost. Of a program that writes neither to a file nor to the journal, nothing can be read."""
        found: dict[str, Log] = {}
        for name, tree in self.trees().items():
            unit = self.access.programs[name].how.removeprefix("systemd unit ")
            if unit != self.access.programs[name].how:
                found[name] = Journal(self.reach, unit)
            for line in self.reach.run("where", str(tree[0].pid)).splitlines() if tree else ():
                _, link, target = line.split("\t")
                if link.startswith("fd/") and target.startswith("/") and not target.startswith("/dev/"):
                    found[f"{name} ({target})"] = RemoteLog(self.reach, target)
            for file in self._server_logs(tree):
                found[f"{name} ({file})"] = RemoteLog(self.reach, file)
        return found

    def _server_logs(self, tree: Sequence[Running]) -> Sequence[str]:
        """The files of PostgreSQL's own logging collector."""
        collectors = [one for one in tree if one.title.startswith("postgres:") and " logger" in one.title]
        if not collectors:
            return ()
        directory = self._where(collectors[0].pid).get("cwd", "")
        listed = self.reach.run("cat", f"{directory}/current_logfiles").splitlines() if directory else []
        names = [line.split(" ", 1)[1] for line in listed if " " in line]
        return [name if name.startswith("/") else f"{directory}/{name}" for name in names]

    def _where(self, pid: int) -> Mapping[str, str]:
        return {
            link: to for _, link, to in (line.split("\t") for line in self.reach.run("where", str(pid)).splitlines())
        }

    # Processes

    def kill(self, processes: Sequence[Running]) -> None:
        """See SiteHost."""
        self._do("strike", "KILL", *_identities(processes))

    def suspend(self, processes: Collection[Running]) -> None:
        """See SiteHost."""
        if processes:
            fault = self._inject("freeze", *_identities(processes))
            self._suspended[frozenset(one.identity for one in processes)] = fault

    def resume(self, processes: Collection[Running]) -> None:
        """See SiteHost."""
        fault = self._suspended.pop(frozenset(one.identity for one in processes), None)
        if fault is not None:
            self._heal(fault)

    def freeze(self) -> None:
        """See SiteHost. What was forked meanwhile is suspended, too."""
        for _ in range(_FREEZES):
            awake = [one for one in self.running() if not one.stopped]
            if not awake:
                return
            self._frozen.append(self._inject("freeze", *_identities(awake)))

    def thaw(self) -> None:
        """See SiteHost."""
        self._heal_all(self._frozen)

    # Crashes

    def power_off(self) -> None:
        """See SiteHost. First all links but the suite's own are cut, so that no peer is told that it dies."""
        self.bring_down(list(self.access.programs), isolated=bool(self.access.cutter))

    def power_on(self) -> None:
        """See SiteHost. Raises Inconclusive if a program came back by itself before that."""
        if not self._down:
            return
        faults = {fault.id: fault for fault in self._down.values()}
        self._down.clear()
        early = self._came_back()
        self._heal_all(list(faults.values()))
        if early:
            raise Inconclusive(
                f"{early} on {self.name} had been started again by somebody else while it was to stay down"
            )

    def bring_down(self, names: Sequence[str], *, isolated: bool) -> None:
        """Kill these programs, and keep them down. Raises NotAvailable if nobody knows how one of them is started."""
        trees = self.trees()
        running = [name for name in names if trees.get(name)]
        if untold := [name for name in running if not self.access.programs[name].start]:
            raise NotAvailable(
                f"how {', '.join(untold)} is started on {self.name} is not known ([hosts.{self.name}] programs)"
            )
        if not running:
            return
        programs = [self.access.programs[name] for name in running]
        hold = " && ".join(f"sh -c {shlex.quote(one.hold)}" for one in programs if one.hold)
        ways = [text for one in programs for text in (one.release, one.start) if text]
        undo = "ok=0; " + "; ".join(f"sh -c {shlex.quote(text)} || ok=1" for text in ways) + "; [ $ok = 0 ]"
        processes = _identities([process for name in running for process in trees[name]])
        fault = self._inject("down", hold, undo, *processes, ISOLATED="yes" if isolated else "")
        self._down |= dict.fromkeys(running, fault)

    def restore(self, name: str) -> bool:
        """Start a program that was brought down alone; returns whether it was."""
        fault = self._down.pop(name, None)
        if fault is None:
            return False
        self._heal(fault)
        return True

    def _came_back(self) -> str:
        try:
            return ", ".join(name for name, tree in self.trees().items() if tree)
        except HostUnreached:
            return ""

    # Faults

    def _inject(self, verb: str, *arguments: str, **variables: str) -> HostFault:
        return self._noted(
            lambda: self.guards.inject(self.name, self.reach, verb, *arguments, **variables), [verb, *arguments]
        )

    def inject(self, verb: str, *arguments: str) -> HostFault:
        """Begin a fault that the caller heals."""
        return self._inject(verb, *arguments)

    def heal(self, fault: HostFault) -> None:
        """End a fault."""
        self._heal(fault)

    def _do(self, *words: str) -> str:
        return self._noted(lambda: self.reach.run(*words), words)

    def _heal(self, fault: HostFault) -> None:
        self._noted(lambda: self.guards.heal(fault), ["heal", fault.id])

    def _heal_all(self, faults: list[HostFault]) -> None:
        """All of them, the last one first; then the first error is raised."""
        errors = []
        while faults:
            try:
                self._heal(faults.pop())
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _noted(self, act: Callable[[], T], words: Sequence[str]) -> T:
        begun = time.time()
        try:
            done = act()
        except BaseException as error:
            self._note(Sent(self.name, begun, shlex.join(words), describe(error)))
            raise
        self._note(Sent(self.name, begun, shlex.join(words), "ok"))
        return done


class RemoteSite:
    """The hosts of a user's cluster."""

    kind = "the user's own"

    def __init__(self, access: Mapping[str, HostAccess], guards: Guards | None = None) -> None:
        self.guards = guards or Guards()
        self.sent: list[Sent] = []
        """Every command that changed something, in order."""
        self.machines = {name: RemoteHost(name, one, self.guards, self.sent.append) for name, one in access.items()}
        self.network = RemoteNetwork(self.machines)

    @property
    def hosts(self) -> Mapping[str, SiteHost]:
        return self.machines

    def take_sent(self) -> list[Sent]:
        """The commands that were sent since the last call."""
        sent = list(self.sent)
        del self.sent[: len(sent)]
        return sent


def _identities(processes: Collection[Running]) -> list[str]:
    return [f"{one.pid}:{one.started}" for one in processes]
