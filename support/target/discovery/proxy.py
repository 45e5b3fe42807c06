"""HAProxy: which of its backends are behind the endpoints, and which servers in them are which members.

Found by observation: sessions are opened through an endpoint, and the statistics show where they go.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from support import sql
from support.errors import ConnectFailed, UsageError
from support.target import haproxy
from support.target.discovery.addresses import names_of, parsed, same_address
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
    may_lead: frozenset[str] = frozenset()
    """The members that may lead, the present leader among them, as far as Patroni tells."""


@dataclass(frozen=True)
class ProxySettings:
    """The settings about the proxy; empty where not given."""

    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    servers: Mapping[str, str] = field(default_factory=dict)
    """Server, or `backend/server` -> member."""
    balance: str = ""
    lists_members: bool | None = None
    """Whether [expect] declares that there is a server for writes for each member that may lead."""


@dataclass(frozen=True)
class Traffic:
    """The path of the sessions through one endpoint."""

    backends: tuple[str, ...]
    """The backends that served one more session each time that one was opened."""
    servers: Mapping[str, str]
    """`backend/server` -> its member, if certain."""
    members: frozenset[str] = frozenset()
    """The members that served the sessions."""
    unseen: bool = False
    """A member served a session that no backend showed: the page is another proxy's, or a pooler is in between."""


def identify(page: StatisticsPage, said: ProxySettings, known: ProxyContext) -> tuple[StatisticsPage, dict[str, str]]:
    """The page, with the backends behind the endpoints; and what the target lacks, by capability.

    Raises UsageError for a backend or server in the settings that the page does not show, NotYet if there is no page.
    """
    now = haproxy.statistics(page)
    _require_shown(page, said, now.servers)
    writes, reads = _follow(page, known.write, known), _follow(page, known.read, known)
    observed = {**writes.servers, **reads.servers}
    by_name = _by_name(now.servers, known.places, observed)
    told = {**members_of_servers(now.servers, known.places, by_name), **observed}
    names = {**_names(now.servers, told, known.places, said.servers), **said.servers}
    leading, following = backends_by_state(now.servers, replace(page, servers=names), known.leader)
    write = said.write or _one(writes.backends, leading)
    read = said.read or (_one(reads.backends, following) if known.read else ())
    lacks = {}
    shown = ", ".join(sorted({row.proxy for row in now.servers})) or "none"
    for setting, backends, end in (("HAPROXY_WRITE_BACKEND", write, "write"), ("HAPROXY_READ_BACKEND", read, "read")):
        if not backends and (end == "write" or known.read):
            lacks["pools"] = (
                f"cannot tell which backend of {page.url} is behind the {end} endpoint: its sessions are not all in "
                f"one of {shown}; name the backend in {setting}"
            )
    named = {row for row in now.servers if _key(row) in by_name or {row.server, _key(row)} & said.servers.keys()}
    if taking_turns := _taking_turns(now.servers, named, write, read, len(known.places)):
        lacks["pools"] = (
            f"the servers of {' and '.join(taking_turns)} seem to change members with the leader, as with DNS "
            "names or a virtual address; if they do not, name them in HAPROXY_SERVERS"
        )
    page = replace(page, write_backends=write, read_backends=read, servers=names)
    if why := _not_listed(page, now.servers, said, known):
        lacks.setdefault("pools", why)
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
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    served_by, unseen = set(), False
    for number in range(MOST_SESSIONS):
        if number >= SESSIONS and len(always) < 2:
            break
        before = _served(haproxy.servers(page))
        member = _serving_member(endpoint, members)
        served_by.add(member)
        more = {place: count - before.get(place, 0) for place, count in _served(haproxy.servers(page)).items()}
        risen = {proxy for (proxy, _), count in more.items() if count > 0}
        unseen = unseen or (bool(member) and not risen)
        always = always & risen if number else risen
        for backend in risen:
            changed = {server: count for (proxy, server), count in more.items() if proxy == backend and count > 0}
            if member and list(changed.values()) == [1]:
                seen[backend, next(iter(changed))].add(member)
    told = {
        f"{backend}/{server}": next(iter(found))
        for (backend, server), found in seen.items()
        if len(found) == 1 and backend in always
    }
    return Traffic(tuple(sorted(always)), told, frozenset(served_by - {""}), unseen)


