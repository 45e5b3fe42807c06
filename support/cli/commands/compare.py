"""`accept compare`."""

from typing import Annotated

import typer

from support.cli.options import Features


def command(
    before: Annotated[str, typer.Argument(metavar="RUN", help="A folder with a run, or last, last~1, last~9..5.")],
    now: Annotated[str, typer.Argument(metavar="RUN", help="The run, or runs, to compare with it.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Print also what is the same, may be chance, or cannot be compared.")
    ] = False,
    features: Features = None,
) -> None:
    """Compare verdicts and figures of two runs, versions or clusters, and separate changes from noise.

    A folder may hold several runs: it takes 5 on each side to be sure. Exits with 1 if something got significantly
    worse, or could not be judged any more; with 3 if the two sides have nothing in common."""
    from support.cli import own
    from support.cli.compare import show

    own.choose(features)
    raise typer.Exit(show(before, now, everything))
