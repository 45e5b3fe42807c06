"""The supervisor: the parent of everything in a sandbox, and the only process that knows what runs there.

It is single-threaded and does one thing at a time, each in milliseconds; callers that wait for something ask again. It
ends when the worker ends or the process outside is gone, and the whole sandbox ends with it.
"""

import os
import selectors
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from support.errors import ProcessFailed, UsageError
from support.hosts import process_tags
from support.hosts.backend import Backend, Machine, Program
from support.hosts.links import Links
from support.hosts.relay import Relay
from support.hosts.rpc import serve_one
from support.waiting import describe

NUMBERS = range(2, 251)  # of hosts; 1 is the sandbox itself
MOST_PROGRAMS = 255  # on one host: what fits into a process tag
OUTER_GONE = 128 + signal.SIGHUP  # the exit status when the process outside ended first


class Supervisor:
    """Answers calls, starts programs on request, and reaps what ends."""

    def __init__(self, directory: Path, sandbox: int, backend: Backend, relay: Relay) -> None:
        self._links = Links(backend, lambda host: self._registry.machine(host).number)
        self._registry = Registry(directory, sandbox, backend, self._links.note_power)
        self._relay = relay
        self._worker = 0
        self._status: int | None = None

    def serve(self, worker: int, line: socket.socket, lifeline: int) -> int:
        """Serve calls on `line` until the worker ends; returns its exit status.

        `lifeline` reads end-of-file when the outer process is gone.
        """
        self._worker = worker
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        os.write(wake, b"!")  # the worker may have ended before anybody listened
        own: dict[str, Callable[..., object]]
        own = {"publish": self.publish, "close": self.close, "end": self.end}
        procedures = {**own, **self._registry.procedures(), **self._links.procedures()}
        with selectors.DefaultSelector() as selector:
            for source in (woken, line, lifeline):
                selector.register(source, selectors.EVENT_READ)
            while self._status is None:
                ready = {key.fileobj for key, _ in selector.select()}
                self._reap()  # first, so that no answer mentions a process that has ended
                if woken in ready:
                    os.read(woken, 4096)
                if line in ready:
                    serve_one(line, procedures)
                if lifeline in ready:
                    if self._status is None:
                        self.end(signal.SIGKILL)  # it may have no tag yet, by which it would be found later
                    self._status = OUTER_GONE
        return self._status

    def publish(self, targets: Mapping[str, Sequence[Any]]) -> None:
        """Forward each published name to an address and port."""
        self._relay.forward({name: (address, port) for name, (address, port) in targets.items()})

    def close(self) -> list[int]:
        """Power off all hosts and publish nothing; returns the processes that are not gone yet."""
        self._relay.forward({})
        return self._registry.power_off_all()

    def end(self, number: int) -> None:
        """Send the worker a signal."""
        with suppress(ProcessLookupError):
            os.kill(self._worker, number)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._worker:
                    code = os.waitstatus_to_exitcode(status)
                    self._status = code if code >= 0 else 128 - code
                for keeper in (self._registry, self._links, self._relay):
                    keeper.note_end(pid)


