"""How a cluster that is up is reached: from this machine, and from inside its sandbox."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from support.cli import targets
from support.cli.clusters import Kept
from support.cli.console import out
from support.errors import UsageError
from support.hosts import Host, reentry_argv
from support.sql import Endpoint
from support.target.cluster import Cluster


def show(cluster: Kept) -> None:
    """The ways into a cluster from this machine, ready to be copied."""
    if cluster.target.exists():
        for name, value in targets.of_file(cluster.target).items():
            out.print(f"export {name.upper()}={shlex.quote(str(value))}", markup=False, highlight=False, soft_wrap=True)
        out.print(f"# the same as a file: --target {cluster.target}", markup=False, highlight=False, soft_wrap=True)
    ways = _ways_inside(cluster) if cluster.target.exists() else _ways(cluster)
    sign = "# " if cluster.target.exists() else ""
    for what, how in ways:
        out.print(f"{sign}{what:<16}{how}", markup=False)


def _ways_inside(cluster: Kept) -> Iterator[tuple[str, str]]:
    """What the suite's program can do with a cluster that is met from outside; its users have no such ways."""
    topology = cluster.topology
    endpoints = "|".join(["write", *(member.name for member in topology.members)])
    yield "psql", f"./accept psql [{endpoints}] --name {cluster.name}"
    if login := topology.administrator:
        yield "superuser", f"{login.user}, password {login.password}"
    yield "a host", f"./accept shell {topology.members[0].name} --name {cluster.name}"
    yield "scenarios", f"./accept run --target {cluster.name}"
    yield "to end it", f"./accept down {cluster.name}"


def _ways(cluster: Kept) -> Iterator[tuple[str, str]]:
    topology, published = cluster.topology, cluster.sandbox.published
    login = topology.application
    for name in ("write", "read"):
        host, port = published[name]
        psql = f"psql -h {host} -p {port} -U {login.user} {topology.database}"
        yield f"{name} endpoint", f"PGPASSWORD={login.password} {psql}"
    if topology.redis is not None:
        host, port = published["redis"]
        yield "cache", f"REDISCLI_AUTH={topology.redis.password} redis-cli -h {host} -p {port}"
    if topology.statistics is not None and (page := topology.statistics.login) is not None:
        host, port = published["statistics"]
        yield "statistics", f"http://{host}:{port}/ (user {page.user}, password {page.password})"
    endpoints = "|".join(["write", "read", *(member.name for member in topology.members)])
    yield "or simply", f"./accept psql [{endpoints}] --name {cluster.name}"
    yield "scenarios", f"./accept run --target {cluster.name}"
    yield "to end it", f"./accept down {cluster.name}"


def go_inside(cluster: Kept, arguments: Sequence[str]) -> None:
    """Continue inside the cluster's sandbox, as the same program with these arguments. No-op if already inside."""
    program = [sys.executable, "-P", "-m", "support.cli", *arguments]
    argv = reentry_argv(cluster.sandbox_directory, program)
    if argv != program:
        os.execvp(argv[0], argv)


def inside(cluster: Kept, argv: Sequence[str]) -> list[str]:
    """The command that runs a command inside the cluster's sandbox, in the folder where the user stands."""
    return reentry_argv(cluster.sandbox_directory, argv)


def host(cluster: Kept, name: str) -> Host:
    """A host by its name. Raises UsageError that lists the hosts there are."""
    hosts = cluster.sandbox.hosts
    if name not in hosts:
        raise UsageError(f"there is no host {name!r}; the hosts of {cluster.name} are {', '.join(hosts)}")
    return hosts[name]


def endpoint(cluster: Kept, name: str) -> Endpoint:
    """Where `psql` logs in: "write", "read", or a member. Raises UsageError for any other name."""
    seen = Cluster(cluster.topology)
    if name == "write":
        return seen.write
    if name == "read":
        return seen.read
    if name in seen.everyone:
        return seen.of_member(name)
    raise UsageError(f"there is no endpoint {name!r}; there are write, read, {', '.join(seen.everyone)}")


def replace_by(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> NoReturn:
    """Become another program, with further environment variables: what is secret does not show in its arguments."""
    out.file.flush()
    os.execvpe(argv[0], list(argv), {**os.environ, **(environment or {})})
