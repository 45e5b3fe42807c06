"""The software of each member: its PostgreSQL, the extensions' files and libraries, and the libraries that sort text.

The catalogs are replicated, so each member says that it has an extension or a collation in some version. What its own
files are can differ: a host that was upgraded alone, an older package, a newer image.

Sources: https://github.com/citusdata/citus/issues/907 (an older library on a replica),
https://github.com/supabase/supabase/issues/48853 (a replica with other ICU and glibc versions),
https://www.postgresql.org/docs/current/sql-altercollation.html (versions of collations)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from support import sql
from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_in_parallel
from support.timeouts import REST

NOT_THERE = "not there"
_LARGEST = 2**28
"""Bytes of a library that are read at most."""
_SERVER = "SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('server_version_num')::int"
_EXTENSIONS = """
    SELECT extname, extversion, default_version
      FROM pg_extension LEFT JOIN pg_available_extensions ON name = extname
     ORDER BY 1
"""
_CITUS = "SELECT split_part(citus_version(), ' on ', 1)"
_OWN_OBJECTS = 16384
"""The first object number that is not PostgreSQL's own."""
_DATABASE = {
    True: """
        SELECT 'the database ' || quote_ident(datname), datlocprovider, datcollversion,
               pg_database_collation_actual_version(oid)
          FROM pg_database WHERE datname = current_database()
    """,
    False: """
        SELECT 'the database ' || quote_ident(datname), 'c', NULL,
               (SELECT max(pg_collation_actual_version(c.oid)) FROM pg_collation c
                 WHERE c.collprovider = 'c' AND c.collcollate = datcollate AND c.collencoding IN (-1, encoding))
          FROM pg_database WHERE datname = current_database()
    """,
}
"""Whether PostgreSQL is 15 or newer, which knows the version of a database's collation -> how to ask for it."""
_COLLATIONS = f"""
    SELECT 'collation ' || quote_ident(collname), collprovider, collversion, pg_collation_actual_version(oid)
      FROM pg_collation
     WHERE collname <> 'default' AND oid IN (
           SELECT attcollation FROM pg_attribute WHERE attrelid >= {_OWN_OBJECTS} AND NOT attisdropped
           UNION
           SELECT refobjid FROM pg_depend WHERE refclassid = 'pg_collation'::regclass)
     ORDER BY 1
"""
_PROVIDERS = {"c": "libc", "i": "ICU", "b": "builtin"}
_LIBRARIES = """
    SELECT probin, array_agg(oid ORDER BY oid),
           CASE WHEN probin LIKE '/%%' THEN probin
                ELSE (SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR') || '/' || replace(probin, '$libdir/', '')
           END || CASE WHEN probin LIKE '%%.so' THEN '' ELSE '.so' END
      FROM pg_proc
     WHERE probin IS NOT NULL AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND oid >= %s
     GROUP BY probin
     ORDER BY probin
"""
_CHECKSUM = "SELECT left(encode(sha256(pg_read_binary_file(%s, 0, %s, true)), 'hex'), 12)"
_LOADS = "SELECT fmgr_c_validator(oid) FROM unnest(%s::oid[]) oid"
"""PostgreSQL's own check of a function in C: it loads the library, and looks the function up."""


@dataclass(frozen=True)
class Collation:
    """A collation that the database uses: its own, or one of a column, an index or anything else."""

    name: str
    provider: str
    """The library that sorts: "libc", "ICU" or "builtin"."""
    recorded: str | None
    """The version by which the existing indexes were built; None if none was recorded."""
    actual: str | None
    """The version that the member sorts by; None if the library has no versions for it."""


def versions(cluster: Cluster) -> dict[str, dict[str, str] | NoAnswer]:
    """Member -> what runs there -> its version, as any role can ask for it."""
    return ask_in_parallel(cluster.members, lambda name: versions_at(cluster.of_member(name)))


def versions_at(where: sql.Endpoint) -> dict[str, str]:
    """What runs on one server -> its version."""
    with sql.session(where, connect_timeout=REST) as session:
        ((server, _),) = sql.rows(session, _SERVER)
        extensions = sql.rows(session, _EXTENSIONS)
        found = {"PostgreSQL": str(server)}
        found |= {f"extension {name} in the catalog": installed for name, installed, _ in extensions}
        found |= {f"extension {name} in the server's files": files or NOT_THERE for name, _, files in extensions}
        if any(name == "citus" for name, *_ in extensions):
            found["the library of Citus"] = _answer(session, _CITUS)
        return found | {
            f"{one.name}, sorted by {one.provider}": one.actual or "no version" for one in _collations(session)
        }


def collations(cluster: Cluster) -> dict[str, list[Collation] | NoAnswer]:
    """Member -> the collations that the database uses."""

    def asked(name: str) -> list[Collation]:
        with sql.session(cluster.of_member(name), connect_timeout=REST) as session:
            return list(_collations(session))

    return ask_in_parallel(cluster.members, asked)


def _collations(session: sql.Session) -> Iterator[Collation]:
    ((_, number),) = sql.rows(session, _SERVER)
    for query in (_DATABASE[number >= 150000], _COLLATIONS):
        for name, provider, recorded, actual in sql.rows(session, query):
            yield Collation(name, _PROVIDERS.get(provider) or str(provider), recorded, actual)


def libraries(cluster: Cluster) -> dict[str, dict[str, str] | NoAnswer]:
    """Member -> library of functions in C that the database has -> its checksum, and whether it can be used.

    As a superuser: nobody else can read a server's files.
    """
    return ask_in_parallel(cluster.members, partial(_libraries, cluster))


def _libraries(cluster: Cluster, member: str) -> dict[str, str]:
    found = {}
    with sql.session(cluster.administration_of(member), connect_timeout=REST) as session:
        for library, functions, file in sql.rows(session, _LIBRARIES, [_OWN_OBJECTS]):
            told = _answer(session, _CHECKSUM, [file, _LARGEST])
            unusable = sql.error_of(lambda functions=functions: sql.rows(session, _LOADS, [functions]))  # type: ignore[misc]
            usable = "" if unusable is None else f", unusable: {_first_line(unusable)}"
            found[f"library {library}"] = f"file {told}{usable}"
    return found


def _answer(session: sql.Session, statement: str, values: sql.Values = None) -> str:
    """The one value, or the server's error: a component that cannot be asked differs from one that can."""
    try:
        value = sql.value(session, statement, values)
    except sql.Error as error:
        return f"unusable: {_first_line(error)}"
    return NOT_THERE if value is None else str(value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
