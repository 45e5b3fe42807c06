"""The user's own cluster: what the settings say about it, checked against and completed by what answers there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from support import libpq, sql
from support.errors import ConnectFailed, NotAvailable, RequirementMissing, TargetUnreachable, UsageError
from support.example_app.vectors import RUVECTOR, dialect_of
from support.settings import Settings
from support.target import citus, component_hosts, etcd
from support.target.cluster import Cluster
from support.target.discovery import (
    addresses,
    cache,
    database,
    dcs,
    from_settings,
    host_capabilities,
    logins,
    members,
    nodes,
    pooler,
    proxy,
    user_hosts,
    web,
)
from support.target.discovery.identity import PatroniAnswer, ServerIdentity, patronis_at, server_of
from support.target.discovery.members import Group, SearchContext
from support.target.members import NO_ANSWER, NoAnswer
from support.target.patroni import STANDBY_LEADER, PatroniApi
from support.target.tables import with_profile
from support.target.topology import Address, MemberAddress, RedisAddress, Topology, WebAccess
from support.waiting import NotYet

_NO_ADMINISTRATOR = "no superuser's login was given (ACCEPT_ADMIN_USER, ACCEPT_ADMIN_PASSWORD)"


@dataclass
class _Findings:
    """What was found so far."""

    lacks: dict[str, str] = field(default_factory=dict)
    behind: ServerIdentity | None = None
    """The server behind the write endpoint; None where it cannot be identified."""
    groups: list[Group] = field(default_factory=list)
    """The members of each group, the coordinator's first."""
    absent: list[MemberAddress] = field(default_factory=list)
    scope: str = ""
    nodes: Mapping[str, Address] = field(default_factory=dict)
    redis: RedisAddress | None = None

    def with_members(self, topology: Topology) -> Topology:
        members = tuple(member for group in self.groups for member in group.members)
        topology = replace(topology, advertised={n: own for one in self.groups for n, own in one.advertised.items()})
        return replace(topology, members=members, absent=tuple(self.absent), scope=self.scope, nodes=self.nodes)


_MAY_CREATE = "SELECT has_database_privilege(current_database(), 'CREATE')"


def endpoints(settings: Settings, found: database.Database) -> Topology:
    """Only the endpoints of the database that was found, and the logins there; nothing else of the cluster."""
    return Topology(
        database=found.name,
        application=found.login,
        write=found.write[0],
        further_write=found.write[1:],
        write_options=found.write_options,
        read=found.read[0] if found.read else None,
        further_read=found.read[1:],
        read_options=found.read_options,
        administrator=from_settings.administrator(settings),
        options=found.options,
    )


def _logins(settings: Settings, found: database.Database) -> Topology:
    login, access = from_settings.patroni_login(settings), web.of_patroni(settings)
    return replace(endpoints(settings, found), patroni_login=login, patroni_access=access)


def members_alone(settings: Settings) -> Topology:
    """The endpoints, the members of each group, and the logins there; nothing else of the cluster.

    Raises what `discover` does, as far as it concerns these.
    """
    found, findings = database.find(settings), _Findings()
    topology = _logins(settings, found)
    _look_at_database(topology, findings, settings)
    _look_at_members(topology, settings, found.hosts, findings)
    return replace(findings.with_members(topology), lacks=findings.lacks)


def discover(settings: Settings) -> Topology:
    """Examine the user's cluster; changes nothing. What is stored to try the tables is rolled back.

    Raises TargetUnreachable when the database refuses the application, RequirementMissing when a part that the user
    declared (REDIS_HOST, ENABLE_PATRONI=true, ...) does not answer, and UsageError when a declaration contradicts what
    is there. Each message says what to change.
    """
    found_database, declared_dcs = database.find(settings), dcs.declared(settings)
    topology = replace(_logins(settings, found_database), statistics=from_settings.statistics_page(settings))
    findings = _Findings(dict.fromkeys(host_capabilities.OURS_ALONE, "the suite did not boot this cluster"))
    if settings.accept_destructive != topology.database:
        findings.lacks["destructive"] = (
            f"your own cluster is disturbed only if ACCEPT_DESTRUCTIVE names its database, {topology.database}"
        )
    topology = _look_at_poolers(topology, findings)
    _look_at_database(topology, findings, settings)
    _look_at_redis(settings, found_database.hosts[0], findings)
    _look_at_members(topology, settings, found_database.hosts, findings)
    topology = replace(findings.with_members(topology), redis=findings.redis)
    _look_at_logins(topology, findings)
    findings.lacks |= logins.commands_lacking(topology, findings.lacks)
    topology, lacking = dcs.discover(topology, declared_dcs, findings.behind.system if findings.behind else "")
    findings.lacks |= lacking
    topology = _look_at_proxy(topology, settings, findings)
    _look_at_security(topology, findings)
    _look_at_workers(topology, findings)
    found = user_hosts.find(settings.accept_hosts, topology)
    findings.lacks |= found.lacks
    topology = replace(topology, lacks=findings.lacks, hosts=found.hosts)
    findings.lacks |= component_hosts.unknown(Cluster(topology))
    return with_profile(topology, settings)


