"""The options that the report repeats in the line that runs a scenario again."""

import shlex

import pytest
from typer.main import get_command

from support import own_folder
from support.cli.main import app
from support.cli.report import knowledge, options_of_target, selection_of


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["run", "failover", "--tags", "@redis", "--members", "5", "--jobs", "2"], "--members 5"),
        (["--target", "my cluster.toml", "--own-schema", "--rerun"], "--target 'my cluster.toml' --own-schema"),
        (["run", "--target=mine.toml"], "--target mine.toml"),
        (["run", "--target", "postgresql://app:secret@db/app"], "--target YOUR-TARGET"),
        (["run", "--target", "ruvector_host = 'db'\nruvector_password = 'secret'"], "--target YOUR-TARGET"),
        (["run", "--target"], ""),
        ([], ""),
    ],
)
def test_only_what_says_what_is_tested_is_kept_and_no_secret(arguments: list[str], kept: str) -> None:
    assert options_of_target(arguments) == kept


def test_the_users_own_folder_is_kept_however_it_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(own_folder.VARIABLE, "/home/me/my checks")
    for arguments in (["run", "--features", "checks", "--members", "5"], ["run", "a.feature", "--members", "5"]):
        assert options_of_target(arguments) == "--features '/home/me/my checks' --members 5"


def test_the_pages_know_which_sabotages_break_a_promise() -> None:
    assert "PostgreSQL does not flush its writes to disk" in knowledge().sabotages["PH-06"]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("run cluster cache --target mine.toml", "cluster cache"),
        ("run --tags '@cache and not @slow' --rerun", "--tags '@cache and not @slow'"),
        (
            "run --name=^Writes --members 5 features/cache/reads.feature:12",
            "'--name=^Writes' features/cache/reads.feature:12",
        ),
        ("run --target smoke", ""),
        ("run cache --pipeline all --require=redis --seed 4 security --rerun fast", "cache security fast"),
        ("run cache --exclude x.feature --tags @redis all", "cache --tags @redis"),
        ("run", ""),
    ],
)
def test_what_a_run_was_asked_to_select_is_kept(line: str, kept: str) -> None:
    assert selection_of(shlex.split(line)) == kept


def test_every_option_of_a_run_is_known_here() -> None:
    """What is a value of an option is not what was selected."""
    run = get_command(app).commands["run"]  # type: ignore[attr-defined]
    options = {name: one.is_flag for one in run.params for name in one.opts if name.startswith("-")}
    for name, is_flag in options.items():
        kept = selection_of(["run", name, "cache"])
        assert kept == ("cache" if is_flag else f"{name} cache" if name in ("--tags", "--name") else "")
        assert selection_of(["run", name, "x", "cache"]).endswith("cache"), "and is no option of behave's"
