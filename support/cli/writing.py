"""The commands for writing scenarios: `accept steps`, `promises`, `lint` and `new`; main.py adds them."""

from pathlib import Path
from typing import Annotated

import typer

from support.cli import paths
from support.cli.console import out, say
from support.cli.options import Features


def steps(
    words: Annotated[list[str] | None, typer.Argument(help="Only steps that contain all of these words.")] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write the catalogue as an HTML page, with examples, and print its path.")
    ] = False,
    features: Features = None,
) -> None:
    """Search the step catalogue: each wording, what it does, and where it is."""
    from support.cli import own, steps

    folder = own.choose(features)
    found = steps.search(" ".join(words or ()), steps.all_steps())
    if html:
        from support.cli import step_page

        out.print(step_page.of_project(found, folder), markup=False)
    else:
        steps.show(found)
    raise typer.Exit(0 if found else 1)


def promises(
    words: Annotated[list[str] | None, typer.Argument(help="Only promises that contain all of these words.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/promises.md.")] = False,
) -> None:
    """List the promises of the cluster, with their ids and severities.

    `./accept promises split brain` finds the promises that contain both words, `./accept promises cache` those of a
    capability."""
    from support.cli import promises

    raise typer.Exit(promises.show(" ".join(words or ()), markdown))


def lint(features: Features = None) -> None:
    """Check the feature files and the list of promises, and that each step has exactly one step function."""
    from support.cli import lint, own

    raise typer.Exit(lint.show(lint.lint(own=own.choose(features))))


def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    editor: Annotated[
        bool, typer.Option("--editor", help="Only update the editor's settings in DIR, for new steps.")
    ] = False,
) -> None:
    """Make a folder for features and steps of your own, with a scenario that works and settings for editors and CI."""
    from support.cli import new

    folder = paths.from_command_line(directory)
    if editor:
        say(f"{new.update_editor(folder)} is up to date")
    else:
        new.show(folder, new.make(folder))
