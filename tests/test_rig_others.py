"""Clusters like the predecessor's other deployments, seen from outside."""

from pathlib import Path

import psycopg2
import pytest
import redis
from rigs import resolves, rig

NODES = ("citus-worker-1", "citus-worker-2")
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner = 'dpg_cluster'"


def test_the_minimal_shape_is_a_database_and_a_cache(tmp_path: Path) -> None:
    with rig(tmp_path, "swarm-minimal") as minimal:
        assert sorted(minimal.published) == ["postgres", "redis"]
        database = [f"ruvector_{name}" for name in ("db", "host", "password", "port", "user")]
        assert sorted(minimal.target) == ["redis_host", "redis_port", *database]
        assert minimal.value(minimal.target["ruvector_port"], TABLES) == 10
        with redis.Redis("localhost", minimal.target["redis_port"]) as client:
            assert client.ping()
        status = minimal.program.run("status")
        assert (status.status, "postgres" in status.out, status.err) == (0, True, ""), status


@pytest.mark.slow
def test_citus_knows_its_workers_by_names_that_only_its_hosts_resolve(tmp_path: Path) -> None:
    with rig(tmp_path, "swarm-citus") as sharded:
        port = sharded.target["ruvector_port"]
        nodes = sharded.rows(port, "SELECT nodename, nodeport, groupid, isactive FROM pg_dist_node ORDER BY groupid")
        assert nodes == [(name, 5432, number, True) for number, name in enumerate(NODES, 1)]
        assert [name for name in NODES if resolves(name)] == []
        tables = sharded.rows(port, "SELECT table_name::text, citus_table_type, distribution_column FROM citus_tables")
        by_namespace = "memory_entries patterns graph_nodes graph_edges hyperbolic_embeddings".split()
        by_user = ["distributed.users", "distributed.events", "distributed.embeddings"]
        reference = ["vector_indexes", "sessions", "metadata", "distributed.config"]
        assert sorted(tables) == sorted(
            [
                *((table, "distributed", "namespace") for table in by_namespace),
                *((table, "distributed", "user_id") for table in by_user),
                ("trajectories", "distributed", "id"),
                *((table, "reference", "<none>") for table in reference),
            ]
        )
        workers = sharded.target["citus_workers"].split(",")
        assert workers == [f"localhost:{sharded.published[name]}" for name in NODES]
        row = "INSERT INTO memory_entries (namespace, key, value) VALUES ('rig', 'a', 'b') RETURNING id"
        assert sharded.rows(port, row) == [(1,)]
        for name in NODES:
            assert sharded.value(sharded.published[name], "SELECT count(*) FROM memory_entries") == 1
        with pytest.raises(psycopg2.IntegrityError):
            sharded.rows(port, row)
        with redis.Redis("localhost", sharded.target["redis_port"]) as client:
            assert client.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"
            assert client.config_get("appendonly")["appendonly"] == "yes"
        assert not [name for name in sharded.target if "haproxy" in name or "patroni" in name or "etcd" in name]


@pytest.mark.slow
def test_the_design_for_high_availability_splits_front_ends_from_back_ends(tmp_path: Path) -> None:
    with rig(tmp_path, "swarm-ha", "--workers", "0", "--members", "2", "--etcd", "1") as designed:
        proxies = designed.statistics()
        backends = {f"postgres_{what}_backend" for what in ("primary", "replica", "any")}
        servers = {proxy for proxy, server in proxies if server.startswith("coordinator-")}
        assert servers == backends
        frontends = {proxy for proxy, server in proxies if server == "FRONTEND"}
        assert {backend.removesuffix("_backend") for backend in backends} <= frontends
        assert "haproxy_stats_user" not in designed.target
        shared = designed.get("coordinator-1 api", "/config")
        assert (shared["synchronous_mode"], shared["synchronous_mode_strict"], shared["ttl"]) == (True, True, 30)
        assert designed.value(designed.target["haproxy_primary_port"], "SELECT pg_is_in_recovery()") is False
        assert designed.value(designed.target["haproxy_replica_port"], "SELECT pg_is_in_recovery()") is True


@pytest.mark.slow
def test_the_unified_shape_takes_writes_through_a_pooler(tmp_path: Path) -> None:
    with rig(tmp_path, "swarm-unified", "--members", "2", "--etcd", "1") as unified:
        hosts = [one["host"] for one in unified.get("patroni-1 api", "/cluster")["members"]]
        assert sorted(hosts) == ["10.77.0.21", "10.77.0.22"]
        assert unified.target["ruvector_port"] == unified.published["pooler"]
        assert "haproxy_primary_port" not in unified.target
        assert "haproxy_stats_url" not in unified.target
        pids = {unified.value(unified.target["ruvector_port"], "SELECT pg_backend_pid()") for _ in range(5)}
        assert len(pids) == 1, "a pooler keeps its sessions"
        login = {"dbname": unified.target["ruvector_db"], "user": "dpg_cluster"}
        login["password"] = unified.target["ruvector_password"]
        with pytest.raises(psycopg2.OperationalError, match="unsupported startup parameter"):
            psycopg2.connect(
                host="localhost", port=unified.target["ruvector_port"], options="-c statement_timeout=1s", **login
            )
        for address in hosts:  # something else on the machine's own network may answer there
            with pytest.raises(psycopg2.OperationalError):
                psycopg2.connect(host=address, port=5432, connect_timeout=2, **login)
