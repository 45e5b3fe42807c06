"""The user's own cluster: what the settings say of it, and what is found by looking."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import redis
import requests
from pydantic import SecretStr

from support import sql
from support.application.vectors import RUVECTOR, dialect_of
from support.cluster import nodes
from support.cluster.patroni import MemberView, PatroniApi
from support.cluster.redis_server import client_of
from support.cluster.tables import with_profile
from support.cluster.topology import Address, Login, MemberAddress, RedisAddress, StatisticsPage, Topology
from support.errors import ConnectFailed, NotAvailable, RequirementMissing, TargetUnreachable
from support.settings import Settings
from support.waiting import NotYet
from support.waiting import describe as in_one_line

# What libpq says -> what the user is to look at. The first that matches counts.
_ADVICE = {
    "password authentication failed": "the password or the role is wrong: check RUVECTOR_USER and RUVECTOR_PASSWORD",
    "no password supplied": "the server asks for a password: set RUVECTOR_PASSWORD",
    "does not exist": "check RUVECTOR_DB and RUVECTOR_USER",
    "could not translate host name": "that host name is not known here: check RUVECTOR_HOST",
    "connection refused": "nothing listens there: check RUVECTOR_HOST and RUVECTOR_PORT (or HAPROXY_PRIMARY_PORT)",
    "timeout expired": "it does not answer: check RUVECTOR_HOST, RUVECTOR_PORT and firewalls in between",
    "no pg_hba.conf entry": "the server's pg_hba.conf refuses this login: check RUVECTOR_USER, RUVECTOR_SSLMODE",
    "does not support ssl": "the server offers no TLS: check RUVECTOR_SSLMODE",
    "certificate": "the certificate is not accepted: check RUVECTOR_SSLMODE and RUVECTOR_SSLROOTCERT",
}


@dataclass
class _Findings:
    """What was found so far."""

    lacks: dict[str, str] = field(default_factory=dict)
    members: tuple[MemberAddress, ...] = ()
    scope: str = ""
    redis: RedisAddress | None = None


def describe(settings: Settings) -> Topology:
    """Look at the user's cluster.

    Raises TargetUnreachable when the database does not let the application in, and RequirementMissing when a part
    that the user declared (REDIS_HOST, ENABLE_PATRONI=true, ...) does not answer; both say what to change.
    """
    host = settings.citus_coordinator or settings.ruvector_host or "localhost"
    topology = Topology(
        database=settings.ruvector_db,
        application=Login(settings.ruvector_user, _secret(settings.ruvector_password) or ""),
        write=Address(host, settings.haproxy_primary_port or settings.ruvector_port),
        read=Address(host, settings.haproxy_replica_port) if settings.haproxy_replica_port else None,
        administrator=_login(settings.accept_admin_user, settings.accept_admin_password),
        dcs=tuple(_address(one, 2379) for one in settings.etcd_hosts),
        patroni_login=_login(settings.patroni_restapi_username, settings.patroni_restapi_password),
        statistics=_statistics(settings),
        options=_tls(settings),
    )
    findings = _Findings({"hosts": "not a cluster of ours", "partitions": "not a cluster of ours"})
    if settings.accept_destructive != settings.ruvector_db:
        findings.lacks["destructive"] = (
            f"a cluster of yours is disturbed only when ACCEPT_DESTRUCTIVE names its database, {settings.ruvector_db}"
        )
    _look_at_database(topology, findings, settings)
    _look_at_redis(settings, host, findings)
    _look_at_patroni(settings, host, findings)
    _look_at_nodes(topology, settings, findings)
    topology = replace(topology, members=findings.members, scope=findings.scope, redis=findings.redis)
    _look_at_members(topology, findings)
    _look_at_rest(topology, findings)
    return with_profile(replace(topology, lacks=findings.lacks), settings)


def _look_at_database(topology: Topology, findings: _Findings, settings: Settings) -> None:
    endpoint = _endpoint(topology, topology.write, topology.application, "the write endpoint")
    try:
        with sql.session(endpoint) as session:
            installed = {name for (name,) in sql.rows(session, "SELECT extname FROM pg_extension")}
            try:
                if (dialect := dialect_of(session)) is not RUVECTOR:
                    findings.lacks["ruvector"] = f"the vectors are of the extension {dialect.extension}"
            except NotAvailable as error:
                findings.lacks |= dict.fromkeys(("vector", "ruvector"), str(error))
    except ConnectFailed as error:
        raise TargetUnreachable(f"{error}: {_advice(str(error))}") from None
    if settings.enable_citus is False:
        findings.lacks["citus"] = "ENABLE_CITUS=false"
    elif "citus" not in installed:
        findings.lacks["citus"] = f"the extension citus is not installed in database {topology.database}"
        _declared(settings.enable_citus or settings.citus_workers, "ENABLE_CITUS", findings.lacks["citus"])


def _look_at_redis(settings: Settings, host: str, findings: _Findings) -> None:
    address = RedisAddress(Address(settings.redis_host or host, settings.redis_port), _secret(settings.redis_password))
    try:
        with client_of(address) as client:
            client.ping()
        findings.redis = address
    except redis.AuthenticationError as error:
        findings.lacks["redis"] = f"Redis at {address.address} refuses the login ({error}): check REDIS_PASSWORD"
    except redis.RedisError as error:
        findings.lacks["redis"] = (
            f"no Redis answers at {address.address} ({in_one_line(error)}): check REDIS_HOST and REDIS_PORT"
        )
    declared = settings.redis_host or "redis_port" in settings.model_fields_set or settings.redis_password
    _declared(findings.redis is None and declared, "REDIS_HOST", findings.lacks.get("redis", ""))


def _look_at_patroni(settings: Settings, host: str, findings: _Findings) -> None:
    if settings.enable_patroni is False:
        findings.lacks["patroni"] = "ENABLE_PATRONI=false"
        return
    tried = [_address(one, settings.patroni_port) for one in settings.patroni_hosts or (host,)]
    for address in tried:
        try:
            _members_known_to(PatroniApi(address), findings)
            return
        except (requests.RequestException, ValueError, KeyError, NotYet):
            continue
    asked = ", ".join(map(str, tried))
    findings.lacks["patroni"] = f"no Patroni REST API answers at {asked}: check PATRONI_HOSTS and PATRONI_PORT"
    _declared(settings.enable_patroni or settings.patroni_hosts, "PATRONI_HOSTS", findings.lacks["patroni"])


def _members_known_to(patroni: PatroniApi, findings: _Findings) -> None:
    view = patroni.cluster()
    findings.scope = view.scope
    findings.members = tuple(map(_member, view.members))


def _look_at_nodes(topology: Topology, settings: Settings, findings: _Findings) -> None:
    """The members of Citus' worker groups: those that the Patroni beside a node names, or else the node alone."""
    if "citus" in findings.lacks:
        return
    known = nodes.known_to(_endpoint(topology, topology.write, topology.application, "the write endpoint"))
    for node in known:
        if node.group or not findings.members:
            findings.members += _members_at(node, settings, findings.lacks)
    workers = {member.postgres.host for member in findings.members if member.group}
    absent = [one for one in settings.citus_workers if not workers & _names_of(_address(one, 5432).host)]
    why = f"{', '.join(absent)} is no member of a worker group ({', '.join(sorted(workers)) or 'there are none'})"
    _declared(absent, "CITUS_WORKERS", why)


