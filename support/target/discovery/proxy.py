"""HAProxy: which of its backends are behind the endpoints, and which servers in them are which members.

Found by observation: sessions are opened through an endpoint, and the statistics show where they go.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from support import sql
from support.errors import ConnectFailed, UsageError
from support.target import haproxy
from support.target.discovery.addresses import parsed, same_address
from support.target.discovery.identity import ServerIdentity, server_at
from support.target.haproxy import ServerRow
from support.target.topology import Address, StatisticsPage

SESSIONS, MOST_SESSIONS = 6, 24
"""How many sessions are opened through an endpoint; up to the second number while several backends are possible."""


STICKY = frozenset({"source", "hash", "uri", "url_param", "hdr", "rdp-cookie"})
"""Balancing algorithms that send all sessions of one client to one server."""


@dataclass(frozen=True)
class ProxyContext:
    """What is known of the cluster before the proxy is examined."""

    write: sql.Endpoint
    read: sql.Endpoint | None
    members: Mapping[ServerIdentity, str]
    places: Mapping[str, Collection[Address]]
    """Member -> the addresses of its PostgreSQL, from here and within its cluster."""
    leader: str


@dataclass(frozen=True)
class ProxySettings:
    """The settings about the proxy; empty where not given."""

    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    servers: Mapping[str, str] = field(default_factory=dict)
    balance: str = ""


@dataclass(frozen=True)
class Traffic:
    """The path of the sessions through one endpoint."""

    backends: tuple[str, ...]
    """The backends that served one more session each time that one was opened."""
    servers: Mapping[str, str]
    """HAProxy's name of a server -> the member that it certainly is."""
    members: frozenset[str] = frozenset()
    """The members that served the sessions."""


def identify(page: StatisticsPage, said: ProxySettings, known: ProxyContext) -> tuple[StatisticsPage, dict[str, str]]:
    """The page, with the backends behind the endpoints; and what the target lacks, by capability.

    Raises UsageError for a backend or server in the settings that the page does not show, NotYet if there is no page.
    """
    now = haproxy.statistics(page)
    _require_shown(page, said, now.servers)
    writes, reads = _follow(page, known.write, known), _follow(page, known.read, known)
    names = {**members_of_servers(now.servers, known.places), **writes.servers, **reads.servers, **said.servers}
    names = {server: member for server, member in names.items() if server != member}
    leading, following = backends_by_state(now.servers, names, known.leader)
    write = said.write or _one(writes.backends, leading)
    read = said.read or _one(reads.backends, following)
    lacks = {}
    shown = ", ".join(sorted({row.proxy for row in now.servers})) or "none"
    for setting, backends, end in (("HAPROXY_WRITE_BACKEND", write, "write"), ("HAPROXY_READ_BACKEND", read, "read")):
        if not backends and (end == "write" or known.read):
            lacks["pools"] = (
                f"cannot tell which backend of {page.url} is behind the {end} endpoint: its sessions are not all in "
                f"one of {shown}; name the backend in {setting}"
            )
    page = replace(page, write_backends=write, read_backends=read, servers=names)
    balance = said.balance or next((now.algorithms[one] for one in read if one in now.algorithms), "")
    if why := _not_spread(page, balance, reads):
        lacks["spread"] = why
    return page, lacks


def without_page(said: ProxySettings, known: ProxyContext) -> dict[str, str]:
    """What the target lacks, by capability, when its proxy has no statistics page."""
    if known.read and known.read.further and known.read.options.get("load_balance_hosts") != "random":
        return {
            "spread": "libpq tries the hosts of the read endpoint in their order: all sessions go to the first that "
            "will do (load_balance_hosts=random spreads them)"
        }
    balance = said.balance.partition("(")[0]
    served_by = {_serving_member(known.read, known.members) for _ in range(SESSIONS)} if known.read else set()
    if unserved := set(known.members.values()) - served_by - {known.leader}:
        why = (
            f"none of {SESSIONS} sessions was on {' or '.join(sorted(unserved))}, and other clients' sessions are not "
        )
        return {"spread": f"{why}visible without HAProxy's statistics (HAPROXY_STATS_URL)"}
    return {"spread": _sticky(balance)} if balance in STICKY else {}


