"""The command line of `accept`. What a command does is in the other modules, imported when it is called."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from support.cli import places, suites
from support.cli.bench_command import bench
from support.cli.boundary import guarded
from support.cli.cluster_commands import down, logs, psql, shell, status, up
from support.cli.options import (
    Folders,
    Like,
    Metrics,
    OwnSchema,
    Pipeline,
    Ports,
    Pushgateway,
    Require,
    Size,
    Summary,
    Target,
    publishing,
    shaped,
    sized,
)

app = typer.Typer(
    name="accept",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Does a distributed PostgreSQL cluster keep its promises? Without a command, `run` is meant.",
)
PASSING_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}

Words = Annotated[list[str] | None, typer.Argument(metavar="SUITE", help=f"Any of: {', '.join(suites.SUITES)}.")]


@app.command(context_settings=PASSING_ON)
@sized
def run(
    words: Words = None,
    tags: Annotated[
        list[str] | None, typer.Option(help="Scenarios with these tags, as in '@cache and not @slow'.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="Scenarios whose title matches this.")] = None,
    target: Target = None,
    own_schema: OwnSchema = False,
    require: Require = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the cluster up after the run.")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="Tell which lines of the suite itself ran.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would run, and run nothing.")] = False,
    seed: Annotated[int | None, typer.Option(help="Repeat the random choices of an earlier run.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="So many runs; tells whose verdict changed.")] = 1,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="In random order, by the seed.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="So many clusters, the features spread over them.")] = 1,
    rerun: Annotated[bool, typer.Option("--rerun", help="Run failures once more; what passes then is flaky.")] = False,
    share_of: Annotated[Path | None, typer.Option(hidden=True)] = None,
    like: Like = None,
    ports: Ports = None,
    size: Size = {},  # noqa: B006
    metrics: Metrics = None,
    pushgateway: Pushgateway = None,
    pipeline: Pipeline = None,
) -> None:
    """Prove the promises: boot a cluster (or use yours), run the scenarios, write the report.

    SUITES are folders (cluster, sharding, failover, cache, security) or kinds of scenarios (fast, slow, destructive,
    performance); feature files may be named as well. What is not known here is passed on to behave.
    """
    from support.cli import targets
    from support.settings import Settings

    selection = suites.select(words or (), tags or (), name or ())
    overriding, cluster = targets.choose(target)
    own = {"accept_own_schema": True} if own_schema else {}
    said = {**overriding, **size, **shaped(like, ports), **own}
    settings = Settings.load({**said, **publishing(metrics, pushgateway, pipeline)})
    from support.cli import measuring, planning, running  # takes half a second: wrong usage is told before

    need = frozenset(require or ())
    order = running.Order(selection, settings, said, cluster, need, seed, keep, repeat, shuffle, jobs, rerun, share_of)
    if plan:
        raise typer.Exit(planning.show(selection))
    arguments = with_default_command(sys.argv[1:])[1:]
    if coverage:
        raise typer.Exit(measuring.carry_out([one for one in arguments if one != "--coverage"]))
    raise typer.Exit(running.carry_out(order, arguments))


@app.command()
@sized
def prove(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ID|SABOTAGE", help="Promises or sabotages; all unless said.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Run every fast scenario each time: who else notices?")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show all sabotages, and break nothing.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Clusters side by side.")] = 1,
    healthy_every: Annotated[int, typer.Option(min=1, help="Sabotages between two healthy runs.")] = 20,
    target: Annotated[str | None, typer.Option(help="A cluster that is up, by name, to be broken.")] = None,
    require: Require = None,
    claims: Annotated[Path | None, typer.Option(hidden=True)] = None,
    size: Size = {},  # noqa: B006
) -> None:
    """Prove the suite itself: break the cluster on purpose, again and again, and see that the scenarios notice."""
    from support.cli import clusters, prove, trusting
    from support.settings import Settings

    if listed:
        trusting.catalogue()
        return
    settings = Settings.load(size)
    cluster = clusters.find(target) if target else None
    order = prove.Order(tuple(words or ()), settings, cluster, every, jobs, healthy_every, require or (), claims)
    raise typer.Exit(prove.carry_out(order, sys.argv[2:]))


app.command()(bench)


@app.command()
def load(
    target: Target = None,
    workers: Annotated[int, typer.Option(min=0, max=100, help="Worker processes on this machine.")] = 1,
    clients: Annotated[int | None, typer.Option(min=1, help="All workers' together; 8 unless said.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="How long they write; 10 unless said.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat the random choices of an earlier load.")] = None,
    awaited: Annotated[
        int | None, typer.Option("--await", min=1, help="Workers that join from elsewhere; begins with the last.")
    ] = None,
    join: Annotated[str | None, typer.Option(metavar="HOST[:PORT]", help="Be workers of the master there.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Where to listen for workers; 5557.")] = None,
) -> None:
    """Write from many processes and machines at once (by Locust); was every acknowledged write kept, once?"""
    from support.cli import load, targets
    from support.settings import Settings

    overriding, cluster = targets.choose(target)
    order = load.Order(Settings.load(overriding), cluster, workers, clients, seconds, seed, awaited, join, port)
    raise typer.Exit(load.carry_out(order, sys.argv[1:]))


for command in (up, down, status, shell, logs):
    app.command()(command)
app.command(context_settings=PASSING_ON)(psql)


@app.command()
@sized
def doctor(
    target: Target = None,
    own_schema: OwnSchema = False,
    size: Size = {},  # noqa: B006
) -> None:
    """What the target has, which scenarios can run there, and why the others cannot."""
    from support.cli import behaving, doctor, targets
    from support.settings import Settings

    overriding, cluster = targets.choose(target)
    settings = Settings.load({**overriding, **size, **({"accept_own_schema": True} if own_schema else {})})
    doctor.show(doctor.diagnose(settings, cluster), behaving.plan([str(places.FEATURES)]).scenarios)


@app.command()
def steps(words: Annotated[list[str] | None, typer.Argument(help="Steps that speak of all of these.")] = None) -> None:
    """The step catalogue: every wording, what it does, and where."""
    from support.cli import catalogue

    found = catalogue.search(" ".join(words or ()), catalogue.steps())
    catalogue.show(found)
    raise typer.Exit(0 if found else 1)


@app.command()
def promises(
    words: Annotated[list[str] | None, typer.Argument(help="Promises that speak of all of these.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="All of them as docs/promises.md.")] = False,
) -> None:
    """What the cluster promises: each promise with its id, its capability and its scenarios, searched by words.

    `./accept promises split brain` finds what speaks of both words; `./accept promises cache` a whole capability.
    """
    from support.cli import promises

    raise typer.Exit(promises.carry_out(" ".join(words or ()), markdown))


@app.command()
def lint() -> None:
    """Are the scenarios written as they should be and their promises listed, and does every step mean one thing?"""
    from support.cli import lint

    raise typer.Exit(lint.show(lint.lint()))


@app.command()
def report(
    folders: Folders = None,
    summary: Summary = None,
    metrics: Metrics = None,
    pushgateway: Pushgateway = None,
    pipeline: Pipeline = None,
) -> None:
    """Render the report of the last run once more, show its table, publish its metrics.

    With folders, of the runs in them as one: those of other jobs or machines, each with its `allure-results`. A run
    that is missing or was stopped counts as not judged. Of a scenario that ran more than once the gravest end counts.
    """
    from support.cli import report
    from support.settings import Settings

    settings = Settings.load(publishing(metrics, pushgateway, pipeline))
    raise typer.Exit(report.once_more(folders or (), settings, summary))


@app.command(context_settings=PASSING_ON)
def test(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Only what needs no cluster.")] = False,  # noqa: PT028
) -> None:
    """The project's own checks; what is not known here is passed on to pytest."""
    from support.cli import checks

    raise typer.Exit(0 if checks.run_all(context.args, quick) else 1)


def with_default_command(arguments: list[str]) -> list[str]:
    """The arguments, `run` put in front where no command is named."""
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    if arguments and (arguments[0] in commands or arguments[0] in ("--help", "-h")):
        return arguments
    return ["run", *arguments]


def main() -> None:
    """The program."""
    places.go_home()

    def program() -> int:
        try:
            status = app(with_default_command(sys.argv[1:]), prog_name="./accept")
        except SystemExit as end:
            return int(end.code or 0)
        return int(status or 0)

    sys.exit(guarded(program))
