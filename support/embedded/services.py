"""What runs on each host: one program and its configuration file, readable by its owner only."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from support.embedded import dcs
from support.embedded.dcs import PEER_CERTIFICATE, PEER_KEY, SERVER_CERTIFICATE, SERVER_KEY
from support.embedded.plan import PATRONI_API, POSTGRES, REDIS, Plan, PlannedHost, Role
from support.embedded.programs import OWN_PATRONI
from support.embedded.shape import OWN, Timing
from support.files import write_private
from support.hosts import Host, Process
from support.target.topology import Login

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
DISTURBING = ("PATRONI", "PG", "ETCD", *_PROXIES, *(name.upper() for name in _PROXIES))
"""Environment variables with these prefixes would override the configuration files, or send etcd's peers to a proxy."""

BOOT: Timing = OWN.timing
"""The timing that every cluster boots with: Patroni sleeps for loop_wait between the steps of a boot."""
PATRONI_START = Path(__file__).with_name("patroni_start.py")
PAGE = "server.pem"
"""Both together, as HAProxy wants them."""
SOCKETS = "/dev/shm"
"""The directory of a member's local socket: each host has its own, and its name is short."""


@dataclass(frozen=True)
class Service:
    """The program of a role. `contents` makes its configuration file, `command` runs it with that file."""

    program: str
    file: str
    contents: Callable[[Plan, PlannedHost, Path], str]
    command: Callable[[Plan, str], Sequence[str]]


def declare(plan: Plan, planned: PlannedHost, host: Host) -> Process:
    """Write the host's configuration, and declare its program."""
    service = service_of(plan, planned.role)
    file = host.directory / service.file
    write_private(file, service.contents(plan, planned, host.directory))
    if authority := (plan.authority or plan.services) if planned.role == Role.MEMBER else plan.services:
        issued = authority.issue(plan.server_names(planned.name))
        write_private(host.directory / SERVER_KEY, issued.key)
        write_private(host.directory / SERVER_CERTIFICATE, issued.certificate)
        write_private(host.directory / PAGE, f"{issued.certificate}{issued.key}")
        if planned.role == Role.ETCD:
            to_peers = authority.issue(plan.server_names(planned.name))
            write_private(host.directory / PEER_KEY, to_peers.key)
            write_private(host.directory / PEER_CERTIFICATE, to_peers.certificate)
    command = service.command(plan, str(file))
    if planned.role == Role.MEMBER and plan.layout.workers:
        command = _with_passwords(plan.credentials.application, host.directory, command)
    return host.add(service.program, _undisturbed(command, os.environ))


def declare_lone_worker(
    host: Host, bindir: Path, superuser: Login, application: Login, settings: Mapping[str, str]
) -> Process:
    """A Citus worker without Patroni, with these settings of PostgreSQL; every login needs a password."""
    file = host.directory / POSTGRES_ALONE.file
    script = _TEMPLATES.get_template("postgres.sh.j2").render(
        bindir=bindir, directory=host.directory, superuser=superuser, host_access=OWN.host_access, settings=settings
    )
    write_private(file, script)
    command = _with_passwords(application, host.directory, ["sh", str(file)])
    return host.add(POSTGRES_ALONE.program, _undisturbed(command, os.environ))


def _with_passwords(login: Login, directory: Path, command: Sequence[str]) -> list[str]:
    """The command, with a password file with which the nodes log in to one another as the application.

    Source: https://www.postgresql.org/docs/16/libpq-pgpass.html
    """
    file = directory / "nodes.pgpass"
    write_private(file, f"*:*:*:{login.user}:{login.password}\n")
    return ["env", f"PGPASSFILE={file}", *command]


def _patroni(plan: Plan, host: PlannedHost, directory: Path) -> str:
    return _yaml(patroni_configuration(plan, host, directory))


def _postgres(plan: Plan, host: PlannedHost, directory: Path) -> str:
    return _TEMPLATES.get_template("postgres.sh.j2").render(
        bindir=plan.programs.pg_bindir,
        directory=directory,
        superuser=plan.credentials.administrator,
        host_access=plan.layout.shape.host_access,
        settings=_server_settings(plan, host),
    )


