"""`accept down`."""

from typing import Annotated

import typer

from support.cli.console import say


def command(
    name: Annotated[str | None, typer.Argument(help="Which cluster, if several are up.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Stop all clusters.")] = False,
) -> None:
    """Stop a cluster that `accept up` started, and remove its data."""
    from support.cli import clusters
    from support.cli.up import down

    for cluster in clusters.to_stop(name, every):
        down(cluster)
        say(f"cluster {cluster.name} is down")
    clusters.sweep()
