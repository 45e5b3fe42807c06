"""`accept steps`."""

from typing import Annotated

import typer

from support.cli.console import out
from support.cli.options import Features


def command(
    words: Annotated[list[str] | None, typer.Argument(help="Only steps that contain all of these words.")] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write the catalogue as an HTML page, with examples, and print its path.")
    ] = False,
    features: Features = None,
) -> None:
    """Search the step catalogue: each wording, what it does, what it needs, and where it is."""
    from support.cli import own
    from support.cli.steps import all_steps, search, show

    folder = own.choose(features)
    wanted, known = " ".join(words or ()), all_steps()
    found = search(wanted, known)
    if html:
        from support.cli import step_page

        out.print(step_page.of_project(found, folder), markup=False)
    else:
        show(found, wanted, known)
    raise typer.Exit(0 if found else 1)
