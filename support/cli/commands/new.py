"""`accept new`."""

from pathlib import Path
from typing import Annotated

import typer

from support.cli.console import say
from support.cli.paths import from_command_line


def command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    editor: Annotated[
        bool, typer.Option("--editor", help="Only update the editor's settings in DIR, for new steps.")
    ] = False,
) -> None:
    """Make a folder for features and steps of your own, with a scenario that works and settings for editors and CI."""
    from support.cli.new import make, show, update_editor

    folder = from_command_line(directory)
    if editor:
        say(update_editor(folder))
    else:
        show(folder, make(folder))
