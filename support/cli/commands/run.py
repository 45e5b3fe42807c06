"""`accept run`."""

from pathlib import Path
from typing import Annotated

import typer

from support.cli import completion, suites, typed
from support.cli.console import say_ignored
from support.cli.options import (
    Features,
    Like,
    Metrics,
    OwnSchema,
    Pipeline,
    Ports,
    Pushgateway,
    Require,
    Size,
    Target,
    metrics_settings,
    number_of_jobs,
    options_of_target,
    shape_settings,
    with_size_options,
)
from support.errors import UsageError


@with_size_options
def command(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SUITE",
            help=f"Any of {', '.join(suites.SUITES)}; or feature files.",
            autocompletion=completion.SUITE,
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            help="Only scenarios with these tags, such as '@cache and not @slow'.",
            autocompletion=completion.TAG,
        ),
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="Only scenarios whose title matches this pattern.")] = None,
    features: Features = None,
    target: Target = None,
    own_schema: OwnSchema = False,
    require: Require = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the embedded cluster up after the run.")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="Measure which lines of the suite itself run.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run again whenever a file changes, on a cluster that stays up.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="List the scenarios that would run or be skipped, and run nothing.")
    ] = False,
    commands: Annotated[
        bool,
        typer.Option(
            "--commands",
            help="With --plan: list every command that they would run on your hosts, and how it is undone.",
        ),
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Repeat the random choices of an earlier run.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Run this many times, and list the verdicts that differ.")] = 1,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Run in random order, determined by the seed.")] = False,
    jobs: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Spread the scenarios over this many clusters; auto: as many as the machine can handle.",
        ),
    ] = "auto",
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run failures once more; a scenario that then passes is flaky.")
    ] = False,
    fail_on_flaky: Annotated[bool, typer.Option("--fail-on-flaky", help="Fail if a scenario is flaky.")] = False,
    share_of: Annotated[Path | None, typer.Option(hidden=True)] = None,
    like: Like = None,
    ports: Ports = None,
    size: Size = {},  # noqa: B006
    metrics: Metrics = None,
    pushgateway: Pushgateway = None,
    pipeline: Pipeline = None,
) -> None:
    """Run the scenarios, on an embedded cluster or on yours, and write the report.

    A SUITE is a subject (cluster, sharding, failover, isolation, cache, security) or a kind of scenario (smoke, fast,
    slow, destructive, performance). Options that accept does not recognise are passed to behave.
    """
    from support.cli import own, targets
    from support.settings import Settings

    folder = own.choose(features)
    selection = suites.select(words or (), tags or (), name or (), folder)
    ours = {option for parameter in context.command.params for option in parameter.opts if option.startswith("--")}
    typed.require_known_options(selection.rest, ours)
    own.require_fitting(own.adopt(selection, folder))
    target_settings, cluster = targets.choose(target)
    schema = {"accept_own_schema": True} if own_schema else {}
    given = {**target_settings, **size, **shape_settings(like, ports), **schema, **selection.defined}
    settings = Settings.load({**given, **metrics_settings(metrics, pushgateway, pipeline)})
    from support.cli.run_options import RunOptions  # importing takes half a second; wrong usage is reported before that

    options = RunOptions(
        selection=selection,
        settings=settings,
        given=given,
        cluster=cluster,
        required=frozenset(require or ()),
        seed=seed,
        keep=keep,
        repeat=repeat,
        shuffled=shuffle,
        jobs=number_of_jobs(jobs),
        rerun=rerun,
        fail_on_flaky=fail_on_flaky,
        asked=(options_of_target(context), selection.limits),
    )
    if commands and not plan:
        raise UsageError("--commands shows what a run would do; it goes with --plan")
    arguments = typed.arguments_of("run")
    if share_of is None:
        say_ignored(settings)
    if share_of is not None:
        from support.cli.jobs import run_share

        exit_status = run_share(options, share_of)
    elif plan:
        from support.cli.run import show_plan

        exit_status = show_plan(options, commands)
    elif watch:
        from support.cli.watch import run_on_changes

        exit_status = run_on_changes(options)
    elif coverage:
        from support.cli.coverage import run_with_coverage

        exit_status = run_with_coverage([one for one in arguments if one != "--coverage"])
    else:
        from support.cli.run import run

        exit_status = run(options, arguments)
    raise typer.Exit(exit_status)
