"""The commands that look into a running cluster: `accept status`, `psql`, `shell` and `logs`; main.py adds them."""

from typing import Annotated

import typer

from support.cli import typed
from support.cli.options import ClusterName, Host


def status(name: ClusterName = None) -> None:
    """Show members, roles, lag, memory and endpoints of a running cluster."""
    from support.cli import clusters, status

    cluster = clusters.find(name)
    clusters.continue_inside(cluster, ["status", "--name", cluster.name])
    status.show(cluster)
    status.show_connections(cluster)


def psql(
    context: typer.Context,
    endpoint: Annotated[
        str,
        typer.Argument(
            help="write, read, or a member.",
            autocompletion=typed.ENDPOINT,
        ),
    ] = "write",
    name: ClusterName = None,
) -> None:
    """Log in to a running cluster with psql, as the application. Further options are passed to psql.

    `./accept psql -c 'select 1'` runs one statement through the write endpoint, `./accept psql pg2 -c 'select 1'` on a
    member.
    """
    from support.cli import clusters, shell

    arguments = context.args
    if endpoint.startswith("-"):  # it is an option of psql's
        endpoint, arguments = "write", [endpoint, *arguments]
    shell.psql(clusters.find(name), endpoint, arguments)


def shell(
    host: Host,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="Run this command instead of a shell.")
    ] = None,
    name: ClusterName = None,
) -> None:
    """Open a shell on a host of a running cluster, or run a command there: `./accept shell pg1 -- hostname`."""
    from support.cli import clusters, shell

    shell.shell(clusters.find(name), host, command or ())


def logs(
    host: Host,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines to print, from the end.")] = 200,
    name: ClusterName = None,
) -> None:
    """Print the logs of a host of a running cluster."""
    from support.cli import clusters, shell

    shell.logs(clusters.find(name), host, lines, follow)
