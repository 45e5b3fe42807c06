"""What a target can have; scenarios name what they need by these tags."""

from collections.abc import Collection
from dataclasses import dataclass

from support.target.topology import Topology

CAPABILITIES = {
    "schema": "a table of entries to work on: namespace, key, value",
    "application_schema": "tables that are the application's own",
    "json": "a column of JSON beside each entry",
    "long_values": "values of a megabyte",
    "related": "a table that is joined with the entries of its namespace",
    "graph": "tables of nodes and edges",
    "reference": "a table that everything is joined with",
    "declared_vectors": "a schema that says which vector columns are to be indexed",
    "declared_sharding": "a schema that says how its tables are to be sharded",
    "tls": "TLS, which the application asks for",
    "verified_tls": "TLS with a certificate that the application verifies",
    "patroni": "the REST API of Patroni on each member",
    "patroni_login": "a login without which that REST API takes no orders",
    "haproxy": "a write endpoint and a read endpoint",
    "statistics": "HAProxy's statistics page",
    "statistics_login": "a login without which that page is not served",
    "pools": "statistics that show the backends behind the endpoints",
    "spread": "reads of one client that are spread over the replicas",
    "redis": "a Redis cache",
    "redis_password": "a password without which Redis takes no commands",
    "vector": "a vector extension with an HNSW index",
    "ruvector": "RuVector as that extension",
    "citus": "shards on worker groups",
    "backends": "a backend of its own for each session",
    "nodes": "direct logins to every node of Citus",
    "dcs": "the client addresses of etcd",
    "spare_dcs": "a DCS of three members or more, one to spare",
    "synchronous": "synchronous replication, by Patroni's configuration",
    "failsafe": "failsafe mode, by Patroni's configuration",
    "dcs_keys": "the keys in which Patroni keeps its state in etcd",
    "members": "direct logins to every member, past the proxy",
    "replicas": "at least one replica beside the leader",
    "admin": "a superuser's login",
    "hosts": "hosts that are ours to look into and to break",
    "partitions": "a network between the hosts that is ours to cut",
    "destructive": "leave to disturb the cluster",
}
"""Capability -> what it is. A scenario without any of these tags needs a database and a login, no more."""


@dataclass(frozen=True)
class Capability:
    """Whether the target has something; `detail` is what it is, or why it is not there."""

    name: str
    present: bool
    detail: str


def capabilities_of(topology: Topology) -> tuple[Capability, ...]:
    """Every capability there is, had or not."""
    return tuple(
        Capability(name, name not in topology.lacks, topology.lacks.get(name, meaning))
        for name, meaning in CAPABILITIES.items()
    )


def lacking(topology: Topology, needed: Collection[str]) -> tuple[Capability, ...]:
    """Those of the needed capabilities (other words, such as further tags, are passed over) that the target lacks."""
    return tuple(one for one in capabilities_of(topology) if one.name in needed and not one.present)
