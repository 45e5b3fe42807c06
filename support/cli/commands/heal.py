"""`accept heal`."""

import typer

from support.cli.options import Features, Target


def command(target: Target = None, features: Features = None) -> None:
    """Undo what a killed run left on the target: cut links, frozen and stopped programs, changed settings, slots."""
    from support.cli import own, targets
    from support.cli.heal import heal
    from support.settings import Settings

    own.choose(features)
    target_settings, _ = targets.choose(target)
    raise typer.Exit(heal(Settings.load(target_settings)))
