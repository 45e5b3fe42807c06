"""Settings: three sources, one name each, and complaints that can be acted upon."""

import os
import tomllib

import pytest

from support.cli.cluster_under_test import as_variables
from support.cli.console import say_ignored
from support.errors import UsageError
from support.settings import TARGET_FIELDS, Settings, named_callable


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No setting of this machine's user, and no accept.toml."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_said_means_a_cluster_of_our_own():
    settings = Settings.load()
    assert not settings.external
    assert (settings.accept_members, settings.accept_etcd, settings.accept_sandbox) == (3, 3, "auto")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUVECTOR_HOST", "db.example"),
        ("RUVECTOR_PORT", "5433"),
        ("RUVECTOR_DB", "claims"),
        ("RUVECTOR_USER", "jo"),
        ("RUVECTOR_PASSWORD", "x"),
        ("RUVECTOR_SSLMODE", "require"),
        ("REDIS_HOST", "cache.example"),
        ("REDIS_PORT", "6380"),
        ("REDIS_PASSWORD", "x"),
        ("HAPROXY_PRIMARY_PORT", "5000"),
        ("HAPROXY_REPLICA_PORT", "5001"),
        ("ENABLE_PATRONI", "true"),
        ("PATRONI_HOSTS", "a,b"),
        ("PATRONI_PORT", "8009"),
        ("ENABLE_CITUS", "true"),
        ("CITUS_COORDINATOR", "c.example"),
        ("CITUS_WORKERS", "w1,w2"),
    ],
)
def test_any_variable_of_the_target_means_that_target(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert Settings.load().external
    assert name.lower() in TARGET_FIELDS


@pytest.mark.parametrize(
    "name", ["RUVECTOR_HOST", "RUVECTOR_PASSWORD", "REDIS_HOST", "PATRONI_HOSTS", "ETCD_HOSTS", "ACCEPT_MEMBERS"]
)
@pytest.mark.parametrize("nothing", ["", "  "])
def test_a_setting_of_the_target_without_a_value_is_an_error_wherever_it_is(monkeypatch, nowhere, name, nothing):
    empty = f"{name}.* is empty: give it a value, or leave it out"
    with pytest.raises(UsageError, match=f"(?i){empty}"):
        Settings.load({name: nothing})
    nowhere.joinpath("accept.toml").write_text(f'{name.lower()} = "{nothing}"\n')
    with pytest.raises(UsageError, match=f"(?i){empty}"):
        Settings.load()
    nowhere.joinpath("accept.toml").unlink()
    monkeypatch.setenv(name, nothing)
    with pytest.raises(UsageError, match=empty):
        Settings.load()


@pytest.mark.parametrize("name", ["RUVECTOR_HOST", "REDIS_HOST", "PATRONI_HOSTS", "REDIS_SENTINELS"])
def test_commas_alone_are_no_value(monkeypatch, name):
    monkeypatch.setenv(name, " , ,")
    with pytest.raises(UsageError, match=f"{name} in the environment is empty"):
        Settings.load()
    monkeypatch.delenv(name)
    if name.endswith("S"):
        with pytest.raises(UsageError, match=f"(?i){name} is empty"):
            Settings.load({name.lower(): ["", " "]})
    assert Settings.load({"ruvector_password": ","}).ruvector_password.get_secret_value() == ","


@pytest.mark.parametrize(
    ("name", "value", "port"),
    [
        ("RUVECTOR_HOST", "db1:0", "0"),
        ("RUVECTOR_HOST", "db1,[fd00::1]:65536", "65536"),
        ("CITUS_COORDINATOR", "db1:0", "0"),
        ("CITUS_WORKERS", "w1:5432,w2:0", "0"),
        ("REDIS_HOST", "cache:0", "0"),
        ("REDIS_SENTINELS", "s1,s2:99999", "99999"),
        ("PATRONI_HOSTS", "https://db1:0", "0"),
        ("ETCD_HOSTS", "http://[::1]:0", "0"),
    ],
)
def test_a_port_that_cannot_be_one_is_an_error(monkeypatch, name, value, port):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=rf"{name} is .*: {port} is not a port number \(1 to 65535\)"):
        Settings.load()


@pytest.mark.parametrize("host", ["fd00::", "::0", "[fd00::1]", "/run/postgresql:0", "db1,[::1]:5433", "db1:65535"])
def test_what_has_no_port_or_a_right_one_is_accepted(host):
    assert Settings.load({"ruvector_host": host}).ruvector_host == host


