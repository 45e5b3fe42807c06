"""Prepares the database of the application: its role, its extension, its schema."""

from dataclasses import replace

from psycopg2 import sql as compose
from psycopg2.extensions import encrypt_password

from support import sql
from support.application import schema
from support.application.vectors import PGVECTOR, dialect_of
from support.cluster.cluster import Cluster


def prepare(cluster: Cluster, leader: str) -> None:
    """Make the application's role, database and schema, through the leader."""
    administration = cluster.administration_of(leader)
    with sql.session(replace(administration, database="postgres")) as session, session.cursor() as cursor:
        application, database = cluster.topology.application, cluster.topology.database
        # The password is hashed here: as plain text it might be logged there.
        hashed = encrypt_password(application.password, application.user, session, "scram-sha-256")
        role = compose.Identifier(application.user)
        cursor.execute(
            compose.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                role, compose.Literal(hashed)
            )
        )
        cursor.execute(compose.SQL("CREATE DATABASE {} OWNER {}").format(compose.Identifier(database), role))
    sql.execute(administration, f"CREATE EXTENSION {PGVECTOR.extension}")
    application_here = cluster.of_member(leader)
    schema.create(application_here, dialect_of(application_here))
