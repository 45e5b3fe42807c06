"""`accept shell`."""

from typing import Annotated

import typer

from support.cli.options import ClusterName, Host


def command(
    host: Host,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="Run this command instead of a shell.")
    ] = None,
    name: ClusterName = None,
) -> None:
    """Open a shell on a host of a running cluster, or run a command there: `./accept shell pg1 -- hostname`."""
    from support.cli import clusters
    from support.cli.entering import shell

    shell(clusters.find(name), host, words or ())
