"""The tables that scenarios work on: the application's, or the suite's own; sharded, or local to the coordinator."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from support import sql
from support.errors import ConnectFailed, NotAvailable, UsageError
from support.example_app import schema
from support.example_app.catalog import closed, look_at
from support.example_app.known_profiles import EXAMPLE, KNOWN, declared_profile
from support.example_app.profile import Expected, Profile, quoted
from support.example_app.profile_fit import fit, misdeclared, recognised
from support.example_app.trial import tried
from support.example_app.vectors import installed_dialect
from support.run import new_run_id
from support.settings import Settings
from support.target import citus
from support.target.cluster import Cluster
from support.target.topology import Topology
from support.waiting import describe

OWN = "judged on tables of the suite's own (--own-schema)"
UNKNOWN = (
    f"none of the known schemas ({', '.join(KNOWN)}) is there: describe the application's tables in [schema] "
    "(docs/schema.md), or choose --own-schema"
)
NEEDS_TABLES = (
    *("schema", "json", "optional_embedding", "indexed_embedding", "related", "graph", "reference"),
    *("computed_reference", "long_values", "empty_values", "any_text", "any_key"),
)
"""The capabilities that depend on the tables."""


def with_profile(topology: Topology, settings: Settings) -> Topology:
    """A user's cluster, with the profile of the application's tables there, and the capabilities that they lack.

    The tables are tried with rows that are rolled back. Raises UsageError for a [schema] that makes no sense.
    """
    declared = declared_profile(settings.accept_schema) if settings.accept_schema else None
    if settings.accept_own_schema:
        if declared:
            raise UsageError("--own-schema and [schema] contradict one another: use one of them")
        return _lacking(replace(topology, profile=EXAMPLE), {"application_schema": OWN})
    tables = set(declared.tables) if declared else {table for one in KNOWN.values() for table in one.tables}
    write = Cluster(topology).write
    if why := read_only(write):
        return _lacking(topology, dict.fromkeys((*NEEDS_TABLES, "application_schema"), why))
    facts = look_at(write, tables)
    if declared and (wrong := list(misdeclared(settings.accept_schema, declared, facts))):
        raise UsageError("\n".join(wrong))
    profile = declared or recognised(facts)
    if profile is None:
        return _lacking(topology, dict.fromkeys((*NEEDS_TABLES, "application_schema"), UNKNOWN))
    fitted = tried(write, fit(profile, facts, closed(write, tables)), facts, f"accept-{new_run_id()}")
    lacks = {**fitted.lacks, **_unsharded(write, fitted.profile, {**fitted.lacks, **topology.lacks})}
    lacks |= _uncopied(write, fitted.profile, {**lacks, **topology.lacks})
    return _lacking(replace(topology, profile=fitted.profile), lacks)


def _unsharded(write: sql.Endpoint, profile: Profile, lacks: Mapping[str, str]) -> dict[str, str]:
    """What entries lack that are not sharded by their namespace, although they need not be, or that are in several
    copies of a shard.

    What is declared is expected, but nobody declares how many copies there are.
    """
    if why := lacks.get("citus") or lacks.get("schema"):
        return {"sharded_entries": why}
    entries, expected = profile.entries, profile.tables.get(profile.entries.table, Expected())
    declared = expected.distributed_by == entries.namespace
    try:
        column = citus.hashed_by(write, quoted(entries.table))
        copies = citus.copies_of_shards(write, quoted(entries.table))
    except sql.Error as error:
        unknown = f"how {entries.table} is sharded is not known: {describe(error)}"
        return {} if declared else {"sharded_entries": unknown}
    if copies > 1:
        told = f"there are {copies} copies of each shard of {entries.table} (citus.shard_replication_factor)"
        return {
            "sharded_entries": f"{told}: an entry should be in one",
            "row_locks": f"{told}: Citus locks rows only where there is one",
        }
    if declared or column == entries.namespace:
        return {}
    how = f"by {column}, not by {entries.namespace}" if column else "not at all"
    lacks = {"sharded_entries": f"{entries.table} is sharded {how}: an entry's shard is found by its namespace"}
    if column and column != entries.key:
        lacks["row_locks"] = f"{entries.table} is sharded by {column}: Citus locks rows only where it knows their shard"
    return lacks


def _uncopied(write: sql.Endpoint, profile: Profile, lacks: Mapping[str, str]) -> dict[str, str]:
    """What a table that everything is joined with lacks if it is no reference table of Citus, although it need not be
    one: where a schema is sharded as a whole, for instance, its tables are on a single node.

    What is declared is expected.
    """
    reference = profile.reference
    if reference is None or lacks.keys() & {"citus", "schema", "reference"}:
        return {}
    if profile.tables.get(reference.table, Expected()).reference:
        return {}
    try:
        if citus.is_reference(write, quoted(reference.table)):
            return {}
        why = f"{reference.table} is not a reference table of Citus, and [schema.tables] does not say that it should be"
    except sql.Error as error:
        why = f"how Citus keeps {reference.table} is not known: {describe(error)}"
    return {name: why for name in ("reference", "computed_reference") if name not in lacks}


def own_tables(topology: Topology, run: str, cleanup: ExitStack) -> Topology:
    """A user's cluster, with tables of the suite's own in a schema named after the run, dropped by `cleanup`.

    Where they cannot be created, the topology lacks "schema".
    """
    name = f"accept_{run}"
    try:
        ours = _create(Cluster(topology), name, cleanup)
        if "citus" not in topology.lacks:
            schema.distribute(ours.write)
    except (sql.Error, ConnectFailed, NotAvailable) as error:
        why = f"tables of the suite's own cannot be created: {describe(error)}"
        return _lacking(topology, dict.fromkeys(NEEDS_TABLES, why))
    fitted = fit(EXAMPLE, look_at(ours.write, EXAMPLE.tables))
    return _lacking(replace(ours.topology, profile=fitted.profile), fitted.lacks)


def local_tables(cluster: Cluster, run: str, cleanup: ExitStack) -> Cluster:
    """This cluster, with logins that find tables that only the coordinator's members store.

    A row of a sharded table is stored by a worker, and so proves nothing about the coordinator's members. An embedded
    cluster has local tables; elsewhere they are created, and dropped by `cleanup`. Where they cannot be created, the
    cluster lacks "schema".
    """
    if "citus" in cluster.topology.lacks or "schema" in cluster.topology.lacks:
        return cluster
    unsharded = Cluster(_lacking(cluster.topology, {"sharded_entries": "the tables are not sharded"}))
    if cluster.topology.embedded:
        return unsharded.with_tables_of(schema.LOCAL)
    name = f"accept_{run}_local"
    try:
        ours = _create(unsharded, name, cleanup)
        elsewhere = on_worker(ours.write, name)
    except (sql.Error, ConnectFailed, NotAvailable) as error:
        return _without_local(cluster, describe(error))
    if elsewhere:
        return _without_local(cluster, f"Citus stores {elsewhere}, created as a local table, on a worker")
    return ours


_ON_WORKER = """
    SELECT logicalrelid::text
      FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid
      JOIN pg_dist_shard USING (logicalrelid) JOIN pg_dist_placement USING (shardid)
     WHERE relnamespace = to_regnamespace(%s) AND groupid <> 0 ORDER BY 1 LIMIT 1
