"""Prepares the database of the application: its role, its extension, its schema."""

from dataclasses import replace

from psycopg2 import sql as compose
from psycopg2.extensions import encrypt_password

from support import sql
from support.application import schema, sharding
from support.application.vectors import PGVECTOR, dialect_of
from support.cluster.cluster import Cluster


def prepare(cluster: Cluster, leader: str) -> None:
    """Make the application's role, database and schema, through the leader."""
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
    sql.execute(administration, f"CREATE EXTENSION {PGVECTOR.extension}")
    application_here = cluster.of_member(leader)
    dialect = dialect_of(application_here)
    schema.create(application_here, dialect)
    if sharded:
        schema.create_local(application_here, dialect)
        sharding.distribute(application_here)
