"""`accept logs`."""

from typing import Annotated

import typer

from support.cli.options import ClusterName, Host


def command(
    host: Host,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines to print, from the end.")] = 200,
    name: ClusterName = None,
) -> None:
    """Print the logs of a host of a running cluster."""
    from support.cli import clusters
    from support.cli.entering import logs

    logs(clusters.find(name), host, lines, follow)
