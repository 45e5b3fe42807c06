"""Clusters in the shape of another installation, for the tests: booted by the program, reached from outside."""

import csv
import io
import os
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import psycopg2
import pytest
import requests
from program import Program, copy

from support.embedded import programs
from support.hosts import state, why_not_namespaces
from support.target.topology import Topology

NAME = "rig"


@dataclass(frozen=True)
class Rig:
    """A cluster that is up."""

    program: Program
    said: str
    """What `accept up` printed."""
    seconds: float
    target: Mapping[str, Any]
    """Its target file."""

    @property
    def folder(self) -> Path:
        return self.program.project / ".accept/clusters" / NAME

    @property
    def topology(self) -> Topology:
        """The cluster as seen from inside, with its superuser; its users do not have this."""
        return Topology.load(self.folder / "topology.json")

    @property
    def published(self) -> Mapping[str, int]:
        """Published name -> port of 127.0.0.1."""
        return {name: port for name, (_, port) in state.read(self.folder / "sandbox").published.items()}

    def rows(
        self, port: int, statement: str, superuser: bool = False, host: str = "localhost"
    ) -> list[tuple[Any, ...]]:
        """The rows of a query, sent by a plain client to a port of this machine as the application or the superuser."""
        login = self.topology.administrator if superuser else self.topology.application
        assert login is not None
        session = psycopg2.connect(
            host=host, port=port, dbname=self.target["ruvector_db"], user=login.user, password=login.password
        )
        try:
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            session.close()

    def value(self, port: int, statement: str, superuser: bool = False) -> Any:
        """The single value that a query returns."""
        return self.rows(port, statement, superuser)[0][0]

    def get(self, name: str, path: str) -> Any:
        """The JSON answer of a published HTTP server."""
        answer = requests.get(f"http://localhost:{self.published[name]}{path}", timeout=5)
        answer.raise_for_status()
        return answer.json()

    def statistics(self) -> dict[tuple[str, str], str]:
        """(proxy, server) -> status, from HAProxy's statistics page."""
        user = self.target.get("haproxy_stats_user")
        auth = (user, self.target["haproxy_stats_password"]) if user else None
        page = requests.get(f"{self.target['haproxy_stats_url']}/;csv", auth=auth, timeout=5)
        page.raise_for_status()
        rows = csv.DictReader(io.StringIO(page.text.removeprefix("# ")))
        return {(row["pxname"], row["svname"]): row["status"] for row in rows}


@contextmanager
def machine_of_its_own() -> Iterator[tuple[str, ...]]:
    """A network in which every port is free; the words that run a command there."""
    if os.geteuid():
        pytest.skip("a network of its own needs root")
    held = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"], stdin=PIPE, stdout=PIPE
    )
    try:
        assert held.stdout is not None
        assert held.stdout.readline() == b"up\n"
        yield "nsenter", f"--net=/proc/{held.pid}/ns/net", "--"
    finally:
        held.kill()
        held.communicate()


@contextmanager
def rig(project: Path, shape: str, *arguments: str, ports: str = "free", prefix: tuple[str, ...] = ()) -> Iterator[Rig]:
    """Boot a cluster, on free ports unless told otherwise, and end it. `prefix` are words before the program's."""
    if why := why_not_namespaces():
        pytest.skip(why)
    if shape == "swarm-citus" and (why := programs.citus_missing(None)):
        pytest.skip(why)
    program = copy(project)
    program.prefix = prefix
    begun = time.monotonic()
    ended = program.run("up", "--name", NAME, "--like", shape, "--ports", ports, *arguments, timeout=150)
    seconds = time.monotonic() - begun
    try:
        assert ended.status == 0, ended
        folder = project / ".accept/clusters" / NAME
        yield Rig(program, ended.out, seconds, tomllib.loads((folder / "target.toml").read_text()))
    finally:
        program.run("down", NAME)
        assert not state.alive(project / ".accept/clusters" / NAME / "sandbox")


def resolves(name: str) -> bool:
    """Whether this machine knows a host of that name."""
    try:
        socket.gethostbyname(name)
    except OSError:
        return False
    return True
