"""`accept init`: a target file that is loaded as it is, and never in place of another file."""

import tomllib
from pathlib import Path

import pytest
from conftest import free_port

from support import sql
from support.cli import init, targets
from support.cli.behave_process import dry_run
from support.cli.limits_here import by_span, longer_here
from support.errors import UsageError
from support.settings import Settings
from support.target.timing import Span, Timing


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def given(postgres: sql.Endpoint) -> Settings:
    return init.given_settings(f"postgresql://postgres:{postgres.password}@127.0.0.1:{postgres.port}/postgres", {})


def test_the_file_is_loaded_as_it_is_and_read_by_its_owner_only(
    postgres: sql.Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    assert init.init(given(postgres), "", file) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    loaded = Settings.load(targets.of_file(file))
    assert (loaded.ruvector_host, loaded.ruvector_port) == ("127.0.0.1", postgres.port)
    assert "./accept doctor --target" in capsys.readouterr().err


def test_what_is_printed_has_no_password(postgres: sql.Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert init.init(given(postgres), "", None) == 0
    said = capsys.readouterr()
    assert postgres.password not in said.out + said.err
    assert tomllib.loads(said.out)["ruvector_db"] == "postgres"


def test_an_existing_file_is_left_alone(postgres: sql.Endpoint, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("# mine\n")
    with pytest.raises(UsageError, match="is not overwritten"):
        init.init(given(postgres), "", file)
    assert file.read_text() == "# mine\n"
    with pytest.raises(UsageError, match="there is no folder"):
        init.init(given(postgres), "", tmp_path / "no/mine.toml")


def test_without_a_terminal_the_address_has_to_be_given() -> None:
    with pytest.raises(UsageError, match="RUVECTOR_HOST"):
        init.given_settings(None, {})


def test_what_the_environment_says_need_not_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUVECTOR_HOST", "db")
    assert init.given_settings(None, {}).ruvector_host == "db"
    assert init.given_settings("other:5001", {"ruvector_db": "app"}).ruvector_port == 5001


@pytest.mark.parametrize(
    ("place", "settings"),
    [
        ("db", {"ruvector_host": "db"}),
        ("db:5000", {"ruvector_host": "db", "ruvector_port": 5000}),
        ("[fd00::1]:5000", {"ruvector_host": "fd00::1", "ruvector_port": 5000}),
        ("fd00::1", {"ruvector_host": "fd00::1"}),
    ],
)
def test_how_an_address_may_be_written(place: str, settings: dict[str, object]) -> None:
    assert targets.of_place(place) == settings


@pytest.mark.parametrize("place", ["", "db:x", "db:99999", "db/app", "a@db", "[fd00::1"])
def test_what_is_no_address_is_told(place: str) -> None:
    with pytest.raises(UsageError, match=r"write it like database\.example\.org:5432"):
        targets.of_place(place)


def test_the_url_of_a_redis_keeps_its_login() -> None:
    assert targets.redis_of_place("cache:6380") == {"redis_host": "cache", "redis_port": 6380}
    for url in ("redis://:hush@cache:6380/2", "rediss://app:hush@cache", "valkey://cache", "valkeys://cache"):
        assert targets.redis_of_place(url) == {"redis_url": url}
    for place in (":hush@cache", "app:hush@cache:6380", "app:hush@cache:many"):
        with pytest.raises(UsageError, match="write it like cache") as refused:
            targets.redis_of_place(place)
        assert "hush" not in str(refused.value)


def test_limits_that_the_clusters_own_timing_makes_longer() -> None:
    scenarios = dry_run(["features/failover"]).scenarios
    assert longer_here(scenarios, Timing()) == ()
    slow = by_span(longer_here(scenarios, Timing(ttl=30, loop_wait=10, proxy=12)))
    assert {"FO-01.leader", "FO-02.failover"} <= {*slow[Span.FAILOVER]}
    assert "FO-06.switchover" in slow[Span.SWITCHOVER]


def test_a_closed_port_is_told_before_anything_is_written(tmp_path: Path) -> None:
    closed = init.given_settings(f"127.0.0.1:{free_port()}", {})
    with pytest.raises(Exception, match="nothing listens there"):
        init.init(closed, "", tmp_path / "mine.toml")
    assert not (tmp_path / "mine.toml").exists()


def test_at_a_terminal_what_was_not_given_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "Address of the database": "db:5000",
        "Database": "app",
        "The application's role": "clerk",
        "Its password": "",
        "Address of Redis": "cache:6380",
        "How the hosts are reached": "ssh://root@ADDRESS",
    }
    asked: list[str] = []

    def answer(question: str, **_: object) -> str:
        asked.append(question)
        return next(said for beginning, said in answers.items() if question.startswith(beginning))

    monkeypatch.setattr(init, "_somebody_is_there", lambda: True)
    monkeypatch.setattr(init.typer, "prompt", answer)
    found = init.given_settings(None, {})
    assert (found.ruvector_host, found.ruvector_port, found.ruvector_db, found.ruvector_user) == (
        "db",
        5000,
        "app",
        "clerk",
    )
    assert (found.redis_host, found.redis_port, found.redis_password) == ("cache", 6380, None)
    assert init.pattern_of(None) == "ssh://root@ADDRESS"
    asked.clear()
    given = {"ruvector_db": "app", "ruvector_password": "x", "redis_host": "cache"}
    assert init.given_settings("db:5000", given).ruvector_host == "db"
    assert init.pattern_of("docker://NAME") == "docker://NAME"
    assert asked == ["The application's role"]
    asked.clear()
    assert init.given_settings("db:5000", {"redis_url": "rediss://app:hush@cache"}).redis_host is None
    answers["Address of Redis"] = "rediss://app:hush@cache"
    found = init.given_settings("db:5000", {})
    assert (found.redis_url.get_secret_value(), found.redis_password) == ("rediss://app:hush@cache", None)
    assert [one.partition(" (")[0] for one in asked if "Redis" in one or "(empty" in one] == ["Address of Redis"]
