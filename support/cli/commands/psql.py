"""`accept psql`."""

from typing import Annotated

import typer

from support.cli import completion
from support.cli.options import ClusterName


def command(
    context: typer.Context,
    endpoint: Annotated[
        str,
        typer.Argument(
            help="write, read, or a member.",
            autocompletion=completion.ENDPOINT,
        ),
    ] = "write",
    name: ClusterName = None,
) -> None:
    """Log in to a running cluster with psql, as the application. Further options are passed to psql.

    `./accept psql -c 'select 1'` runs one statement through the write endpoint, `./accept psql pg2 -c 'select 1'` on a
    member.
    """
    from support.cli import clusters
    from support.cli.entering import psql

    arguments = context.args
    if endpoint.startswith("-"):  # it is an option of psql's
        endpoint, arguments = "write", [endpoint, *arguments]
    psql(clusters.find(name), endpoint, arguments)