class Registry:
    """All hosts of the sandbox, on or off, and their programs: the only record of what exists and what runs.

    Handles may call what `procedures` lists; arguments and results are plain JSON.
    """

    def __init__(
        self, directory: Path, sandbox: int, backend: Backend, note_power: Callable[[int, bool], None]
    ) -> None:
        """`note_power` is told the number of each host that is powered on (True) or off."""
        self._directory, self._sandbox, self._backend, self._note_power = directory, sandbox, backend, note_power
        self._machines: dict[str, Machine] = {}

    def procedures(self) -> Mapping[str, Callable[..., object]]:
        """What handles may call, by name."""
        hosts = (self.hosts, self.add_host, self.remove_host, self.powered, self.power_on, self.power_off)
        within = (self.prefix, self.give_disk, self.set_volatile, self.lose_unsynced)
        programs = (self.programs, self.add_program, self.start, self.pid, self.pids)
        signals = (self.terminate, self.kill, self.pause, self.resume)
        return {procedure.__name__: procedure for procedure in (*hosts, *within, *programs, *signals)}

    def machine(self, host: str) -> Machine:
        """The host of that name. Raises UsageError when there is none."""
        if host not in self._machines:
            raise UsageError(f"no host named {host}; there are: {', '.join(self._machines) or 'none'}")
        return self._machines[host]

    def note_end(self, pid: int) -> None:
        """A child of the supervisor has ended."""
        for machine in self._machines.values():
            if machine.init == pid:
                machine.init, machine.powered = None, False
            for program in machine.programs.values():
                if program.pid == pid:
                    program.pid = None

    def hosts(self) -> list[Mapping[str, object]]:
        """All hosts, in the order in which they were added."""
        return [_facts(machine) for machine in self._machines.values()]

    def add_host(self, name: str, number: int) -> Mapping[str, object]:
        """Make a host and power it on."""
        if name in self._machines or number in {machine.number for machine in self._machines.values()}:
            raise UsageError(f"there is already a host named {name}, or another one numbered {number}")
        if number not in NUMBERS or not name.replace("-", "").isalnum():
            raise UsageError(f"host {name!r} numbered {number}: letters, digits, hyphens; numbers 2 to 250")
        directory = self._directory / "hosts" / name
        directory.mkdir(parents=True, exist_ok=True)
        machine = Machine(name, number, self._backend.address(number), directory)
        self._backend.introduce([*self._machines.values(), machine])
        self._machines[name] = machine
        self.power_on(name)
        return _facts(machine)

    def remove_host(self, name: str) -> list[int]:
        """Power it off and forget it; returns the processes that are not gone yet. Call it again until there are none.

        Its directory stays. Harmless when there is no such host.
        """
        if name not in self._machines:
            return []
        if left := self.power_off(name):
            return left
        del self._machines[name]
        self._backend.introduce(list(self._machines.values()))
        return []

    def powered(self, host: str) -> bool:
        """Whether it is on."""
        return self.machine(host).powered

    def power_on(self, host: str) -> None:
        """Power it on, and start what ran when it was powered off."""
        machine = self.machine(host)
        if machine.powered:
            return
        if left := self.power_off(host):
            raise ProcessFailed(f"host {host} is still going down: {left} are left")
        self._note_power(machine.number, True)
        self._backend.power_on(machine)
        machine.powered = True
        self._mount_volatile(machine)
        for name in [name for name, program in machine.programs.items() if program.ran_at_power_off]:
            self.start(host, name)

    def power_off(self, host: str) -> list[int]:
        """Power it off; returns the processes that are not gone yet."""
        machine = self.machine(host)
        if machine.powered:
            machine.powered = False
            for program in machine.programs.values():
                program.ran_at_power_off = program.pid is not None
        left = self._backend.power_off(machine)
        self._note_power(machine.number, False)
        return left or [program.pid for program in machine.programs.values() if program.pid is not None]

    def power_off_all(self) -> list[int]:
        """Power off all hosts; returns the processes that are not gone yet."""
        return [pid for host in self._machines for pid in self.power_off(host)]

    def prefix(self, host: str) -> list[str]:
        """The words before a command that make it run there."""
        return self._backend.prefix(self._powered_machine(host))

    def give_disk(self, host: str, place: str, megabytes: int) -> None:
        """Mount an empty disk at a directory of the host, until its next power-off."""
        try:
            self._backend.give_disk(self._powered_machine(host), Path(place), megabytes)
        except OSError as error:
            raise ProcessFailed(f"{host} got no disk at {place}: {describe(error)}") from error

    def set_volatile(self, host: str, place: str, volatile: bool) -> None:
        """From its next power-on, a directory of the host loses what was not synced when the power fails, or not."""
        machine, directory = self.machine(host), Path(place)
        if volatile and directory not in machine.volatile:
            machine.volatile[directory] = self._backend.volatile_disk(machine, directory)
        if directory in machine.volatile:
            machine.volatile[directory].wanted = volatile

    def lose_unsynced(self, host: str) -> Mapping[str, Mapping[str, int]]:
        """Take away what was not synced in the volatile directories of a host that is off; returns it by directory."""
        machine = self.machine(host)
        if machine.powered or machine.init is not None:
            raise ProcessFailed(f"host {host} is on: it has what it has written")
        return {str(place): asdict(disk.lose()) for place, disk in machine.volatile.items() if disk.mounted}

    def programs(self, host: str) -> list[str]:
        """The names of all programs declared there."""
        return list(self.machine(host).programs)

    def add_program(self, host: str, name: str, argv: list[str], env: dict[str, str]) -> None:
        """Declare a program, or declare it again."""
        machine = self.machine(host)
        if known := machine.programs.get(name):
            known.argv, known.env = argv, env
            return
        number = len(machine.programs) + 1
        if number > MOST_PROGRAMS:
            raise UsageError(f"host {host} has {MOST_PROGRAMS} programs; no more fit")
        machine.programs[name] = Program(number, argv, env, machine.directory / f"{name}.log")

    def start(self, host: str, name: str) -> None:
        """Start it unless it runs."""
        machine, program = self._powered_machine(host), self._program(host, name)
        if program.pid is not None:
            return
        try:
            program.pid = self._backend.spawn(machine, program)
        except OSError as error:
            raise ProcessFailed(f"{name} on {host}: cannot run {program.argv[0]}: {describe(error)}") from error

    def pid(self, host: str, name: str) -> int | None:
        """The pid of its first process while that lives."""
        return self._program(host, name).pid

    def pids(self, host: str, name: str) -> list[int]:
        """All its processes, orphaned descendants included."""
        return self._with_unreaped(host, name, process_tags.tagged(self._is_of(host, name)))

    def terminate(self, host: str, name: str) -> None:
        """Send SIGTERM to its first process."""
        if (pid := self._program(host, name).pid) is not None:
            os.kill(pid, signal.SIGTERM)

    def kill(self, host: str, name: str) -> list[int]:
        """Send SIGKILL to all its processes at once; returns them. Call it again until there are none."""
        return self._with_unreaped(host, name, self._backend.kill(self._is_of(host, name)))

    def pause(self, host: str, name: str) -> None:
        """Send SIGSTOP to all its processes."""
        process_tags.freeze(self._is_of(host, name))

    def resume(self, host: str, name: str) -> None:
        """Send SIGCONT to all its processes."""
        process_tags.send(self.pids(host, name), signal.SIGCONT)

    def _mount_volatile(self, machine: Machine) -> None:
        for disk in [one for one in machine.volatile.values() if not one.wanted]:
            machine.volatile.pop(disk.place).end()
        try:
            for disk in machine.volatile.values():
                assert machine.init is not None
                disk.begin(machine.init)
        except OSError as error:
            self.power_off(machine.name)
            raise ProcessFailed(f"{machine.name} got no volatile disk: {describe(error)}") from error

    def _powered_machine(self, host: str) -> Machine:
        machine = self.machine(host)
        if not machine.powered:
            raise ProcessFailed(f"host {host} is powered off")
        return machine

    def _program(self, host: str, name: str) -> Program:
        programs = self.machine(host).programs
        if name not in programs:
            raise UsageError(f"no program {name} on host {host}; there are: {', '.join(programs) or 'none'}")
        return programs[name]

    def _with_unreaped(self, host: str, name: str, living: list[int]) -> list[int]:
        """Count its first process until it is reaped: while its threads still end, it is a zombie for some time."""
        first = self._program(host, name).pid
        return living if first is None or first in living else [first, *living]

    def _is_of(self, host: str, name: str) -> Callable[[int], bool]:
        own = process_tags.tag(self._sandbox, self.machine(host).number, self._program(host, name).number)
        return lambda tag: tag == own


def _facts(machine: Machine) -> Mapping[str, object]:
    return {
        "name": machine.name,
        "number": machine.number,
        "address": machine.address,
        "directory": str(machine.directory),
    }
