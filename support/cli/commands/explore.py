"""`accept explore`."""

from typing import Annotated

import typer

from support.cli import typed
from support.cli.console import say_ignored
from support.cli.options import Size, Target, with_size_options


@with_size_options
def command(
    minutes: Annotated[float, typer.Option(help="How long to search for a sequence that breaks something.")] = 30.0,
    seed: Annotated[int | None, typer.Option(help="Repeat the episodes of an earlier exploration.")] = None,
    target: Target = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Inject random faults, sometimes several at once, until an invariant is violated.

    The sequence of faults is then shortened and printed as a scenario. Exits with 1 if an invariant was violated.
    """
    from support.cli import targets
    from support.cli.explore import ExploreOptions, explore
    from support.run import new_seed
    from support.settings import Settings

    given, cluster = targets.choose(target)
    settings = Settings.load({**given, **size})
    say_ignored(settings)
    chosen = new_seed() if seed is None else seed
    options = ExploreOptions(settings, minutes, chosen, given, cluster)
    raise typer.Exit(explore(options, typed.arguments_of("explore")))
