"""`accept bench`."""

from pathlib import Path
from typing import Annotated

import typer

from support.cli.console import say_ignored
from support.cli.options import Size, Target, with_size_options
from support.cli.paths import from_command_line


@with_size_options
def command(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="ROW", help="Rows, as --list names them (default: all but whole run and smoke)."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="How often to measure each row.")] = 5,
    save: Annotated[Path | None, typer.Option(help="Write the results to this file, as JSON.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="The baseline to compare with (default: .accept/bench.json, if it exists).")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the rows, and measure nothing.")] = False,
    target: Target = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Measure speed, and compare it with floors on the same machine and with a baseline.

    Exits with 1 if something got worse. The embedded cluster has no worker groups unless --workers asks for them. On a
    cluster that was started with `accept up`, failovers are measured, too.
    """
    from support.cli import targets
    from support.cli.bench import BenchOptions, bench, show_rows
    from support.settings import Settings

    if listed:
        show_rows()
        return
    target_settings, cluster = targets.choose(target)
    settings = Settings.load({**target_settings, **size})
    say_ignored(settings)
    if settings.accept_workers is None:
        settings = settings.model_copy(update={"accept_workers": 0})
    save, against = (from_command_line(path) if path else None for path in (save, against))
    raise typer.Exit(bench(BenchOptions(words or (), runs, settings, cluster, save, against)))