def test_an_empty_secret_with_the_target_is_an_error(monkeypatch):
    monkeypatch.setenv("ACCEPT_TARGET", "")
    with pytest.raises(UsageError, match="ACCEPT_TARGET in the environment is empty"):
        Settings.load()


def test_another_empty_variable_says_nothing(monkeypatch):
    monkeypatch.setenv("ACCEPT_METRICS", "")
    assert Settings.load().accept_metrics is None


@pytest.mark.parametrize("service", ["REDIS", "PATRONI", "HAPROXY_PRIMARY", "RUVECTOR", "ACCEPT"])
def test_the_variables_of_a_kubernetes_service_are_no_settings(monkeypatch, service):
    links = {
        "SERVICE_HOST": "10.96.0.10",
        "SERVICE_PORT": "6379",
        "SERVICE_PORT_MAIN": "6379",
        "PORT": "tcp://10.96.0.10:6379",
        "PORT_6379_TCP": "tcp://10.96.0.10:6379",
        "PORT_6379_TCP_PROTO": "tcp",
        "PORT_6379_TCP_PORT": "6379",
        "PORT_6379_TCP_ADDR": "10.96.0.10",
    }
    for name, value in links.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    settings = Settings.load()
    assert not settings.external
    assert (settings.redis_port, settings.patroni_port, settings.ruvector_port) == (6379, 8008, 5432)
    assert "redis_port" not in settings.model_fields_set
    monkeypatch.delenv(f"{service}_PORT")
    if service in ("RUVECTOR", "ACCEPT"):
        with pytest.raises(UsageError, match=f"{service}_SERVICE_HOST in the environment is not a setting"):
            Settings.load()


def test_a_port_that_is_no_number_is_an_error_where_kubernetes_did_not_set_it(monkeypatch):
    monkeypatch.setenv("REDIS_PORT", "http://cache:6379")
    with pytest.raises(UsageError, match="REDIS_PORT is 'http://cache:6379'"):
        Settings.load()
    monkeypatch.delenv("REDIS_PORT")
    with pytest.raises(UsageError, match="REDIS_PORT is 'tcp://cache:6379'"):
        Settings.load({"redis_port": "tcp://cache:6379"})


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('redis_hots = "x"', "redis_hots in accept.toml is not a setting; did you mean redis_host?"),
        ("[limit]\nPF-01 = 1", "[limit] in accept.toml is not a setting; did you mean [limits]?"),
        ("[expects]\nmembers = 1", "[expects] in accept.toml is not a setting; did you mean [expect]?"),
        (
            "[haproxy_server]\na = 'b'",
            "[haproxy_server] in accept.toml is not a setting; did you mean [haproxy_servers]?",
        ),
        ("qwxyz = 1", "qwxyz in accept.toml is not a setting; docs/your-cluster.md lists the settings"),
    ],
)
def test_an_unknown_name_in_the_file_is_an_error_with_the_nearest_one(nowhere, written, words):
    nowhere.joinpath("accept.toml").write_text(written)
    with pytest.raises(UsageError) as caught:
        Settings.load()
    assert str(caught.value) == words
    with pytest.raises(UsageError, match=r"on the command line or in the target file is not a setting"):
        Settings.load(tomllib.loads(written))


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("RUVECTOR_HOTS", "RUVECTOR_HOST"),
        ("RUVECTOR_ANYTHING", None),
        ("ACCEPT_TARGTE", "ACCEPT_TARGET"),
        ("accept_member", "ACCEPT_MEMBERS"),
        ("REDIS_HOTS", "REDIS_HOST"),
        ("PATRONI_HOST", "PATRONI_HOSTS"),
        ("HAPROXY_PRIMARY_PROT", "HAPROXY_PRIMARY_PORT"),
        ("REDIS_HOSTS", "REDIS_HOST"),
        ("CITUS_WORKER", "CITUS_WORKERS"),
        ("ENABLE_CITUSS", "ENABLE_CITUS"),
    ],
)
def test_a_misspelt_variable_is_an_error(monkeypatch, variable, meant):
    monkeypatch.setenv(variable, "x")
    with pytest.raises(UsageError, match=f"^{variable} in the environment is not a setting; ") as caught:
        Settings.load()
    assert meant is None or f"did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("REDIS_URI", ["REDIS_URL"]),
        ("REDIS_URLS", ["REDIS_URL"]),
        ("REDIS_USERS", ["REDIS_USER"]),
        ("ETCD_HOST", ["ETCD_HOSTS"]),
        ("HAPROXY_STATS_URI", ["HAPROXY_STATS_URL"]),
    ],
)
def test_a_usual_variable_is_an_error_only_where_a_target_is_named(monkeypatch, capsys, variable, meant):
    monkeypatch.setenv(variable, "x")
    settings = Settings.load()
    assert not settings.external
    assert settings.ignored_variables == {variable: meant}
    say_ignored(settings)
    assert (
        capsys.readouterr().err
        == f"ignored in the environment, as other programs use them: {variable} (did you mean {meant[0]}?)\n"
    )
    monkeypatch.setenv("RUVECTOR_HOST", "db")
    with pytest.raises(UsageError, match=f"^{variable} in the environment is not a setting; did you mean {meant[0]}"):
        Settings.load()
    monkeypatch.delenv("RUVECTOR_HOST")
    monkeypatch.setenv("PGHOST", "db")
    with pytest.raises(UsageError, match=f"{variable} in the environment is not a setting"):
        Settings.load()


