"""`accept load`."""

import sys
from typing import Annotated

import typer

from support.cli.console import say_ignored
from support.cli.options import Target


def command(
    target: Target = None,
    workers: Annotated[int, typer.Option(min=0, max=100, help="Worker processes on this machine.")] = 1,
    clients: Annotated[int | None, typer.Option(min=1, help="Clients of all workers together (default: 8).")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="How long they write (default: 10).")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat the random choices of an earlier load.")] = None,
    awaited: Annotated[
        int | None, typer.Option("--await", min=1, help="Wait for this many workers that join from other machines.")
    ] = None,
    join: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="Start workers for the master at this address.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port on which the master listens for workers (default: 5557).")
    ] = None,
) -> None:
    """Write from many processes and machines at once, and check that no acknowledged write is lost or duplicated."""
    from support.cli import targets
    from support.cli.load import LoadOptions, load
    from support.settings import Settings

    target_settings, cluster = targets.choose(target)
    settings = Settings.load(target_settings)
    say_ignored(settings)
    options = LoadOptions(settings, cluster, workers, clients, seconds, seed, awaited, join, port)
    raise typer.Exit(load(options, sys.argv[1:]))