def _serving_member(endpoint: sql.Endpoint, members: Mapping[ServerIdentity, str]) -> str:
    """The member that serves a new session; empty where that is unknown, or the member has just died."""
    try:
        return members.get(server_at(endpoint), "")
    except (ConnectFailed, sql.Error):
        return ""


def backends_by_state(rows: Iterable[ServerRow], page: StatisticsPage, leader: str) -> tuple[list[str], list[str]]:
    """The backends where only the leader is up, and those where only others are up.

    `page` has the names of servers that are not named like their members.
    """
    up: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.position == "up":
            up[row.proxy].add(page.member(row.proxy, row.server))
    writes = [backend for backend, members in up.items() if members == {leader}]
    reads = [backend for backend, members in up.items() if leader not in members]
    return writes, reads


def members_of_servers(
    rows: Iterable[ServerRow], places: Mapping[str, Collection[Address]], by_name: Mapping[str, str]
) -> dict[str, str]:
    """`backend/server` -> its member, as far as its address or its name shows.

    `places` is member -> the addresses of its PostgreSQL; `by_name` is what names show (`member_named`). A pooler next
    to a member has the member's host but a different port.
    """
    found: dict[str, str] = {}
    for row in rows:
        key, at = _key(row), parsed(row.address, 0) if row.address else None
        exact = [name for name in places if at and any(same_address(at, place) for place in places[name])]
        beside = [
            name for name in places if at and any(names_of(at.host) & names_of(place.host) for place in places[name])
        ]
        named = by_name.get(key, "")
        likely = next((one[0] for one in (exact, beside) if len(one) == 1), named)
        if member := named if named == row.server else likely:
            found[key] = member
    return found


def member_named(server: str, names: Collection[str]) -> str:
    """The member of that name, or the only one that the server's name suggests; empty if there is no such member.

    Either name may contain the other: `db-pg1-pgbouncer` or `pg1.example.org` for pg1, `pg1` for demo-pg1. A word for a
    role identifies nobody: a server called primary may be any member over time.
    """
    if server in names:
        return server
    parts_of_server = [name for name in names if _contains(server, name)]
    longest = max(map(len, parts_of_server), default=0)
    likely = [name for name in parts_of_server if len(name) == longest]
    if not likely and not _tells_a_role(server):
        likely = [name for name in names if _contains(name, server)]
    return likely[0] if len(likely) == 1 else ""


def _contains(whole: str, part: str) -> bool:
    """Whether one name contains the other, whatever separates their words; numbers are compared as a whole."""
    words = _WORDS.findall(part.lower())
    if not words:
        return False
    short = sum(map(len, words)) < _TELLING
    before = r"(?<![a-z0-9])" if short else r"(?<!\d)" if words[0].isdigit() else ""
    after = r"(?![a-z0-9])" if short else r"(?!\d)" if words[-1].isdigit() else ""
    return re.search(before + "[^a-z0-9]*".join(words) + after, whole.lower()) is not None


def _tells_a_role(server: str) -> bool:
    """Whether a server's name identifies no member, being only a role or a number."""
    words = {word for word in _WORDS.findall(server.lower()) if not word.isdigit()}
    return words <= _ROLES or sum(map(len, _WORDS.findall(server.lower()))) < _TELLING


_WORDS = re.compile(r"[a-z]+|\d+")
_TELLING = 3  # a name with fewer characters may be contained in another one by chance
_ROLES = frozenset(
    "primary replica replicas master slave leader follower standby read reads write writes ro rw".split()
)


def _by_name(
    rows: Iterable[ServerRow], places: Mapping[str, Collection[Address]], observed: Mapping[str, str]
) -> dict[str, str]:
    """`backend/server` -> the member that its name suggests. If sessions prove one name wrong, none is trusted."""
    found = {_key(row): member for row in rows if (member := member_named(row.server, places))}
    return {} if any(found.get(key, member) != member for key, member in observed.items()) else found