def test_nothing_is_said_where_nothing_is_ignored(capsys):
    say_ignored(Settings.load())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "variable",
    "REDIS_URL REDIS_SERVICE_HOST REDIS_PORT_6379_TCP HAPROXY_PORT HAPROXY_VERSION PATRONI_NAME PATRONI_SCOPE "
    "ETCD_NAME ETCD_PORT ETCD_DATA_DIR PATRONI_ETCD3_HOSTS PATRONI_RESTAPI_LISTEN CITUS_VERSION ACCEPT_EULA".split(),
)
def test_variables_of_other_programs_are_theirs(monkeypatch, variable):
    monkeypatch.setenv(variable, "x")
    assert not Settings.load().external


def test_names_with_the_prefix_of_users_are_theirs():
    assert not Settings.load({"own.tenant": "acme"}).external


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(monkeypatch, nowhere):
    nowhere.joinpath("accept.toml").write_text('ruvector_host = "file"\nruvector_db = "file"\nruvector_user = "file"\n')
    monkeypatch.setenv("RUVECTOR_HOST", "environment")
    monkeypatch.setenv("RUVECTOR_DB", "environment")
    settings = Settings.load({"RUVECTOR_HOST": "said"})
    assert (settings.ruvector_host, settings.ruvector_db, settings.ruvector_user) == ("said", "environment", "file")


def test_what_is_not_said_on_the_command_line_overrides_nothing(monkeypatch):
    monkeypatch.setenv("RUVECTOR_HOST", "environment")
    assert Settings.load({"ruvector_host": None}).ruvector_host == "environment"


def test_names_are_split_at_commas_and_spaces_do_not_matter(monkeypatch):
    monkeypatch.setenv("PATRONI_HOSTS", "10.0.0.1, 10.0.0.2 ,,10.0.0.3")
    assert Settings.load().patroni_hosts == ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_limits_come_from_the_file_by_catalogue_id(nowhere):
    nowhere.joinpath("accept.toml").write_text("[limits]\nPF-01 = 0.2\n")
    settings = Settings.load()
    assert settings.limits == {"PF-01": 0.2}
    assert not settings.external


@pytest.mark.parametrize("limit", ["-1", "0", "inf", "nan", '"fast"', "true"])
def test_a_limit_that_makes_no_sense_is_named(nowhere, limit):
    nowhere.joinpath("accept.toml").write_text(f'[limits]\n"PF-01.p95" = {limit}\n')
    with pytest.raises(UsageError, match=r'^\[limits\] "PF-01.p95" in accept\.toml is .*: input should be'):
        Settings.load()


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "54.32"])
def test_a_port_that_is_none_is_named_with_its_value_in_one_line(monkeypatch, port):
    monkeypatch.setenv("RUVECTOR_PORT", port)
    with pytest.raises(UsageError) as caught:
        Settings.load()
    assert "RUVECTOR_PORT" in str(caught.value)
    assert port in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("written", "begins", "ends"),
    [
        ('ruvector_port = "abc"', "ruvector_port in accept.toml is 'abc': input should be", ""),
        ('limits = "fast"', "limits in accept.toml is 'fast': should be a table; ", ""),
        ('hosts = "pg1"', "hosts in accept.toml is 'pg1': should be like", ""),
        (
            'accept_sandbox = "namespace"',
            "accept_sandbox in accept.toml is 'namespace': ",
            "; did you mean namespaces?",
        ),
    ],
)
def test_a_wrong_value_in_the_file_is_named_as_it_is_written_there(nowhere, monkeypatch, written, begins, ends):
    nowhere.joinpath("accept.toml").write_text(f"{written}\n")
    with pytest.raises(UsageError) as caught:
        Settings.load()
    assert str(caught.value).startswith(begins)
    assert str(caught.value).endswith(ends)
    monkeypatch.setenv("RUVECTOR_PORT", "def")
    monkeypatch.setenv("LIMITS", "[slow")
    with pytest.raises(UsageError, match=r"(?m)^RUVECTOR_PORT is 'def': "):
        Settings.load()


