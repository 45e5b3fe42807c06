"""The survey itself: from an address and a login to the settings of a target file."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support import libpq, setting_files, sql
from support.errors import AcceptError
from support.settings import Settings
from support.target import citus
from support.target.baseline import apply_baseline
from support.target.discovery import addresses, cache, database, from_settings, proxy, user_cluster, web
from support.target.discovery.identity import ServerIdentity
from support.target.members import NO_ANSWER
from support.target.survey import hosts, services
from support.target.survey.endpoints import Endpoints, Listener, choose, listeners, look, worker_primaries
from support.target.survey.hosts import Proposal, Wanted
from support.target.survey.services import Etcd, PageFound, Patronis
from support.target.topology import Address, Login, StatisticsPage, Topology, WebAccess
from support.waiting import NotYet

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Survey:
    """What was found, before and after the discovery examined it."""

    given: Settings
    """What the user said: the login, and whatever else cannot be guessed."""
    endpoints: Endpoints
    others: tuple[Listener, ...]
    """Further ports of the host that accept the login."""
    patronis: Patronis
    etcd: Etcd
    statistics: PageFound
    """The page, at every address where it shows our sessions."""
    workers: tuple[Address, ...]
    """Published Citus workers, where their own addresses cannot be reached from here."""
    redis_near: tuple[Address, ...]
    """Where a Redis may be, if none was named."""
    settings: Mapping[str, Any]
    """The settings that the file will have, without those of the hosts."""
    topology: Topology
    """By the discovery, of these settings."""
    limits: tuple[str, ...] = ()
    """Known limits of the cluster as it is configured."""
    hosts: tuple[Proposal, ...] = ()
    pattern: str = ""
    """How the user said that hosts are reached."""
    notes: tuple[str, ...] = field(default=())
    """What could not be examined, a line each."""


def survey(given: Settings, pattern: str, progress: Progress) -> Survey:
    """Examine the cluster; changes nothing.

    Raises TargetUnreachable where the database does not take the login, RequirementMissing where a part that the user
    named does not answer, and UsageError for a `pattern` that is not a way to reach a host.
    """
    if pattern:
        hosts.check_pattern(pattern)
    base, named = _where(given)
    host = base.host if not libpq.is_socket(base.host) else database.LOCAL
    found = listeners(base, named)
    progress(f"the database answers at {', '.join(f'{at} ({one.leads_to})' for at, one in found.items())}")
    named_at = Address(base.host, base.port) if named else None
    likely = choose(found, named_at, {}).write
    system = next(iter(likely.systems), "")
    hosts_given = [host, *(one for one, _ in base.further)]
    near = list(dict.fromkeys([*hosts_given, *(one for listener in found.values() for one in sorted(listener.hosts))]))
    access, rest_port = web.of_patroni(given), given.patroni_port
    patronis = services.patronis(near, from_settings.patroni_hosts(given), host, system, access, rest_port)
    progress(patronis.why or f"Patroni answers at {', '.join(str(one.address) for one in patronis.answers)}")
    authority = web.authority_of_page(given)
    beside = [*near, *(at.host for at in patronis.own.values()), *(one.address.host for one in patronis.answers)]
    pages = services.statistics(
        list(dict.fromkeys(beside)), given.haproxy_stats_url or "", from_settings.page_login(given), authority
    )
    page, proxied = _own_page(base, found, pages, bool(given.haproxy_stats_url))
    progress(page.why or f"HAProxy's statistics page is {page.page.url if page.page else ''}")
    own = {} if base.further else patronis.own  # without a proxy, the members' own addresses are the endpoints
    chosen = choose(found, named_at, own, proxied)
    if base.further or given.ruvector_read_url:  # which says where reads go
        chosen = replace(chosen, read=None)
    if given.haproxy_replica_port and not given.ruvector_read_url:
        at = Address(_plain(given.haproxy_replica_host) or host, given.haproxy_replica_port)
        chosen = replace(chosen, read=found.get(at) or look(base, at))
    scope = next((one.scope for one in patronis.answers), "") or likely.scope
    progress(f"writes go to {chosen.write.address}" + (f", reads to {chosen.read.address}" if chosen.read else ""))
    etcd = _etcd(given, pattern, host, patronis, _bare_topology(given, chosen, scope))
    progress(etcd.why or f"etcd answers at {', '.join(map(str, etcd.addresses))}")
    at = chosen.write.address
    write = base if base.further else base.at("the write endpoint", at.host, at.port)
    workers = _published_workers(write, found)
    settings = _settings(given, base, chosen, page) | _of_components(patronis, etcd, workers, access, rest_port)
    topology, limits, notes = _examined(settings)
    if given.haproxy_replica_host and not given.haproxy_replica_port:
        notes += ("HAPROXY_REPLICA_HOST is left out: without HAPROXY_REPLICA_PORT, it names no read endpoint",)
    one = Survey(
        given=given,
        endpoints=chosen,
        others=tuple(one for one in found.values() if one not in (chosen.write, chosen.read)),
        patronis=patronis,
        etcd=etcd,
        statistics=page,
        workers=workers,
        redis_near=() if topology.redis else tuple(services.redis_near(hosts_given)),
        settings=settings,
        topology=topology,
        limits=limits,
        pattern=pattern,
        notes=notes,
    )
    return replace(one, hosts=tuple(hosts.propose(pattern, _wanted(one), topology)))


def _where(given: Settings) -> tuple[sql.Endpoint, bool]:
    """The database as the user, or libpq, names it; and whether that is more than the name of a host.

    Raises TargetUnreachable if a database that is named does not take the login.
    """
    said = given.haproxy_host or given.citus_coordinator or given.ruvector_host
    host, options = said or database.LOCAL, dict(given.ruvector_options)
    named = {"ruvector_port", "haproxy_primary_port"} & given.model_fields_set or given.accept_libpq
    by_libpq = "service" in options or ("hostaddr" in options and not said)
    if named or by_libpq or "," in host or libpq.is_socket(host) or addresses.parsed(host, 0).port:
        found = database.find(given)
        (first, *further), login = found.write, found.login
        options, more = {**found.options, **found.write_options}, [(one.host, one.port) for one in further]
        where = ("the database", first.host, first.port, found.name, login.user, login.password)
        return sql.Endpoint(*where, options, more), True
    password = given.ruvector_password.get_secret_value() if given.ruvector_password else ""
    for name in _OF_TLS:
        if (value := getattr(given, f"ruvector_{name}")) is not None:
            options[name] = value
    at = addresses.parsed(host, given.ruvector_port)
    return sql.Endpoint(
        "the database", at.host, at.port, given.ruvector_db, given.ruvector_user, password, options
    ), False


def _own_page(
    base: sql.Endpoint, found: Mapping[Address, Listener], pages: PageFound, given: bool
) -> tuple[PageFound, set[Address] | None]:
    """The pages that show our sessions, and the ports through which they do; None if no page does.

    They belong to one HAProxy, on each of its addresses. Any other page may be somebody else's, and counts only if the
    user gave it.
    """
    ours, proxied = list[StatisticsPage](), set[Address]()
    for page in pages.pages:
        if seen := _proxied(base, proxied or found, page):
            ours, proxied = [*ours, page], proxied or seen
    if ours:
        return PageFound(tuple(ours)), proxied
    if not pages.pages:
        return pages, None
    urls = " and ".join(page.url for page in pages.pages)
    foreign = "shows none of our sessions: it is another HAProxy's, or a pooler is in between"
    advice = "" if given else "; if it is the right one, name it with --statistics"
    return PageFound(pages.pages[:1] if given else (), f"{urls} {foreign}{advice}"), None


def _proxied(base: sql.Endpoint, found: Collection[Address], page: StatisticsPage) -> set[Address]:
    """The ports through which a session shows up in the statistics."""
    seen, nobody = set(), dict[ServerIdentity, str]()
    with suppress(NotYet, *NO_ANSWER):
        for at in found:
            if proxy.follow(page, base.at(base.name, at.host, at.port), nobody).backends:
                seen.add(at)
    return seen


def _plain(host: str | None) -> str:
    return (host or "").strip("[]")


def _bare_topology(given: Settings, chosen: Endpoints, scope: str) -> Topology:
    return Topology(given.ruvector_db, Login(given.ruvector_user, ""), chosen.write.address, scope=scope)


def _etcd(given: Settings, pattern: str, host: str, patronis: Patronis, topology: Topology) -> Etcd:
    if given.accept_dcs:
        return Etcd(why="[dcs] says which DCS it is")
    said = [addresses.parsed(one, services.ETCD) for one in given.etcd_hosts]
    members = list(
        dict.fromkeys([at.host for at in patronis.own.values()] + [one.address.host for one in patronis.answers])
    )
    if not said and pattern and (first := next(iter(patronis.own.items()), None)):
        wanted = Wanted(first[0], first[1].host, "patroni")
        configured = hosts.configured_etcd(hosts.reach_of(pattern, wanted), topology.scope)
        said = [addresses.parsed(one, services.ETCD) for one in configured if not one.startswith("https")]
    found = services.etcd(members, said, host, topology)
    if found.addresses or given.etcd_hosts or not said:
        return found
    return services.etcd(members, (), host, topology)  # Patroni's own addresses may work inside of its network only


def page_host(found: Survey) -> str:
    """HAProxy's host, if its page was found at an address other than the endpoint's, which may be a virtual one."""
    hosts = [urlsplit(page.url).hostname or "" for page in found.statistics.pages]
    endpoints = [one.address.host for one in (found.endpoints.write, found.endpoints.read) if one]
    return next((host for host in hosts if not any(services.same_machine(host, one) for one in endpoints)), "")


def _published_workers(write: sql.Endpoint, found: Mapping[Address, Listener]) -> tuple[Address, ...]:
    if not any(one.groups for one in found.values()):
        return ()
    try:
        nodes = [node.address for node in citus.known_to(write) if node.group]
    except NO_ANSWER:
        return ()
    reached = addresses.reach_each(nodes)
    if all(answer is addresses.Reach.OPEN for answer in reached.values()):
        return ()
    return worker_primaries(found)


def _settings(given: Settings, base: sql.Endpoint, chosen: Endpoints, page: PageFound) -> dict[str, Any]:
    """The settings of the endpoints: what the user said, completed by what libpq knows, and by what was found."""
    kept = {name for name in given.model_fields_set if name.startswith(_KEPT) and name not in _NOT_KEPT}
    kept |= {name for name in DECLARED & given.model_fields_set if getattr(given, name) != _BY_DEFAULT[name].default}
    if cache.ambient_and_unusable(given):
        kept -= {"redis_url"}
    settings = {name: getattr(given, name) for name in sorted(kept)}
    options = setting_files.of_libpq({**given.ruvector_options, **base.options}, Path.cwd())  # as libpq found files
    settings = {f"ruvector_{name}": options.pop(name) for name in _OF_TLS if name in options} | settings
    settings |= {"ruvector_db": base.database, "ruvector_user": base.user}
    if page.page is not None:
        settings["haproxy_stats_url"] = page.page.url
    at, read = chosen.write.address, chosen.read.address if chosen.read else None
    if read is not None:
        settings["haproxy_replica_port"] = read.port
        if read.host != at.host:
            settings["haproxy_replica_host"] = _told(Address(read.host, 0), 0)
    if base.further:
        places = (at, *(Address(*one) for one in base.further))
        return settings | {"ruvector_host": ",".join(map(str, places)), "ruvector_options": options}
    of_several = libpq.OF_HOSTS - given.ruvector_options.keys()
    if of_login := {name: value for name, value in options.items() if name not in of_several}:
        settings["ruvector_options"] = of_login
    settings["ruvector_host"] = _told(Address(at.host, 0), 0)
    of_proxy = read is not None or given.haproxy_host or given.haproxy_replica_host  # which need a port of the proxy
    return settings | {"haproxy_primary_port" if of_proxy else "ruvector_port": at.port}


def _of_components(
    patronis: Patronis, etcd: Etcd, workers: tuple[Address, ...], access: WebAccess, rest_port: int
) -> dict[str, Any]:
    """The settings of the other components, as far as these were found.

    `rest_port`: the port of Patroni's REST API where an address has no other.
    """
    scheme = "https://" if access.scheme == "https" and not access.authority else ""  # the authority says it, too
    told = {
        "patroni_hosts": [f"{scheme}{_told(one.address, rest_port)}" for one in patronis.answers],
        "etcd_hosts": [_told(one, services.ETCD) for one in etcd.addresses],
        "citus_workers": [str(one) for one in workers],
    }
    return {name: those for name, those in told.items() if those}


_OF_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
"""The parameters of libpq that have settings of their own."""
_KEPT = ("ruvector_", "redis_", "haproxy_", "patroni_", "etcd_", "citus_", "enable_", "accept_admin_")
"""Beginnings of the settings that the file takes over from what the user said."""
DECLARED = frozenset("accept_dcs accept_nodes accept_schema accept_own_schema accept_expect accept_members".split())
"""And what it takes over of the tables of a target file: the discovery examines the cluster by them, too."""
_BY_DEFAULT = Settings.model_fields
_NOT_KEPT = frozenset(
    "ruvector_url ruvector_host ruvector_port haproxy_host haproxy_replica_host "
    "haproxy_primary_port haproxy_replica_port citus_coordinator".split()
)


def _told(address: Address, usual: int) -> str:
    if address.port != usual:
        return str(address)
    return f"[{address.host}]" if ":" in address.host else address.host


def _examined(settings: Mapping[str, Any]) -> tuple[Topology, tuple[str, ...], tuple[str, ...]]:
    loaded = Settings.load(settings)
    topology = user_cluster.discover(loaded)
    try:
        topology, limits = apply_baseline(topology, loaded.expectations)
        return topology, limits, ()
    except AcceptError as error:
        return topology, (), (str(error),)


def _wanted(found: Survey) -> list[Wanted]:
    """Every host that the scenarios may break, each machine once."""
    own = found.patronis.own
    members = [one for one in (*found.topology.members, *found.topology.absent) if one.rest is not None]
    container = any(one.name in own and own[one.name] != one.postgres for one in members)
    wanted = [
        Wanted(one.name, own[one.name].host if one.name in own else one.postgres.host, "patroni", container)
        for one in members
    ]
    wanted += [Wanted(name, host, "etcd", container) for name, host in sorted(found.etcd.names.items())]
    if found.endpoints.read is not None:
        proxy_host = page_host(found) or found.endpoints.read.address.host
        wanted.append(Wanted("haproxy", proxy_host, "haproxy", container))
    if found.topology.redis is not None:
        wanted.append(Wanted("redis", found.topology.redis.address.host, "redis", container))
    if hosts.ADDRESS in (found.pattern or (hosts.UNTOLD_CONTAINER if container else hosts.UNTOLD)):
        wanted = [
            one
            for number, one in enumerate(wanted)
            if not any(services.same_machine(one.address, other.address) for other in wanted[:number])
        ]
    return _with_names_of_their_own(wanted)


def _with_names_of_their_own(wanted: list[Wanted]) -> list[Wanted]:
    taken: set[str] = set()
    found = []
    for one in wanted:
        name = one.name if one.name not in taken else f"{one.name}-{one.program}"
        taken.add(name)
        found.append(replace(one, name=name))
    return found