_BACKENDS: Mapping[Literal["write", "read"], str] = {"write": "backends", "read": "read_backends"}
"""Endpoint -> the capability that a session there has a backend of its own."""


def _look_at_poolers(topology: Topology, findings: _Findings) -> Topology:
    """Whether sessions share backends. Raises TargetUnreachable where no transaction is possible."""
    known = list[Literal["write", "read"]]()
    for which, capability in _BACKENDS.items():
        if which == "read" and topology.read is None:
            continue
        with suppress(sql.Error, ConnectFailed):
            backends, why = pooler.look(topology.endpoint(which, topology.application), which)
            if backends is pooler.Backends.SHARED:
                findings.lacks[capability] = why
            elif backends is pooler.Backends.OF_SESSION:
                known.append(which)
    return replace(topology, session_pooling=tuple(known))


def _look_at_database(topology: Topology, findings: _Findings, settings: Settings) -> None:
    endpoint = topology.endpoint("write", topology.application)
    try:
        with sql.session(endpoint) as session:
            installed = {name for (name,) in sql.rows(session, "SELECT extname FROM pg_extension")}
            findings.behind = server_of(session)
            if not sql.rows(session, _MAY_CREATE)[0][0]:
                findings.lacks["own_tables"] = f"{topology.application.user} may not create a schema in the database"
            try:
                dialect = dialect_of(session)
                other = "ruvector" if dialect is not RUVECTOR else "pgvector"
                findings.lacks[other] = f"the vector extension is {dialect.extension}"
            except NotAvailable as error:
                findings.lacks |= dict.fromkeys(("vector", "pgvector", "ruvector"), str(error))
    except ConnectFailed as error:
        raise TargetUnreachable(f"{error}: {database.advice(str(error))}") from None
    if settings.enable_citus is False:
        findings.lacks["citus"] = "ENABLE_CITUS=false"
    elif "citus" not in installed:
        findings.lacks["citus"] = f"the extension citus is not installed in database {topology.database}"
        _declared(settings.enable_citus or settings.citus_workers, "ENABLE_CITUS", findings.lacks["citus"])


def _look_at_redis(settings: Settings, host: str, findings: _Findings) -> None:
    findings.redis = cache.find(settings, host)
    if findings.redis is None:
        findings.lacks |= dict.fromkeys(("redis", *cache.PERMISSIONS), cache.why_none(settings))
        return
    if findings.redis.mode == "cluster":
        findings.lacks["one_redis"] = "the nodes of a Redis Cluster answer for themselves"
    own = settings.accept_cache_repository == Settings.model_fields["accept_cache_repository"].default
    findings.lacks |= cache.lacking(findings.redis, own)


def _look_at_members(topology: Topology, settings: Settings, hosts: Sequence[str], findings: _Findings) -> None:
    """Asks every member that was declared, or that Patroni knows. The other Patronis may be on the database's hosts."""
    context = SearchContext(
        topology.endpoint("write", topology.application),
        settings.ruvector_port,
        frozenset({*topology.write_hosts, *topology.read_hosts}) if len(topology.write_hosts) == 1 else frozenset(),
        addresses.places("[members]", settings.member_addresses),
        topology.patroni_access,
    )
    silent, others = dict[Address, str](), list[PatroniAnswer]()
    if settings.enable_patroni is False:
        findings.lacks["patroni"] = "ENABLE_PATRONI=false"
    else:
        silent, others = _look_at_patroni(context, settings, hosts, findings)
    if context.places and not findings.groups:
        findings.groups.append(members.declared_alone(context, findings.behind))
    if "citus" not in findings.lacks:
        _look_at_nodes(context, settings, others, silent, findings)
    members.require_own_names(findings.groups)
    require_not_standby(findings.groups, topology.patroni_access)
    if "patroni" not in findings.lacks:
        findings.absent = [member for group in findings.groups for member in group.absent]
        findings.absent += members.unlisted(context, findings.groups, silent)
        if without := {name: why for group in findings.groups for name, why in group.without_rest.items()}:
            findings.lacks["patroni"] = _without("the REST API of Patroni", without)
            _declared(findings.absent, "PATRONI_HOSTS", _gone(findings.absent, findings.lacks["patroni"]))
    if without := {name: why for group in findings.groups for name, why in group.without_postgres.items()}:
        findings.lacks["members"] = _without("PostgreSQL", without)


