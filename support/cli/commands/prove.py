"""`accept prove`."""

from pathlib import Path
from typing import Annotated

import typer

from support.cli import completion, typed
from support.cli.options import Features, Require, Size, with_size_options


@with_size_options
def command(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID|SABOTAGE",
            help="Promises or sabotages (default: all).",
            autocompletion=completion.SABOTAGE,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Run every fast scenario for each sabotage, to see which others notice.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="List these sabotages, and break nothing.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Use this many clusters side by side.")] = 1,
    healthy_every: Annotated[
        int, typer.Option(min=1, help="Run the fast scenarios on the healthy cluster after this many sabotages.")
    ] = 20,
    healthy_destructive: Annotated[
        int,
        typer.Option(
            min=0, help="Run the destructive scenarios this many times on the healthy cluster, about half an hour each."
        ),
    ] = 1,
    target: Annotated[
        str | None, typer.Option(help="The name of a cluster started with `accept up`; it will be broken.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="Try the sabotages on this promise's scenarios.", autocompletion=completion.PROMISE
        ),
    ] = None,
    continues: Annotated[
        bool, typer.Option("--continue", help="Try only what the last, interrupted proof did not reach.")
    ] = False,
    features: Features = None,
    require: Require = None,
    claims: Annotated[Path | None, typer.Option(hidden=True)] = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Test the suite itself: break a cluster on purpose, and check that the scenarios notice."""
    from support.cli import clusters, own
    from support.cli.prove import ProveOptions, prove, show_sabotages
    from support.settings import Settings

    own.require_fitting(own.choose(features))
    if listed:
        show_sabotages(words or ())
        return
    options = ProveOptions(
        words=tuple(words or ()),
        settings=Settings.load(size),
        cluster=clusters.find(target) if target else None,
        all_fast=every,
        jobs=jobs,
        healthy_every=healthy_every,
        healthy_destructive=healthy_destructive,
        required=require or (),
        also=tuple(also or ()),
        continues=continues,
        claims=claims,
    )
    raise typer.Exit(prove(options, typed.arguments_of("prove")))
