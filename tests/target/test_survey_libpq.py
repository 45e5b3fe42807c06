"""What `accept init` makes of a login that libpq completes: services, PG* variables, password files, parameters."""

import json
import tomllib
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from conftest import free_port
from servers import BINDIR
from servers import postgres as throw_away_postgres

from support import libpq, sql
from support.settings import Settings
from support.target.survey import endpoints
from support.target.survey.survey import Survey, survey
from support.target.survey.target_file import text
from support.target.topology import Address

pytestmark = pytest.mark.usefixtures("nothing_said")


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


@pytest.mark.parametrize("several", [False, True])
def test_what_libpq_knows_beside_the_settings_is_written(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    """A pipeline has the file, and neither the variables nor the services of whoever wrote it."""
    known = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGPASSWORD": postgres.password, "PGSSLMODE": "allow"}
    known |= {"PGSSLROOTCERT": "/etc/app/ca.pem", "PGSSLMINPROTOCOLVERSION": "TLSv1.3"}
    options = {"ssl_min_protocol_version": "TLSv1.3"}
    if several:
        places = {"PGHOST": "127.0.0.1,127.0.0.1", "PGPORT": f"{free_port()},{postgres.port}"}
        known |= {**places, "PGTARGETSESSIONATTRS": "read-write"}
        options |= {"target_session_attrs": "read-write"}
    monkeypatch.setenv(libpq.SET_APART, json.dumps(known))
    file = written(surveyed())
    monkeypatch.delenv(libpq.SET_APART)
    loaded = Settings.load(tomllib.loads(file))
    assert (loaded.ruvector_sslmode, loaded.ruvector_sslrootcert) == ("allow", "/etc/app/ca.pem")
    assert (loaded.ruvector_options, loaded.ruvector_password) == (options, None)
    assert "libpq had it from PGPASSWORD" in file
    assert postgres.password not in file


def test_a_password_file_is_named(postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(endpoints, "USUAL", (postgres.port,))
    (tmp_path / ".pgpass").write_text(f"127.0.0.1:{postgres.port}:*:postgres:{postgres.password}\n")
    (tmp_path / ".pgpass").chmod(0o600)
    file = written(surveyed(ruvector_host="127.0.0.1"))
    assert "libpq had it from PGPASSWORD, a service or ~/.pgpass" in file
    assert "asked for none" not in file


def test_a_server_that_asks_for_no_password_is_told(tmp_path: Path) -> None:
    (tmp_path / "hba").write_text("host all all all trust\n")
    with throw_away_postgres(tmp_path, free_port(), BINDIR, f"hba_file={tmp_path}/hba") as there:
        file = written(surveyed(ruvector_host="127.0.0.1", ruvector_port=there.port))
    assert "the server asked for none" in file
    assert "PGPASSWORD" not in file
