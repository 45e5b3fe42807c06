"""Prepares the database of the application: its role, its extension, its schema."""

from dataclasses import replace

from psycopg2 import sql as compose
from psycopg2.extensions import encrypt_password

from support import sql
from support.embedded import plain, swarm_tables
from support.embedded.plan import Plan
from support.example_app import schema
from support.example_app import schema as sharding
from support.target.cluster import Cluster


def prepare(cluster: Cluster, leader: str, plan: Plan) -> None:
    """Make the application's role, database and schema, through the leader."""
    if not plan.layout.shape.patroni:
        plain.make_databases(cluster)
        plain.join_workers(cluster, plan)
    else:
        _make_role_and_database(cluster, leader)
    sql.execute(cluster.administration_of(leader), f"CREATE EXTENSION {plan.dialect.extension}")
    application_here, sharded = cluster.of_member(leader), len(cluster.topology.groups) > 1
    if plan.layout.shape.tables == "swarm":
        swarm_tables.create(application_here, plan.dialect, sharded)
        return
    schema.create(application_here, plan.dialect)
    if sharded:
        schema.create_local(application_here, plan.dialect)
        sharding.distribute(application_here)


def _make_role_and_database(cluster: Cluster, leader: str) -> None:
    """Make an ordinary role, and a database of its own."""
    administration = cluster.administration_of(leader)
    sharded = len(cluster.topology.groups) > 1
    maintenance = administration if sharded else replace(administration, database="postgres")
    with sql.session(maintenance) as session, session.cursor() as cursor:
        application, database = cluster.topology.application, cluster.topology.database
        # The password is hashed here: as plain text it might be logged there.
        hashed = encrypt_password(application.password, application.user, session, "scram-sha-256")
        role = compose.Identifier(application.user)
        cursor.execute(
            compose.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                role, compose.Literal(hashed)
            )
        )
        # Where it is sharded, Patroni made the database, on every group.
        makes = "ALTER DATABASE {} OWNER TO {}" if sharded else "CREATE DATABASE {} OWNER {}"
        cursor.execute(compose.SQL(makes).format(compose.Identifier(database), role))
