"""What runs on the hosts: each one's configuration file, readable by its owner alone, and its one program."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from support.embedded import patroni_file, plain
from support.embedded.layout import PlannedHost, Role
from support.embedded.plan import ETCD_CLIENTS, ETCD_PEERS, PATRONI_API, POSTGRES, REDIS, Plan
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
    service = service_of(plan, planned.role)
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


def _postgres(plan: Plan, host: PlannedHost, directory: Path) -> str:
    return _TEMPLATES.get_template("postgres.sh.j2").render(
        bindir=plan.programs.pg_bindir,
        directory=directory,
        superuser=plan.credentials.administrator,
        host_access=plan.layout.shape.host_access,
        settings=plain.settings(plan, host),
    )


def _etcd(plan: Plan, host: PlannedHost, directory: Path) -> str:
    nodes = [one.name for one in plan.layout.hosts(Role.ETCD)]
    peers = {name: f"http://{plan.advertised(name, ETCD_PEERS)}" for name in nodes}
    return _yaml(
        {
            "name": host.name,
            "data-dir": str(directory / "data"),
            "listen-peer-urls": f"http://{plan.address(host.name, ETCD_PEERS)}",
            "initial-advertise-peer-urls": peers[host.name],
            "listen-client-urls": f"http://{plan.address(host.name, ETCD_CLIENTS)}",
            "advertise-client-urls": f"http://{plan.advertised(host.name, ETCD_CLIENTS)}",
            "initial-cluster": ",".join(f"{name}={url}" for name, url in peers.items()),
            "initial-cluster-token": plan.layout.shape.scope,
            "enable-grpc-gateway": True,  # by which Patroni speaks; off by default only where there is a file
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": "10m",
            "logger": "zap",
            "log-level": "warn",
        }
    )


def _haproxy(plan: Plan, host: PlannedHost, directory: Path) -> str:
    proxy = plan.layout.shape.proxy
    assert proxy is not None
    return _TEMPLATES.get_template(proxy.template).render(
        routes=[(route, plan.address(host.name, route.port)) for route in proxy.routes],
        statistics=plan.address(host.name, proxy.statistics),
        login=plan.credentials.statistics,
        members=[(one.name, plan.advertised(one.name, POSTGRES)) for one in plan.layout.members_of(0)],
        patroni_api=PATRONI_API,
        maximum_lag=plan.layout.shape.maximum_lag,
    )


def _redis(plan: Plan, host: PlannedHost, directory: Path) -> str:
    address = plan.address(host.name, REDIS)
    return _TEMPLATES.get_template("redis.conf.j2").render(
        host=address.host,
        port=address.port,
        password=plan.credentials.redis,
        directory=str(directory),
        cache=plan.layout.shape.cache,
    )


def _pgbouncer(plan: Plan, host: PlannedHost, directory: Path) -> str:
    shape = plan.layout.shape
    assert shape.pooler is not None
    assert shape.proxy is not None
    _write(
        directory / "users.txt", f'"{plan.credentials.application.user}" "{plan.credentials.application.password}"\n'
    )
    return _TEMPLATES.get_template("pgbouncer.ini.j2").render(
        address=plan.address(host.name, shape.pooler.port),
        behind=plan.address("haproxy", shape.proxy.routes[0].port),
        database=shape.database,
        mode=shape.pooler.mode,
        users=directory / "users.txt",
    )


PATRONI = Service("patroni", "patroni.yml", _patroni, lambda plan, file: [str(plan.programs.patroni), file])
POSTGRES_ALONE = Service("postgres", "postgres.sh", _postgres, lambda plan, file: ["sh", file])
OTHERS = {
    Role.ETCD: Service("etcd", "etcd.yml", _etcd, lambda plan, file: [str(plan.programs.etcd), "--config-file", file]),
    Role.HAPROXY: Service(
        "haproxy", "haproxy.cfg", _haproxy, lambda plan, file: [str(plan.programs.haproxy), "-db", "-f", file]
    ),
    Role.REDIS: Service("redis", "redis.conf", _redis, lambda plan, file: [str(plan.programs.redis), file]),
    Role.POOLER: Service(
        "pgbouncer", "pgbouncer.ini", _pgbouncer, lambda plan, file: [str(plan.programs.pgbouncer), file]
    ),
}


def service_of(plan: Plan, role: Role) -> Service:
    """What runs on the hosts of a role. The program's name is that of the host's process."""
    if role is Role.MEMBER:
        return PATRONI if plan.layout.shape.patroni else POSTGRES_ALONE
    return OTHERS[role]


_TEMPLATES = Environment(
    loader=PackageLoader("support.embedded"),
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
