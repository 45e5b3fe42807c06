"""Changes that break a cluster by its programs: another configuration file, another build, another way to start."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from support.errors import UsageError
from support.hosts import Host, Process
from support.sabotage.damage import Damage, MakeDamage
from support.target.cluster import Cluster
from support.target.members import replica_states
from support.waiting import NotYet

BUILD = Path(__file__).with_name("broken_patroni.py")
_OF_A_RELOAD = "-sf"
"""The first option that HAProxy's master process appends when it starts itself anew."""
_NEEDED = ("PGPASSFILE",)
"""Environment variables that a member's Patroni may need beside the usual ones."""


def rewritten(host: Callable[[Cluster], Host], file: str, changes: Mapping[str, str]) -> MakeDamage:
    """Run the host's program with a changed configuration file; `changes` is old text -> new text."""

    def make(cluster: Cluster) -> Damage:
        there = host(cluster)
        path = there.directory / file
        program = there.processes[path.stem]
        before, running = path.read_text(), program.pid

        def write(contents: str) -> None:
            path.write_text(contents)
            program.kill()
            program.start()

        def check() -> None:
            """A new process runs, so it accepted the file."""
            if program.pid in (None, running):
                raise NotYet(f"{program.name} runs as {program.pid}, before as {running}")
            if path.read_text() == before:
                raise NotYet(f"{file} is as it was")

        return Damage(f"another {file}", lambda: write(_replaced(before, changes)), check, lambda: write(before))

    return make


def wrapped(host: Callable[[Cluster], Host], name: str, prefix: Sequence[str]) -> MakeDamage:
    """From its next start on, the host's program is started through another command."""

    def make(cluster: Cluster) -> Damage:
        there = host(cluster)
        program = there.processes[name]
        argv, needed = _command(program), _environment(program)

        def undo() -> None:
            """Run it as usual, and start it again only where it does not run like that."""
            usual = there.add(name, argv, needed)
            with suppress(psutil.NoSuchProcess, NotYet):
                if _command(usual) == argv:
                    return
            usual.kill()
            usual.start()

        def check() -> None:
            """Nothing to check: it takes effect at the next start, which the scenario causes."""

        return Damage(
            f"{name} is started by {prefix[0]}",
            lambda: there.add(name, [*prefix, *argv], needed),
            check,
            undo,
            passes_when_undone=True,
        )

    return make


def patroni_build(build: str) -> MakeDamage:
    """Every member runs a modified Patroni (see `broken_patroni`). PostgreSQL keeps running meanwhile."""

    def make(cluster: Cluster) -> Damage:
        hosts = [cluster.sandbox.hosts[name] for name in cluster.members]
        usual = {host.name: process_of(host.processes["patroni"]).cmdline() for host in hosts}
        needed = {host.name: _environment(host.processes["patroni"]) for host in hosts}

        def run(argv: Callable[[list[str]], list[str]]) -> None:
            for host in hosts:
                _exchange(host, argv(usual[host.name]), needed[host.name])

        def check() -> None:
            for host in hosts:
                if str(BUILD) not in process_of(host.processes["patroni"]).cmdline():
                    raise NotYet(f"the Patroni of {host.name} is not modified")
            if [*replica_states(cluster).values()].count("streaming") < len(hosts) - 1:
                raise NotYet("not every member streams")

        return Damage(
            f"Patroni {build}",
            lambda: run(lambda argv: [sys.executable, "-P", str(BUILD), build, argv[-1]]),
            check,
            lambda: run(lambda argv: argv),
        )

    return make


def _exchange(host: Host, argv: list[str], environment: Mapping[str, str]) -> None:
    """Kill the host's Patroni, which leaves its PostgreSQL running, and start another."""
    program = host.add("patroni", argv, environment)
    with suppress(psutil.NoSuchProcess, NotYet):
        running = process_of(program)
        running.kill()
        running.wait(10)
    program.start()


def process_of(program: Process) -> psutil.Process:
    """The first process of a program. Raises NotYet while it does not run."""
    if (pid := program.pid) is None:
        raise NotYet(f"{program.name} on {program.host} does not run")
    return psutil.Process(pid)


def _command(program: Process) -> list[str]:
    """The command by which a program runs. After a reload, HAProxy's own has further options for its old processes."""
    argv = process_of(program).cmdline()
    return argv[: argv.index(_OF_A_RELOAD)] if _OF_A_RELOAD in argv else argv


def _environment(program: Process) -> dict[str, str]:
    environment = process_of(program).environ()
    return {name: environment[name] for name in _NEEDED if name in environment}


def _replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        if old not in text:
            raise UsageError(f"the configuration file does not contain {old!r}")
        text = text.replace(old, new)
    return text