def _look_at_patroni(
    context: SearchContext, settings: Settings, hosts: Sequence[str], findings: _Findings
) -> tuple[dict[Address, str], list[PatroniAnswer]]:
    """The coordinator's group, or the only one.

    Returns the addresses without an answer and those of strangers, and the answers that may be of worker groups: each
    of these groups may be a cluster of its own for Patroni, as before 3.0.
    """
    declared = from_settings.rest_apis(settings)
    asked_at = dict.fromkeys(declared or [Address(host, settings.patroni_port) for host in hosts])
    answers = patronis_at(asked_at, context.rest)
    heard = [answer for answer in answers.values() if isinstance(answer, PatroniAnswer)]
    if not heard:
        why = web.advice([answer.why for answer in answers.values() if isinstance(answer, NoAnswer)], context.rest)
        findings.lacks["patroni"] = f"no Patroni REST API answers at {', '.join(map(str, answers))}: {why}"
        _declared(settings.enable_patroni or declared, "PATRONI_HOSTS", findings.lacks["patroni"])
        return {}, []
    if not _of_this_database(heard, findings.behind):
        asked = ", ".join(str(answer.address) for answer in heard)
        findings.lacks["patroni"] = f"the Patroni at {asked} manages a database system other than the one under test"
        _declared(settings.enable_patroni or declared, "PATRONI_HOSTS", findings.lacks["patroni"])
        return {}, []
    ours = _nearest(heard, findings.behind)
    own = [one for one in heard if one.scope == ours.scope and one.known & ours.known]
    further = [one for one in heard if one not in own]
    silent = {at: str(at) for at, answer in answers.items() if isinstance(answer, NoAnswer)} if declared else {}
    findings.scope = ours.scope
    findings.groups.append(members.find(context, own, silent))
    strange = {one.address: f"{one.address} (of cluster {one.scope})" for one in heard if one.scope != ours.scope}
    if "citus" in findings.lacks:
        same = [one for one in further if one.scope == ours.scope]
        strange |= {one.address: f"{one.address} (of another cluster {one.scope})" for one in same}
    return silent | strange, further


def _nearest(heard: Sequence[PatroniAnswer], behind: ServerIdentity | None) -> PatroniAnswer:
    """The answer of the member behind the write endpoint; else one of its database system, else any."""
    if behind is None:
        return heard[0]
    beside = [answer for answer in heard if answer.server == behind]
    related = [answer for answer in heard if answer.server and behind.system and answer.server.system == behind.system]
    return next(iter([*beside, *related, *heard]))


def ask_patronis(settings: Settings) -> dict[Address, PatroniAnswer | NoAnswer]:
    """The REST APIs of the user's cluster, as far as they can be found without the database, each with its answer."""
    reached = [user_hosts.declared_access(name, said).reach for name, said in settings.accept_hosts.items()]
    hosts = [urlsplit(one).hostname or "" for one in reached if one.startswith("ssh://")]
    known = [Address(host, settings.patroni_port) for host in (*database.hosts_given(settings), *hosts) if host]
    return patronis_at(dict.fromkeys(from_settings.rest_apis(settings) or known), web.of_patroni(settings))


def require_not_standby(groups: Sequence[Group], access: WebAccess) -> None:
    """Raises UsageError where one of them is a standby cluster: nobody can write there, and nobody is to take over."""
    for answer in (answer for group in groups for answer in group.answers.values()):
        if any(member.role == STANDBY_LEADER for member in answer.view.members):
            raise UsageError(
                f"Patroni's cluster {answer.scope} is a standby cluster, which takes no writes: name the cluster that "
                f"it follows{_followed(answer, access)} instead"
            )


def _followed(answer: PatroniAnswer, access: WebAccess) -> str:
    """Where the cluster is that a standby cluster follows, if its configuration says so."""
    with suppress(*NO_ANSWER):
        followed = PatroniApi(answer.address, access).configuration().get("standby_cluster") or {}
        if followed.get("host"):
            port = followed.get("port", addresses.POSTGRES)
            return f" ({', '.join(f'{host.strip()}:{port}' for host in str(followed['host']).split(','))})"
    return ""


def _of_this_database(heard: list[PatroniAnswer], behind: ServerIdentity | None) -> bool:
    """Whether any of them may belong to the cluster under test: a Patroni on the database's host may be another's."""
    systems = {answer.server.system for answer in heard if answer.server}
    return behind is None or not behind.system or not systems or behind.system in systems


