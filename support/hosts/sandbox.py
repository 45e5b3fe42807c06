"""The handles: what the rest of the suite holds of a sandbox, its hosts and their processes.

A handle keeps no state. It asks the supervisor each time, so it may be used from any thread and any process, and it
never speaks of a process that is gone or of another one that got its pid.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from support.errors import NotAvailable, NotInTime, ProcessFailed
from support.hosts import state
from support.hosts.network import Network
from support.hosts.process import QUICK, Process, await_none_left
from support.hosts.rpc import call
from support.waiting import NotYet, eventually


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
    def powered(self) -> bool:
        """Whether the host is on."""
        on: bool = call(self.sandbox, "powered", host=self.name)
        return on

    def add(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
        """Declare a program of this host (not started yet), or declare it anew; valid from its next start.

        Its environment is the caller's with `env` on top, its working directory that of the host. The declaration
        survives a power-off.
        """
        environment = {**os.environ, **(env or {})}
        call(self.sandbox, "add_program", host=self.name, name=name, argv=list(argv), env=environment)
        return self._process(name)

    def argv(self, command: Sequence[str]) -> list[str]:
        """The argument vector that runs `command` on this host, as the user that its programs run as.

        Valid until the host's next power-off. It works from outside the sandbox, too.
        """
        prefix: list[str] = call(self.sandbox, "prefix", host=self.name)
        return reentry_argv(self.sandbox, [*prefix, *command])

    def run(self, command: Sequence[str], timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end; output captured. Raises ProcessFailed with its output on failure."""
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
        """Put a disk of its own, empty and no larger than that, at a directory of the host, until its next power-off.

        Only what runs on the host sees it. Raises NotAvailable in a loopback sandbox.
        """
        call(self.sandbox, "give_disk", host=self.name, place=str(place), megabytes=megabytes)

    def power_off(self) -> None:
        """Every process of the host is gone at once, as by a power cut; returns when none is left.

        On namespaces nothing says goodbye: peers hear no FIN and no RST, and the address falls silent.
        """
        await_none_left(lambda: call(self.sandbox, "power_off", host=self.name), f"host {self.name} is off")

    def power_on(self) -> None:
        """The host is there again, and its declared programs that ran at the power-off are started."""
        call(self.sandbox, "power_on", host=self.name)

    def _process(self, name: str) -> Process:
        return Process(self.sandbox, self.name, name, self.directory / f"{name}.log")


@dataclass(frozen=True)
class Sandbox:
    """A set of hosts that can reach one another, and nobody else. A context manager that closes."""

    kind: str
    """"namespaces" or "loopback"."""
    directory: Path
    published: Mapping[str, tuple[str, int]]
    """Where each published name is reached from outside: name -> ("127.0.0.1", port)."""

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts by name, in the order in which they were added."""
        facts = call(self.directory, "hosts")
        return {fact["name"]: _host(self.directory, fact) for fact in facts}

    def add_host(self, name: str, number: int) -> Host:
        """Make a host. `number` (2 to 250) is the last part of its address."""
        return _host(self.directory, call(self.directory, "add_host", name=name, number=number))

    def publish(self, targets: Mapping[str, tuple[str, int]]) -> None:
        """Serve names given to `enter`: what connects to `published[name]` reaches that address and port.

        Replaces what was published before; connections open through it end.
        """
        call(self.directory, "publish", targets={name: list(target) for name, target in targets.items()})

    @property
    def network(self) -> Network:
        """What can be done to the network between the hosts."""
        return Network(self.directory)

    def close(self) -> None:
        """Kill everything in the sandbox's hosts and stop publishing. Harmless when repeated, or when it is gone."""
        if state.alive(self.directory):
            await_none_left(lambda: call(self.directory, "close"), "the sandbox is empty")

    def end(self, within: float = 10.0) -> None:
        """End the sandbox from another process: SIGTERM to its worker, SIGKILL when that takes too long.

        Returns when nothing of it is left. Harmless when it is gone.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(NotAvailable):
                call(self.directory, "end", number=int(number))
            with suppress(NotInTime):
                return eventually(self._require_gone, within=within, subject="the sandbox is gone", pause=QUICK)
        raise ProcessFailed(f"the sandbox in {self.directory} is there {within:g} s after its worker was killed")

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
    """The sandbox that lives in `directory`, with full control. Raises NotAvailable when none does."""
    facts = state.read(directory)
    return Sandbox(facts.kind, directory.absolute(), facts.published)


def reentry_argv(directory: Path, command: Sequence[str]) -> list[str]:
    """The argument vector that runs `command` inside the sandbox, with the caller's working directory.

    It is `command` itself for a caller who is inside already, and on loopback, where there is no inside. Raises
    NotAvailable when the sandbox is gone.
    """
    facts = state.read(directory)
    if facts.pid_namespace == state.own_pid_namespace():
        return list(command)
    # Ctrl-C is for the command: nsenter, which waits for it, would end at once and leave it alone.
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
