"""`accept test`."""

from typing import Annotated

import typer

from support.errors import UsageError


def command(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Skip tests that boot something or take seconds.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Include the slow tests: whole runs on clusters.")] = False,
) -> None:
    """Run the project's own checks. Options that accept does not recognise are passed to pytest."""
    from support.cli.own_tests import Extent, run_all

    if quick and every:
        raise UsageError("--quick and --all do not go together")
    extent = Extent.QUICK if quick else Extent.ALL if every else Extent.USUAL
    raise typer.Exit(0 if run_all(context.args, extent) else 1)
