"""What a server says of itself: who answers, which database, which vector extension."""

from dataclasses import dataclass

from support import sql
from support.application.vectors import DIALECTS

_IDENTITY = "SELECT current_setting('server_version_num'), current_database(), session_user"
_SYSTEM = "SELECT system_identifier FROM pg_control_system()"
# What is installed is in the catalog, which replicas copy; what is at hand are files on that server's own host.
_EXTENSION = """
    SELECT extname, extversion, default_version
      FROM pg_extension LEFT JOIN pg_available_extensions ON name = extname
     WHERE extname = ANY (%s)
"""


@dataclass(frozen=True)
class Identity:
    """Who answers at the other end of a session."""

    version: int
    """The major version of PostgreSQL."""
    database: str
    user: str


@dataclass(frozen=True)
class Extension:
    """A vector extension on one server."""

    name: str
    installed: str
    at_hand: str | None
    """The version of its files on that server's host; None when they are not there."""


def identity(where: sql.Endpoint | sql.Session) -> Identity:
    """Who answers there."""
    version, database, user = sql.rows(where, _IDENTITY)[0]
    return Identity(int(version) // 10000, database, user)


def system_identifier(where: sql.Endpoint | sql.Session) -> int:
    """The number that a database system gets when it is created, and shares with its replicas only."""
    return int(sql.value(where, _SYSTEM))


def vector_extension(where: sql.Endpoint | sql.Session) -> Extension | None:
    """The vector extension of that server; None when it has none."""
    found = sql.rows(where, _EXTENSION, [[dialect.extension for dialect in DIALECTS.values()]])
    return Extension(*found[0]) if found else None
