"""`accept init`."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="ADDRESS",
            help="Where your application finds the database: host, host:port or postgresql://user:password@host/db.",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the target file here instead of printing it; the file must not exist."
        ),
    ] = None,
    database: Annotated[str | None, typer.Option(help="The database, if it is not in ADDRESS.")] = None,
    user: Annotated[
        str | None, typer.Option(help="The application's role. Its password: RUVECTOR_PASSWORD, or you are asked.")
    ] = None,
    read: Annotated[
        int | None, typer.Option(metavar="PORT", help="HAProxy's port for reads, if it is not a usual one.")
    ] = None,
    statistics: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="HAProxy's statistics page, if it is not at a usual port. Its login: HAPROXY_STATS_*."
        ),
    ] = None,
    patroni: Annotated[
        str | None,
        typer.Option(metavar="HOST[:PORT],...", help="Patroni's REST APIs, if they are not on the database's hosts."),
    ] = None,
    etcd: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT],...", help="etcd, if it is not on the members' hosts.")
    ] = None,
    redis: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="The cache; a Redis that is not named is left alone.")
    ] = None,
    hosts: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="How the suite gets access to the hosts, to break them: ssh://root@ADDRESS, docker://NAME, or a "
            "command "
            "with {} in it. ADDRESS and NAME stand for those of each host.",
        ),
    ] = None,
) -> None:
    """Write a target file for your cluster by inspecting it: members, etcd, proxy, nodes, and what they lack.

    Nothing is changed there. At a terminal, you are asked for what cannot be guessed; otherwise it is taken from the
    options and from the environment variables in docs/your-cluster.md."""
    from support.cli import targets
    from support.cli.init import given_settings, init, pattern_of

    said = {
        "ruvector_db": database,
        "ruvector_user": user,
        "haproxy_replica_port": read,
        "haproxy_stats_url": statistics,
        "patroni_hosts": patroni,
        "etcd_hosts": etcd,
        **(targets.redis_of_place(redis) if redis else {}),
    }
    given = {name: value for name, value in said.items() if value is not None}
    raise typer.Exit(init(given_settings(address, given), pattern_of(hosts), write))