def _names(
    rows: Sequence[ServerRow], told: Mapping[str, str], members: Collection[str], said: Collection[str]
) -> dict[str, str]:
    """The server names that differ from their members', as in StatisticsPage, except those in the settings (`said`).

    The same name means the same member in every backend, unless one name would then mean two members, or one member
    would be two servers of the same backend. A server that has a member's name, but may be another member, is mapped to
    nobody.
    """
    everywhere: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if (member := told.get(_key(row))) is not None:
            everywhere[row.server].add(member)
    one_each = all(len(found) == 1 for found in everywhere.values())
    if one_each and all(_key(row) in told or not _taken(row, rows, everywhere[row.server], told) for row in rows):
        names = {server: found.pop() for server, found in everywhere.items() if found}
    else:
        names = dict(told)
    for row in rows:
        if row.server in members and not names.keys() & {row.server, _key(row)}:
            names[_key(row)] = _key(row)
    other = {key: member for key, member in names.items() if key.rpartition("/")[2] != member}
    return {key: member for key, member in other.items() if key.rpartition("/")[2] not in said}


def _taken(row: ServerRow, rows: Iterable[ServerRow], members: Collection[str], told: Mapping[str, str]) -> bool:
    """Whether another server of the same backend is known to be that member."""
    return any(one.proxy == row.proxy and one != row and told.get(_key(one)) in members for one in rows)


def _taking_turns(
    rows: Sequence[ServerRow],
    named: Collection[ServerRow],
    write: Collection[str],
    read: Collection[str],
    members: int,
) -> list[str]:
    """The backends whose servers seem to stand for different members over time.

    The signs: every server with an address is up, there are fewer such servers than members, and no name suggests a
    member. A backend for reads must also have a server without an address, because a proxy may leave members out of
    reads on purpose.
    """
    found = []
    for backend in dict.fromkeys((*write, *read)):
        own = [row for row in rows if row.proxy == backend]
        placed = [row for row in own if not row.status.startswith(_WITHOUT_ADDRESS)]
        all_up = bool(placed) and all(row.position == "up" or row.status == "no check" for row in placed)
        few = len(placed) < members and (backend in write or len(placed) < len(own))
        if all_up and few and not any(row in named for row in own):
            found.append(backend)
    return found


def _not_listed(page: StatisticsPage, rows: Iterable[ServerRow], said: ProxySettings, known: ProxyContext) -> str:
    """Why it is not judged which members the proxy has servers for; empty if it is.

    consul-template, for example, writes a configuration with a server for the present leader alone, and another one
    after a failover. That looks like a proxy that knows a single member. A server in HAPROXY_SERVERS stays what it is.
    """
    if said.lists_members is False:
        return "[expect] proxy_lists_members = false declares that the proxy does not list every member that may lead"
    for_writes = [row for row in rows if row.proxy in page.write_backends]
    listed = {page.member(row.proxy, row.server) for row in for_writes}
    if said.lists_members or listed != {known.leader} or not known.may_lead - listed:
        return ""
    if any({row.server, _key(row)} & said.servers.keys() for row in for_writes):
        return ""
    return (
        f"HAProxy's {' and '.join(page.write_backends)} has a server for {known.leader} alone, which leads: either the "
        "configuration is written anew with each failover, as by consul-template, or writes could not reach another "
        "leader ([expect] proxy_lists_members = true has it judged)"
    )


_WITHOUT_ADDRESS = "MAINT (resolution)"


def _served(rows: Iterable[ServerRow]) -> dict[tuple[str, str], int]:
    return {(row.proxy, row.server): row.served for row in rows}


def _key(row: ServerRow) -> str:
    return f"{row.proxy}/{row.server}"


def _not_spread(page: StatisticsPage, balance: str, reads: Traffic) -> str:
    """Why it is unknown whether all replicas serve: clients elsewhere may be sent to other replicas than we are."""
    if reads.unseen:
        return f"{page.url} does not show our sessions: it is another HAProxy's, or a pooler is in between"
    if balance:
        return _sticky(balance) if balance.partition("(")[0] in STICKY else ""
    rows = [row for row in haproxy.servers(page) if row.proxy in page.read_backends and row.position == "up"]
    idle = {page.member(row.proxy, row.server) for row in rows if not row.served}
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
    servers = list(rows)
    backends, shown = {row.proxy for row in servers}, {row.server for row in servers}
    pairs = {_key(row) for row in servers}
    for setting, names, there in (
        ("HAPROXY_WRITE_BACKEND", said.write, backends),
        ("HAPROXY_READ_BACKEND", said.read, backends),
        ("HAPROXY_SERVERS", said.servers, shown),
    ):
        if strange := [name for name in names if name not in there | (pairs if there is shown else set())]:
            raise UsageError(
                f"{setting} names {', '.join(strange)}, which {page.url} does not show: it has "
                f"{', '.join(sorted(there)) or 'none'}"
            )
