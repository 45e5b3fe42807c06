"""How a cluster that is up is reached: from this machine, and from inside its stand."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from support.cli.clusters import Kept
from support.cli.console import out
from support.cluster.cluster import Cluster
from support.errors import UsageError
from support.hosts import Host, reentry_argv
from support.sql import Endpoint


def show(cluster: Kept) -> None:
    """The ways into a cluster from this machine, ready to be copied."""
    for what, how in _ways(cluster):
        out.print(f"{what:<16}{how}", markup=False)


def _ways(cluster: Kept) -> Iterator[tuple[str, str]]:
    topology, published = cluster.topology, cluster.stand.published
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
    """Go on inside the cluster's stand, as the same program with these arguments; nothing to do when there already."""
    program = [sys.executable, "-P", "-m", "support.cli", *arguments]
    argv = reentry_argv(cluster.stand_directory, program)
    if argv != program:
        os.execvp(argv[0], argv)


def inside(cluster: Kept, argv: Sequence[str]) -> list[str]:
    """The command that runs a command inside the cluster's stand, in the folder where the user stands."""
    return reentry_argv(cluster.stand_directory, argv)


def host(cluster: Kept, name: str) -> Host:
    """A host by its name. Raises UsageError that lists the hosts there are."""
    hosts = cluster.stand.hosts
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
    if name in seen.members:
        return seen.of_member(name)
    raise UsageError(f"there is no endpoint {name!r}; there are write, read, {', '.join(seen.members)}")


def replace_by(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> NoReturn:
    """Become another program, with further environment variables: what is secret does not show in its arguments."""
    out.file.flush()
    os.execvpe(argv[0], list(argv), {**os.environ, **(environment or {})})
