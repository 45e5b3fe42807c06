"""A throw-away PgBouncer for the tests, in front of a throw-away PostgreSQL."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from booting import boots
from servers import as_postgres

from support import sql
from support.waiting import eventually


@boots
@contextmanager
def pgbouncer(
    directory: Path,
    port: int,
    server: sql.Endpoint,
    mode: str = "transaction",
    serves: str = "*",
    secret: str = "",
    **further: object,
) -> Iterator[sql.Endpoint]:
    """A PgBouncer with one server connection for each database; clients log in as the server's endpoint does.

    It serves all databases, or that one. It knows that role's password, or only its secret.
    """
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("pgbouncer is not installed (apt install pgbouncer)")
    users, file = directory / "userlist.txt", directory / "pgbouncer.ini"
    users.write_text(f'"{server.user}" "{secret or server.password}"\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": users,
        "pool_mode": mode,
        "default_pool_size": 1,
        "admin_users": server.user,
        "logfile": directory / "pgbouncer.log",
        **further,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    databases = ["[databases]", f"{serves} = host={server.host} port={server.port}"]
    file.write_text("\n".join([*databases, "[pgbouncer]", *lines, ""]))
    command = as_postgres("setpriv", "--pdeathsig", "KILL", "--", program, "--quiet", file)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    through = replace(server, name="a throw-away PgBouncer", port=port)
    try:
        eventually(lambda: rows(through, "SELECT 1"), within=20, subject="PgBouncer answers", retry_on=(Exception,))
        yield through
    finally:
        process.kill()
        process.wait(10)


def parameters(where: sql.Endpoint) -> dict[str, Any]:
    """Those with which psycopg2 logs in there."""
    return {
        "host": where.host,
        "port": where.port,
        "dbname": where.database,
        "user": where.user,
        "password": where.password,
    }


def rows(where: sql.Endpoint, *statements: str) -> list[sql.Row]:
    """What the last statement returns to a client that sets nothing, in a session of its own."""
    opened = psycopg2.connect(**parameters(where))
    try:
        opened.autocommit = True
        with opened.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        opened.close()
