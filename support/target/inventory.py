"""The inventory: versions and settings of everything that is tested, for the report's environment."""

from collections.abc import Iterator

import psycopg2

from support import sql
from support.errors import AcceptError
from support.target import dcs, etcd
from support.target.cluster import Cluster
from support.target.redis import ERRORS
from support.waiting import NotYet, describe

_SETTINGS = ("synchronous_commit", "synchronous_standby_names", "fsync", "full_page_writes", "max_connections")


def inventory_of(cluster: Cluster) -> dict[str, str]:
    """Name -> version or setting. Never raises: a component that does not answer is listed with the reason."""
    facts = {"Target": f"{'embedded cluster' if cluster.topology.embedded else cluster.topology.called}"}
    facts["Schema profile"] = cluster.profile.name
    for look in (_sandbox, _database, _patroni, _redis, _etcd):
        try:
            facts.update(look(cluster))
        except (AcceptError, OSError, NotYet, psycopg2.Error, *ERRORS, ValueError) as error:
            facts[look.__name__.strip("_").capitalize()] = f"does not answer: {describe(error)}"
    return facts


def _sandbox(cluster: Cluster) -> Iterator[tuple[str, str]]:
    if cluster.topology.embedded:
        yield "Sandbox", cluster.sandbox.kind


def _database(cluster: Cluster) -> Iterator[tuple[str, str]]:
    with sql.session(cluster.write) as session:
        yield "PostgreSQL", str(sql.value(session, "SHOW server_version"))
        for name, version in sql.rows(session, "SELECT extname, extversion FROM pg_extension ORDER BY 1"):
            yield f"Extension {name}", str(version)
        for name in _SETTINGS:
            yield name, str(sql.value(session, "SELECT current_setting(%s)", [name]))


def _patroni(cluster: Cluster) -> Iterator[tuple[str, str]]:
    for name in cluster.members[:1] if "patroni" not in cluster.topology.lacks else ():
        yield "Patroni", str(cluster.patroni(name).status()["patroni"]["version"])
        configuration = cluster.patroni(name).configuration()
        for setting in ("ttl", "loop_wait", "retry_timeout", "synchronous_mode", "maximum_lag_on_failover"):
            yield f"Patroni {setting}", str(configuration.get(setting, "default"))
        for group in cluster.groups:
            label = f"Members of worker group {group.group}" if group.group else "Members"
            yield label, ", ".join(f"{one.name} ({one.role})" for one in group.view().members)


def _redis(cluster: Cluster) -> Iterator[tuple[str, str]]:
    if cluster.topology.redis is not None and (why := cluster.topology.lacks.get("cache_state")):
        yield "Redis", f"not told: {why}"
    elif cluster.topology.redis is not None:
        with cluster.redis() as client:
            yield "Redis", str(client.info("server")["redis_version"])


def _etcd(cluster: Cluster) -> Iterator[tuple[str, str]]:
    if cluster.topology.dcs:
        yield "etcd", etcd.version(cluster.topology)
    elif cluster.topology.dcs_access:
        yield "DCS", dcs.kind(cluster.topology)