def _members_at(node: nodes.Node, settings: Settings, lacks: Mapping[str, str]) -> tuple[MemberAddress, ...]:
    alone = MemberAddress(str(node.address), node.address, None, node.group)
    if "patroni" in lacks:
        return (alone,)
    try:
        view = PatroniApi(Address(node.address.host, settings.patroni_port)).cluster()
    except (requests.RequestException, ValueError, KeyError, NotYet):
        return (alone,)
    return tuple(replace(_member(one), group=node.group) for one in view.members)


def _names_of(host: str) -> set[str]:
    """A host's name and its addresses."""
    with suppress(OSError):
        return {host, *socket.gethostbyname_ex(host)[2]}
    return {host}


def _member(one: MemberView) -> MemberAddress:
    return MemberAddress(one.name, Address(one.host, one.port), _rest_address(one.api_url))


def _look_at_members(topology: Topology, findings: _Findings) -> None:
    if not topology.members:
        findings.lacks.setdefault("members", "not known without Patroni")
        findings.lacks.setdefault("replicas", "not known without Patroni")
    elif len(first := [one.name for one in topology.members if one.group == 0]) == 1:
        findings.lacks["replicas"] = f"the only member is {first[0]}"
    refused = _logins_refused(topology, topology.application)
    if refused:
        findings.lacks["members"] = f"no direct login to every member: {refused}"
    if topology.administrator is None:
        findings.lacks["admin"] = "no superuser's login was given (ACCEPT_ADMIN_USER, ACCEPT_ADMIN_PASSWORD)"
    elif refused := _logins_refused(topology, topology.administrator):
        findings.lacks["admin"] = f"the superuser cannot log in to every member: {refused}"


