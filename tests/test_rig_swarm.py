"""A cluster like the predecessor's, with Patroni: from outside it looks exactly like theirs."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import redis
import requests
from rigs import NAME, Rig, resolves, rig

from support.target import etcd
from support.target.topology import Address, Login, Topology

pytestmark = pytest.mark.slow

MEMBERS = ("patroni-1", "patroni-2", "patroni-3")
TABLES = {
    "memory_entries": "id namespace key value embedding metadata tags created_at updated_at expires_at",
    "patterns": "id namespace pattern_type pattern_data embedding confidence success_count failure_count "
    "created_at updated_at",
    "pattern_history": "id pattern_id action result metadata created_at",
    "trajectories": "id task_description steps verdict quality_score embedding created_at",
    "graph_nodes": "id namespace node_id node_type properties embedding created_at",
    "graph_edges": "id namespace from_node to_node edge_type properties weight created_at",
    "hyperbolic_embeddings": "id namespace entity_id embedding radius metadata created_at",
    "vector_indexes": "id namespace index_name index_type dimensions metric parameters created_at",
    "sessions": "id session_id data created_at updated_at expires_at",
    "metadata": "key value updated_at",
}
UNIQUE = {
    "memory_entries": "{namespace,key}",
    "graph_nodes": "{namespace,node_id}",
    "hyperbolic_embeddings": "{namespace,entity_id}",
    "vector_indexes": "{namespace,index_name}",
    "sessions": "{session_id}",
}
WITH_VECTORS = ["graph_nodes", "hyperbolic_embeddings", "memory_entries", "patterns", "trajectories"]


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("project"), "swarm") as booted:
        yield booted


def test_its_users_have_the_predecessors_variables_and_no_more(swarm: Rig) -> None:
    assert sorted(swarm.target) == sorted(
        "ruvector_host ruvector_port ruvector_db ruvector_user ruvector_password haproxy_primary_port "
        "haproxy_replica_port haproxy_stats_url haproxy_stats_user haproxy_stats_password patroni_hosts etcd_hosts "
        "redis_host redis_port".split()
    )
    assert swarm.target["ruvector_db"] == "distributed_postgres_cluster"
    assert swarm.target["ruvector_user"] == "dpg_cluster"
    exported = dict(
        line.removeprefix("export ").split("=", 1) for line in swarm.said.splitlines() if line.startswith("export ")
    )
    assert exported == {name.upper(): str(value) for name, value in swarm.target.items()}


def test_the_members_use_names_that_nobody_outside_resolves(swarm: Rig) -> None:
    members = swarm.get("patroni-1 api", "/cluster")["members"]
    assert sorted((one["name"], one["host"], one["port"]) for one in members) == [
        (name, name, 5432) for name in MEMBERS
    ]
    assert {urlsplit(one["api_url"]).netloc for one in members} == {f"{name}:8008" for name in MEMBERS}
    assert sorted(one["state"] for one in members) == ["running", "streaming", "streaming"]
    assert [name for name in MEMBERS if resolves(name)] == []


def test_replication_is_asynchronous_and_has_their_timing(swarm: Rig) -> None:
    shared = swarm.get("patroni-2 api", "/config")
    assert [shared[name] for name in ("ttl", "loop_wait", "retry_timeout")] == [30, 10, 10]
    assert shared["maximum_lag_on_failover"] == 1024 * 1024
    assert shared["synchronous_mode"] is False
    dcs = tuple(Address("127.0.0.1", swarm.published[f"etcd-{number}"]) for number in (1, 2, 3))
    seen = Topology("", Login("", ""), dcs[0], dcs=dcs, scope="patroni-cluster")
    assert etcd.leases(seen) == dict.fromkeys(["leader", *(f"members/{name}" for name in MEMBERS)], 30)


def test_patronis_rest_api_needs_no_login(swarm: Rig) -> None:
    url = f"http://localhost:{swarm.published['patroni-1 api']}/config"
    assert requests.patch(url, json={"loop_wait": 10}, timeout=5).status_code == requests.codes.ok


def test_every_member_can_be_reached_at_its_port(swarm: Rig) -> None:
    leader = next(one["name"] for one in swarm.get("patroni-3 api", "/cluster")["members"] if one["role"] == "leader")
    for name in MEMBERS:
        assert swarm.value(swarm.published[name], "SELECT pg_is_in_recovery()") is (name != leader)
        assert swarm.value(swarm.published[name], "SHOW wal_log_hints") == "on"
        assert swarm.value(swarm.published[name], "SHOW data_checksums") == "on"
    assert swarm.value(swarm.published[leader], "SHOW synchronous_standby_names", superuser=True) == ""
    rules = swarm.rows(swarm.published[leader], "SELECT type, auth_method FROM pg_hba_file_rules", superuser=True)
    assert sorted(rules) == [("host", "md5"), ("host", "md5"), ("local", "trust")]


def test_haproxy_has_their_proxies(swarm: Rig) -> None:
    leader = next(one["name"] for one in swarm.get("patroni-3 api", "/cluster")["members"] if one["role"] == "leader")
    servers = {key: status for key, status in swarm.statistics().items() if key[1] in MEMBERS}
    assert servers == {
        (proxy, name): "UP" if proxy == "all_nodes" or (name == leader) is (proxy == "primary") else "DOWN"
        for proxy in ("primary", "replicas", "all_nodes")
        for name in MEMBERS
    }
    assert swarm.value(swarm.target["haproxy_primary_port"], "SELECT pg_is_in_recovery()") is False
    assert swarm.value(swarm.target["haproxy_replica_port"], "SELECT pg_is_in_recovery()") is True
    assert requests.get(swarm.target["haproxy_stats_url"], timeout=5).status_code == requests.codes.unauthorized


def test_the_tables_are_theirs(swarm: Rig) -> None:
    port = swarm.target["ruvector_port"]
    columns = swarm.rows(
        port,
        "SELECT table_name, string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name IN (SELECT tablename FROM pg_tables) GROUP BY 1",
    )
    assert dict(columns) == TABLES
    zones = "SELECT DISTINCT data_type FROM information_schema.columns WHERE table_schema = 'public' AND column_name "
    assert swarm.rows(port, f"{zones} LIKE '%%\\_at'") == [("timestamp without time zone",)]
    assert swarm.rows(port, f"{zones} = 'namespace'") == [("character varying",)]
    assert swarm.rows(port, "SELECT * FROM metadata")[0][0] == "schema_version"


def test_the_keys_and_constraints_are_theirs(swarm: Rig) -> None:
    keys = (
        "SELECT conrelid::regclass::text, (SELECT array_agg(attname ORDER BY place)::text "
        "FROM unnest(conkey) WITH ORDINALITY c (number, place) JOIN pg_attribute ON attrelid = conrelid "
        "AND attnum = number) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype = "
    )
    port = swarm.target["ruvector_port"]
    assert dict(swarm.rows(port, f"{keys} 'p'")) == {
        table: "{key}" if table == "metadata" else "{id}" for table in TABLES
    }
    assert dict(swarm.rows(port, f"{keys} 'u'")) == UNIQUE
    assert swarm.rows(port, f"{keys} 'f'") == [("pattern_history", "{pattern_id}")]
    serial = (
        "SELECT count(*) FROM information_schema.columns WHERE column_default LIKE 'nextval(%%' AND column_name = 'id'"
    )
    assert swarm.value(port, serial) == len(TABLES) - 1


def test_vectors_have_hnsw_indexes_for_cosine_distance(swarm: Rig) -> None:
    port = swarm.target["ruvector_port"]
    indexes = "SELECT tablename FROM pg_indexes WHERE indexdef ~ 'USING hnsw .embedding (ruvector|vector)_cosine_ops'"
    assert sorted(table for (table,) in swarm.rows(port, indexes)) == WITH_VECTORS
    types = (
        "SELECT DISTINCT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'embedding' "
        "AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r')"
    )
    assert swarm.value(port, types) in ("ruvector(384)", "vector(384)")
    gin = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '%%USING gin%%'"
    assert swarm.value(port, gin) == len(["metadata", "pattern_data", "steps", "properties", "properties"])


def test_redis_needs_no_password(swarm: Rig) -> None:
    with redis.Redis("localhost", swarm.target["redis_port"]) as client:
        assert client.ping()
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "allkeys-lru"
        assert client.config_get("appendonly")["appendonly"] == "yes"


def test_status_and_psql_work_by_its_name(swarm: Rig) -> None:
    status = swarm.program.run("status")
    assert status.status == 0, status
    assert "patroni-2" in status.out
    asked = swarm.program.run("psql", "patroni-2", "--name", NAME, "-Atc", "SELECT current_user")
    assert asked.out.strip() == "dpg_cluster", asked


def test_a_superuser_can_break_it_by_sql(swarm: Rig) -> None:
    port = swarm.target["haproxy_primary_port"]
    assert swarm.value(port, "SELECT current_setting('is_superuser')", superuser=True) == "on"
    swarm.rows(port, "CREATE TABLE to_be_dropped ()", superuser=True)
    swarm.rows(port, "DROP TABLE to_be_dropped", superuser=True)


def test_its_published_ports_are_local_to_this_machine(swarm: Rig) -> None:
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in others:
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((address, swarm.target["ruvector_port"])) != 0
