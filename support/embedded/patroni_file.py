"""Patroni's configuration file of a member.

Source: https://patroni.readthedocs.io/en/latest/patroni_configuration.html
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from support.embedded.layout import PlannedHost, Role
from support.embedded.plan import ETCD_CLIENTS, PATRONI_API, POSTGRES, Plan
from support.embedded.shape import Timing
from support.embedded.shapes import OWN
from support.target.topology import Login

BOOT: Timing = OWN.timing
"""The clock by which every cluster boots: Patroni sleeps for loop_wait between the steps of that."""
SOCKETS = "/dev/shm"
"""Where a member's local socket is: a directory of its host's own, with a short name."""


def configuration(plan: Plan, host: PlannedHost, directory: Path) -> dict[str, Any]:
    """The whole file of one member that lives in `directory`."""
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
        },
        "etcd3": {"hosts": [str(plan.advertised(one.name, ETCD_CLIENTS)) for one in plan.layout.hosts(Role.ETCD)]},
        "bootstrap": {"dcs": _shared(plan), "initdb": _initdb(plan)},
        "postgresql": _postgresql(plan, host, directory),
    }


def _shared(plan: Plan) -> dict[str, Any]:
    """What holds for every member, and can be changed while the cluster runs (PATCH /config)."""
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
            "parameters": parameters(plan),
            "pg_hba": list(shape.host_access),
        },
    }


def parameters(plan: Plan) -> Mapping[str, Any]:
    """PostgreSQL's, the same on every member."""
    shape = plan.layout.shape
    # Patroni puts citus before the libraries that are named here.
    libraries = {"shared_preload_libraries": ", ".join(plan.preloaded)} if plan.preloaded else {}
    return {**shape.parameters, **libraries, **(shape.sharding if plan.layout.workers else {})}


def _initdb(plan: Plan) -> list[str | dict[str, str]]:
    local = "trust" if plan.layout.shape.local_access else "scram-sha-256"
    return [
        "data-checksums",
        {"encoding": "UTF8"},
        {"locale": "C.UTF-8"},
        {"auth-local": local},
        {"auth-host": "scram-sha-256"},
    ]


def _postgresql(plan: Plan, host: PlannedHost, directory: Path) -> dict[str, Any]:
    logins, shape = plan.credentials, plan.layout.shape
    # A Patroni that has just started has Citus look for its own node at localhost.
    own = ",127.0.0.1" if plan.layout.workers and not plan.one_network else ""
    rewind = {"rewind": _login(logins.rewind)} if logins.rewind else {}
    return {
        "listen": str(plan.address(host.name, POSTGRES)).replace(":", f"{own}:"),
        "connect_address": str(plan.advertised(host.name, POSTGRES)),
        "data_dir": str(directory / "data"),
        "bin_dir": str(plan.programs.pg_bindir),
        "pgpass": str(directory / "pgpass"),
        "authentication": {
            "superuser": _login(logins.administrator),
            "replication": _login(logins.replication),
            **rewind,
        },
        "basebackup": [{"checkpoint": "fast"}],  # else a replica waits minutes for the leader's next checkpoint
        "parameters": {"unix_socket_directories": SOCKETS if shape.local_access else ""},
    }


def _login(login: Login) -> dict[str, str]:
    return {"username": login.user, "password": login.password}
