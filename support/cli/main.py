"""The command line of `accept`: its commands, each of which is a module of `support.cli.commands`."""

import inspect
import os
import sys
import tomllib
from typing import Annotated

import typer

from support import libpq
from support.cli import completion, paths, typed
from support.cli.commands import (
    bench,
    compare,
    doctor,
    down,
    explore,
    heal,
    init,
    lint,
    load,
    logs,
    new,
    promises,
    prove,
    psql,
    report,
    run,
    shell,
    status,
    steps,
    test,
    up,
)
from support.cli.console import exit_status_of, hear_interrupts, out
from support.errors import UsageError
from support.places import PROGRAM, ROOT, as_called
from support.reporting.console import replace_unprintable

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


_OF_THE_PROGRAM = ("--help", "-h", "--version", *completion.OPTIONS)
"""Options that are given without a command."""
PASSING_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}
"""For commands that pass options on to another program."""

app.command("run", context_settings=PASSING_ON)(run.command)
app.command("prove")(prove.command)
app.command("explore")(explore.command)
app.command("bench")(bench.command)
app.command("load")(load.command)
app.command("up")(up.command)
app.command("down")(down.command)
app.command("status")(status.command)
app.command("psql", context_settings=PASSING_ON)(psql.command)
app.command("shell")(shell.command)
app.command("logs")(logs.command)
app.command("doctor")(doctor.command)
app.command("init")(init.command)
app.command("heal")(heal.command)
app.command("steps")(steps.command)
app.command("promises")(promises.command)
app.command("lint")(lint.command)
app.command("new")(new.command)
app.command("report")(report.command)
app.command("compare")(compare.command)
app.command("test", context_settings=PASSING_ON)(test.command)


def _unwrapped(text: str) -> str:
    """A docstring without the line breaks inside its paragraphs, which typer would print."""
    return "\n\n".join(" ".join(one.split()) for one in inspect.cleandoc(text).split("\n\n"))


for _command in app.registered_commands:
    if _command.callback is not None:
        _command.callback.__doc__ = _unwrapped(_command.callback.__doc__ or "")  # it is the text of --help


def with_default_command(arguments: list[str]) -> list[str]:
    """The arguments, with `run` in front if they name no command.

    Raises UsageError for a word that is nearly the name of a command.
    """
    commands = {command.name for command in app.registered_commands if command.name}
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
    os.environ.pop("PYTHONOPTIMIZE", None)  # in a behave without assert statements, no step that uses them could fail
    paths.enter_project()
    libpq.set_apart()
    replace_unprintable()
    hear_interrupts()
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback.__doc__ = as_called(command.callback.__doc__ or "")

    def program() -> int:
        try:
            arguments = [] if completion.completing() else with_default_command(sys.argv[1:])
            # a completion is for `accept`, whatever the path by which it is called
            name = "accept" if arguments and arguments[0].startswith(completion.OPTIONS) else PROGRAM
            exit_status = app(arguments, prog_name=name, complete_var="_ACCEPT_COMPLETE")
        except UsageError as error:
            raise UsageError(typed.as_typed(str(error), sys.argv[1:])) from None
        except SystemExit as end:
            return int(end.code or 0)
        return int(exit_status or 0)

    sys.exit(exit_status_of(program))
