"""Handles to a sandbox, its hosts, their processes and the network between them.

A handle keeps no state: it asks the supervisor each time. So it may be used from any thread and any process, and it
never refers to a process that is gone, or to another one that got the same pid.
"""

import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from support.errors import NotAvailable, NotInTime, ProcessFailed
from support.hosts import flows, processes, state
from support.hosts.interface import Clock, Flow, Log, Pair, Running
from support.hosts.rpc import call
from support.hosts.unsynced import Lost
from support.waiting import NotYet, eventually

GONE_WITHIN = 10.0  # seconds for killed processes to be reaped; it takes milliseconds unless a disk hangs
FIRST_ANNEX = 230
"""Hosts with this number and higher ones belong to an annex: a second, smaller cluster in the same sandbox."""
QUICK = 0.01  # seconds between two looks at something that is about to happen


@dataclass(frozen=True)
class Process:
    """A supervised program on a host, known by (host, name). It runs until stopped, killed, or the sandbox ends."""

    sandbox: Path
    host: str
    name: str
    log: Path
    """Standard output and error of every incarnation, appended."""

    @property
    def pid(self) -> int | None:
        """Process id as seen inside the sandbox, or None when it does not run. Never a zombie."""
        pid: int | None = self._ask("pid")
        return pid

    @property
    def pids(self) -> Sequence[int]:
        """All its processes as seen inside the sandbox, orphaned descendants included."""
        pids: Sequence[int] = self._ask("pids")
        return pids

    def start(self) -> None:
        """Start it; does nothing when it runs. Raises ProcessFailed when it cannot be executed."""
        self._ask("start")

    def stop(self, within: float = 10.0) -> None:
        """Send SIGTERM, and SIGKILL when it is not gone in time; returns when it and its descendants are gone.

        Resumes it first, as a paused process cannot handle SIGTERM.
        """
        self.resume()
        self._ask("terminate")
        try:
            _await_none_left(lambda: self.pids, self._goal, within)
        except ProcessFailed:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL to it and all its descendants at once; returns when they are gone."""
        _await_none_left(lambda: self._ask("kill"), self._goal)

    def reload(self) -> None:
        """See SiteProgram."""
        if (pid := self.pid) is not None:
            processes.send(processes.look([pid]), signal.SIGUSR2)

    def pause(self) -> None:
        """Send SIGSTOP to it and all its descendants (a freeze)."""
        self._ask("pause")

    def resume(self) -> None:
        """Send SIGCONT to what was paused. Harmless when nothing was."""
        self._ask("resume")

    def _ask(self, procedure: str) -> Any:
        return call(self.sandbox, procedure, host=self.host, name=self.name)

    @property
    def _goal(self) -> str:
        return f"{self.name} on {self.host} is gone"


@dataclass(frozen=True)
class Host:
    """One machine of the embedded cluster."""

    sandbox: Path
    name: str
    number: int
    address: str
    directory: Path
    """Its own directory for configuration, data and logs; survives a power-off."""

    @property
    def processes(self) -> Mapping[str, Process]:
        """Every program ever added here, by name, running or not."""
        names: list[str] = call(self.sandbox, "programs", host=self.name)
        return {name: self._process(name) for name in names}

    @property
    def memory(self) -> int:
        """The memory of all its programs in bytes, with shared pages counted once (PSS). Read it inside the sandbox."""
        return sum(_memory_of(pid) for process in self.processes.values() for pid in process.pids)

    @property
    def powered(self) -> bool:
        """Whether the host is on."""
        on: bool = call(self.sandbox, "powered", host=self.name)
        return on

    @property
    def addresses(self) -> Collection[str]:
        """See SiteHost."""
        return (self.address,)

    def present_addresses(self) -> Collection[str]:
        """See SiteHost. They never move."""
        return self.addresses

    def running(self) -> Sequence[Running]:
        """See SiteHost. Call it inside the sandbox, as all that is about processes."""
        return processes.look([pid for process in self.processes.values() for pid in process.pids])

    def alive(self, those: Collection[Running]) -> Sequence[Running]:
        """See SiteHost."""
        return processes.alive(those)

    def kill(self, those: Sequence[Running]) -> None:
        """See SiteHost."""
        processes.send(those, signal.SIGKILL)

    def suspend(self, those: Collection[Running], *, may_die: bool = True) -> None:
        """See SiteHost."""
        processes.send(those, signal.SIGSTOP)

    def resume(self, those: Collection[Running]) -> None:
        """See SiteHost."""
        processes.send(those, signal.SIGCONT)

    def freeze(self) -> None:
        """See SiteHost."""
        for process in self.processes.values():
            process.pause()

    def thaw(self) -> None:
        """See SiteHost."""
        for process in self.processes.values():
            process.resume()

    def awake(self) -> Sequence[str]:
        """See SiteHost."""
        return [f"{one.name} ({one.pid}) is {one.state}" for one in self.running() if not (one.stopped or one.over)]

    def listed(self) -> Sequence[Running]:
        """See SiteHost."""
        return self.running()

    def run_decoy(self, word: str, seconds: int) -> Callable[[], object]:
        """See SiteHost."""
        decoy = self.add("decoy", ["sh", "-c", f"sleep {seconds}", word])
        decoy.start()
        return decoy.kill

    def logs(self) -> Mapping[str, Log]:
        """See SiteHost."""
        files = {process.log for process in self.processes.values()} | set(self.directory.rglob("*.log"))
        return {file.name: processes.LogFile(file) for file in sorted(files) if file.is_file()}

    @property
    def clock(self) -> Clock:
        """See SiteHost: this machine's."""
        return Clock()

    def add(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
        """Declare a program of this host without starting it. Declaring it again takes effect at its next start.

        Its environment is the caller's with `env` on top; its working directory is the host's. The declaration
        survives a power-off.
        """
        environment = {**os.environ, **(env or {})}
        call(self.sandbox, "add_program", host=self.name, name=name, argv=list(argv), env=environment)
        return self._process(name)

    def argv(self, command: Sequence[str]) -> list[str]:
        """The argument vector that runs `command` on this host, as the user that its programs run as.

        Valid until the host's next power-off. It works from outside the sandbox too.
        """
        prefix: list[str] = call(self.sandbox, "prefix", host=self.name)
        return reentry_argv(self.sandbox, [*prefix, *command])

    def run(self, command: Sequence[str], timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command there and capture its output. Raises ProcessFailed with the output when it fails."""
        try:
            return subprocess.run(
                self.argv(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=True,
            )
        except subprocess.TimeoutExpired as late:
            raise ProcessFailed(f"{command[0]} on {self.name} did not end within {timeout:g} s") from late
        except subprocess.CalledProcessError as failed:
            said = " ".join(f"{failed.stderr}{failed.stdout}".split()) or "it said nothing"
            raise ProcessFailed(f"{command[0]} on {self.name} ended with {failed.returncode}: {said}") from failed

    def give_disk(self, place: Path, megabytes: int) -> None:
        """Mount an empty disk of that size at a directory of the host, until its next power-off.

        Only processes on the host see it. Raises NotAvailable in a loopback sandbox.
        """
        call(self.sandbox, "give_disk", host=self.name, place=str(place), megabytes=megabytes)

    def set_volatile(self, place: Path, volatile: bool) -> None:
        """Put a directory of the host on a disk with a volatile cache, or back, from its next power-on.

        A host that is powered off keeps what its kernel has written, be it synced or not; `lose_unsynced` takes away
        from such a directory what was not. Only processes on the host see that disk; others see the newest contents.
        Raises NotAvailable in a loopback sandbox, and where there is no FUSE.
        """
        call(self.sandbox, "set_volatile", host=self.name, place=str(place), volatile=volatile)

    def lose_unsynced(self) -> Mapping[Path, Lost]:
        """Take away what was not synced in the volatile directories; returns it. The host must be off.

        A second call, before the host was on again, finds nothing to take. Raises ProcessFailed if the host is on.
        """
        lost = call(self.sandbox, "lose_unsynced", host=self.name)
        return {Path(place): Lost(**counts) for place, counts in lost.items()}

    def power_off(self) -> None:
        """Kill every process of the host at once; returns when none is left.

        What its kernel has in its page cache stays, unlike in a power failure: see `lose_unsynced`.
        In namespaces the address falls silent: peers receive neither FIN nor RST.
        """
        _await_none_left(lambda: call(self.sandbox, "power_off", host=self.name), f"host {self.name} is off")

    def power_on(self) -> None:
        """Bring the host back, and start its declared programs that ran at the power-off."""
        call(self.sandbox, "power_on", host=self.name)

    def _process(self, name: str) -> Process:
        return Process(self.sandbox, self.name, name, self.directory / f"{name}.log")


@dataclass(frozen=True)
class Network:
    """The network between the hosts, which are given by name. Only a sandbox of namespaces can break it.

        network = sandbox.network
        network.cut("member-1", "etcd-2")          # no packets from member-1 to etcd-2; the other direction is open
        network.shape("member-1", "member-2", latency=0.1, loss=0.02)
        network.reconnect("member-1", "etcd-2")

    Packets that are cut vanish: the sender hears nothing, as on a dead link, and open connections stay open. Every
    fault outlasts a power-off of the hosts, and lasts until it is undone. A call that changes nothing is
    harmless. `links.SUITE` names the suite's own side. In a loopback sandbox every call raises NotAvailable.
    """

    sandbox: Path

    def cut(self, source: str, target: str, port: int | None = None) -> None:
        """Make packets from `source` to `target` vanish; with `port`, only those to that TCP port of the target.

        It works one way: cut the other way too for a partition. Cutting one port ends all traffic with that service,
        as its answers belong to connections that no longer work.
        """
        call(self.sandbox, "cut", source=source, target=target, port=port)

    def reconnect(self, source: str, target: str, port: int | None = None) -> None:
        """Undo the `cut` with the same arguments."""
        call(self.sandbox, "reconnect", source=source, target=target, port=port)

    def prepare(self, pairs: Collection[Pair]) -> None:
        """See SiteNetwork. There is nothing to find out."""

    def cut_all(self, pairs: Collection[Pair]) -> None:
        """See SiteNetwork."""
        for source, target in pairs:
            self.cut(source, target)

    def reconnect_all(self, pairs: Collection[Pair]) -> None:
        """See SiteNetwork."""
        for source, target in pairs:
            self.reconnect(source, target)

    def require_cut(self, pairs: Collection[Pair], open_pairs: Collection[Pair] = ()) -> None:
        """See SiteNetwork. Both ways of a link are different pairs."""
        flows.require_cut(attach(self.sandbox), pairs, open_pairs)

    def shape(self, source: str, target: str, *, latency: float = 0.0, jitter: float = 0.0, loss: float = 0.0) -> None:
        """Delay packets from `source` to `target` by `latency` seconds, plus or minus `jitter`, and lose some.

        `loss` is a share from 0 to 1. It works one way, and replaces what was set before; all zero ends it.
        """
        call(self.sandbox, "shape", source=source, target=target, latency=latency, jitter=jitter, loss=loss)

    def degrade(self, hosts: Collection[str], latency: float, loss: float) -> None:
        """See SiteNetwork."""
        for source, target in itertools.permutations(hosts, 2):
            self.shape(source, target, latency=latency, loss=loss)

    def restore(self, hosts: Collection[str]) -> None:
        """See SiteNetwork."""
        self.degrade(hosts, 0.0, 0.0)

    def measure(self, pairs: Collection[Pair], packets: int, latency: float = 0.0) -> Mapping[Pair, Flow]:
        """See SiteNetwork."""
        return flows.measure(attach(self.sandbox), pairs, packets, latency)


@dataclass(frozen=True)
class Sandbox:
    """A set of hosts that can reach one another, and nobody else. A context manager that closes it."""

    kind: str
    """"namespaces" or "loopback"."""
    directory: Path
    published: Mapping[str, tuple[str, int]]
    """Where each published name is reached from outside: name -> ("127.0.0.1", port)."""
    annex: bool = False
    """This is a handle for the annex."""

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts by name, in the order in which they were added: those of the annex, or all others."""
        found = (_host(self.directory, fact) for fact in call(self.directory, "hosts"))
        return {host.name: host for host in found if (host.number >= FIRST_ANNEX) is self.annex}

    @property
    def network(self) -> Network:
        """The network between the hosts."""
        return Network(self.directory)

    def add_host(self, name: str, number: int) -> Host:
        """Make a host. `number` (2 to 250) is the last part of its address."""
        return _host(self.directory, call(self.directory, "add_host", name=name, number=number))

    def remove_host(self, name: str) -> None:
        """Kill everything on a host and forget it; its directory stays. Harmless when there is no such host."""
        _await_none_left(lambda: call(self.directory, "remove_host", name=name), f"host {name} is off")

    def publish(self, targets: Mapping[str, tuple[str, int]]) -> None:
        """Forward names given to `enter`: connections to `published[name]` reach that address and port.

        Replaces what was published before, and ends connections that are open through it.
        """
        call(self.directory, "publish", targets={name: list(target) for name, target in targets.items()})

    def close(self) -> None:
        """Kill everything on the hosts and stop publishing. Harmless when repeated, or when the sandbox is gone."""
        if state.alive(self.directory):
            _await_none_left(lambda: call(self.directory, "close"), "the sandbox is empty")

    def end(self, within: float = 10.0) -> None:
        """End the sandbox from another process: SIGTERM to its worker, SIGKILL when that takes too long.

        Returns when nothing of it is left. Harmless when it is gone.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(NotAvailable):
                call(self.directory, "end", number=int(number))
            with suppress(NotInTime):
                return eventually(self._require_gone, within=within, subject="the sandbox is gone", pause=QUICK)
        raise ProcessFailed(f"the sandbox in {self.directory} still exists {within:g} s after its worker was killed")

    def _require_gone(self) -> None:
        if state.alive(self.directory):
            raise NotYet("its supervisor is alive")

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def attach(directory: Path) -> Sandbox:
    """The sandbox that lives in `directory`, with full control. Raises NotAvailable when there is none."""
    facts = state.read(directory)
    return Sandbox(facts.kind, directory.absolute(), facts.published)


def reentry_argv(directory: Path, command: Sequence[str]) -> list[str]:
    """The argument vector that runs `command` inside the sandbox, in the caller's working directory.

    It is `command` itself when the caller is inside already, and on loopback, where there is no inside. Raises
    NotAvailable when the sandbox is gone.
    """
    facts = state.read(directory)
    if facts.pid_namespace == state.own_pid_namespace():
        return list(command)
    # Ctrl-C is for the command. nsenter, which waits for it, would exit at once and leave it alone.
    enter = ["env", "--ignore-signal=INT", "nsenter", f"--target={facts.supervisor}", "--preserve-credentials"]
    spaces = ["--user", "--net", "--mount", "--ipc", "--uts", "--pid"]
    return [*enter, *spaces, "--", "env", "--default-signal=INT", f"--chdir={os.getcwd()}", *command]


def _host(sandbox: Path, fact: Mapping[str, object]) -> Host:
    return Host(
        sandbox,
        str(fact["name"]),
        int(str(fact["number"])),
        str(fact["address"]),
        Path(str(fact["directory"])),
    )


def _memory_of(pid: int) -> int:
    """The memory of one process in bytes, with its part of shared pages; 0 when it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _await_none_left(left: Callable[[], Sequence[int]], subject: str, within: float = GONE_WITHIN) -> None:
    """Wait until no process is left. Raises ProcessFailed after `within` seconds: that breaks no promise of anybody."""

    def gone() -> None:
        if pids := left():
            raise NotYet(f"left are {pids}")

    try:
        eventually(gone, within=within, subject=subject, pause=QUICK)
    except NotInTime as late:
        raise ProcessFailed(str(late)) from late