"""


def on_worker(where: sql.Endpoint | sql.Session, name: str) -> str:
    """A table in the schema of that name that Citus stores on a worker, wholly or in part; empty if there is none."""
    found = sql.rows(where, _ON_WORKER, [name])
    return str(found[0][0]) if found else ""


def _without_local(cluster: Cluster, why: str) -> Cluster:
    return Cluster(
        replace(
            cluster.topology,
            lacks={**cluster.topology.lacks, "schema": f"tables that are not sharded cannot be created: {why}"},
        )
    )


_READ_ONLY = """
    SELECT source FROM pg_settings
     WHERE name = 'default_transaction_read_only' AND setting = 'on' AND NOT pg_is_in_recovery()
"""
_OF_SERVER = ("configuration file", "command line", "environment variable", "override")


def read_only(where: sql.Endpoint) -> str:
    """Why transactions of this login are read-only unless they ask for more; empty if they are not.

    A whole server that refuses writes is not a property of the login: the scenarios have to find that.
    """
    sources = [source for (source,) in sql.rows(where, _READ_ONLY) if source not in _OF_SERVER]
    if not sources:
        return ""
    at = {"user": "the role", "database user": "the role in this database", "database": "the database"}
    return (
        f"the application's transactions are read-only: default_transaction_read_only is on for "
        f"{at.get(sources[0], f'its sessions ({sources[0]})')}; give a role that may write (RUVECTOR_USER)"
    )


def _lacking(topology: Topology, lacks: Mapping[str, str]) -> Topology:
    return replace(topology, lacks={**lacks, **topology.lacks})


_PATH = """
    SELECT concat_ws(', ', nullif(current_setting('search_path'), ''),
                     (SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
                       WHERE extname = %s))
"""
"""Where the login finds what it names, and the schema of the vector extension, which need not be among them."""


def _create(cluster: Cluster, name: str, cleanup: ExitStack) -> Cluster:
    """The cluster, whose logins find new tables of that schema; without vectors if there is no vector extension."""
    dialect = installed_dialect(cluster.write)
    ours = cluster.with_tables_of(name, sql.value(cluster.write, _PATH, [dialect.extension if dialect else ""]))
    schema.create_schema(ours.write, name)
    cleanup.callback(sql.execute, ours.write, f"DROP SCHEMA IF EXISTS {name} CASCADE")
    if (found := sql.value(ours.write, "SELECT current_schema()")) != name:
        raise NotAvailable(f"a pooler ignores the search_path of a login: new tables would be in schema {found}")
    schema.create(ours.write, dialect)
    entries = ours.profile.entries
    fitting = replace(entries, vector=dialect.type) if dialect else replace(entries, embedding=None)
    return Cluster(replace(ours.topology, profile=replace(ours.profile, entries=fitting)))