def _look_at_nodes(
    context: SearchContext,
    settings: Settings,
    others: list[PatroniAnswer],
    silent: dict[Address, str],
    findings: _Findings,
) -> None:
    """The members of Citus' worker groups: those that the Patroni beside a node knows, else the node alone."""
    rest_port = None if "patroni" in findings.lacks else settings.patroni_port
    said = nodes.NodeSettings(addresses.node_addresses(settings.accept_nodes), settings.citus_workers, rest_port)
    found = nodes.find(context, said, others, silent, next(iter(findings.groups), None))
    # A group that is not reached stays known: what holds of "every member" must hold of its members, too.
    findings.groups += found.groups
    findings.nodes = found.reached
    if apart := sorted({scope for scope in found.scopes.values() if scope != findings.scope} - {""}):
        findings.lacks["dcs_keys"] = (
            f"Patroni manages worker groups as clusters of their own ({', '.join(apart)}), and only the keys of one "
            f"cluster ({findings.scope}) are read"
        )
    if without := {name: why for group in found.groups for name, why in group.without_postgres.items()}:
        findings.lacks["nodes"] = _without("PostgreSQL", without)
    workers = [member.name for group in found.groups for member in group.members]
    why = f"{', '.join(found.absent)}: not in a worker group ({', '.join(sorted(workers)) or 'there are none'})"
    _declared(found.absent, "CITUS_WORKERS", why)


def _look_at_logins(topology: Topology, findings: _Findings) -> None:
    """A member that refuses the application is evidence for the scenarios; if all do, nothing can be examined."""
    findings.lacks |= logins.rights_lacking(topology)
    if topology.administrator is None:
        findings.lacks["admin"] = _NO_ADMINISTRATOR
    if not any(member.group == 0 for member in (*topology.members, *topology.absent)):
        findings.lacks.setdefault("members", "not known without Patroni")
        findings.lacks |= dict.fromkeys(("replicas", "several_replicas"), "not known without Patroni")
        if not topology.members:
            return
    first = [one.name for one in (*topology.members, *topology.absent) if one.group == 0]
    if len(first) == 1:
        findings.lacks |= dict.fromkeys(("replicas", "several_replicas"), f"the only member is {first[0]}")
    elif len(first) == 2:
        findings.lacks["several_replicas"] = f"the only members are {' and '.join(first)}"
    reached = [member for member in topology.members if not member.unreached]
    refused = logins.refused(topology, topology.application)
    if len(refused) == len(reached):
        findings.lacks.setdefault("members", f"no member accepts a direct login: {'; '.join(refused.values())}")
    if topology.administrator and (refused := logins.refused(topology, topology.administrator, refused)):
        why = f"the superuser cannot log in to every member: {'; '.join(refused.values())}"
        findings.lacks |= dict.fromkeys(("admin", "monitor", "archive_status"), why)


def _look_at_proxy(topology: Topology, settings: Settings, findings: _Findings) -> Topology:
    """The endpoints, and HAProxy's backends behind them."""
    if topology.read is None:
        findings.lacks["haproxy"] = (
            "no read endpoint was given (HAPROXY_PRIMARY_PORT and HAPROXY_REPLICA_PORT, or RUVECTOR_READ_URL)"
        )
    read = None
    if topology.read:
        read = topology.endpoint("read", topology.application)
        setting = "RUVECTOR_READ_URL" if settings.ruvector_read_url else "HAPROXY_REPLICA_PORT"
        _declared(refused := logins.refused_for_good(read), setting, refused)
    group = findings.groups[0] if findings.groups else Group(())
    known = proxy.ProxyContext(
        write=topology.endpoint("write", topology.application),
        read=read,
        members={answer.server: name for name, answer in group.answers.items() if answer.server},
        places={
            one.name: {one.postgres, group.own.get(one.name, one.postgres)} for one in (*group.members, *group.absent)
        },
        leader=group.leader,
        may_lead=group.may_lead,
    )
    said = proxy.ProxySettings(
        settings.haproxy_write_backend,
        settings.haproxy_read_backend,
        settings.haproxy_servers,
        settings.haproxy_balance or "",
        settings.expectations.proxy_lists_members,
    )
    page = topology.statistics
    if page is None:
        why = "no statistics page was given (HAPROXY_STATS_URL)"
        if topology.further_write:
            why = "there is no proxy: clients choose among the hosts of the write endpoint (target_session_attrs)"
        findings.lacks |= {"statistics": why, "statistics_login": why, "pools": why, **proxy.without_page(said, known)}
        return topology
    if page.login is None:
        findings.lacks["statistics_login"] = "the page requires no login (and HAPROXY_STATS_USER was not given)"
    try:
        page, lacking = proxy.identify(page, said, known)
    except NO_ANSWER as error:
        told = error if isinstance(error, NotYet) else f"{page.url}: {NoAnswer.because(error)}"
        raise RequirementMissing(
            f"HAPROXY_STATS_URL declares something that does not exist: {told}: check HAPROXY_STATS_URL, "
            f"HAPROXY_STATS_USER and "
            "HAPROXY_STATS_PASSWORD"
        ) from None
    findings.lacks |= lacking
    return replace(topology, statistics=page)


