"""`accept test`: all checks run, and the tests that need a cluster are told from the quick ones."""

import configparser
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import booting
import pytest
import redis_servers
import sandboxes
from bounds import takes_less_than
from program import ROOT, copy
from typer.testing import CliRunner

from support.cli import own_tests
from support.cli.main import app
from support.cli.own_tests import Check, Extent
from support.errors import UsageError


def says(words: str, status: int = 0) -> Check:
    return Check(words, (sys.executable, "-c", f"print({words!r}); raise SystemExit({status})"))


@pytest.mark.parametrize(("linted", "tested"), [(0, 0), (1, 0), (0, 1)])
def test_all_checks_run_and_one_that_fails_fails_all(
    linted: int, tested: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(own_tests, "LINTERS", (says("no style", linted), says("no types")))
    monkeypatch.setattr(own_tests, "tests", lambda arguments, extent: says("no test", tested))
    assert own_tests.run_all([]) is (linted == tested == 0)
    said = capfd.readouterr().out
    assert said.index("\nno style\n") < said.index("\nno types\n") < said.index("\nno test\n") < said.index("seconds")
    assert said.count("failed (exit status 1)") == linted + tested


def test_a_process_that_a_test_left_behind_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    leaves = "import subprocess; subprocess.Popen(['sleep', '30']); print('one test passed')"
    monkeypatch.setattr(own_tests, "LINTERS", ())
    monkeypatch.setattr(own_tests, "tests", lambda arguments, extent: Check("tests", (sys.executable, "-c", leaves)))
    with takes_less_than(20):
        assert own_tests.run_all([])
    assert "one test passed" in capfd.readouterr().out


def test_what_is_not_known_is_passed_on_to_pytest() -> None:
    assert own_tests.tests(["-k", "words"], Extent.USUAL).argv[-2:] == ("-k", "words")


def test_the_slow_tests_run_where_all_are_wanted() -> None:
    """An expression of the user's own comes last, and pytest takes the last one."""
    assert own_tests.tests(["-m", "alone"], Extent.USUAL).argv[-4:] == ("-m", "not slow", "-m", "alone")
    assert "--quick" in own_tests.tests([], Extent.QUICK).argv
    assert not {"--quick", "-m"} & {*own_tests.tests([], Extent.ALL).argv[3:]}
    refused = CliRunner().invoke(app, ["test", "--quick", "--all"])
    assert isinstance(refused.exception, UsageError)


def test_the_two_runs_of_mypy_keep_caches_of_their_own() -> None:
    """Their options differ, so that each would make anew what it finds in the other's."""
    names = configparser.ConfigParser()
    names.read(ROOT / "tests" / "mypy.ini")
    types = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert names["mypy"]["cache_dir"] != types.get("cache_dir", ".mypy_cache")


@pytest.mark.long
@pytest.mark.parametrize("quick", [True, False])
def test_a_quick_run_leaves_out_what_is_long_or_boots(quick: bool) -> None:
    command = [sys.executable, "-m", "pytest", "-n", "0", "--collect-only", "-p", "no:cacheprovider"]
    file = "tests/hosts/test_on_host.py"
    listed = subprocess.run(
        [*command, "-o", "addopts=-q", *["--quick"][:quick], file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    assert "::test_the_clock_of_a_host_has_its_time_zone[dash]" in listed
    for left_out in (
        "::test_one_heals_at_a_time[dash]",  # it waits
        "::test_the_clock_of_a_host_has_its_time_zone[busybox]",  # one more shell
        "::test_a_process_with_ids_of_its_own_is_in_a_container[dash]",  # it boots something
    ):
        assert (left_out in listed) is not quick, left_out


def test_ci_runs_what_the_readme_says() -> None:
    """Its two commands; what failed is run once more, and nothing is left out."""
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    limited = 'timeout --kill-after=60 "$longest" '
    stripped = [line.strip().removeprefix(limited).removesuffix(" </dev/null") for line in lines]
    commands = [line for line in stripped if line.startswith("./accept")]
    again = "./accept test -n 0 --last-failed --last-failed-no-failures none"
    assert commands == ["./accept test", again, "./accept run --rerun"]


def by_a_helper() -> None:
    def later() -> None:
        sandboxes.reach(Path(), hosts=1)
        copy(Path())

    later()


def by_a_class(port: int) -> None:
    redis_servers.RedisServer(Path(), port).start()


def by_nothing() -> None:
    subprocess.run(["true"], check=True)


@pytest.mark.parametrize(("function", "needs"), [(by_a_helper, True), (by_a_class, True), (by_nothing, False)])
def test_a_test_is_marked_when_it_reaches_what_boots(function: Callable[..., None], needs: bool) -> None:
    for test, fixtures in ((function, {}), (by_nothing, {"fixture": [SimpleNamespace(func=function)]})):
        item = SimpleNamespace(function=test, _fixtureinfo=SimpleNamespace(name2fixturedefs=fixtures))
        assert booting.is_booted_for(item) is needs


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        (["/usr/bin/redis-server", "--port", "1"], True),
        ([sys.executable, "-m", "support.cli", "up"], True),
        (["/usr/sbin/haproxy", "-c", "-f", "haproxy.cfg"], False),
        (["true"], False),
    ],
)
def test_a_quick_test_that_boots_something_fails(command: list[str], refused: bool) -> None:
    try:
        booting.refuse("subprocess.Popen", (command[0], command, None, None))
    except booting.NotQuick:
        assert refused
    else:
        assert not refused