def _look_at_rest(topology: Topology, findings: _Findings) -> None:
    if topology.read is None:
        findings.lacks["haproxy"] = "no read endpoint was given (HAPROXY_PRIMARY_PORT, HAPROXY_REPLICA_PORT)"
    else:
        endpoint = _endpoint(topology, topology.read, topology.application, "the read endpoint")
        refused = _login_refused(endpoint)
        _declared(refused, "HAPROXY_REPLICA_PORT", refused)
    if topology.statistics is None:
        findings.lacks["statistics"] = "no statistics page was given (HAPROXY_STATS_URL)"
    mode = topology.options.get("sslmode", "prefer")
    if mode not in ("require", "verify-ca", "verify-full"):
        findings.lacks["tls"] = f"TLS is not asked for (RUVECTOR_SSLMODE: {mode})"
    if mode not in ("verify-ca", "verify-full"):
        findings.lacks["verified_tls"] = f"no certificate is verified (RUVECTOR_SSLMODE: {mode})"
    if topology.patroni_login is None:
        findings.lacks["patroni_login"] = "no login for Patroni's REST API was given (PATRONI_RESTAPI_USERNAME)"
    if topology.redis is None or not topology.redis.password:
        findings.lacks["redis_password"] = "no password of Redis was given (REDIS_PASSWORD)"
    if not topology.dcs:
        findings.lacks["dcs"] = "etcd's addresses were not given (ETCD_HOSTS)"


def _logins_refused(topology: Topology, login: Login) -> str:
    return "; ".join(
        filter(
            None,
            (
                _login_refused(_endpoint(topology, member.postgres, login, f"member {member.name}"))
                for member in topology.members
            ),
        )
    )


def _login_refused(endpoint: sql.Endpoint) -> str:
    try:
        with sql.session(endpoint):
            return ""
    except ConnectFailed as error:
        return str(error)


def _declared(missing: object, setting: str, why: str) -> None:
    """What the user declared and is not there makes the run fail."""
    if missing:
        raise RequirementMissing(f"{setting} declares what is not there: {why}")


def _endpoint(topology: Topology, address: Address, login: Login, name: str) -> sql.Endpoint:
    return sql.Endpoint(
        name, address.host, address.port, topology.database, login.user, login.password, topology.options
    )


def _advice(message: str) -> str:
    said = message.lower()
    return next((advice for sign, advice in _ADVICE.items() if sign in said), "check the RUVECTOR_* settings")


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


def _login(user: str | None, password: SecretStr | None) -> Login | None:
    return Login(user, _secret(password) or "") if user else None


def _address(text: str, port: int) -> Address:
    host, colon, given = text.rpartition(":")
    return Address(host, int(given)) if colon and given.isdigit() else Address(text, port)


def _rest_address(url: str) -> Address | None:
    parts = urlsplit(url)
    return Address(parts.hostname, parts.port or 8008) if parts.hostname else None


def _statistics(settings: Settings) -> StatisticsPage | None:
    if settings.haproxy_stats_url is None:
        return None
    return StatisticsPage(
        settings.haproxy_stats_url, _login(settings.haproxy_stats_user, settings.haproxy_stats_password)
    )


def _tls(settings: Settings) -> Mapping[str, str]:
    given = {
        "sslmode": settings.ruvector_sslmode,
        "sslrootcert": settings.ruvector_sslrootcert,
        "sslcert": settings.ruvector_sslcert,
        "sslkey": settings.ruvector_sslkey,
    }
    return {name: value for name, value in given.items() if value is not None}
