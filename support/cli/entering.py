"""`accept psql`, `accept shell` and `accept logs`: go into a cluster that is up. Each replaces this process."""

import os
from collections.abc import Mapping, Sequence
from typing import NoReturn

from support import sql
from support.cli.clusters import KeptCluster
from support.cli.console import out
from support.errors import UsageError
from support.hosts import Host, reentry_argv
from support.target.cluster import Cluster


def psql(cluster: KeptCluster, endpoint: str, arguments: Sequence[str]) -> NoReturn:
    """Become psql, logged in as the application. `endpoint` is "write", "read" or a member; else UsageError."""
    login = sql.login_variables(_endpoint(cluster, endpoint), "accept psql")
    _become(reentry_argv(cluster.sandbox_directory, [str(cluster.psql), *arguments]), login)


def shell(cluster: KeptCluster, host: str, command: Sequence[str] = ()) -> NoReturn:
    """Become a shell on a host, or a command. Raises UsageError if there is no such host."""
    if command:
        _become(_host(cluster, host).argv(command))
    # Ctrl-C is for the command in the shell. The process that waits for the shell must ignore it, or it would end at
    # once and leave the shell behind.
    inside = _host(cluster, host).argv(["env", "--default-signal=INT", "bash", "--norc", "-i"])
    _become(["env", "--ignore-signal=INT", *inside])


def logs(cluster: KeptCluster, host: str, lines: int, follow: bool) -> NoReturn:
    """Become `tail`, on the logs of a host's processes. Raises UsageError if there is no such host."""
    processes = _host(cluster, host).processes.values()
    files = [str(process.log) for process in processes if process.log.exists()]
    _become(["tail", f"--lines={lines}", *(["-F"] if follow else []), *files])


def _host(cluster: KeptCluster, name: str) -> Host:
    hosts = cluster.sandbox.hosts
    if name not in hosts:
        raise UsageError(f"there is no host {name!r}; the hosts of {cluster.name} are {', '.join(hosts)}")
    return hosts[name]


def _endpoint(cluster: KeptCluster, name: str) -> sql.Endpoint:
    seen = Cluster(cluster.topology)
    if name == "write":
        return seen.write
    if name == "read":
        return seen.read
    if name in seen.everyone:
        return seen.of_member(name)
    raise UsageError(f"there is no endpoint {name!r}; there are write, read, {', '.join(seen.everyone)}")


def _become(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> NoReturn:
    """Replace this process. Secrets go into the environment, so that they do not show in the arguments."""
    out.file.flush()
    os.execvpe(argv[0], list(argv), {**os.environ, **(environment or {})})
