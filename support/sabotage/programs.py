"""Means of sabotage: programs that run with another file, or as another build, or not at all."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from support.errors import UsageError
from support.hosts import Host, Process
from support.sabotage.damages import Damage, Making
from support.target.cluster import Cluster
from support.waiting import NotYet

BUILD = Path(__file__).with_name("broken_patroni.py")
_NEEDED = ("PGPASSFILE",)
"""What the environment of a member's Patroni may hold beside the usual."""


def rewritten(host: Callable[[Cluster], Host], file: str, changes: Mapping[str, str]) -> Making:
    """The host's program runs with another configuration file: each text is replaced by another."""

    def making(cluster: Cluster) -> Damage:
        there = host(cluster)
        path = there.directory / file
        program = there.processes[path.stem]
        before, running = path.read_text(), program.pid

        def write(contents: str) -> None:
            path.write_text(contents)
            program.kill()
            program.start()

        def seen() -> None:
            """Another process runs than before, and it has not ended over what it read."""
            if program.pid in (None, running):
                raise NotYet(f"{program.name} runs as {program.pid}, before as {running}")
            if path.read_text() == before:
                raise NotYet(f"{file} is as it was")

        return Damage(f"another {file}", lambda: write(_replaced(before, changes)), seen, lambda: write(before))

    return making


def wrapped(host: Callable[[Cluster], Host], name: str, prefix: Sequence[str]) -> Making:
    """The host's program is started by another one from its next start on."""

    def making(cluster: Cluster) -> Damage:
        there = host(cluster)
        program = there.processes[name]
        argv = process_of(program).cmdline()

        def seen() -> None:
            """It is only seen at the next start, which is the scenario's."""

        return Damage(
            f"{name} is started by {prefix[0]}",
            lambda: there.add(name, [*prefix, *argv]),
            seen,
            lambda: there.add(name, argv),
            leaves_its_sign=True,
        )

    return making


def patroni_build(build: str) -> Making:
    """Every member runs a Patroni that does something else; its PostgreSQL runs on meanwhile."""

    def making(cluster: Cluster) -> Damage:
        hosts = [cluster.sandbox.hosts[name] for name in cluster.members]
        usual = {host.name: process_of(host.processes["patroni"]).cmdline() for host in hosts}
        needed = {host.name: _environment(host.processes["patroni"]) for host in hosts}

        def run(argv: Callable[[list[str]], list[str]]) -> None:
            for host in hosts:
                _exchange(host, argv(usual[host.name]), needed[host.name])

        def seen() -> None:
            for host in hosts:
                if str(BUILD) not in process_of(host.processes["patroni"]).cmdline():
                    raise NotYet(f"the Patroni of {host.name} is the usual one")
            if len([one for one in cluster.view().replicas if one.streams]) < len(hosts) - 1:
                raise NotYet("not every member streams")

        return Damage(
            f"Patroni {build}",
            lambda: run(lambda argv: [sys.executable, "-P", str(BUILD), build, argv[-1]]),
            seen,
            lambda: run(lambda argv: argv),
        )

    return making


def _exchange(host: Host, argv: list[str], environment: Mapping[str, str]) -> None:
    """Let the host's Patroni end without a word to its PostgreSQL, and start another."""
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


def _environment(program: Process) -> dict[str, str]:
    environment = process_of(program).environ()
    return {name: environment[name] for name in _NEEDED if name in environment}


def _replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        if old not in text:
            raise UsageError(f"there is no {old!r} to be replaced")
        text = text.replace(old, new)
    return text
