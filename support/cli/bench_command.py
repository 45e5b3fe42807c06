"""The command line of `accept bench`."""

from pathlib import Path
from typing import Annotated

import typer

from support.cli import places
from support.cli.options import Size, Target, sized


@sized
def bench(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ROW", help="As --list names them; all unless said.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="How often each row is measured.")] = 5,
    save: Annotated[Path | None, typer.Option(help="Write the figures there, as JSON.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with these; .accept/bench.json unless said, where it is there.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show all rows, and measure nothing.")] = False,
    target: Target = None,
    size: Size = {},  # noqa: B006
) -> None:
    """How fast is it? Each row beside its floor, measured with it, and beside a baseline; 1 when something got worse.

    Unless said the embedded cluster has no worker groups. On a cluster that is up, failovers are measured too.
    """
    from support.cli import bench, bench_rows, bench_table, targets
    from support.settings import Settings

    if listed:
        bench_table.catalogue(bench_rows.ROWS)
        return
    overriding, cluster = targets.choose(target)
    settings = Settings.load({**overriding, **size})
    if settings.accept_workers is None:
        settings = settings.model_copy(update={"accept_workers": 0})
    kept, known = (places.named_by_user(path) if path else None for path in (save, against))
    raise typer.Exit(bench.carry_out(bench.Order(words or (), runs, settings, cluster, kept, known)))
