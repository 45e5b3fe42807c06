"""What `accept init` makes of a login that libpq completes: services, PG* variables, password files, parameters."""

import tomllib
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from conftest import free_port

from support import libpq, sql
from support.settings import Settings
from support.target.survey.survey import Survey, survey
from support.target.survey.target_file import text
from support.target.topology import Address


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting, and no variable or file of libpq's."""
    for name in {*libpq.VARIABLES, libpq.SET_APART, libpq.URL, *(name.upper() for name in Settings.model_fields)}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def surveyed(**said: object) -> Survey:
    return survey(Settings.load(said), "", lambda line: None)


def written(found: Survey, secrets: bool = True) -> str:
    return text(found, {}, "today", secrets=secrets)


def test_a_service_in_the_url_says_where_the_database_is(postgres: sql.Endpoint, tmp_path: Path) -> None:
    login = f"user=postgres\npassword={postgres.password}\ndbname=template1"
    service = f"[claims]\nhost=127.0.0.1\nport={postgres.port}\n{login}\n"
    (tmp_path / ".pg_service.conf").write_text(service)
    found = surveyed(ruvector_url="postgresql:///?service=claims")
    assert found.endpoints.write.address == Address("127.0.0.1", postgres.port)
    said = tomllib.loads(written(found))
    assert (said["ruvector_host"], said["ruvector_port"]) == ("127.0.0.1", postgres.port)
    assert (said["ruvector_db"], said["ruvector_options"]) == ("template1", {"service": "claims"})


def test_an_ip_address_of_libpqs_says_where_the_database_is(postgres: sql.Endpoint) -> None:
    options = {"hostaddr": "127.0.0.1", "port": str(postgres.port)}
    found = surveyed(ruvector_password=postgres.password, ruvector_options=options)
    assert found.endpoints.write.address == Address("127.0.0.1", postgres.port)


def test_all_parameters_of_several_hosts_are_written(postgres: sql.Endpoint) -> None:
    places = f"127.0.0.1:{free_port()},127.0.0.1:{postgres.port}"
    tls = {"ssl_min_protocol_version": "TLSv1.3", "sslcrl": "/etc/app/crl.pem", "sslpassword": "hush"}
    options = {"target_session_attrs": "read-write", "options": "-c work_mem=5MB", **tls}
    said = urlencode({"sslmode": "allow", "sslkey": "/etc/app/key.pem", **options}, quote_via=quote)
    found = surveyed(ruvector_url=f"postgresql://postgres:{postgres.password}@{places}/postgres?{said}")
    loaded = Settings.load(tomllib.loads(written(found)))
    assert (loaded.ruvector_host, loaded.ruvector_options) == (places, options)
    assert (loaded.ruvector_sslmode, loaded.ruvector_sslkey) == ("allow", "/etc/app/key.pem")
    printed = written(found, secrets=False)
    assert "hush" not in printed
    assert "add sslpassword, left out here" in printed
    del options["sslpassword"]
    assert tomllib.loads(printed)["ruvector_options"] == options