def _look_at_security(topology: Topology, findings: _Findings) -> None:
    if any(libpq.is_socket(one.host) for one in (*topology.write_hosts, *topology.read_hosts)):
        findings.lacks["network_login"] = (
            "an endpoint is a Unix socket: it has no TLS, and the operating system may decide who logs in there"
        )
    mode = topology.options.get("sslmode", "prefer")
    if mode not in ("require", "verify-ca", "verify-full"):
        findings.lacks["tls"] = f"the application does not require TLS (RUVECTOR_SSLMODE: {mode})"
    if mode not in ("verify-ca", "verify-full"):
        findings.lacks["verified_tls"] = f"no certificate is verified (RUVECTOR_SSLMODE: {mode})"
    others = (etcd.Access.of(topology).scheme, topology.patroni_access.scheme, _scheme_of_page(topology))
    by_tls = "https" in others or (topology.redis is not None and topology.redis.tls is not None)
    if "tls" in findings.lacks and not by_tls:
        findings.lacks["certificates"] = "according to the settings, no component is reached over TLS"
    if why := dcs.peers_unread(topology):
        findings.lacks["peer_certificates"] = why
    if not topology.secrets:
        findings.lacks["searchable_passwords"] = "every password that was given is also the name of a role or database"
    if topology.patroni_login is None:
        findings.lacks["patroni_login"] = "no login for Patroni's REST API was given (PATRONI_RESTAPI_USERNAME)"
    if topology.redis is None or not topology.redis.password:
        findings.lacks["redis_password"] = "no password of Redis was given (REDIS_PASSWORD)"


def _scheme_of_page(topology: Topology) -> str:
    return urlsplit(topology.statistics.url if topology.statistics else "").scheme


def _look_at_workers(topology: Topology, findings: _Findings) -> None:
    """How many worker groups there are, by Citus and by the members that were found."""
    if why := findings.lacks.get("citus", ""):
        of_workers = ("workers", "several_workers", "worker_replicas", "nodes", "several_copies")
        findings.lacks |= dict.fromkeys(of_workers, why)
        return
    workers = citus.expected_workers(Cluster(topology))
    if len(nodes := citus.known_to(Cluster(topology).write)) < 2:
        only = f"Citus knows one node, {citus.node_name(nodes[0].group)}" if nodes else "Citus knows no node"
        findings.lacks["several_copies"] = f"{only}: no other node has a copy of a reference table"
    sizes = Counter(one.group for one in (*topology.members, *topology.absent) if one.group)
    findings.lacks |= workers_lacking(len(workers), sizes)


def workers_lacking(workers: int, sizes: Mapping[int, int]) -> dict[str, str]:
    """Capability -> why it is lacking with so many worker groups, and so many known members in each of them."""
    lacks = dict[str, str]()
    if not workers:
        lacks["workers"] = "Citus has no worker group: all shards are on the coordinator"
    if workers < 2:
        known = "one worker group" if workers else "no worker group"
        lacks["several_workers"] = f"Citus has {known}: shards cannot be moved anywhere"
    if len(sizes) < workers or min(sizes.values(), default=0) < 2:
        known = ", ".join(f"{count} of group {group}" for group, count in sorted(sizes.items())) or "none"
        lacks["worker_replicas"] = (
            f"a second member is not known of every worker group (known: {known}); if there is one, name the REST APIs "
            "of all members in PATRONI_HOSTS"
        )
    return lacks


def _without(what: str, why: Mapping[str, str]) -> str:
    return f"{what} cannot be reached on every member: {'; '.join(f'{name}: {said}' for name, said in why.items())}"


def _gone(absent: list[MemberAddress], why: str) -> str:
    return f"no member answers at {', '.join(member.name for member in absent)}, and {why}"


def _declared(missing: object, setting: str, why: str) -> None:
    """Raises RequirementMissing if something that the user declared is missing."""
    if missing:
        raise RequirementMissing(f"{setting} declares something that does not exist: {why}")
