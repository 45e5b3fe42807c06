"""The steward: the parent of everything on a stand, and the one place that knows what runs there.

It is single-threaded and does one thing at a time, each in milliseconds; who waits for something asks again. It
ends when the worker ends or when the process outside is gone, and all of the stand ends with it.
"""

import os
import selectors
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.errors import ProcessFailed, UsageError
from support.hosts import brands
from support.hosts.calls import serve_one
from support.hosts.machines import Ground, Machine, Program
from support.hosts.relay import Relay
from support.waiting import describe

OUTER_GONE = 128 + signal.SIGHUP  # the exit status when the process outside went first


class Steward:
    """Answers calls, starts what it is asked to, and reaps what ends."""

    def __init__(self, directory: Path, stand: int, ground: Ground, relay: Relay) -> None:
        self._directory, self._stand, self._ground, self._relay = directory, stand, ground, relay
        self._machines: dict[str, Machine] = {}
        self._worker = 0
        self._over: int | None = None
        self._verbs = {
            verb.__name__: verb
            for verb in (
                *(self.hosts, self.add_host, self.powered, self.power_on, self.power_off, self.prefix),
                *(self.programs, self.add_program, self.start, self.pid, self.pids),
                *(self.terminate, self.kill, self.pause, self.resume, self.publish, self.end),
            )
        }

    def serve(self, worker: int, calls: socket.socket, lifeline: int) -> int:
        """Serve until the worker ends; returns its exit status. `lifeline` reads end-of-file when the outer
        process is gone."""
        self._worker = worker
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            for source in (woken, calls, lifeline):
                selector.register(source, selectors.EVENT_READ)
            while self._over is None:
                ready = {key.fileobj for key, _ in selector.select()}
                self._reap()  # first: an answer never speaks of a process that has ended
                if woken in ready:
                    os.read(woken, 4096)
                if calls in ready:
                    serve_one(calls, self._verbs)
                if lifeline in ready:
                    self._over = OUTER_GONE
        return self._over

    # hosts

    def hosts(self) -> list[Mapping[str, object]]:
        return [_facts(machine) for machine in self._machines.values()]

    def add_host(self, name: str, number: int) -> Mapping[str, object]:
        if name in self._machines or number in {machine.number for machine in self._machines.values()}:
            raise UsageError(f"a host named {name}, or another one numbered {number}, is there already")
        if not 2 <= number <= 250 or not name.replace("-", "").isalnum():
            raise UsageError(f"host {name!r} numbered {number}: letters, digits and hyphens; from 2 to 250")
        directory = self._directory / "hosts" / name
        directory.mkdir(parents=True, exist_ok=True)
        machine = Machine(name, number, self._ground.address(number), directory)
        self._ground.introduce([*self._machines.values(), machine])
        self._machines[name] = machine
        self.power_on(name)
        return _facts(machine)

    def powered(self, host: str) -> bool:
        return self._machine(host).powered

    def power_on(self, host: str) -> None:
        machine = self._machine(host)
        if machine.powered:
            return
        self._ground.power_on(machine)
        machine.powered = True
        for name in [name for name, program in machine.programs.items() if program.ran_at_power_off]:
            self.start(host, name)

    def power_off(self, host: str) -> list[int]:
        machine = self._machine(host)
        if machine.powered:
            machine.powered = False
            for program in machine.programs.values():
                program.ran_at_power_off = program.pid is not None
        left = self._ground.power_off(machine)
        return left or [program.pid for program in machine.programs.values() if program.pid is not None]

    def prefix(self, host: str) -> list[str]:
        return self._ground.prefix(self._powered_machine(host))

    # programs

    def programs(self, host: str) -> list[str]:
        return list(self._machine(host).programs)

    def add_program(self, host: str, name: str, argv: list[str], env: dict[str, str]) -> None:
        machine = self._machine(host)
        known = machine.programs.get(name)
        if known is None:
            log = machine.directory / f"{name}.log"
            machine.programs[name] = Program(len(machine.programs) + 1, argv, env, log)
        else:
            known.argv, known.env = argv, env

    def start(self, host: str, name: str) -> None:
        machine, program = self._powered_machine(host), self._program(host, name)
        if program.pid is not None:
            return
        try:
            program.pid = self._ground.spawn(machine, program)
        except OSError as error:
            raise ProcessFailed(f"{name} on {host}: cannot run {program.argv[0]}: {describe(error)}") from error

    def pid(self, host: str, name: str) -> int | None:
        return self._program(host, name).pid

    def pids(self, host: str, name: str) -> list[int]:
        return brands.wearers(self._brand(host, name).__eq__)

    def terminate(self, host: str, name: str) -> None:
        if (pid := self._program(host, name).pid) is not None:
            os.kill(pid, signal.SIGTERM)

    def kill(self, host: str, name: str) -> list[int]:
        return brands.kill(self._brand(host, name).__eq__)

    def pause(self, host: str, name: str) -> None:
        brands.freeze(self._brand(host, name).__eq__)

    def resume(self, host: str, name: str) -> None:
        brands.send(self.pids(host, name), signal.SIGCONT)

    # the stand

    def publish(self, targets: Mapping[str, Sequence[Any]]) -> None:
        self._relay.lead({name: (address, port) for name, (address, port) in targets.items()})

    def end(self, number: int) -> None:
        os.kill(self._worker, number)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._note_end(*ended)

    def _note_end(self, pid: int, status: int) -> None:
        if pid == self._worker:
            code = os.waitstatus_to_exitcode(status)
            self._over = code if code >= 0 else 128 - code
        self._relay.note_end(pid)
        for machine in self._machines.values():
            if machine.init == pid:
                machine.init = None
            for program in machine.programs.values():
                if program.pid == pid:
                    program.pid = None

    def _machine(self, host: str) -> Machine:
        if host not in self._machines:
            raise UsageError(f"no host named {host}; there are: {', '.join(self._machines) or 'none'}")
        return self._machines[host]

    def _powered_machine(self, host: str) -> Machine:
        machine = self._machine(host)
        if not machine.powered:
            raise ProcessFailed(f"host {host} is powered off")
        return machine

    def _program(self, host: str, name: str) -> Program:
        programs = self._machine(host).programs
        if name not in programs:
            raise UsageError(f"no program {name} on host {host}; there are: {', '.join(programs) or 'none'}")
        return programs[name]

    def _brand(self, host: str, name: str) -> int:
        return brands.brand(self._stand, self._machine(host).number, self._program(host, name).number)


def _facts(machine: Machine) -> Mapping[str, object]:
    return {
        "name": machine.name,
        "number": machine.number,
        "address": machine.address,
        "directory": str(machine.directory),
    }
