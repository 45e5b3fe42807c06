"""A user's hosts as faults see them. Each operation is one call of the script on one host, see on_host.sh."""

import posixpath
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TypeVar

from support.errors import Inconclusive, NotAvailable, ProcessFailed
from support.hosts.interface import Clock, Log, Running, SiteProgram, raise_one_of
from support.hosts.remote.access import NEVER_DIRECT, HostAccess, ProgramAccess
from support.hosts.remote.clients import HostRefused, HostUnreached
from support.hosts.remote.files import RemoteFiles
from support.hosts.remote.guards import Guards, HostFault
from support.hosts.remote.logs import CollectedLogs, Journal, RemoteLog, clock_of, log_filename, opened
from support.hosts.remote.processes import first_process, parsed_table, program_trees, writers
from support.hosts.remote.reach import Reach, Sent
from support.waiting import describe

T = TypeVar("T")
_FREEZES = 4  # looks for what was forked meanwhile; the first process of a container cannot be suspended from inside
_ALL_GONE = "none of these processes is there"  # words of the script
_STARTS_WITHIN = 60.0  # seconds for a command that starts a program


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
        first = self._first
        return first.pid if first else None

    @property
    def _first(self) -> Running | None:
        """What is left of it, if that has no such process: a PostgreSQL without its Patroni."""
        tree = self._host.trees().get(self.name, ())
        return first_process(self.name, tree) or (tree[0] if tree else None)

    def start(self) -> None:
        """See SiteProgram. Raises ProcessFailed if it is not known how."""
        if not self._host.restore(self.name) and self.pid is None:
            if not self.access.start:
                raise ProcessFailed(f"how {self.name} is started on {self.host} is not known ([hosts.{self.host}])")
            self._host.run_command(self.access.start, self.access)

    def kill(self) -> None:
        """See SiteProgram."""
        self._host.bring_down([self.name], isolated=False)

    def reload(self) -> None:
        """See SiteProgram."""
        if first := self._first:
            self._host.signal("USR2", [first])