def follow(page: StatisticsPage, endpoint: sql.Endpoint, members: Mapping[ServerIdentity, str]) -> Traffic:
    """Open some sessions through an endpoint, and see where each goes. Raises what `haproxy.servers` raises.

    Other clients connect meanwhile: only several sessions show which backend served each of ours.
    """
    always: set[str] = set()
    seen: dict[str, set[str]] = defaultdict(set)
    served_by = set()
    for number in range(MOST_SESSIONS):
        if number >= SESSIONS and len(always) < 2:
            break
        before = _served(haproxy.servers(page))
        member = _serving_member(endpoint, members)
        served_by.add(member)
        more = {place: count - before.get(place, 0) for place, count in _served(haproxy.servers(page)).items()}
        risen = {proxy for (proxy, _), count in more.items() if count > 0}
        always = always & risen if number else risen
        for backend in risen:
            changed = {server: count for (proxy, server), count in more.items() if proxy == backend and count > 0}
            if member and list(changed.values()) == [1]:
                seen[next(iter(changed))].add(member)
    told = {server: next(iter(found)) for server, found in seen.items() if len(found) == 1}
    return Traffic(tuple(sorted(always)), told, frozenset(served_by - {""}))


def _serving_member(endpoint: sql.Endpoint, members: Mapping[ServerIdentity, str]) -> str:
    """The member that serves a new session; empty where that is unknown, or the member has just died."""
    try:
        return members.get(server_at(endpoint), "")
    except (ConnectFailed, sql.Error):
        return ""


def backends_by_state(rows: Iterable[ServerRow], names: Mapping[str, str], leader: str) -> tuple[list[str], list[str]]:
    """The backends where only the leader is up, and those where only others are up.

    `names` is server -> member, where a server is not named like its member.
    """
    up: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.position == "up":
            up[row.proxy].add(names.get(row.server, row.server))
    writes = [backend for backend, members in up.items() if members == {leader}]
    reads = [backend for backend, members in up.items() if leader not in members]
    return writes, reads


def members_of_servers(rows: Iterable[ServerRow], places: Mapping[str, Collection[Address]]) -> dict[str, str]:
    """HAProxy's name of a server -> the member that it is, as far as its address or its name shows.

    `places` is member -> the addresses of its PostgreSQL.
    """
    found: dict[str, str] = {}
    names = list(places)
    for row in rows:
        if row.server in names or row.server in found:
            continue
        at = parsed(row.address, 0) if row.address else None
        by_address = [name for name in names if at and any(same_address(at, place) for place in places[name])]
        by_name = [name for name in names if _plain(name) in _plain(row.server) or _plain(row.server) in _plain(name)]
        for likely in (by_address, by_name):
            if len(likely) == 1:
                found[row.server] = likely[0]
                break
    return found


def _served(rows: Iterable[ServerRow]) -> dict[tuple[str, str], int]:
    return {(row.proxy, row.server): row.served for row in rows}


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _not_spread(page: StatisticsPage, balance: str, reads: Traffic) -> str:
    """Why it is unknown whether all replicas serve: clients elsewhere may be sent to other replicas than we are."""
    if balance:
        return _sticky(balance) if balance.partition("(")[0] in STICKY else ""
    rows = [row for row in haproxy.servers(page) if row.proxy in page.read_backends and row.position == "up"]
    idle = {page.servers.get(row.server, row.server) for row in rows if not row.served}
    if len(reads.members) != 1 or not idle:
        return ""
    return (
        f"all sessions from here are on {next(iter(reads.members))} and none ever was on {' or '.join(sorted(idle))}, "
        "as with balance source; HAProxy does not show its algorithm (set `stats show-legends`, or name the algorithm "
        "in HAPROXY_BALANCE)"
    )


def _sticky(balance: str) -> str:
    return f"HAProxy balances reads by {balance}: all sessions of one client go to one replica"


def _follow(page: StatisticsPage, endpoint: sql.Endpoint | None, known: ProxyContext) -> Traffic:
    return follow(page, endpoint, known.members) if endpoint else Traffic((), {})


def _one(followed: tuple[str, ...], likely: Sequence[str]) -> tuple[str, ...]:
    """The backend that the sessions went through; if that is not exactly one, the only one in a suitable state."""
    if len(followed) == 1:
        return followed
    fitting = [one for one in likely if not followed or one in followed]
    return tuple(fitting) if len(fitting) == 1 else ()


def _require_shown(page: StatisticsPage, said: ProxySettings, rows: Iterable[ServerRow]) -> None:
    backends, shown = {row.proxy for row in rows}, {row.server for row in rows}
    for setting, names, there in (
        ("HAPROXY_WRITE_BACKEND", said.write, backends),
        ("HAPROXY_READ_BACKEND", said.read, backends),
        ("HAPROXY_SERVERS", said.servers, shown),
    ):
        if strange := [name for name in names if name not in there]:
            raise UsageError(
                f"{setting} names {', '.join(strange)}, which {page.url} does not show: it has "
                f"{', '.join(sorted(there)) or 'none'}"
            )