def _server_settings(plan: Plan, host: PlannedHost) -> Mapping[str, str]:
    """PostgreSQL's settings on a server without Patroni."""
    shape = plan.layout.shape
    libraries = (*(("citus",) if plan.layout.workers else ()), *plan.preloaded)
    given = {
        "listen_addresses": plan.addresses[host.name],
        "port": POSTGRES,
        "shared_preload_libraries": ",".join(libraries),
        **shape.parameters,
        **(shape.sharding if plan.layout.workers else {}),
        **(shape.worker_parameters if host.group else {}),
    }
    return {name: str(value) for name, value in given.items()}


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
        check=f"check-ssl verify required ca-file {plan.services.certificate}" if plan.services else "",
        page=f"ssl crt {directory / PAGE}" if plan.services else "",
    )


def _redis(plan: Plan, host: PlannedHost, directory: Path) -> str:
    address, cache = plan.address(host.name, REDIS), plan.layout.shape.cache
    assert cache is not None
    return _TEMPLATES.get_template("redis.conf.j2").render(
        host=address.host,
        port=address.port,
        password=plan.credentials.redis,
        directory=str(directory),
        cache=cache,
    )


def _pgbouncer(plan: Plan, host: PlannedHost, directory: Path) -> str:
    shape = plan.layout.shape
    assert shape.pooler is not None
    assert shape.proxy is not None
    write_private(
        directory / "users.txt", f'"{plan.credentials.application.user}" "{plan.credentials.application.password}"\n'
    )
    return _TEMPLATES.get_template("pgbouncer.ini.j2").render(
        address=plan.address(host.name, shape.pooler.port),
        behind=plan.address(shape.haproxy, shape.proxy.routes[0].port),
        database=shape.database,
        mode=shape.pooler.mode,
        users=directory / "users.txt",
    )


def _run_patroni(plan: Plan, file: str) -> Sequence[str]:
    """Another Patroni than the suite's own starts as its users start it."""
    if plan.programs.patroni != OWN_PATRONI:
        return [str(plan.programs.patroni), file]
    return [sys.executable, "-P", str(PATRONI_START), file]


PATRONI = Service("patroni", "patroni.yml", _patroni, _run_patroni)
POSTGRES_ALONE = Service("postgres", "postgres.sh", _postgres, lambda plan, file: ["sh", file])
OTHERS = {
    Role.ETCD: Service("etcd", "etcd.yml", dcs.etcd, dcs.run_etcd),
    Role.HAPROXY: Service(
        "haproxy", "haproxy.cfg", _haproxy, lambda plan, file: [str(plan.programs.haproxy), "-W", "-db", "-f", file]
    ),
    Role.REDIS: Service("redis", "redis.conf", _redis, lambda plan, file: [str(plan.programs.redis), file]),
    Role.POOLER: Service(
        "pgbouncer", "pgbouncer.ini", _pgbouncer, lambda plan, file: [str(plan.programs.pgbouncer), file]
    ),
}


ZOOKEEPER = Service("zookeeper", "zoo.cfg", dcs.zookeeper, dcs.run_zookeeper)


def service_of(plan: Plan, role: Role) -> Service:
    """What runs on the hosts of a role. The host's process has the name of the program."""
    if role is Role.ETCD and plan.layout.shape.dcs == "zookeeper":
        return ZOOKEEPER
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


