"""The command line of `accept`: the commands and their options.

The work is in the other modules, one for each command. They are imported when the command is called, so that `--help`
and wrong usage are answered at once.
"""

import sys
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from support import libpq
from support.cli import inside, paths, reading, starting, suites, typed, writing
from support.cli.console import exit_status_of, hear_interrupts, out, say
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
    shape_settings,
    with_size_options,
)
from support.errors import UsageError
from support.places import PROGRAM, ROOT, as_called

app = typer.Typer(
    name="accept",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        out.print(f"accept {project['version']}", highlight=False)
        raise typer.Exit


@app.callback()
def accept(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Acceptance tests for a distributed PostgreSQL cluster. The default command is `run`."""


_OF_THE_PROGRAM = ("--help", "-h", "--version", *typed.COMPLETION)
"""Options that are given without a command."""
PASSING_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}


@app.command(context_settings=PASSING_ON)
@with_size_options
def run(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SUITE",
            help=f"Any of {', '.join(suites.SUITES)}; or feature files.",
            autocompletion=typed.SUITE,
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            help="Only scenarios with these tags, such as '@cache and not @slow'.",
            autocompletion=typed.TAG,
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
    plan: Annotated[bool, typer.Option("--plan", help="List the scenarios that would run, and run nothing.")] = False,
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
    typed.require_known_options(selection.rest, _options_of("run"))
    own.require_fitting(own.adopt(selection, folder))
    target_settings, cluster = targets.choose(target)
    schema = {"accept_own_schema": True} if own_schema else {}
    given = {**target_settings, **size, **shape_settings(like, ports), **schema, **selection.defined}
    settings = Settings.load({**given, **metrics_settings(metrics, pushgateway, pipeline)})
    from support.cli import coverage as measuring
    from support.cli import jobs as processes
    from support.cli import run, run_options  # importing takes half a second; wrong usage is told before

    options = run_options.RunOptions(
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
    )
    if share_of is not None:
        raise typer.Exit(processes.run_share(options, share_of))
    if plan:
        raise typer.Exit(run.show_plan(selection, settings, commands))
    if commands:
        raise UsageError("--commands shows what a run would do; it goes with --plan")
    if watch:
        from support.cli import watch as watching

        raise typer.Exit(watching.watch(options))
    arguments = with_default_command(sys.argv[1:])[1:]
    if coverage:
        raise typer.Exit(measuring.run_with_coverage([one for one in arguments if one != "--coverage"]))
    raise typer.Exit(run.run(options, arguments))


@app.command()
@with_size_options
def prove(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID|SABOTAGE",
            help="Promises or sabotages (default: all).",
            autocompletion=typed.SABOTAGE,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Run every fast scenario for each sabotage, to see which others notice.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the sabotages, and break nothing.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Use this many clusters side by side.")] = 1,
    healthy_every: Annotated[
        int, typer.Option(min=1, help="Run the fast scenarios on the healthy cluster after this many sabotages.")
    ] = 20,
    healthy_destructive: Annotated[
        int,
        typer.Option(
            min=0, help="Run the destructive scenarios this many times on the healthy cluster, about half an hour each."
        ),
    ] = 1,
    target: Annotated[
        str | None, typer.Option(help="The name of a cluster started with `accept up`; it will be broken.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Try the sabotages on this promise's scenarios.", autocompletion=typed.PROMISE),
    ] = None,
    features: Features = None,
    require: Require = None,
    claims: Annotated[Path | None, typer.Option(hidden=True)] = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Test the suite itself: break a cluster on purpose, and check that the scenarios notice."""
    from support.cli import clusters, own, prove
    from support.settings import Settings

    own.require_fitting(own.choose(features))

    if listed:
        prove.show_sabotages()
        return
    options = prove.ProveOptions(
        words=tuple(words or ()),
        settings=Settings.load(size),
        cluster=clusters.find(target) if target else None,
        all_fast=every,
        jobs=jobs,
        healthy_every=healthy_every,
        healthy_destructive=healthy_destructive,
        required=require or (),
        also=tuple(also or ()),
        claims=claims,
    )
    raise typer.Exit(prove.prove(options, sys.argv[2:]))


@app.command()
@with_size_options
def explore(
    minutes: Annotated[float, typer.Option(help="How long to search for a sequence that breaks something.")] = 30.0,
    seed: Annotated[int | None, typer.Option(help="Repeat the episodes of an earlier exploration.")] = None,
    target: Target = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Inject random faults, sometimes several at once, until an invariant is violated.

    The sequence of faults is then shortened and printed as a scenario. Exits with 1 if an invariant was violated.
    """
    from support.cli import explore, targets
    from support.run import new_seed
    from support.settings import Settings

    given, cluster = targets.choose(target)
    settings = Settings.load({**given, **size})
    chosen = new_seed() if seed is None else seed
    options = explore.ExploreOptions(settings, minutes, chosen, given, cluster)
    raise typer.Exit(explore.explore(options, sys.argv[2:]))


@app.command()
@with_size_options
def bench(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ROW", help="Rows, as --list names them (default: all).")
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
    from support.cli import bench, targets
    from support.settings import Settings

    if listed:
        bench.show_rows()
        return
    target_settings, cluster = targets.choose(target)
    settings = Settings.load({**target_settings, **size})
    if settings.accept_workers is None:
        settings = settings.model_copy(update={"accept_workers": 0})
    save, against = (paths.from_command_line(path) if path else None for path in (save, against))
    raise typer.Exit(bench.bench(bench.BenchOptions(words or (), runs, settings, cluster, save, against)))


@app.command()
def load(
    target: Target = None,
    workers: Annotated[int, typer.Option(min=0, max=100, help="Worker processes on this machine.")] = 1,
    clients: Annotated[int | None, typer.Option(min=1, help="Clients of all workers together (default: 8).")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="How long they write (default: 10).")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat the random choices of an earlier load.")] = None,
    awaited: Annotated[
        int | None, typer.Option("--await", min=1, help="Wait for this many workers that join from other machines.")
    ] = None,
    join: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="Start workers for the master at this address.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port on which the master listens for workers (default: 5557).")
    ] = None,
) -> None:
    """Write from many processes and machines at once, and check that no acknowledged write is lost or duplicated."""
    from support.cli import load, targets
    from support.settings import Settings

    target_settings, cluster = targets.choose(target)
    settings = Settings.load(target_settings)
    options = load.LoadOptions(settings, cluster, workers, clients, seconds, seed, awaited, join, port)
    raise typer.Exit(load.load(options, sys.argv[1:]))


@app.command()
@with_size_options
def up(
    name: Annotated[str, typer.Option(help="A name for the cluster.")] = "main",
    like: Like = None,
    ports: Ports = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Start an embedded cluster that stays up until `accept down`.

    With --like it has the names, ports, schema and timing of another installation. It prints the environment variables
    that reach it, ready to be pasted into a shell; they are also in .accept/clusters/NAME/target.toml.
    """
    from support.cli import clusters, status, up
    from support.settings import Settings

    cluster = clusters.named(name)
    exit_status = up.up(cluster, Settings.load({**size, **shape_settings(like, ports)}))
    if exit_status == 0:
        status.show_connections(cluster)
    raise typer.Exit(exit_status)


@app.command()
def down(
    name: Annotated[str | None, typer.Argument(help="Which cluster, if several are up.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Stop all clusters.")] = False,
) -> None:
    """Stop a cluster that `accept up` started, and remove its data."""
    from support.cli import clusters, up

    for cluster in clusters.to_stop(name, every):
        up.down(cluster)
        say(f"cluster {cluster.name} is down")
    clusters.sweep()


app.command()(inside.status)
app.command(context_settings=PASSING_ON)(inside.psql)
app.command()(inside.shell)
app.command()(inside.logs)


app.command()(starting.doctor)
app.command()(starting.init)
app.command()(starting.heal)
app.command()(writing.steps)
app.command()(writing.promises)
app.command()(writing.lint)
app.command()(writing.new)
app.command()(reading.report)
app.command()(reading.compare)


@app.command(context_settings=PASSING_ON)
def test(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Skip every test that boots something.")] = False,  # noqa: PT028
    every: Annotated[bool, typer.Option("--all", help="Include the slow tests: whole runs on clusters.")] = False,  # noqa: PT028
) -> None:
    """Run the project's own checks. Options that accept does not recognise are passed to pytest."""
    from support.cli import own_tests
    from support.errors import UsageError

    if quick and every:
        raise UsageError("--quick and --all do not go together")
    extent = own_tests.Extent.QUICK if quick else own_tests.Extent.ALL if every else own_tests.Extent.USUAL
    raise typer.Exit(0 if own_tests.run_all(context.args, extent) else 1)


def _options_of(command: str) -> set[str]:
    """The long options of a command."""
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    return {option for parameter in found.params for option in parameter.opts if option.startswith("--")}


def with_default_command(arguments: list[str]) -> list[str]:
    """The arguments, with `run` in front if they name no command.

    Raises UsageError for a word that is nearly the name of a command.
    """
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    if arguments[:1] == ["help"]:
        return [*arguments[1:2], "--help"]
    if arguments and arguments[0].partition("=")[0] in _OF_THE_PROGRAM:
        return arguments
    typed.require_no_misspelt_command(arguments, commands)
    command, *rest = arguments if arguments and arguments[0] in commands else ["run", *arguments]
    if rest[:1] == ["-h"]:  # it cannot be an option where others are passed on: the h in -Dhost=x would be one, too
        rest = ["--help"]
    return [command, *rest]


def main() -> None:
    """Run the program, and exit with its status."""
    paths.enter_project()
    libpq.set_apart()
    hear_interrupts()
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback.__doc__ = as_called(command.callback.__doc__ or "")  # it is the text of --help

    def program() -> int:
        try:
            arguments = [] if typed.completing() else with_default_command(sys.argv[1:])
            # a completion is for `accept`, whatever the path by which it is called
            name = "accept" if arguments and arguments[0].startswith(typed.COMPLETION) else PROGRAM
            status = app(arguments, prog_name=name, complete_var="_ACCEPT_COMPLETE")
        except UsageError as error:
            raise UsageError(typed.as_typed(str(error), sys.argv[1:])) from None
        except SystemExit as end:
            return int(end.code or 0)
        return int(status or 0)

    sys.exit(exit_status_of(program))
