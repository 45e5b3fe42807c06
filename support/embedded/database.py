"""The application's database in a fresh cluster: its role, the extensions, the tables, and how they are sharded."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from string import Template

from psycopg2 import sql as compose
from psycopg2.extensions import encrypt_password

from support import sql
from support.embedded.plan import POSTGRES, Plan
from support.example_app import schema
from support.example_app.vectors import VectorDialect
from support.target.cluster import Cluster
from support.target.topology import Login
from support.timeouts import START

MAINTENANCE = "postgres"
"""The database that initdb makes."""

# The tables of the other installation: serial keys, unique constraints, timestamps without a time zone. Where they are
# sharded, each key includes the distribution column, as Citus requires.
SWARM = Path(__file__).with_name("swarm.sql")
SWARM_CITUS = Path(__file__).with_name("swarm_citus.sql")
"""Further tables, which exist only where they are sharded."""
SWARM_REFERENCE = ("vector_indexes", "sessions", "metadata", "distributed.config")
SWARM_DISTRIBUTED: Mapping[str, str] = {
    **dict.fromkeys(
        ("memory_entries", "patterns", "graph_nodes", "graph_edges", "hyperbolic_embeddings"),
        "namespace",
    ),
    "trajectories": "id",
    "distributed.users": "user_id",
    "distributed.events": "user_id",
    "distributed.embeddings": "user_id",
}
"""Table -> its distribution column."""


def prepare(cluster: Cluster, leader: str, plan: Plan) -> None:
    """Make the application's role, database and schema, through the leader."""
    shape, sharded = plan.layout.shape, len(cluster.topology.groups) > 1
    if shape.patroni:
        _make_role_and_database(cluster, leader, sharded)
    else:
        _make_databases(cluster)
        _join_workers(cluster, plan)
    if shape.tables is None:
        return
    sql.execute(cluster.administration_of(leader), f"CREATE EXTENSION {plan.dialect.extension}")
    application = cluster.of_member(leader)
    if shape.tables == "swarm":
        _create_swarm_tables(application, plan.dialect, sharded)
        return
    _set_for_role(cluster.administration_of(leader), cluster.topology.application.user, plan.dialect)
    schema.create(application, plan.dialect)
    if sharded:
        schema.create_local(application, plan.dialect)
        schema.distribute(application)


def _make_role_and_database(cluster: Cluster, leader: str, sharded: bool) -> None:
    """Make an ordinary role, and a database that it owns."""
    administration = cluster.administration_of(leader)
    maintenance = administration if sharded else replace(administration, database=MAINTENANCE)
    # In a sharded cluster, Patroni has already made the database on every group.
    makes = "ALTER DATABASE {} OWNER TO {}" if sharded else MAKES
    make_role_and_database(maintenance, cluster.topology.application, cluster.topology.database, makes)


def _set_for_role(administration: sql.Endpoint, role: str, dialect: VectorDialect) -> None:
    """Make the extension's settings for the application's role, in each of its sessions from now on.

    An older version of the extension lacks some of them.
    """
    with sql.session(administration) as session, session.cursor() as cursor:
        cursor.execute(f"SELECT '[1]'::{dialect.type}")  # loads the library, which has the settings
        for name, setting in dialect.role_settings.items():
            cursor.execute("SELECT 1 FROM pg_settings WHERE name = %s", [name])
            if cursor.fetchone():
                words = compose.SQL("ALTER ROLE {} SET {} = {}")
                cursor.execute(words.format(compose.Identifier(role), compose.SQL(name), compose.Literal(setting)))


MAKES = "CREATE DATABASE {} OWNER {}"


def make_role_and_database(maintenance: sql.Endpoint, application: Login, database: str, makes: str = MAKES) -> None:
    """Make an ordinary role, and a database that it owns; `makes` is the statement for the database."""
    with sql.session(maintenance) as session, session.cursor() as cursor:
        # The password is hashed here, as the server might log it in plain text.
        hashed = encrypt_password(application.password, application.user, session, "scram-sha-256")
        role = compose.Identifier(application.user)
        cursor.execute(
            compose.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                role, compose.Literal(hashed)
            )
        )
        cursor.execute(compose.SQL(makes).format(compose.Identifier(database), role))


def _make_databases(cluster: Cluster) -> None:
    """Without Patroni: make the database on every server; with workers, the extension Citus in each."""
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


def _join_workers(cluster: Cluster, plan: Plan) -> None:
    """Without Patroni: add the workers to the coordinator, by the names that the hosts know.

    Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html (citus_add_node)
    """
    (coordinator,) = cluster.members
    for group in cluster.groups[1:]:
        (worker,) = group.members
        address = plan.advertised(worker, POSTGRES)
        sql.rows(cluster.administration_of(coordinator), "SELECT citus_add_node(%s, %s)", [address.host, address.port])


def _create_swarm_tables(where: sql.Endpoint, dialect: VectorDialect, sharded: bool) -> None:
    """Create the other installation's tables and indexes as the role that logs in there; shard them if required."""
    with sql.session(where, statement_timeout=START) as session:
        sql.execute(session, f"BEGIN; {_swarm_statements(dialect, sharded)} COMMIT")
        if not sharded:
            return
        for table, column in SWARM_DISTRIBUTED.items():
            sql.rows(session, "SELECT create_distributed_table(%s, %s)", [table, column])
        for table in SWARM_REFERENCE:
            sql.rows(session, "SELECT create_reference_table(%s)", [table])


def _swarm_statements(dialect: VectorDialect, sharded: bool) -> str:
    """The schema in terms of one vector extension."""
    words = {
        "vector": dialect.type,
        "cosine": dialect.operator_class("cosine"),
        "key": "PRIMARY KEY (namespace, id)" if sharded else "PRIMARY KEY (id)",
        # A local table cannot refer to a distributed one.
        "pattern": "integer" if sharded else "integer REFERENCES patterns (id) ON DELETE CASCADE",
    }
    files = (SWARM, SWARM_CITUS) if sharded else (SWARM,)
    return "".join(Template(file.read_text(encoding="utf-8")).substitute(words) for file in files)
