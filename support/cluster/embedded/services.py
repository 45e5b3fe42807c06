"""What runs on the hosts: each one's configuration file, readable by its owner alone, and its one program."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from support.cluster.embedded import patroni_file
from support.cluster.embedded.layout import PlannedHost, Role
from support.cluster.embedded.plan import (
    ETCD_CLIENTS,
    ETCD_PEERS,
    PATRONI_API,
    POSTGRES,
    READ,
    REDIS,
    STATISTICS,
    WRITE,
    Plan,
)
from support.hosts import Host, Process

DISTURBING = ("PATRONI", "PG", "ETCD")
"""Environment variables that begin so would have their say beside the configuration files."""


@dataclass(frozen=True)
class Service:
    """The program of a role. `contents` are those of its configuration file, `command` runs it with that file."""

    program: str
    file: str
    contents: Callable[[Plan, PlannedHost, Path], str]
    command: Callable[[Plan, str], Sequence[str]]


def declare(plan: Plan, planned: PlannedHost, host: Host) -> Process:
    """Write the host's configuration, and declare its program."""
    service = SERVICES[planned.role]
    file = host.directory / service.file
    _write(file, service.contents(plan, planned, host.directory))
    command = service.command(plan, str(file))
    if planned.role == Role.MEMBER and plan.layout.workers:
        command = ["env", f"PGPASSFILE={_passwords(plan, host.directory)}", *command]
    return host.add(service.program, _undisturbed(command, os.environ))


def _passwords(plan: Plan, directory: Path) -> Path:
    """By this file the nodes log in to one another as the application.

    Source: https://www.postgresql.org/docs/16/libpq-pgpass.html
    """
    file, login = directory / "nodes.pgpass", plan.credentials.application
    _write(file, f"*:*:*:{login.user}:{login.password}\n")
    return file


def _patroni(plan: Plan, host: PlannedHost, directory: Path) -> str:
    return _yaml(patroni_file.configuration(plan, host, directory))


def _etcd(plan: Plan, host: PlannedHost, directory: Path) -> str:
    peers = {one.name: f"http://{plan.address(one.name, ETCD_PEERS)}" for one in plan.layout.hosts(Role.ETCD)}
    clients = f"http://{plan.address(host.name, ETCD_CLIENTS)}"
    return _yaml(
        {
            "name": host.name,
            "data-dir": str(directory / "data"),
            "listen-peer-urls": peers[host.name],
            "initial-advertise-peer-urls": peers[host.name],
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "initial-cluster": ",".join(f"{name}={url}" for name, url in peers.items()),
            "initial-cluster-token": plan.layout.scope,
            "enable-grpc-gateway": True,  # by which Patroni speaks; off by default only where there is a file
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": "10m",
            "logger": "zap",
            "log-level": "warn",
        }
    )


def _haproxy(plan: Plan, host: PlannedHost, directory: Path) -> str:
    members = plan.layout.members_of(0)
    return _TEMPLATES.get_template("haproxy.cfg.j2").render(
        write=plan.address(host.name, WRITE),
        read=plan.address(host.name, READ),
        statistics=plan.address(host.name, STATISTICS),
        login=plan.credentials.statistics,
        members=[(member.name, plan.address(member.name, POSTGRES)) for member in members],
        patroni_api=PATRONI_API,
        maximum_lag=patroni_file.MAXIMUM_LAG,
    )


def _redis(plan: Plan, host: PlannedHost, directory: Path) -> str:
    address = plan.address(host.name, REDIS)
    return _TEMPLATES.get_template("redis.conf.j2").render(
        host=address.host, port=address.port, password=plan.credentials.redis, directory=str(directory)
    )


SERVICES = {
    Role.MEMBER: Service("patroni", "patroni.yml", _patroni, lambda plan, file: [str(plan.programs.patroni), file]),
    Role.ETCD: Service("etcd", "etcd.yml", _etcd, lambda plan, file: [str(plan.programs.etcd), "--config-file", file]),
    Role.HAPROXY: Service(
        "haproxy", "haproxy.cfg", _haproxy, lambda plan, file: [str(plan.programs.haproxy), "-db", "-f", file]
    ),
    Role.REDIS: Service("redis", "redis.conf", _redis, lambda plan, file: [str(plan.programs.redis), file]),
}
"""What runs on a host, by its role. The program's name is that of the host's process."""

_TEMPLATES = Environment(
    loader=PackageLoader("support.cluster.embedded"),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,
)


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False)


def _write(file: Path, contents: str) -> None:
    file.touch(mode=0o600)
    file.write_text(contents, encoding="utf-8")


def _undisturbed(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    disturbing = [f"--unset={name}" for name in environment if name.startswith(DISTURBING)]
    return ["env", *disturbing, *command] if disturbing else list(command)
