"""What people type is understood: options where they expect them, words that are nearly right."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from program import ROOT

from support.cli import clusters, entering, main, typed
from support.errors import UsageError
from support.settings import Settings

COMMANDS = ("run", "up", "down", "status", "psql", "steps", "prove")


@pytest.mark.parametrize(
    ("word", "meant"), [("statsu", "status"), ("stpes", "steps"), ("porve", "prove"), ("Status", "status")]
)
def test_a_misspelt_command_is_no_suite(word: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean ./accept {meant}"):
        typed.require_no_misspelt_command([word], COMMANDS)


@pytest.mark.parametrize("words", [[], ["cache"], ["--plan"], ["features/cache/redis.feature:3"], ["cahce"], ["@slow"]])
def test_what_can_be_run_is_no_misspelt_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    typed.require_no_misspelt_command(words, COMMANDS)


def test_the_options_that_are_passed_on_are_those_of_behave() -> None:
    told = subprocess.run([sys.executable, "-m", "behave", "--help"], capture_output=True, text=True, check=True).stdout
    assert [one for one in typed.BEHAVE_OPTIONS if one not in told] == []
    typed.require_known_options(["--stop", "-D", "x=1", "--no-cap", "--", "--define=y"], {"--tags"})


def test_a_message_names_what_was_typed() -> None:
    message = "ACCEPT_MEMBERS is 12: too many\nACCEPT_SANDBOX is 'x': should be another"
    assert typed.as_typed(message, ["run", "--members=12"]).startswith("--members is 12: too many\nACCEPT_SANDBOX")
    assert typed.as_typed(message, ["run", "-D", "accept_members=12"]) == message


def test_a_message_names_the_target_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('ruvector_port = "abc"\n[members]\npg1 = 1\n[limits]\nPF-01 = 0\n')
    message = "RUVECTOR_PORT is 'abc': no\nREDIS_PORT is 1: no\nACCEPT_MEMBERS is {}: no\n[limits] \"PF-01\" is 0: no"
    said = f"""ruvector_port in {file} is 'abc': no
REDIS_PORT is 1: no
members in {file} is {{}}: no
[limits] "PF-01" in {file} is 0: no"""
    assert typed.as_typed(message, ["run", "--target", str(file)]) == said
    assert typed.as_typed(message, ["run", f"--target={file}"]) == said
    assert typed.as_typed(message, ["run", "--target", "main"]) == message
    assert typed.as_typed(message, ["run", "--target", str(tmp_path / "none.toml")]) == message


def test_every_option_of_a_setting_is_known_to_the_messages() -> None:
    commands: Any = typer.main.get_command(main.app)
    known = [parameter for name in COMMANDS for parameter in commands.commands[name].params]
    options = {option for parameter in known for option in parameter.opts}
    assert set(typed.OPTION_OF.values()) <= options
    assert {name.lower() for name in typed.OPTION_OF} - {"accept_features"} <= Settings.model_fields.keys()


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls of the functions that would replace this process."""
    calls = list[tuple[Any, ...]]()

    def record(name: str) -> Callable[..., None]:
        return lambda cluster, *arguments: calls.append((name, *arguments))

    for name in ("psql", "shell"):
        monkeypatch.setattr(entering, name, record(name))
    monkeypatch.setattr(clusters, "find", lambda name: name)
    return calls


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (["psql"], ("psql", "write", [])),
        (["psql", "-c", "select 1"], ("psql", "write", ["-c", "select 1"])),
        (["psql", "-Atc", "select 1", "--name", "x"], ("psql", "write", ["-Atc", "select 1"])),
        (["psql", "read", "-c", "select 1"], ("psql", "read", ["-c", "select 1"])),
        (["psql", "pg2"], ("psql", "pg2", [])),
        (["shell", "pg1"], ("shell", "pg1", ())),
        (["shell", "pg1", "--", "hostname", "-f"], ("shell", "pg1", ["hostname", "-f"])),
        (["shell", "pg1", "hostname"], ("shell", "pg1", ["hostname"])),
    ],
)
def test_psql_and_shell_take_what_people_type(words: list[str], call: tuple[Any, ...], called: list[Any]) -> None:
    main.app(main.with_default_command(words), standalone_mode=False)
    assert called == [call]


@pytest.mark.parametrize("words", [["run", "-h"], ["psql", "-h"], ["help", "run"], ["run", "--help"], ["test", "-h"]])
def test_help_is_given_wherever_it_is_asked_for(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.app(main.with_default_command(words), prog_name="./accept")
    assert ended.value.code in (0, None)
    assert "Usage: ./accept" in capsys.readouterr().out
