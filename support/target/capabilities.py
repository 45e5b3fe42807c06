"""Capabilities: what a target can have. Scenarios name the ones that they need as tags."""

import fcntl
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.target.topology import Topology

CONSENT = "destructive"
CAPABILITIES = {
    "schema": "a table of entries to work on: namespace, key, value",
    "application_schema": "the application's own tables",
    "own_tables": "permission to create the suite's own tables, in a schema that is removed again",
    "json": "a JSON column beside each entry",
    "optional_embedding": "entries that may be without an embedding",
    "indexed_embedding": "a schema that says that the embeddings of the entries have an HNSW index",
    "long_values": "values of a megabyte",
    "empty_values": "values that may be empty",
    "any_text": "values of any text: with spaces at both ends, quotes, any script",
    "any_key": "keys and namespaces of any text",
    "row_locks": "entries that a transaction can lock by namespace and key (SELECT ... FOR UPDATE)",
    "related": "a table to be joined with the entries of its namespace",
    "graph": "tables of nodes and edges",
    "reference": "a small table that everything is joined with",
    "computed_reference": "a reference table some of whose values the database computes",
    "declared_keys": "a schema that says which keys should be unique",
    "unique_key": "a schema that says that an entry's key is unique within its namespace",
    "declared_vectors": "a schema that says which vector columns should be indexed",
    "declared_sharding": "a schema that says how its tables should be sharded",
    "declared_references": "a schema that says which tables every node should have a copy of",
    "tls": "TLS, required by the application",
    "certificates": "TLS to any component, and so a certificate",
    "verified_tls": "TLS with a certificate that the application verifies",
    "peer_certificates": "members of etcd that reach one another over TLS, where they can be reached from here, too",
    "network_login": "endpoints that are reached over a network, not through a Unix socket",
    "patroni": "the REST API of Patroni on each member",
    "patroni_login": "a login that the REST API requires for commands",
    "patroni_commands": "a REST API that accepts commands from here",
    "haproxy": "a write endpoint and a read endpoint",
    "statistics": "HAProxy's statistics page",
    "statistics_login": "a login that the statistics page requires",
    "pools": "statistics that show the backends behind the endpoints",
    "spread": "reads of one client that are balanced over the replicas",
    "redis": "a Redis cache",
    "cache_state": "a Redis that shows its state (INFO)",
    "cache_keys": "keys of its own in Redis, for the suite",
    "cache_settings": "settings of Redis that the suite can change (CONFIG SET)",
    "volatile_cache": "a Redis that a restart empties, because it has no append-only file",
    "small_cache": "a Redis with a memory limit of at most 512 MB, so that the suite can fill it",
    "one_redis": "a cache on one Redis server at a time",
    "redis_failover": "a Redis with a replica that can take over (Sentinel, Redis Cluster)",
    "redis_password": "a password that Redis requires",
    "vector": "a vector extension with an HNSW index",
    "pgvector": "pgvector as that extension",
    "ruvector": "RuVector as that extension",
    "citus": "shards on worker groups",
    "backends": "a backend of its own for each session on the write endpoint",
    "read_backends": "a backend of its own for each session on the read endpoint",
    "sharded_entries": "a table of entries that Citus shards by their namespace",
    "workers": "worker groups",
    "several_workers": "two or more worker groups",
    "worker_replicas": "at least one replica in each worker group",
    "nodes": "direct logins to every Citus node",
    "several_copies": "two or more Citus nodes with copies of the reference tables",
    "spare_worker": "a spare server that can join as a Citus worker",
    "dcs": "a DCS whose members report their health (etcd)",
    "spare_dcs": "a DCS of three or more members, one of them to spare",
    "synchronous": "synchronous replication, in Patroni's configuration",
    "failsafe": "failsafe mode, in Patroni's configuration",
    "rewind": "a Patroni configuration that says whether pg_rewind is used",
    "dcs_keys": "the keys in which Patroni keeps its state in the DCS",
    "members": "direct logins to every member, past the proxy",
    "replicas": "at least one replica beside the leader",
    "several_replicas": "two or more replicas beside the leader",
    "several_candidates": "two or more replicas that may lead, and stream from the leader",
    "spare_standby": "two or more replicas that may be synchronous standbys",
    "spare_replica": "two or more replicas, one of which streams without any commit waiting for it",
    "spare_direct_replica": "a replica that streams from the leader, and that no commit and no other member depends on",
    "streaming_replicas": "a replica that streams",
    "prompt_replicas": "a replica that shows at once what is committed",
    "serving_replicas": "a replica that serves reads, and shows at once what is committed",
    "prompt_reads": "a read endpoint that leads to no member that shows late what is committed",
    "small_read_lag": "at most 512 MB of WAL by which replicas may lag and still serve reads",
    "admin": "a superuser's login",
    "monitor": "a login that sees the sessions of all roles (a superuser's, or pg_monitor)",
    "archive_status": "a login that sees which WAL waits to be archived (a superuser's, or pg_monitor)",
    "replication_slots": "replication through slots, in Patroni's configuration",
    "data_checksums": "data checksums, in the members' data directories",
    "reads_apart": "a read endpoint that leads to replicas only",
    "autovacuum": "autovacuum, in PostgreSQL's configuration",
    "bounded_slots": "a limit on the WAL that replication slots can keep, in PostgreSQL's configuration",
    "logical": "logical replication, in PostgreSQL's configuration (wal_level)",
    "archiving": "WAL archiving (archive_mode) that Patroni's dynamic configuration decides, not a member's own file",
    "copyable": "databases of at most 10 GB in all, which a test can copy",
    "expendable_wal": "no slot whose consumer would miss WAL that a test removes; WAL sizes that all members share",
    "writes_without_standby": "writes that are acknowledged while there is no standby, in Patroni's configuration",
    "writes_after_loss": "writes that are acknowledged after the leader is lost for good, in Patroni's configuration",
    "asynchronous_commits": "commits that the suite can have wait for no standby, by Patroni's configuration",
    "hosts": "members' hosts that the suite can inspect and break",
    "crashes": "members' hosts that stay down after a crash, until the suite starts them again",
    "member_files": "configuration files of the members' Patroni that the suite can change",
    "member_data": "data directories of the members that the suite can move aside",
    "rebuildable": "data directories of the members that Patroni can build anew where they are",
    "own_programs": "hosts on which the suite can run its own programs",
    "dcs_hosts": "hosts of the DCS that the suite can break, separate from the members'",
    "dcs_apart": "a DCS that keeps its quorum when all members of a group but one are down",
    "dcs_links": "a network between the hosts of the DCS that the suite can partition",
    "proxy_host": "the proxy's host, too",
    "proxy_apart": "a proxy on none of the DCS' machines, so that either can fail alone",
    "proxy_reload": "an HAProxy that can be told to reload (a master process, -W)",
    "cache_host": "the cache's host, too",
    "poor_links": "a network between all hosts on which the suite can drop packets",
    "slow_links": "a network between all hosts that the suite can slow down",
    "disks": "a disk of its own for each host",
    "volatile_disks": "disks that lose unsynced data when the power fails (a FUSE file system)",
    "searchable_passwords": "passwords that are not also names, so that they can be searched for",
    "report": "files of the report, written while the scenarios run",
    "partitions": "a network between the hosts that the suite can partition",
    "destructive": "permission to disturb the cluster",
}
"""Capability -> what it is. A scenario without any of these tags needs only a database and a login."""

