"""Files that settings name: they are found from any folder, and a relative path begins where users expect it."""

from pathlib import Path

import pytest

from support import libpq
from support.cli import targets
from support.places import STARTED_IN
from support.settings import Settings
from support.target.discovery import cache, database, dcs, web

FILES = (
    *("ruvector_sslrootcert", "ruvector_sslcert", "ruvector_sslkey", "redis_cafile", "redis_certfile", "redis_keyfile"),
    *("haproxy_stats_cacert", "patroni_ctl_cacert", "patroni_ctl_certfile", "patroni_ctl_keyfile"),
    *("accept_pg_bindir", "accept_metrics"),
)
OF_THE_PROGRAM = {"accept_run"}


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in {*libpq.VARIABLES, libpq.SET_APART, libpq.URL, *(name.upper() for name in Settings.model_fields)}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # as the program, which works in the project's folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A target file in a folder of its own, beside its certificates."""
    folder = tmp_path / "staging"
    folder.mkdir()
    for name in ("ca.pem", "client.crt", "client.key"):
        folder.joinpath(name).touch()
    return folder / "mine.toml"


def test_every_setting_that_is_a_path_is_among_these() -> None:
    paths = {name for name, one in Settings.model_fields.items() if "Path" in str(one.annotation)}
    named = {name for name in Settings.model_fields if name.endswith(("cert", "key", "file"))}
    assert (paths | named) - OF_THE_PROGRAM - {"accept_programs"} == {*FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_path_begins_in_the_folder_of_the_file_or_where_the_user_is(
    name: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.write_text(f'{name} = "ca.pem"\n')
    assert Path(getattr(Settings.load(targets.of_file(target)), name)) == target.parent / "ca.pem"
    monkeypatch.chdir(target.parent.parent)
    Path("accept.toml").write_text(f'{name} = "staging/ca.pem"\n')
    assert Path(getattr(Settings.load(), name)) == target.parent / "ca.pem"
    monkeypatch.setenv(name.upper(), "ca.pem")
    assert Path(getattr(Settings.load(), name)) == STARTED_IN / "ca.pem"
    absolute = str(target.parent / "ca.pem")
    assert str(getattr(Settings.load({name: absolute}), name)) == absolute


def test_the_certificates_beside_a_target_file_are_used(target: Path) -> None:
    target.write_text(
        """
        ruvector_url = "postgresql://db/app?sslrootcert=ca.pem&sslcrl=ca.pem"
        ruvector_read_url = "postgresql://app:a%2Bb@db2/app?sslrootcert=ca.pem"
        redis_url = "rediss://cache?ssl_ca_certs=ca.pem"
        patroni_ctl_cacert = "ca.pem"
        patroni_ctl_certfile = "client.crt"
        patroni_ctl_keyfile = "client.key"
        haproxy_stats_cacert = "ca.pem"

        [dcs.etcd3]
        hosts = ["10.0.1.1:2379"]
        cacert = "ca.pem"
        cert = "client.crt"
        key = "client.key"
        """
    )
    settings = Settings.load(targets.of_file(target))
    authority, certificate, key = (str(target.parent / name) for name in ("ca.pem", "client.crt", "client.key"))
    access = web.of_patroni(settings)
    assert (access.authority, access.certificate, access.key) == (authority, certificate, key)
    assert web.authority_of_page(settings) == authority
    section = dcs.declared(settings).access["etcd3"]
    assert (section["cacert"], section["cert"], section["key"]) == (authority, certificate, key)
    assert (settings.ruvector_sslrootcert, settings.ruvector_options) == (authority, {"sslcrl": authority})
    assert settings.ruvector_read_url.get_secret_value() == f"postgresql://app:a%2Bb@db2/app?sslrootcert={authority}"
    assert cache._named(settings, "db").tls.authorities == authority


def test_the_files_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(STARTED_IN / "ca.pem")
    monkeypatch.setenv("RUVECTOR_OPTIONS", "sslcrl=ca.pem, target_session_attrs=any")
    monkeypatch.setenv("RUVECTOR_URL", "postgresql://db/app?sslrootcert=ca.pem")
    monkeypatch.setenv("REDIS_URL", "rediss://cache/?ssl_ca_certs=ca.pem")
    monkeypatch.setenv("ACCEPT_DCS", '{"etcd3": {"hosts": "10.0.1.1", "cacert": "ca.pem"}}')
    monkeypatch.setenv("ACCEPT_PROGRAMS", "redis=valkey/server")
    settings = Settings.load()
    assert settings.ruvector_options == {"sslcrl": here, "target_session_attrs": "any"}
    assert settings.ruvector_sslrootcert == here
    assert settings.redis_url_is_ambient
    assert cache._named(settings, "db").tls.authorities == here
    assert settings.accept_dcs["etcd3"]["cacert"] == here
    assert settings.accept_programs == {"redis": STARTED_IN / "valkey/server"}
    read = "host=db sslrootcert=ca.pem"
    settings = Settings.load({"ruvector_read_url": read})
    _, options = database._read(settings, (), database.Login("app", ""), "app", {})
    assert options == {"sslrootcert": here}


def test_the_files_of_libpqs_own_variables() -> None:
    files = ("PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "PGSSLCRLDIR", "PGPASSFILE", "PGSERVICEFILE")
    given = libpq.given({**dict.fromkeys(files, "certs/one"), "PGDATABASE": "app", "PGSYSCONFDIR": "/etc/pg"})
    assert given == {
        **dict.fromkeys(files, str(STARTED_IN / "certs/one")),
        "PGDATABASE": "app",
        "PGSYSCONFDIR": "/etc/pg",
    }


def test_what_names_no_file_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load({"ruvector_sslrootcert": "system", "ruvector_sslkey": "pkcs11:object=app"})
    assert (settings.ruvector_sslrootcert, settings.ruvector_sslkey) == ("system", "pkcs11:object=app")
    assert libpq.given({"PGSSLROOTCERT": "system"}) == {"PGSSLROOTCERT": "system"}
    url = "postgresql://app@db/app?sslrootcert=system&sslcert=/etc/a%20b.pem"
    assert Settings.load({"ruvector_read_url": url}).ruvector_read_url.get_secret_value() == url
