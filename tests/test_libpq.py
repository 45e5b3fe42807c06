"""libpq's URLs and variables: what they stand for, which of them counts, and what a wrong one is answered with."""

import json
import os
from dataclasses import asdict, replace

import pytest

from support import libpq, sql
from support.cli import targets
from support.errors import UsageError
from support.settings import Settings


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """No setting, and no variable of libpq's."""
    for name in {*libpq.VARIABLES, libpq.SET_APART, libpq.URL, *(name.upper() for name in Settings.model_fields)}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("postgresql://db.example", {"ruvector_host": "db.example"}),
        ("postgres://[fd00::1]:5433/", {"ruvector_host": "fd00::1", "ruvector_port": 5433}),
        ("postgresql:///app?host=/run/postgresql", {"ruvector_host": "/run/postgresql", "ruvector_db": "app"}),
        (
            "postgresql+psycopg2://jo%40x:p%2Fw@a:1,[::1]:2,c/app?target_session_attrs=read-write&sslmode=require",
            {
                "ruvector_host": "a:1,[::1]:2,c",
                "ruvector_user": "jo@x",
                "ruvector_password": "p/w",
                "ruvector_db": "app",
                "ruvector_sslmode": "require",
                "ruvector_options": {"target_session_attrs": "read-write"},
            },
        ),
        ("host=a,b port=5433 dbname=app", {"ruvector_host": "a:5433,b:5433", "ruvector_db": "app"}),
        ("postgresql://?service=claims", {"ruvector_options": {"service": "claims"}}),
    ],
)
def test_a_url_stands_for_settings(url: str, meant: dict[str, object]) -> None:
    assert libpq.settings_of(url, "RUVECTOR_URL") == meant


