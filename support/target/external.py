"""The user's own cluster: what the settings say of it, and what is found by looking."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import redis
from pydantic import SecretStr

from support import sql
from support.errors import ConnectFailed, NotAvailable, NotInTime, RequirementMissing, TargetUnreachable, UsageError
from support.example_app.sessions import share_a_backend
from support.example_app.vectors import RUVECTOR, dialect_of
from support.settings import Settings
from support.target.discovery import addresses, dcs, members, nodes, proxy, rest, servers
from support.target.discovery.addresses import Reach
from support.target.discovery.members import Group, Known
from support.target.discovery.rest import Answer
from support.target.members import SILENCE, Silent
from support.target.redis import client_of
from support.target.tables import with_profile
from support.target.topology import Address, Login, MemberAddress, RedisAddress, StatisticsPage, Topology
from support.timeouts import NOTICE
from support.waiting import NotYet, eventually
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
    behind: servers.Server | None = None
    """The server behind the write endpoint; None where it does not say which it is."""
    groups: list[Group] = field(default_factory=list)
    """The members of each group, the coordinator's first."""
    absent: list[MemberAddress] = field(default_factory=list)
    scope: str = ""
    nodes: Mapping[str, Address] = field(default_factory=dict)
    redis: RedisAddress | None = None


def describe(settings: Settings) -> Topology:
    """Look at the user's cluster.

    Raises TargetUnreachable when the database does not let the application in, RequirementMissing when a part that
    the user declared (REDIS_HOST, ENABLE_PATRONI=true, ...) does not answer, and UsageError when what was declared
    contradicts what is there; each says what to change.
    """
    host = settings.citus_coordinator or settings.ruvector_host or "localhost"
    proxy_host = _proxy_host(settings) or host
    write = (proxy_host, settings.haproxy_primary_port) if settings.haproxy_primary_port else None
    topology = Topology(
        database=settings.ruvector_db,
        application=Login(settings.ruvector_user, _secret(settings.ruvector_password) or ""),
        write=Address(*(write or (host, settings.ruvector_port))),
        read=Address(proxy_host, settings.haproxy_replica_port) if settings.haproxy_replica_port else None,
        administrator=_login(settings.accept_admin_user, settings.accept_admin_password),
        dcs=tuple(addresses.parsed(one, 2379) for one in settings.etcd_hosts),
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
    _look_at_members(topology, settings, host, findings)
    topology = replace(
        topology,
        members=tuple(member for group in findings.groups for member in group.members),
        absent=tuple(findings.absent),
        scope=findings.scope,
        nodes=findings.nodes,
        redis=findings.redis,
    )
    _look_at_logins(topology, findings)
    topology, lacking = dcs.look(topology, findings.behind.system if findings.behind else "")
    findings.lacks |= lacking
    topology = _look_at_proxy(topology, settings, findings)
    _look_at_rest(topology, findings)
    return with_profile(replace(topology, lacks=findings.lacks), settings)


def _proxy_host(settings: Settings) -> str | None:
    if settings.haproxy_host and not (settings.haproxy_primary_port or settings.haproxy_replica_port):
        raise UsageError(
            "HAPROXY_HOST says on which host HAProxy listens; say at which ports, too: HAPROXY_PRIMARY_PORT, "
            "HAPROXY_REPLICA_PORT"
        )
    return settings.haproxy_host


def _look_at_database(topology: Topology, findings: _Findings, settings: Settings) -> None:
    endpoint = _endpoint(topology, topology.write, topology.application, "the write endpoint")
    try:
        with sql.session(endpoint) as session:
            installed = {name for (name,) in sql.rows(session, "SELECT extname FROM pg_extension")}
            findings.behind = servers.identity(session)
            try:
                if (dialect := dialect_of(session)) is not RUVECTOR:
                    findings.lacks["ruvector"] = f"the vectors are of the extension {dialect.extension}"
            except NotAvailable as error:
                findings.lacks |= dict.fromkeys(("vector", "ruvector"), str(error))
    except ConnectFailed as error:
        raise TargetUnreachable(f"{error}: {_advice(str(error))}") from None
    with suppress(sql.Error, ConnectFailed):
        if share_a_backend(endpoint):
            findings.lacks["backends"] = "a pooler before the database gives transactions, not sessions, their backends"
    if settings.enable_citus is False:
        findings.lacks["citus"] = "ENABLE_CITUS=false"
    elif "citus" not in installed:
        findings.lacks["citus"] = f"the extension citus is not installed in database {topology.database}"
        _declared(settings.enable_citus or settings.citus_workers, "ENABLE_CITUS", findings.lacks["citus"])


def _look_at_redis(settings: Settings, host: str, findings: _Findings) -> None:
    """A Redis that nobody named may be anybody's: it is not touched."""
    given = settings.model_fields_set
    if not given & {"redis_host", "redis_port", "redis_password"}:
        findings.lacks["redis"] = "no Redis was named (REDIS_HOST)"
        return
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
    _declared(findings.redis is None, "REDIS_HOST", findings.lacks.get("redis", ""))


def _look_at_members(topology: Topology, settings: Settings, host: str, findings: _Findings) -> None:
    """Everybody who was declared is asked, and everybody whom Patroni knows."""
    ends = frozenset({topology.write, topology.read} - {None})
    known = Known(
        _endpoint(topology, topology.write, topology.application, "the write endpoint"),
        settings.ruvector_port,
        frozenset(end for end in ends if end),
        addresses.places("[members]", settings.member_addresses),
    )
    silent, others = dict[Address, str](), list[Answer]()
    if settings.enable_patroni is False:
        findings.lacks["patroni"] = "ENABLE_PATRONI=false"
    else:
        silent, others = _look_at_patroni(known, settings, host, findings)
    if "citus" not in findings.lacks:
        _look_at_nodes(known, settings, others, silent, findings)
    if "patroni" not in findings.lacks:
        findings.absent = [member for group in findings.groups for member in group.absent]
        findings.absent += members.unlisted(known, findings.groups, silent)
        if without := {name: why for group in findings.groups for name, why in group.without_rest.items()}:
            findings.lacks["patroni"] = _without("Patroni REST API", without)
            _declared(findings.absent, "PATRONI_HOSTS", _gone(findings.absent, findings.lacks["patroni"]))
    if without := {name: why for group in findings.groups for name, why in group.without_postgres.items()}:
        findings.lacks["members"] = _without("PostgreSQL", without)


def _look_at_patroni(
    known: Known, settings: Settings, host: str, findings: _Findings
) -> tuple[dict[Address, str], list[Answer]]:
    """The coordinator's group, or the only one. Returns the silent addresses, and the answers of further groups."""
    declared = [addresses.parsed(one, settings.patroni_port) for one in settings.patroni_hosts]
    declared += [place.rest for place in known.places.values() if place.rest]
    answers = rest.ask(dict.fromkeys(declared or [Address(host, settings.patroni_port)]))
    heard = [answer for answer in answers.values() if isinstance(answer, Answer)]
    if not heard:
        asked = ", ".join(map(str, answers))
        findings.lacks["patroni"] = f"no Patroni REST API answers at {asked}: check PATRONI_HOSTS and PATRONI_PORT"
        _declared(settings.enable_patroni or declared, "PATRONI_HOSTS", findings.lacks["patroni"])
        return {}, []
    if not _of_this_database(heard, findings.behind):
        asked = ", ".join(str(answer.address) for answer in heard)
        findings.lacks["patroni"] = f"the Patroni at {asked} keeps another database system than the one tested"
        _declared(settings.enable_patroni or declared, "PATRONI_HOSTS", findings.lacks["patroni"])
        return {}, []
    ours = next((answer for answer in heard if findings.behind and answer.server == findings.behind), heard[0])
    own = [one for one in heard if one.scope == ours.scope and one.known & ours.known]
    further = [one for one in heard if one.scope == ours.scope and one not in own]
    silent = {at: str(at) for at, answer in answers.items() if isinstance(answer, Silent)} if declared else {}
    findings.scope = ours.scope
    findings.groups.append(members.find(known, own, silent))
    strange = {one.address: f"{one.address} (of cluster {one.scope})" for one in heard if one.scope != ours.scope}
    if "citus" in findings.lacks:
        strange |= {one.address: f"{one.address} (of another cluster {one.scope})" for one in further}
    return silent | strange, further


def _of_this_database(heard: list[Answer], behind: servers.Server | None) -> bool:
    """Whether any of them may be of the cluster that is tested: what is beside the database may be anybody's."""
    systems = {answer.server.system for answer in heard if answer.server}
    return behind is None or not behind.system or not systems or behind.system in systems


def _look_at_nodes(
    known: Known, settings: Settings, others: list[Answer], silent: dict[Address, str], findings: _Findings
) -> None:
    """The members of Citus' worker groups: those that the Patroni beside a node names, or else the node alone."""
    rest_port = None if "patroni" in findings.lacks else settings.patroni_port
    said = nodes.Said(addresses.node_addresses(settings.accept_nodes), settings.citus_workers, rest_port)
    found = nodes.find(known, said, others, silent, coordinator=bool(findings.groups))
    # A group that is out of reach is left out: what is true of the others can still be told.
    findings.groups += [group for group in found.groups if not group.without_postgres]
    findings.nodes = found.reached
    if without := {name: why for group in found.groups for name, why in group.without_postgres.items()}:
        findings.lacks["nodes"] = _without("PostgreSQL", without)
    workers = [member.name for group in found.groups for member in group.members]
    why = f"{', '.join(found.absent)} is no member of a worker group ({', '.join(sorted(workers)) or 'there are none'})"
    _declared(found.absent, "CITUS_WORKERS", why)


def _look_at_logins(topology: Topology, findings: _Findings) -> None:
    """What a member has against the application is evidence; only where nobody lets it in, nothing can be looked at."""
    if not any(member.group == 0 for member in (*topology.members, *topology.absent)):
        findings.lacks.setdefault("members", "not known without Patroni")
        findings.lacks.setdefault("replicas", "not known without Patroni")
        if not topology.members:
            findings.lacks.setdefault("admin", _no_administrator(topology))
            return
    first = [one.name for one in (*topology.members, *topology.absent) if one.group == 0]
    if len(first) < 2:
        findings.lacks.setdefault(
            "replicas", f"the only member is {first[0]}" if first else "not known without Patroni"
        )
    reached = [member for member in topology.members if not member.unreached]
    refused = _logins_refused(topology, topology.application, reached)
    if len(refused) == len(reached):
        findings.lacks.setdefault("members", f"no direct login to any member: {'; '.join(refused.values())}")
    if topology.administrator is None:
        findings.lacks["admin"] = _no_administrator(topology)
    else:
        asked = [member for member in reached if member.name not in refused]
        if refused := _logins_refused(topology, topology.administrator, asked):
            findings.lacks["admin"] = f"the superuser cannot log in to every member: {'; '.join(refused.values())}"


def _no_administrator(topology: Topology) -> str:
    return "no superuser's login was given (ACCEPT_ADMIN_USER, ACCEPT_ADMIN_PASSWORD)"


def _look_at_proxy(topology: Topology, settings: Settings, findings: _Findings) -> Topology:
    """The endpoints, and which of HAProxy's backends are behind them."""
    if topology.read is None:
        findings.lacks["haproxy"] = "no read endpoint was given (HAPROXY_PRIMARY_PORT, HAPROXY_REPLICA_PORT)"
    read = None
    if topology.read:
        read = _endpoint(topology, topology.read, topology.application, "the read endpoint")
        _declared(refused := _refused_for_good(read), "HAPROXY_REPLICA_PORT", refused)
    group = findings.groups[0] if findings.groups else Group(())
    known = proxy.Before(
        write=_endpoint(topology, topology.write, topology.application, "the write endpoint"),
        read=read,
        members={answer.server: name for name, answer in group.answers.items() if answer.server},
        places={
            one.name: {one.postgres, group.own.get(one.name, one.postgres)} for one in (*group.members, *group.absent)
        },
        leader=group.leader,
    )
    said = proxy.Said(
        settings.haproxy_write_backend,
        settings.haproxy_read_backend,
        settings.haproxy_servers,
        settings.haproxy_balance or "",
    )
    page = topology.statistics
    if page is None:
        why = "no statistics page was given (HAPROXY_STATS_URL)"
        findings.lacks |= {"statistics": why, "statistics_login": why, "pools": why, **proxy.without_page(said, known)}
        return topology
    if page.login is None:
        findings.lacks["statistics_login"] = "the page asks for no login (and HAPROXY_STATS_USER was not given)"
    try:
        page, lacking = proxy.identify(page, said, known)
    except SILENCE as error:
        raise RequirementMissing(
            f"HAPROXY_STATS_URL declares what is not there: {in_one_line(error)}: check HAPROXY_STATS_URL, "
            "HAPROXY_STATS_USER and HAPROXY_STATS_PASSWORD"
        ) from None
    findings.lacks |= lacking
    return replace(topology, statistics=page)


def _look_at_rest(topology: Topology, findings: _Findings) -> None:
    mode = topology.options.get("sslmode", "prefer")
    if mode not in ("require", "verify-ca", "verify-full"):
        findings.lacks["tls"] = f"TLS is not asked for (RUVECTOR_SSLMODE: {mode})"
    if mode not in ("verify-ca", "verify-full"):
        findings.lacks["verified_tls"] = f"no certificate is verified (RUVECTOR_SSLMODE: {mode})"
    if topology.patroni_login is None:
        findings.lacks["patroni_login"] = "no login for Patroni's REST API was given (PATRONI_RESTAPI_USERNAME)"
    if topology.redis is None or not topology.redis.password:
        findings.lacks["redis_password"] = "no password of Redis was given (REDIS_PASSWORD)"


def _logins_refused(topology: Topology, login: Login, asked: list[MemberAddress]) -> dict[str, str]:
    """Member -> what it says against that login."""
    found = {
        member.name: _login_refused(_endpoint(topology, member.postgres, login, f"member {member.name}"))
        for member in asked
    }
    return {name: why for name, why in found.items() if why}


def _without(what: str, why: Mapping[str, str]) -> str:
    return f"no {what} of every member is within reach: {'; '.join(f'{name}: {said}' for name, said in why.items())}"


def _gone(absent: list[MemberAddress], why: str) -> str:
    return f"{', '.join(member.name for member in absent)} gives no answer, and {why}"


def _refused_for_good(endpoint: sql.Endpoint) -> str:
    """Why an endpoint lets nobody in; a proxy takes a while to notice that a server behind it has gone."""

    def let_in() -> None:
        if refused := _login_refused(endpoint):
            raise NotYet(refused)

    if addresses.reach(Address(endpoint.host, endpoint.port)) is not Reach.OPEN:
        return _login_refused(endpoint)
    try:
        eventually(let_in, within=NOTICE, subject="it lets the application in")
    except NotInTime as error:
        return error.observed
    return ""


def _login_refused(endpoint: sql.Endpoint) -> str:
    try:
        with sql.session(endpoint):
            return ""
    except (ConnectFailed, sql.Error) as error:
        return in_one_line(error)


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
