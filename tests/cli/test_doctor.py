"""What `accept doctor` says of a user's cluster before a run."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import free_port
from patronis import Member, patroni
from servers import postgres as throw_away_postgres

from support import sql
from support.cli.doctor import diagnose
from support.settings import Settings
from support.target.capabilities import why_missing


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither accept.toml nor a variable of the developer's."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_member_that_refuses_the_application_is_named(postgres: sql.Endpoint, tmp_path: Path) -> None:
    sql.execute(postgres, f"CREATE ROLE clerk LOGIN PASSWORD '{postgres.password}'")
    with ExitStack() as stack:
        stack.callback(sql.execute, postgres, "DROP ROLE clerk")
        other = stack.enter_context(throw_away_postgres(tmp_path, free_port()))  # the role is unknown there
        members = [
            Member("a", "leader", f"127.0.0.1:{postgres.port}", "127.0.0.1:1", postgres),
            Member("b", "replica", f"127.0.0.1:{other.port}", "127.0.0.1:1", other),
        ]
        hosts = ",".join(f"127.0.0.1:{stack.enter_context(patroni(one, members))}" for one in members)
        target = {"ruvector_host": postgres.host, "ruvector_port": postgres.port, "patroni_hosts": hosts}
        login = {"ruvector_user": "clerk", "ruvector_password": postgres.password}
        found = diagnose(Settings.load(target | login), None)
    refusing = [remark for remark in found.remarks if "cannot log in" in remark]
    assert len(refusing) == 1
    assert refusing[0].startswith(
        f"the application cannot log in to member b (127.0.0.1:{other.port}/postgres as clerk)"
    )
    assert "members" not in found.lacks


def test_each_reason_is_told_once() -> None:
    lacks = {"citus": "it is not installed", "hosts": "they are yours", "workers": "it is not installed"}
    assert why_missing(lacks) == "no citus, workers: it is not installed; no hosts: they are yours"
    assert why_missing({"redis": "none was named"}) == "no redis: none was named"
    assert why_missing({}) == ""
