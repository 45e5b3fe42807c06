"""Capabilities: what a target can have. Scenarios name the ones that they need as tags."""

from collections.abc import Collection
from dataclasses import dataclass

from support.target.topology import Topology

CAPABILITIES = {
    "schema": "a table of entries to work on: namespace, key, value",
    "application_schema": "the application's own tables",
    "json": "a JSON column beside each entry",
    "long_values": "values of a megabyte",
    "related": "a table to be joined with the entries of its namespace",
    "graph": "tables of nodes and edges",
    "reference": "a small table that everything is joined with",
    "declared_vectors": "a schema that says which vector columns should be indexed",
    "declared_sharding": "a schema that says how its tables should be sharded",
    "tls": "TLS, required by the application",
    "verified_tls": "TLS with a certificate that the application verifies",
    "patroni": "the REST API of Patroni on each member",
    "patroni_login": "a login without which that REST API accepts no commands",
    "haproxy": "a write endpoint and a read endpoint",
    "statistics": "HAProxy's statistics page",
    "statistics_login": "a login without which that page is not served",
    "pools": "statistics that show the backends behind the endpoints",
    "spread": "reads of one client that are spread over the replicas",
    "redis": "a Redis cache",
    "redis_password": "a password without which Redis accepts no commands",
    "vector": "a vector extension with an HNSW index",
    "ruvector": "RuVector as that extension",
    "citus": "shards on worker groups",
    "backends": "a backend of its own for each session",
    "nodes": "direct logins to every Citus node",
    "dcs": "the client addresses of etcd",
    "spare_dcs": "a DCS of three or more members, one of them to spare",
    "synchronous": "synchronous replication, by Patroni's configuration",
    "failsafe": "failsafe mode, by Patroni's configuration",
    "dcs_keys": "the keys in which Patroni keeps its state in etcd",
    "members": "direct logins to every member, past the proxy",
    "replicas": "at least one replica beside the leader",
    "admin": "a superuser's login",
    "hosts": "hosts that the suite can inspect and break",
    "volatile_disks": "disks that lose what was not synced when the power fails (a FUSE file system)",
    "partitions": "a network between the hosts that the suite can partition",
    "destructive": "permission to disturb the cluster",
}
"""Capability -> what it is. A scenario without any of these tags needs only a database and a login."""


@dataclass(frozen=True)
class Capability:
    """Whether the target has a capability; `detail` is what it is, or why it is missing."""

    name: str
    present: bool
    detail: str


def capabilities_of(topology: Topology) -> tuple[Capability, ...]:
    """All capabilities, present or not."""
    return tuple(
        Capability(name, name not in topology.lacks, topology.lacks.get(name, meaning))
        for name, meaning in CAPABILITIES.items()
    )


def lacking(topology: Topology, needed: Collection[str]) -> tuple[Capability, ...]:
    """The needed capabilities that the target lacks. Other words in `needed`, such as further tags, are ignored."""
    return tuple(one for one in capabilities_of(topology) if one.name in needed and not one.present)
