"""A fault of a proxy or cache is in effect only if it hit the instance that served clients."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from booting import boots
from conftest import free_port
from servers import postgres

from support import sql
from support.errors import ConnectFailed, Inconclusive
from support.faults.nemesis import Nemesis
from support.faults.served import ProxyRestarted, RedisFrozen, RedisKilled
from support.hosts.interface import SiteHost, SiteProgram
from support.hosts.remote import HostRefused
from support.target.topology import Address, RedisAddress
from support.waiting import eventually


@boots
@dataclass
class Program:
    """A real program on this machine, without its own host."""

    name: str
    command: Sequence[str]
    running: "subprocess.Popen[bytes] | None" = None
    host: str = "here"

    @property
    def pid(self) -> int | None:
        return self.running.pid if self.running else None

    def start(self) -> None:
        if self.running is None:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self.running = subprocess.Popen(self.command, **quiet)

    def kill(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running.wait()
        self.running = None

    def freeze(self) -> None:
        assert self.running is not None
        os.kill(self.running.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.running is not None
        os.kill(self.running.pid, signal.SIGCONT)

    def awake(self) -> list[str]:
        return []


def proxy(folder: Path, name: str, port: int, server: int) -> Program:
    file = folder / f"{name}.cfg"
    limits = "timeout connect 5s\n timeout client 60s\n timeout server 60s"
    listen = f"listen write\n bind 127.0.0.1:{port}\n server one 127.0.0.1:{server}\n"
    file.write_text(f"global\n maxconn 50\ndefaults\n {limits}\n{listen}")
    return Program("haproxy", ["haproxy", "-db", "-f", str(file)])


@pytest.fixture
def proxies(tmp_path: Path) -> Iterator[tuple[Program, Program, sql.Endpoint]]:
    """Two proxies of one server, and the endpoint through which clients use the first one."""
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    server, used = free_port(), free_port()
    with ExitStack() as ending:
        endpoint = ending.enter_context(postgres(tmp_path, server))
        both = proxy(tmp_path, "used", used, server), proxy(tmp_path, "other", free_port(), server)
        for one in both:
            ending.callback(one.kill)
            one.start()
        write = endpoint.at("the write endpoint", "127.0.0.1", used)
        eventually(lambda: sql.value(write, "SELECT 1"), within=20, subject="it routes", retry_on=(ConnectFailed,))
        yield *both, write


def test_a_proxy_that_clients_use_is_restarted(proxies: tuple[Program, Program, sql.Endpoint]) -> None:
    used, _, write = proxies
    with Nemesis() as nemesis:
        nemesis.inject(ProxyRestarted(cast(SiteProgram, used), write))


def test_a_proxy_that_nobody_uses_is_restarted(proxies: tuple[Program, Program, sql.Endpoint]) -> None:
    _, other, write = proxies
    with Nemesis() as nemesis, pytest.raises(Inconclusive, match="clients use another proxy"):
        nemesis.inject(ProxyRestarted(cast(SiteProgram, other), write))


class Refusing(Program):
    """Its host does not let it be killed."""

    def kill(self) -> None:
        raise HostRefused("not marked as breakable")


def test_a_restart_that_is_refused_leaves_no_session(proxies: tuple[Program, Program, sql.Endpoint]) -> None:
    """It is in a transaction, which keeps what VACUUM would remove."""
    used, _, write = proxies
    fault = ProxyRestarted(cast(SiteProgram, Refusing("haproxy", used.command, used.running)), write)
    with Nemesis() as nemesis, pytest.raises(HostRefused):
        nemesis.inject(fault)
    in_transaction = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    eventually(lambda: assert_none(sql.value(write, in_transaction)), within=5, subject="no session is left")


def assert_none(count: object) -> None:
    assert count == 0, f"{count} sessions are left"


@pytest.mark.parametrize("kind", ["killed", "frozen"])
@pytest.mark.parametrize("hit", ["the one that takes writes", "another one"])
def test_a_redis_is_out_when_the_one_that_takes_writes_is(tmp_path: Path, kind: str, hit: str) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis is not installed")
    ports = free_port(), free_port()
    programs = [Program("redis", ["redis-server", "--port", str(port), "--save", ""]) for port in ports]
    writes = RedisAddress(Address("127.0.0.1", ports[0]))
    with ExitStack() as ending:
        for one in programs:
            ending.callback(one.kill)
            one.start()
        for port in ports:
            client = redis.Redis(port=port)
            eventually(client.ping, within=10, subject="Redis answers", retry_on=(redis.ConnectionError,))
            client.close()
        struck = programs[0 if hit == "the one that takes writes" else 1]
        fault = (
            RedisKilled(cast(SiteProgram, struck), server=writes)
            if kind == "killed"
            else RedisFrozen(cast(SiteHost, cast(Any, struck)), server=writes)
        )
        nemesis = ending.enter_context(Nemesis(effect_within=3))
        if struck is programs[0]:
            nemesis.inject(fault)
        else:
            with pytest.raises(Inconclusive, match="another instance was hit"):
                nemesis.inject(fault)
