"""`accept doctor`."""

from support.cli.console import say_ignored
from support.cli.options import OwnSchema, Size, Target, with_size_options
from support.cli.paths import FEATURES


@with_size_options
def command(
    target: Target = None,
    own_schema: OwnSchema = False,
    size: Size = {},  # noqa: B006
) -> None:
    """Show what the target offers, which scenarios can run there, and why the others cannot."""
    from support.cli import targets
    from support.cli.behave_process import dry_run
    from support.cli.doctor import diagnose, show
    from support.settings import Settings

    target_settings, cluster = targets.choose(target)
    own = {"accept_own_schema": True} if own_schema else {}
    settings = Settings.load({**target_settings, **size, **own})
    say_ignored(settings)
    show(diagnose(settings, cluster), dry_run([str(FEATURES)]).scenarios)
