"""A real Patroni of one member with its etcd, for tests that send it commands; gone at the end."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from booting import boots
from conftest import free_port
from etcd_servers import ensemble
from servers import BINDIR, PASSWORD, as_postgres

from support.target.cluster import Cluster
from support.target.patroni import PatroniApi
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually

SCOPE, MEMBER = "staging", "pg1"


@boots
@contextmanager
def real_patroni(directory: Path, bindir: Path = BINDIR, citus: str = "", **dynamic: object) -> Iterator[Cluster]:
    """The cluster, which leads. Its superuser is also the application.

    `citus` is the database in which Patroni manages Citus, which `bindir` must have. `dynamic` is further configuration
    that all members would share.
    """
    postgres, rest = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
    file = directory / "patroni.yml"
    with ensemble(directory, 1) as etcd:
        login = {"username": "postgres", "password": PASSWORD}
        parameters = {"unix_socket_directories": str(directory), "fsync": "off"}
        local = ["local all all trust", "host all all 127.0.0.1/32 scram-sha-256"]
        replication = ["local replication all trust", "host replication all 127.0.0.1/32 scram-sha-256"]
        configuration = {
            "scope": SCOPE,
            "name": MEMBER,
            "restapi": {"listen": str(rest), "connect_address": str(rest)},
            "etcd3": {"hosts": [str(etcd.clients[0])]},
            "bootstrap": {"dcs": {"ttl": 20, "loop_wait": 1, "retry_timeout": 5, "synchronous_mode": True, **dynamic}},
            "postgresql": {
                "listen": str(postgres),
                "connect_address": str(postgres),
                "data_dir": str(directory / "data"),
                "bin_dir": str(bindir),
                "pg_hba": [*local, *replication],
                "parameters": parameters,
                "authentication": {"superuser": login, "replication": {"username": "replicator", "password": PASSWORD}},
            },
        }
        if citus:
            configuration["citus"] = {"group": 0, "database": citus}
        file.write_text(json.dumps(configuration))  # which is YAML, too
        mortal = ["setpriv", "--pdeathsig", "KILL", "--"]
        command = as_postgres(*mortal, sys.executable, "-m", "patroni", file)
        with (directory / "patroni.log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            eventually(lambda: _require_leading(rest), within=60, subject="Patroni leads", retry_on=(OSError,))
            member = MemberAddress(MEMBER, postgres, rest)
            superuser = Login("postgres", PASSWORD)
            yield Cluster(Topology(citus or "postgres", superuser, postgres, members=(member,), scope=SCOPE))
        finally:
            server.terminate()  # it stops its PostgreSQL first
            server.wait(30)


def _require_leading(rest: Address) -> None:
    if PatroniApi(rest).status_code("/primary") != requests.codes.ok:
        raise NotYet("it does not")