def test_each_wrong_setting_has_its_own_line(monkeypatch):
    monkeypatch.setenv("RUVECTOR_PORT", "abc")
    monkeypatch.setenv("REDIS_PORT", "def")
    with pytest.raises(UsageError) as caught:
        Settings.load()
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["RUVECTOR_PORT", "REDIS_PORT"]


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.endswith("password")])
def test_no_password_is_ever_shown(monkeypatch, name):
    monkeypatch.setenv(name.upper(), "hunter2-in-the-clear")
    settings = Settings.load()
    assert getattr(settings, name).get_secret_value() == os.environ[name.upper()]
    assert "hunter2" not in f"{settings!r} {settings}"
    with pytest.raises(UsageError) as caught:
        Settings.load({name: ["hunter2-in-the-clear"]})
    assert name.upper() in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_broken_file_is_named(nowhere):
    nowhere.joinpath("accept.toml").write_text("ruvector_host = ")
    with pytest.raises(UsageError, match=r"accept\.toml"):
        Settings.load()


def test_settings_are_facts(monkeypatch):
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().ruvector_host = "changed"  # type: ignore[misc]


def test_members_are_a_count_or_a_table_of_addresses(monkeypatch, nowhere):
    monkeypatch.setenv("ACCEPT_MEMBERS", "5")
    assert (Settings.load().embedded_members, Settings.load().member_addresses) == (5, {})
    assert not Settings.load().external
    monkeypatch.setenv("ACCEPT_MEMBERS", "patroni-1=localhost:5435/8008, patroni-2=localhost:5433/8009")
    assert Settings.load().member_addresses == {
        "patroni-1": "localhost:5435/8008",
        "patroni-2": "localhost:5433/8009",
    }
    assert Settings.load().external
    monkeypatch.delenv("ACCEPT_MEMBERS")
    nowhere.joinpath("accept.toml").write_text('[members]\npg1 = "a:1"\n[nodes]\n"w:5432" = "b:2"\n')
    assert Settings.load().member_addresses == {"pg1": "a:1"}
    assert Settings.load().accept_nodes == {"w:5432": "b:2"}


@pytest.mark.parametrize("given", ["10", "a", "a=1, b"])
def test_members_that_are_neither_are_named(monkeypatch, given):
    monkeypatch.setenv("ACCEPT_MEMBERS", given)
    with pytest.raises(UsageError, match="ACCEPT_MEMBERS"):
        Settings.load()


@pytest.mark.parametrize(
    "said",
    [
        {"accept_dcs": "{etcd3: {password: tell-nobody}}"},
        {"accept_dcs": ["tell-nobody"]},
        {"ruvector_options": "password tell-nobody"},
        {"ruvector_password": {"is": "tell-nobody"}},
        {"redis_url": ["redis://:tell-nobody@host"]},
    ],
)
def test_no_complaint_shows_what_may_be_a_password(said):
    with pytest.raises(UsageError) as caught:
        Settings.load(said)
    assert "tell-nobody" not in str(caught.value)


@pytest.mark.parametrize("text", ["def open_pool(:", "raise RuntimeError('not today')", "import nowhere_at_all"])
def test_a_module_that_cannot_be_imported_is_told(tmp_path, monkeypatch, text):
    (tmp_path / "broken_module_of_ours.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="ACCEPT_POOL is 'broken_module_of_ours:open_pool'"):
        named_callable("ACCEPT_POOL", "broken_module_of_ours:open_pool")


def test_behaves_process_gets_the_settings_of_a_target_file(monkeypatch):
    """As environment variables, whatever kind of value they have in TOML."""
    given = tomllib.loads(
        """
        ruvector_host = "db"
        ruvector_port = 5433
        redis_tls = true
        patroni_hosts = ["db1:8008", "db2:8008"]
        haproxy_write_backend = ["primary"]
        limits = {"DQ-03.p95" = 200}
        members = {db1 = "localhost:5435/8008"}
        dcs = {etcd3 = {hosts = ["10.0.1.1:2379", "10.0.1.2:2379"]}}
        """
    )
    said = Settings.load(given)
    for name, value in as_variables(given).items():
        monkeypatch.setenv(name, value)
    assert said.patroni_hosts == ("db1:8008", "db2:8008")
    assert Settings.load() == said
