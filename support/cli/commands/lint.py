"""`accept lint`."""

import typer

from support.cli.options import Features


def command(features: Features = None) -> None:
    """Check the feature files and the list of promises, and that each step has exactly one step function."""
    from support.cli import own
    from support.cli.lint import lint, show

    folder = own.choose(features)
    raise typer.Exit(show(lint(folder), folder))