def _undisturbed(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    disturbing = [f"--unset={name}" for name in environment if name.startswith(DISTURBING)]
    return ["env", *disturbing, *command] if disturbing else list(command)


def patroni_configuration(plan: Plan, host: PlannedHost, directory: Path) -> dict[str, Any]:
    """Patroni's whole configuration file of one member that lives in `directory`.

    Source: https://patroni.readthedocs.io/en/latest/patroni_configuration.html
    """
    shape = plan.layout.shape
    sharding = {"citus": {"database": shape.database, "group": host.group}} if plan.layout.workers else {}
    authentication = {"authentication": _login(plan.credentials.patroni_api)} if plan.credentials.patroni_api else {}
    return {
        **sharding,
        "scope": shape.scope,
        "name": host.name,
        "log": {"level": "INFO", "format": "%(asctime)s patroni %(levelname)s: %(message)s"},
        "restapi": {
            "listen": str(plan.address(host.name, PATRONI_API)),
            "connect_address": str(plan.advertised(host.name, PATRONI_API)),
            **authentication,
            **_tls_of_rest(plan, directory),
        },
        **_tls_among_members(plan),
        "namespace": shape.namespace,
        **dcs.section(plan, host, directory),
        "bootstrap": {"dcs": _shared(plan), "initdb": _initdb(plan)},
        "postgresql": _postgresql(plan, host, directory),
    }


def _tls_of_rest(plan: Plan, directory: Path) -> dict[str, str]:
    """Commands need a client's certificate; health checks do not."""
    if plan.services is None:
        return {}
    return {
        "certfile": str(directory / SERVER_CERTIFICATE),
        "keyfile": str(directory / SERVER_KEY),
        "cafile": str(plan.services.certificate),
        "verify_client": "optional",
    }


def _tls_among_members(plan: Plan) -> dict[str, dict[str, str]]:
    """How Patroni asks the other members, as patronictl would."""
    if plan.services is None:
        return {}
    web = plan.web
    return {"ctl": {"cacert": web.authority, "certfile": web.certificate, "keyfile": web.key}}


def _shared(plan: Plan) -> dict[str, Any]:
    """The dynamic configuration of all members, which PATCH /config can change while the cluster runs."""
    shape = plan.layout.shape
    return {
        **asdict(BOOT),
        "maximum_lag_on_failover": shape.maximum_lag,
        "synchronous_mode": shape.synchronous,
        **shape.dynamic,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            **shape.dynamic_postgresql,
            "parameters": _parameters(plan),
            "pg_hba": [_encrypted(line) if plan.authority else line for line in shape.host_access],
        },
    }


def _encrypted(line: str) -> str:
    """A line of pg_hba.conf that accepts only logins with TLS.

    Source: https://www.postgresql.org/docs/16/auth-pg-hba-conf.html
    """
    return f"hostssl {line.removeprefix('host ')}" if line.startswith("host ") else line


def _parameters(plan: Plan) -> Mapping[str, Any]:
    """PostgreSQL's parameters, the same on every member."""
    shape = plan.layout.shape
    # Patroni puts citus before the libraries named here.
    libraries = {"shared_preload_libraries": ", ".join(plan.preloaded)} if plan.preloaded else {}
    sharding = dict(shape.sharding) if plan.layout.workers else {}
    if plan.layout.workers and plan.authority:
        sharding["citus.node_conninfo"] = " ".join(f"{name}={value}" for name, value in plan.verified_tls.items())
    return {**shape.parameters, **libraries, **sharding}


def _initdb(plan: Plan) -> list[str | dict[str, str]]:
    local = "trust" if plan.layout.shape.local_access else "scram-sha-256"
    return [
        "data-checksums",
        "no-sync",  # a cluster that is only being made is of no use after a crash of the machine
        {"encoding": "UTF8"},
        {"locale": "C.UTF-8"},
        {"auth-local": local},
        {"auth-host": "scram-sha-256"},
    ]


def _postgresql(plan: Plan, host: PlannedHost, directory: Path) -> dict[str, Any]:
    logins, shape = plan.credentials, plan.layout.shape
    # Under a Patroni that has just started, Citus looks for its own node at localhost.
    own = ",127.0.0.1" if plan.layout.workers and not plan.one_network else ""
    rewind = {"rewind": {**_login(logins.rewind), **plan.verified_tls}} if logins.rewind else {}
    return {
        "listen": str(plan.address(host.name, POSTGRES)).replace(":", f"{own}:"),
        "connect_address": str(plan.advertised(host.name, POSTGRES)),
        "data_dir": str(directory / "data"),
        "bin_dir": str(plan.programs.pg_bindir),
        "pgpass": str(directory / "pgpass"),
        "authentication": {
            # Patroni logs in to its own server, and must be able to when that has lost TLS.
            "superuser": _login(logins.administrator),
            "replication": {**_login(logins.replication), **plan.verified_tls},
            **rewind,
        },
        "basebackup": [{"checkpoint": "fast"}],  # else a replica waits minutes for the leader's next checkpoint
        "parameters": {"unix_socket_directories": SOCKETS if shape.local_access else "", **_tls(plan, directory)},
    }


def _tls(plan: Plan, directory: Path) -> dict[str, str]:
    """PostgreSQL's parameters for TLS on the member that lives in `directory`."""
    if plan.authority is None:
        return {}
    return {
        "ssl": "on",
        "ssl_cert_file": str(directory / SERVER_CERTIFICATE),
        "ssl_key_file": str(directory / SERVER_KEY),
    }


def _login(login: Login) -> dict[str, str]:
    return {"username": login.user, "password": login.password}
