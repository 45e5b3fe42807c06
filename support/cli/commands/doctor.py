"""`accept doctor`."""

from support.cli.console import say_ignored
from support.cli.options import Features, OwnSchema, Size, Target, with_size_options
from support.cli.paths import FEATURES


@with_size_options
def command(
    target: Target = None,
    own_schema: OwnSchema = False,
    features: Features = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Show what the target offers, which scenarios can run there, and why the others cannot."""
    from support.cli import own, targets
    from support.cli.behave_process import dry_run
    from support.cli.doctor import diagnose, show
    from support.settings import Settings

    folder = own.choose(features)
    own.require_fitting(folder)
    target_settings, cluster = targets.choose(target)
    schema = {"accept_own_schema": True} if own_schema else {}
    settings = Settings.load({**target_settings, **size, **schema})
    say_ignored(settings)
    paths = [str(FEATURES), *([str(folder.features)] if folder else [])]
    show(diagnose(settings, cluster), dry_run(paths).scenarios)
