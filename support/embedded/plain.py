"""PostgreSQL without Patroni: one server a group, started as a container image starts it; for Citus, its nodes.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html (citus_add_node)
"""

from collections.abc import Mapping
from dataclasses import replace

from psycopg2 import sql as compose

from support import sql
from support.embedded.layout import PlannedHost
from support.embedded.plan import POSTGRES, Plan
from support.errors import ConnectFailed
from support.target.cluster import Cluster
from support.waiting import NotYet, describe

MAINTENANCE = "postgres"
"""The database that initdb makes."""


def settings(plan: Plan, host: PlannedHost) -> Mapping[str, str]:
    """PostgreSQL's settings on one server."""
    shape = plan.layout.shape
    libraries = (*(("citus",) if plan.layout.workers else ()), *plan.preloaded)
    given = {
        "listen_addresses": plan.addresses[host.name],
        "port": POSTGRES,
        "shared_preload_libraries": ",".join(libraries),
        **shape.parameters,
        **(shape.sharding if plan.layout.workers else {}),
        **(shape.worker_parameters if host.group else {}),
    }
    return {name: str(value) for name, value in given.items()}


def require_login(group: Cluster) -> str:
    """The one server of a group lets its superuser in; returns its name. Raises NotYet before."""
    (name,) = group.members
    try:
        sql.value(replace(group.administration_of(name), database=MAINTENANCE), "SELECT 1")
    except ConnectFailed as error:
        raise NotYet(describe(error)) from None
    return name


def make_databases(cluster: Cluster) -> None:
    """Make the application's database on every server; with workers, the extension Citus in each."""
    for group in cluster.groups:
        (name,) = group.members
        administration = group.administration_of(name)
        with sql.session(replace(administration, database=MAINTENANCE)) as session, session.cursor() as cursor:
            cursor.execute(
                compose.SQL("CREATE DATABASE {} OWNER {}").format(
                    compose.Identifier(cluster.topology.database), compose.Identifier(cluster.topology.application.user)
                )
            )
        if len(cluster.groups) > 1:
            sql.execute(administration, "CREATE EXTENSION citus")


def join_workers(cluster: Cluster, plan: Plan) -> None:
    """Tell the coordinator of its workers, by the names that the hosts know."""
    (coordinator,) = cluster.members
    for group in cluster.groups[1:]:
        (worker,) = group.members
        address = plan.advertised(worker, POSTGRES)
        sql.rows(cluster.administration_of(coordinator), "SELECT citus_add_node(%s, %s)", [address.host, address.port])
