"""`accept promises`."""

from typing import Annotated

import typer

from support.cli.options import Features


def command(
    words: Annotated[list[str] | None, typer.Argument(help="Only promises that contain all of these words.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/promises.md.")] = False,
    features: Features = None,
) -> None:
    """List the promises of the cluster, with their ids and severities.

    `./accept promises split brain` finds the promises that contain both words, `./accept promises cache` those of a
    capability. `./accept promises FO-02` describes one: its scenarios, its limits, and what to do if it is
    broken."""
    from support.cli import own
    from support.cli.promises import show

    raise typer.Exit(show(" ".join(words or ()), markdown, own.choose(features)))
