"""A further Citus worker for a cluster that runs: one PostgreSQL without Patroni, on a host of its own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from support import sql
from support.embedded.certificates import Authority
from support.embedded.database import MAINTENANCE, make_role_and_database
from support.embedded.dcs import SERVER_CERTIFICATE, SERVER_KEY
from support.embedded.plan import FIRST_ETCD, POSTGRES
from support.embedded.services import declare_lone_worker
from support.errors import ConnectFailed
from support.files import write_private
from support.hosts import LOOPBACK, Host
from support.target.cluster import Cluster
from support.target.topology import Address
from support.timeouts import START
from support.waiting import NotYet, describe, eventually

NAME, NUMBER = "newworker", FIRST_ETCD - 1
"""Its host. No layout uses this number, nor does an annex: those begin at FIRST_ANNEX."""
_BINDIR = "SELECT setting FROM pg_config WHERE name = 'BINDIR'"
# Those of Patroni's workers, but what says who and where the server is, and what it replicates from and to.
_SETTINGS = """
    SELECT name, current_setting(name) FROM pg_settings
     WHERE source IN ('command line', 'configuration file') AND context <> 'internal'
       AND name !~ '^(listen_addresses|port|cluster_name|external_pid_file|data_directory.*|.*_file|lc_.*|.*timezone)$'
       AND name !~ '^(unix_socket_|primary_|recovery_|restore_command|archive_|synchronous_standby_)'
"""
_LOGS_IN_AS = "INSERT INTO pg_dist_authinfo VALUES (0, current_user, %s)"


@contextmanager
def extra_worker(cluster: Cluster) -> Iterator[Address]:
    """A server that can join as a worker, with the settings of worker group 1; its host is gone afterwards.

    It has the roles, the database and the extension Citus, and no tables. Raises NotInTime if it does not start.
    """
    host = cluster.sandbox.add_host(NAME, NUMBER)
    try:
        _start(cluster, host)
        yield Address(host.address, POSTGRES)
    finally:
        cluster.sandbox.remove_host(host.name)
        shutil.rmtree(host.directory / "data", ignore_errors=True)


def _start(cluster: Cluster, host: Host) -> None:
    topology = cluster.topology
    group = cluster.of_group(1)
    model = group.administration_of(group.leader())
    assert topology.administrator is not None
    # Under a server that has just started, Citus looks for its own node at localhost.
    own = "" if cluster.sandbox.kind == LOOPBACK else ",127.0.0.1"
    settings = dict(sql.rows(model, _SETTINGS)) | {
        "listen_addresses": f"{host.address}{own}",
        "port": str(POSTGRES),
        "synchronous_standby_names": "",
    }
    if settings.get("ssl") == "on":
        settings |= _certificate(host)
    declare_lone_worker(
        host, Path(sql.value(model, _BINDIR)), topology.administrator, topology.application, settings
    ).start()
    there = replace(model, name="the new worker", host=host.address, port=POSTGRES)
    maintenance = replace(there, database=MAINTENANCE)
    eventually(partial(_require_login, maintenance), within=START, subject="the new worker accepts logins")
    make_role_and_database(maintenance, topology.application, topology.database)
    sql.execute(there, "CREATE EXTENSION citus")
    sql.execute(there, _LOGS_IN_AS, [f"password={topology.administrator.password}"])


def _certificate(host: Host) -> dict[str, str]:
    """Settings with a certificate of its own, by the authority that signs those of the cluster's members."""
    issued = Authority(host.sandbox).issue([host.address])
    files = {"ssl_cert_file": host.directory / SERVER_CERTIFICATE, "ssl_key_file": host.directory / SERVER_KEY}
    for file, text in zip(files.values(), (issued.certificate, issued.key), strict=True):
        write_private(file, text)
    return {name: str(file) for name, file in files.items()}


def _require_login(where: sql.Endpoint) -> None:
    try:
        sql.value(where, "SELECT 1")
    except ConnectFailed as error:
        raise NotYet(describe(error)) from None