@pytest.mark.parametrize(
    ("said", "careful"),
    [
        (None, "!password"),
        ("", "!password"),
        ("scram-sha-256", "scram-sha-256"),
        ("password, scram-sha-256", "scram-sha-256"),
        ("password", "!password"),
        ("!md5,!password", "!md5,!password"),
        ("!md5", "!md5,!password"),
    ],
)
def test_a_password_is_never_sent_in_clear_text(said: str | None, careful: str) -> None:
    given = {"sslmode": "require"} | ({} if said is None else {"require_auth": said})
    assert libpq.never_in_clear_text(given) == {"sslmode": "require", "require_auth": careful}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://jo:secret@db/app?fast=yes", 'invalid URI query parameter: "fast"; write it like'),
        ("postgresql://jo:secret@db:port/app", "'port' is not a port number"),
        ("postgresql://jo:se%cret@db/app", "a % that stands for itself must be written %25"),
        ("postgresql://jo:secret@[::1/app", 'in IPv6 host address in URI: "..."'),
    ],
)
def test_a_wrong_url_is_named_without_its_password(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUVECTOR_URL", url)
    with pytest.raises(UsageError) as refused:
        Settings.load()
    assert str(refused.value).startswith("RUVECTOR_URL: ")
    assert words in str(refused.value)
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("chanel_binding=require", "chanel_binding is not a parameter of libpq; did you mean channel_binding?"),
        ("sslmode=require, cursor_factory=x", "cursor_factory is not a parameter of libpq; the parameters"),
        ("a b=c", "a b is not a parameter of libpq; the parameters"),
    ],
)
def test_a_misspelt_parameter_is_named_before_any_login(
    options: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUVECTOR_OPTIONS", options)
    with pytest.raises(UsageError) as refused:
        Settings.load()
    assert str(refused.value).startswith(f"RUVECTOR_OPTIONS: {words}")


def test_a_url_has_the_rank_of_its_source_and_what_is_said_beside_it_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    tmp_path.joinpath("accept.toml").write_text('ruvector_url = "postgresql://file@file/file?sslmode=require"\n')
    monkeypatch.setenv("RUVECTOR_URL", "postgresql://environment@environment:5433")
    monkeypatch.setenv("RUVECTOR_PASSWORD", "beside it")
    settings = Settings.load({"ruvector_host": "said"})
    assert (settings.ruvector_host, settings.ruvector_port, settings.ruvector_user) == ("said", 5433, "environment")
    assert (settings.ruvector_db, settings.ruvector_sslmode) == ("file", "require")
    assert settings.ruvector_password is not None
    assert settings.ruvector_password.get_secret_value() == "beside it"
    assert settings.external


@pytest.mark.parametrize(
    ("variables", "by"),
    [
        ({"PGHOST": "db"}, "PGHOST"),
        ({"PGSERVICE": "claims", "PGHOST": "db"}, "PGSERVICE"),
        ({"DATABASE_URL": "postgres://jo:x@db/app", "PGHOST": "other"}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://jo@db/app"}, ""),
        ({"PGUSER": "jo", "PGPASSWORD": "x", "PGPORT": "5433", "PGSSLMODE": "require"}, ""),
        ({"PGHOST": ""}, ""),
        ({"PGHOST": "db", "RUVECTOR_HOST": "ours"}, ""),
    ],
)
def test_which_variable_names_the_target(variables: dict[str, str], by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.accept_named_by == by
    assert settings.external is bool(by or "RUVECTOR_HOST" in variables)
    own, _ = targets.choose("embedded")
    assert Settings.load(own).external is ("RUVECTOR_HOST" in variables)
    assert Settings.load(own).accept_libpq == {}


def test_a_host_of_ours_is_not_mixed_with_another_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://jo:x@db/app")
    monkeypatch.setenv("RUVECTOR_HOST", "ours")
    settings = Settings.load()
    assert (settings.ruvector_host, settings.ruvector_user, settings.ruvector_password) == ("ours", "postgres", None)


def test_variables_of_libpq_change_no_connection_of_the_suite() -> None:
    environment = {"PGHOST": "db", "PGSSLMODE": "require", "PGDATA": "/data", "HOME": "/root"}
    libpq.set_apart(environment)
    assert environment.keys() == {"PGDATA", "HOME", libpq.SET_APART}
    assert json.loads(environment[libpq.SET_APART]) == {"PGHOST": "db", "PGSSLMODE": "require"}
    libpq.set_apart(environment)
    assert libpq.given(environment) == {"PGHOST": "db", "PGSSLMODE": "require"}


def test_variables_count_only_within_their_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "before")
    with libpq.variables({"PGUSER": "jo"}):
        assert {name: os.environ.get(name) for name in ("PGHOST", "PGUSER")} == {"PGHOST": None, "PGUSER": "jo"}
    assert {name: os.environ.get(name) for name in ("PGHOST", "PGUSER")} == {"PGHOST": "before", "PGUSER": None}


def test_an_endpoint_of_several_hosts() -> None:
    options = {"target_session_attrs": "read-write", "sslmode": "require", "hostaddr": "10.0.0.1,10.0.0.2"}
    several = sql.Endpoint("the write endpoint", "a", 5432, "app", "jo", "x", options, [("::1", 5433)])
    assert str(several) == "the write endpoint (a:5432,[::1]:5433/app as jo)"
    variables = sql.login_variables(several, "a program")
    assert (variables["PGHOST"], variables["PGPORT"]) == ("a,::1", "5432,5433")
    assert variables["PGTARGETSESSIONATTRS"] == "read-write"
    slow = replace(several, options={"connect_timeout": "30", "application_name": "theirs", "keepalives": "0"})
    given = sql.login_variables(slow, "a program")
    assert {"PGCONNECT_TIMEOUT": "30", "PGAPPNAME": "theirs"}.items() <= given.items()
    assert given.keys() <= libpq.VARIABLES
    first, second = several.each
    assert (first.host, first.options) == ("a", {"sslmode": "require", "hostaddr": "10.0.0.1"})
    assert (second.hosts, second.options) == ((("::1", 5433),), {"sslmode": "require", "hostaddr": "10.0.0.2"})
    assert several.at("a member", "c", 1).options == {"sslmode": "require"}
    sent = sql.Endpoint(**json.loads(json.dumps(asdict(several))))  # to a process of `accept load`
    assert (sent.hosts, sent.options) == (several.hosts, options)
