"""Where wrong logins are tried, and as whom: the ways in, and the databases and roles that are found there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from support import sql
from support.target.cluster import Cluster
from support.target.members import ask_in_parallel, heard_and_silent
from support.target.topology import Login

_USUAL_SUPERUSER = Login("postgres", "")
_USUAL_DATABASE = "postgres"
_TEMPLATE = "template1"
"""What CREATE DATABASE copies, unless somebody has a session there."""
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname"
_ROLES = "SELECT rolname, rolsuper OR rolreplication FROM pg_roles WHERE rolcanlogin"
MOST_ROLES = 20
"""As so many roles, beside those that are declared, a login is tried. An installation may have thousands."""


def ways_in(cluster: Cluster, where: str) -> list[sql.Endpoint]:
    """Every "endpoint" or every "member", with the application's login; of an endpoint, every host."""
    if where == "endpoint":
        return [*cluster.write.each, *(cluster.read.each if cluster.topology.read else ())]
    return [cluster.of_member(member.name) for member in cluster.topology.members if not member.unreached]


def known_logins(cluster: Cluster) -> dict[str, Login]:
    """Role -> its login: those that are declared, and postgres, whose password is not known."""
    return {_USUAL_SUPERUSER.user: _USUAL_SUPERUSER, **declared_logins(cluster)}


def declared_logins(cluster: Cluster) -> dict[str, Login]:
    """Role -> its login: the application's, and the administrator's if there is one."""
    topology = cluster.topology
    return {login.user: login for login in (topology.administrator, topology.application) if login}


@dataclass(frozen=True)
class Survey:
    """Where logins are tried, and as whom."""

    databases: Mapping[str, Sequence[sql.Endpoint]]
    """Database -> the ways in at which it is tried: the application's, those of every server, and all others.

    Every database is tried at members. Behind a pooler, only the application's and the usual one are: it may look up in
    the database itself how to authenticate a login (PgBouncer's auth_query), whatever the password, and keeps its
    session there for minutes. Nobody could drop or rename the database meanwhile, or create one from template1, which
    therefore is not tried at any endpoint.
    """
    ways: Sequence[sql.Endpoint]
    pooled: Sequence[sql.Endpoint]
    """Those of the ways at which a pooler answers."""
    roles: Sequence[str]
    """The roles that are tried beside the known ones."""
    left_out: Sequence[str]
    unlisted: dict[str, str]
    """What did not list its databases and roles -> why, if none did: then others may let anybody in, or be let in."""

    @property
    def rounds(self) -> Sequence[tuple[Sequence[sql.Endpoint], bool]]:
        """Ways in that are tried together, and whether for replication."""
        return [*((ways, False) for ways in self.databases.values()), (self.ways, True)]

    def pooled_of(self, ways: Iterable[sql.Endpoint]) -> Sequence[sql.Endpoint]:
        """Those of some ways, to whatever database, at which a pooler answers."""
        return [one for one in ways if any(replace(one, database=way.database) == way for way in self.pooled)]


@dataclass(frozen=True)
class _Listed:
    """What a server says of itself to the application."""

    own_backend: bool
    """The server itself answers there, not a pooler."""
    databases: Sequence[str]
    """The databases to which it lets anybody connect."""
    roles: Mapping[str, bool]
    """Every role that can log in -> whether it is a superuser or may replicate."""


def survey_of(cluster: Cluster, where: str) -> Survey:
    """Asks every "endpoint" or every "member", as the application, for its databases and roles."""
    ways = {str(one): one for one in ways_in(cluster, where)}
    lists, silent = heard_and_silent(ask_in_parallel(ways, lambda name: _listed_at(ways[name])))
    listed = sorted({database for one in lists.values() for database in one.databases})
    pooled = {name: ways[name] for name, one in lists.items() if not one.own_backend}
    found = dict[str, list[sql.Endpoint]]()
    for name, one in ways.items():
        tried = [one.database, _USUAL_DATABASE]
        if where == "member":
            tried += [] if name in pooled else [_TEMPLATE, *listed]
        elif name in lists and name not in pooled:
            tried += [database for database in listed if database != _TEMPLATE]
        for database in dict.fromkeys(tried):
            found.setdefault(database, []).append(replace(one, database=database))
    mighty = {role for one in lists.values() for role, is_mighty in one.roles.items() if is_mighty}
    further = {role for one in lists.values() for role in one.roles} - {*known_logins(cluster)}
    roles = sorted(further, key=lambda role: (role not in mighty, role))
    why = {f"the databases and roles of {name}": f"no answer ({why})" for name, why in silent.items()}
    tried_as, left_out = roles[:MOST_ROLES], roles[MOST_ROLES:]
    return Survey(found, [*ways.values()], [*pooled.values()], tried_as, left_out, {} if lists else why)


def _listed_at(way: sql.Endpoint) -> _Listed:
    with sql.session(way) as session:
        databases = [name for (name,) in sql.rows(session, _DATABASES)]
        return _Listed(session.own_backend, databases, dict(sql.rows(session, _ROLES)))