class RemoteHost:
    """One host of a user's: a machine or a container."""

    def __init__(self, name: str, access: HostAccess, guards: Guards, note: Callable[[Sent], None]) -> None:
        self.name, self.access = name, access
        self.reach = self._given(self._way(), note)
        self.guards = guards
        self._note = note
        self._down: dict[str, HostFault] = {}
        self._suspended: dict[frozenset[tuple[int, int]], list[HostFault]] = {}
        self._frozen: list[HostFault] = []
        self._collecting: dict[str, dict[str, list[str]]] = {}
        """Program -> folder -> the files in which its logging collector was seen to write: it may be down by now."""
        self._log_names: dict[str, str] = {}
        """Folder -> log_filename of the server whose collector writes there."""
        self._logging: dict[tuple[str, str], str] = {}
        """Program and inode -> the path that a log had at first: a rotation may have renamed it since."""
        self._clock: Clock | None = None

    @property
    def cutting(self) -> Reach:
        """The way by which its links are cut."""
        return self.reach

    @property
    def probing(self) -> Reach:
        """The way by which it is tried whether others answer it."""
        return self.reach

    def _way(self) -> Reach:
        return Reach.of(self.access.reach)

    def _given(self, reach: Reach, note: Callable[[Sent], None]) -> Reach:
        """With what the script there has to know."""
        access, line = self.access, self.access.line or reach.line
        given = {"SCOPE": access.scope, "CUTTER": access.cutter, "LINE": "none" if line == NEVER_DIRECT else "ssh"}
        given |= {name: value for name, value in (("PYTHON", access.python), ("NET", access.network)) if value}
        if line and line != NEVER_DIRECT:
            given["OWN_LINE"] = line
        if access.as_root:
            given["AS_ROOT"] = "yes"
        return replace(reach, line=line, variables={**given, **reach.variables}, note=note)

    @property
    def address(self) -> str:
        return self.access.addresses[0] if self.access.addresses else ""

    @property
    def addresses(self) -> Collection[str]:
        return self.access.addresses

    def present_addresses(self) -> Collection[str]:
        """See SiteHost."""
        try:
            return self.reach.run("addresses").split()
        except ProcessFailed:
            return ()

    @cached_property
    def processes(self) -> Mapping[str, SiteProgram]:
        """See SiteHost."""
        return {name: RemoteProgram(self, name, access) for name, access in self.access.programs.items()}

    # Looking

    @property
    def files(self) -> RemoteFiles:
        """The files of the member that is there; what one of these objects has changed, only that one undoes."""
        return RemoteFiles(self)

    def table(self) -> Sequence[Running]:
        """Every process on the host."""
        return parsed_table(self.reach.run("table"))

    def trees(self) -> Mapping[str, Sequence[Running]]:
        """Program -> its living processes, the first one first."""
        units = {name: one.service for name, one in self.access.programs.items()}
        found = program_trees(self.table(), self.access.scope, units)
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
        return lambda: self._do("strike", "KILL", *identities([one for one in self.table() if word in one.title]))

    def logs(self) -> Mapping[str, Log]:
        """See SiteHost. Nothing can be read of a program that writes neither to a file nor to the journal."""
        found: dict[str, Log] = {}
        for name, tree in self.trees().items():
            if unit := self.access.programs[name].unit:
                found[name] = Journal(self.reach, unit)
            for one in opened(self.reach, writers(name, tree, self.access.scope)):
                if one.file:
                    file = self._logging.setdefault((name, one.node), one.file)
                    found[f"{name} ({file})"] = RemoteLog(self.reach, file, one.file)
            for file in self._collected(tree):
                self._collecting.setdefault(name, {}).setdefault(posixpath.dirname(file), []).append(file)
        for name, folders in self._collecting.items():
            for folder, files in folders.items():
                found[f"{name} ({folder})"] = CollectedLogs(self.reach, folder, files, self._log_names.get(folder, ""))
        return found

    @property
    def clock(self) -> Clock:
        """See SiteHost. The host is asked until it has answered once."""
        if self._clock is None:
            self._clock = clock_of(self.reach)
        return self._clock or Clock()

    def _collected(self, tree: Sequence[Running]) -> Sequence[str]:
        """The files in which PostgreSQL's own logging collector writes now."""
        collectors = [one for one in tree if one.title.startswith("postgres:") and " logger" in one.title]
        if not collectors:
            return ()
        directory = self._where(collectors[0].pid).get("cwd", "")
        listed = self.reach.run("cat", f"{directory}/current_logfiles").splitlines() if directory else []
        names = [line.split(" ", 1)[1] for line in listed if " " in line]
        files = [posixpath.join(directory, name) for name in names]
        for folder in {posixpath.dirname(file) for file in files} - self._log_names.keys():
            command = next((one.title for one in tree if one.pid == collectors[0].parent), "")
            self._log_names[folder] = log_filename(self.reach, directory, command)
        return files

    def _where(self, pid: int) -> Mapping[str, str]:
        return {
            link: to for _, link, to in (line.split("\t", 2) for line in self.reach.run("where", str(pid)).splitlines())
        }

    # Processes

    def kill(self, processes: Sequence[Running]) -> None:
        """See SiteHost."""
        self.signal("KILL", processes)

    def signal(self, name: str, processes: Sequence[Running]) -> None:
        """Send a signal to those of the processes that are there, in this order."""
        self._do("strike", name, *identities(processes))

    def suspend(self, processes: Collection[Running], *, may_die: bool = True) -> None:
        """See SiteHost."""
        if processes:
            faults = self._suspended.setdefault(frozenset(one.identity for one in processes), [])
            self._stop(processes, faults, may_die=may_die)

    def resume(self, processes: Collection[Running]) -> None:
        """See SiteHost. They may have been suspended in several steps."""
        wanted = {one.identity for one in processes}
        self._heal_all([fault for those, faults in self._suspended.items() if those <= wanted for fault in faults])

    def _stop(self, processes: Collection[Running], made: list[HostFault], *, may_die: bool) -> None:
        """Suspend processes; the faults that this takes are added to `made`, each as soon as it is there.

        There may be no such processes left by then; checking whether the fault is in effect is left to the caller.
        """
        try:
            made.append(self._inject("freeze", *identities(processes), MAY_DIE="yes" if may_die else ""))
        except HostRefused as error:
            if _ALL_GONE not in str(error):
                raise

    def freeze(self) -> None:
        """See SiteHost. What was forked meanwhile is suspended, too."""
        for _ in range(_FREEZES):
            awake = [one for one in self.running() if not one.stopped]
            if not awake:
                return
            self._stop(awake, self._frozen, may_die=False)

    def thaw(self) -> None:
        """See SiteHost."""
        self._heal_all(self._frozen)

    # Crashes

    def power_off(self) -> None:
        """See SiteHost. First all links but the suite's own are cut, so that no peer is told that it dies.

        Not if that would cut off the host's storage, too: what is on it would be damaged, and stay so. Nor if our own
        connections need more of its links than the one that is left: nobody could undo it then.
        """
        self.bring_down(list(self.access.programs), isolated=self.access.isolated)

    def power_on(self) -> None:
        """See SiteHost. Raises Inconclusive if a program came back by itself before that."""
        if not self._down:
            return
        early = self._came_back()
        try:
            self._heal_all(list({fault.id: fault for fault in self._down.values()}.values()))
        finally:  # what could not be undone may be tried again
            lasting = self.guards.active
            self._down = {name: fault for name, fault in self._down.items() if fault in lasting}
        if early:
            raise Inconclusive(
                f"{early} on {self.name} was started by somebody else while it was supposed to stay down"
            )

    def bring_down(self, names: Sequence[str], *, isolated: bool) -> None:
        """Kill these programs, and keep them down. Raises NotAvailable if nobody knows how one of them is started.

        Raises HostRefused, and then nothing was done, if systemd has no unit of that name.
        """
        trees = self.trees()
        running = [name for name in names if trees.get(name)]
        if untold := [name for name in running if not self.access.programs[name].start]:
            known = (f": {one.unstarted}" for name in untold if (one := self.access.programs[name]).unstarted)
            raise NotAvailable(
                f"how {', '.join(untold)} is started on {self.name} is not known{next(known, '')} "
                f"([hosts.{self.name}] programs)"
            )
        if not running:
            return
        programs = [self.access.programs[name] for name in running]
        bound = list[str]()
        if units := [one.unit for one in programs if one.unit]:
            self.reach.run("require_units", *units)
            bound = [f"systemctl start --no-block {shlex.quote(one)}" for one in self._bound_to(units)]
        hold = " && ".join(f"sh -c {shlex.quote(one.hold)}" for one in programs if one.hold)
        ways = [text for one in programs for text in (one.release, one.start) if text] + bound
        undo = "ok=0; " + "; ".join(f"sh -c {shlex.quote(text)} || ok=1" for text in ways) + "; [ $ok = 0 ]"
        processes = identities([process for name in running for process in trees[name]])
        shown = [
            "down",
            hold,
            "; ".join([*(text for one in programs for text in (one.release, one.shown) if text), *bound]),
            *processes,
        ]
        fault = self._inject("down", hold, undo, *processes, shown=shown, ISOLATED="yes" if isolated else "")
        self._down |= dict.fromkeys(running, fault)

    def _bound_to(self, units: Sequence[str]) -> Sequence[str]:
        """Further units that systemd stops with these, such as a pooler's: they would stay down without the cluster."""
        return self.reach.run("bound_to", *units).split()

    def restore(self, name: str) -> bool:
        """Start a program that was brought down alone; returns whether it was."""
        fault = self._down.get(name)
        if fault is None:
            return False
        self._heal(fault)
        self._down.pop(name, None)
        return True

    def run_command(self, command: str, program: ProgramAccess) -> None:
        """Run the command that starts a program, where it is meant to run."""
        self._noted(lambda: self.reach.run("sh", "-c", command, within=_STARTS_WITHIN), ["sh", "-c", program.shown])

    def _came_back(self) -> str:
        try:
            return ", ".join(name for name, tree in self.trees().items() if tree)
        except HostUnreached:
            return ""

    # Faults

    def _inject(
        self, verb: str, *arguments: str, by: Reach | None = None, shown: Sequence[str] = (), **variables: str
    ) -> HostFault:
        act = partial(self.guards.inject, self.name, by or self.reach, verb, *arguments, **variables)
        return self._noted(act, shown or [verb, *arguments])

    def inject(self, verb: str, *arguments: str, shown: Sequence[str] = ()) -> HostFault:
        """Begin a fault that the caller heals. `shown`: what the evidence says in place of the arguments."""
        return self._inject(verb, *arguments, shown=shown)

    def cut(self, rules: Sequence[str]) -> HostFault:
        """Begin a cut of its links, which the caller heals."""
        return self._inject("cut", *rules, by=self.cutting)

    def lose(self, share: float, addresses: Sequence[str]) -> HostFault:
        """Begin to lose a share of the packets that come from these addresses, until the caller heals it."""
        return self._inject("lossy", str(round(share * 1000)), *addresses, by=self.cutting)

    def heal(self, fault: HostFault) -> None:
        """End a fault."""
        self._heal(fault)

    def _do(self, *words: str, by: Reach | None = None) -> str:
        return self._noted(lambda: (by or self.reach).run(*words), words)

    def _heal(self, fault: HostFault) -> None:
        if fault in self.guards.active:  # what could not be healed, or not to its end, is tried again
            self._noted(lambda: self.guards.heal(fault), ["heal", fault.id])

    def _heal_all(self, faults: Sequence[HostFault]) -> None:
        """All of them, the last one first; then one of the errors is raised, see `raise_one_of`."""
        errors = list[Exception]()
        for fault in reversed(faults):
            try:
                self._heal(fault)
            except Exception as error:
                errors.append(error)
        raise_one_of(errors)

    def _noted(self, act: Callable[[], T], words: Sequence[str]) -> T:
        begun = time.time()
        try:
            done = act()
        except BaseException as error:
            self._note(Sent(self.name, begun, shlex.join(words), describe(error)))
            raise
        self._note(Sent(self.name, begun, shlex.join(words), "ok"))
        return done


def identities(processes: Collection[Running]) -> list[str]:
    """Processes as the script is given them."""
    return [f"{one.pid}:{one.started}" for one in processes]