TLS = frozenset({"tls", "verified_tls", "certificates"})
SHARDS = frozenset(
    {
        *("citus", "sharded_entries", "workers", "several_workers", "worker_replicas", "nodes", "several_copies"),
        "spare_worker",
    }
)
"""What only a cluster with worker groups has."""


@dataclass(frozen=True)
class Capability:
    """Whether the target has a capability; `detail` is what it is, or why it is missing."""

    name: str
    present: bool
    detail: str


def capabilities_of(topology: Topology) -> tuple[Capability, ...]:
    """All capabilities, present or not."""
    apart = f", on a cluster of its own (PostgreSQL in {topology.tls_bindir})" if topology.tls_bindir else ""
    there = {name: meaning + (apart if name in TLS else "") for name, meaning in CAPABILITIES.items()}
    return tuple(
        Capability(name, name not in topology.lacks, topology.lacks.get(name, meaning))
        for name, meaning in there.items()
    )


def lacking(topology: Topology, needed: Collection[str]) -> tuple[Capability, ...]:
    """The needed capabilities that the target lacks. Other words in `needed`, such as further tags, are ignored."""
    return tuple(one for one in capabilities_of(topology) if one.name in needed and not one.present)


def why_missing(lacks: Mapping[str, str]) -> str:
    """Capability -> why it is missing, in one line: "no citus, workers: ...; no hosts: ...". Each reason once."""
    names: dict[str, list[str]] = {}
    for name, why in lacks.items():
        names.setdefault(why, []).append(name)
    return "; ".join(f"no {', '.join(alike)}: {why}" for why, alike in names.items())


def lost_since_last_run(topology: Topology, file: Path) -> tuple[str, ...]:
    """The capabilities that the target had in its last run, and lacks now; `file` is updated for its next run.

    A scenario that was judged yesterday and is skipped today may be the first sign of a setting that got lost. `file`
    has the capabilities of each target, as JSON. An embedded cluster has what it is booted with, and loses nothing. The
    permission to disturb a cluster is the user's to give for each run.
    """
    if topology.embedded:
        return ()
    target = f"{topology.called}/{topology.database}"
    now = {one.name for one in capabilities_of(topology) if one.present} - {CONSENT}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as stored:
        fcntl.flock(stored, fcntl.LOCK_EX)  # two runs at the same time
        stored.seek(0)
        known = _parsed(stored.read())
        before = known.get(target, ())
        known[target] = sorted(now)
        stored.truncate(0)
        json.dump(known, stored, indent=1)
    return tuple(sorted({*before} - now - {CONSENT}))


def _parsed(text: str) -> dict[str, list[str]]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        return {}  # empty, or cut off by a kill: then nothing is known of the last run
