"""`accept heal`."""

import typer

from support.cli.options import Target


def command(target: Target = None) -> None:
    """Undo what a killed run left on the target: cut links, frozen and stopped programs, changed settings, slots."""
    from support.cli import targets
    from support.cli.heal import heal
    from support.settings import Settings

    target_settings, _ = targets.choose(target)
    raise typer.Exit(heal(Settings.load(target_settings)))
