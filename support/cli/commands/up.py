"""`accept up`."""

from typing import Annotated

import typer

from support.cli.console import say_ignored
from support.cli.options import Like, Ports, Size, shape_settings, with_size_options


@with_size_options
def command(
    name: Annotated[str, typer.Option(help="A name for the cluster.")] = "main",
    like: Like = None,
    ports: Ports = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Start an embedded cluster that stays up until `accept down`.

    With --like it has the names, ports, schema and timing of another installation. It prints the environment variables
    that reach it, ready to be pasted into a shell; they are also in .accept/clusters/NAME/target.toml.
    """
    from support.cli import clusters
    from support.cli.status import show_connections
    from support.cli.up import up
    from support.settings import Settings

    cluster = clusters.named(name)
    settings = Settings.load({**size, **shape_settings(like, ports)})
    say_ignored(settings)
    exit_status = up(cluster, settings)
    if exit_status == 0:
        show_connections(cluster)
    raise typer.Exit(exit_status)
