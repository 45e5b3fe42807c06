"""What the report repeats of the command line: to run a scenario again, and to say what a run was limited to."""

import shlex
from typing import Any

import pytest
import typer
from program import ROOT

from support import own_folder
from support.cli import suites
from support.cli.main import app
from support.cli.options import options_of_target
from support.cli.report import knowledge


def context(words: list[str]) -> Any:
    """That of `accept run` with these words."""
    root: Any = typer.main.get_command(app)
    return root.commands["run"].make_context("run", words)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["failover", "--tags", "@redis", "--members", "5", "--jobs", "2"], "--members 5"),
        (["--target", "my cluster.toml", "--own-schema", "--rerun"], "--target 'my cluster.toml' --own-schema"),
        (["--target=mine.toml"], "--target mine.toml"),
        (["--target", "postgresql://app:secret@db/app"], "--target YOUR-TARGET"),
        (["--target", "ruvector_host = 'db'\nruvector_password = 'secret'"], "--target YOUR-TARGET"),
        (["cache", "--exclude", "x.feature", "--members", "5"], "--members 5"),
        ([], ""),
    ],
)
def test_only_what_says_what_is_tested_is_kept_and_no_secret(words: list[str], kept: str) -> None:
    assert options_of_target(context(words)) == kept


def test_every_option_that_says_what_is_tested_is_kept_as_it_was_typed() -> None:
    line = (
        "--vector pgvector --postgres 17 --pg-bindir /opt/pg --sandbox loopback --dcs raft --etcd 1 --worker-members 1 "
        "--workers 1 --members 1 --ports free --like swarm --own-schema --target mine.toml"
    )
    asked = [*shlex.split(line), "--metrics", "a.prom", "--require", "redis", "--seed", "4", "--share-of", "run.json"]
    assert options_of_target(context(asked)) == line


def test_what_is_named_in_the_environment_is_named_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPT_TARGET", "mine.toml")
    assert options_of_target(context(["cache"])) == ""


def test_the_users_own_folder_is_kept_however_it_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(own_folder.VARIABLE, "/home/me/my checks")
    for words in (["--members", "5", "--features", "checks"], ["a.feature", "--members", "5"]):
        assert options_of_target(context(words)) == "--features '/home/me/my checks' --members 5"


def test_the_pages_know_which_sabotages_break_a_promise() -> None:
    assert "PostgreSQL does not flush its writes to disk" in knowledge().sabotages["PH-06"]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("cluster cache --target mine.toml", "cluster cache"),
        ("--tags '@cache and not @slow' --rerun fast", "fast --tags '@cache and not @slow'"),
        (
            "--name=^Writes --members 5 features/cache/redis.feature:12",
            "features/cache/redis.feature:12 --name '^Writes'",
        ),
        ("--target smoke", ""),
        ("cache --pipeline all --require=redis --seed 4 security --rerun fast", "cache security fast"),
        ("cache --exclude x.feature --tags @redis all", "cache --tags @redis"),
        ("cache -t @redis --stop", "cache --tags @redis"),
        ("cache -t=@redis -n'^A key' -D own.tenant=acme", "cache --tags @redis --name '^A key'"),
        ("", ""),
    ],
)
def test_what_a_run_was_asked_to_select_is_kept(line: str, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = context(shlex.split(line)).params
    words, tags, names = (said[name] or [] for name in ("words", "tags", "name"))
    assert suites.select(words, tags, names).limits == kept
