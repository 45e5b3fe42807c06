"""The ports of a host that lead to the database, and which of them are the endpoints for writes and for reads."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from support import libpq, sql
from support.errors import ConnectFailed, TargetUnreachable
from support.target.discovery.addresses import POSTGRES, Reach, names_of, reach, reach_each, same_address
from support.target.discovery.database import advice
from support.target.discovery.identity import ServerIdentity, server_of
from support.target.members import NoAnswer, ask_in_parallel
from support.target.topology import Address
from support.timeouts import REST

_POOLER = 6432
WRITES = (5000, POSTGRES, _POOLER, 5500)
"""The usual ports of a write endpoint, the likeliest first: those of HAProxy, PostgreSQL, PgBouncer, Traefik."""
_BESIDE_A_MEMBER = (5000, POSTGRES, 5433, 5436, 5500, _POOLER)
"""The usual ports of a write endpoint on a member's host, the likeliest first; 5433 and 5436 are those of HAProxy in
Pigsty. PgBouncer there leads to that member only."""
_READS = (5001, 5433, 5434)
"""The usual ports of a read endpoint, besides the one right after the write endpoint's."""
USUAL = (*WRITES, 5001, 5002, *range(POSTGRES + 1, POSTGRES + 18))
"""Every port that is tried: those, HAProxy's for reads, and those at which containers are published by custom."""
_LOOKS = 3  # sessions through each port: a proxy shares them among its servers
_STATE = "SELECT pg_is_in_recovery(), coalesce(host(inet_server_addr()), ''), current_setting('cluster_name')"
_GROUP = "SELECT groupid FROM pg_dist_local_group"


@dataclass(frozen=True)
class Listener:
    """A port that accepts the application's login."""

    address: Address
    servers: frozenset[ServerIdentity]
    """The servers that were met behind it."""
    in_recovery: frozenset[bool]
    """Whether they were standbys."""
    hosts: frozenset[str] = frozenset()
    """Their own addresses, as they see them."""
    scope: str = ""
    """PostgreSQL's cluster_name, which Patroni sets to its scope."""
    groups: frozenset[int] = frozenset()
    """Their Citus groups; none without Citus."""
    tls: bool = False
    """The session was encrypted."""
    asks_password: bool = False
    """The server asked for the password."""

    @property
    def leads_to(self) -> str:
        """For people."""
        if len(self.groups) > 1:
            return f"several groups of Citus ({', '.join(map(str, sorted(self.groups)))})"
        of_group = f" of worker group {next(iter(self.groups))}" if self.of_workers else ""
        standbys = "a standby" if len(self.servers) == 1 else f"{len(self.servers)} standbys"
        told = {frozenset({False}): "the primary", frozenset({True}): standbys}
        return told.get(self.in_recovery, "the primary and standbys in turn") + of_group

    @property
    def of_workers(self) -> bool:
        """Whether it leads to a server of a Citus worker group, and perhaps to others, too."""
        return bool(self.groups - {0})

    @property
    def systems(self) -> frozenset[str]:
        """The system identifiers of the servers, as far as they are known: those of one cluster have the same."""
        return frozenset(one.system for one in self.servers if one.system)

    @property
    def writes(self) -> bool:
        """Whether every session was on a server that takes writes."""
        return self.in_recovery == frozenset({False})

    @property
    def reads(self) -> bool:
        """Whether every session was on a standby."""
        return self.in_recovery == frozenset({True})


@dataclass(frozen=True)
class Endpoints:
    """Which listener is which endpoint."""

    write: Listener
    read: Listener | None = None
    guessed: str = ""
    """Why it is not certain that these are the proxy's; empty if it is."""


def listeners(base: sql.Endpoint, named: bool) -> dict[Address, Listener]:
    """Every port of the host that accepts the login. `named`: the user gave the port in `base`, so it must.

    Of several hosts in `base`, the ports of the first are tried. Its own stands for all hosts there, of which libpq
    chooses one. Ports that the user did not name may be somebody else's: they are not sent the password in clear text.
    Raises TargetUnreachable, with what to change, if the named port, or every one, refuses the login.
    """
    own = Address(base.host, base.port)
    if libpq.is_socket(base.host):
        return {own: _listener(base, own) if base.further else _look(base, own)}
    places = dict.fromkeys([own, *(Address(base.host, port) for port in USUAL)])
    if (found := reach(own)) is Reach.UNKNOWN and not base.further:
        raise TargetUnreachable(f"{base.host}: {found.value}: check the name, or give an IP address")
    open_ports = [address for address, answer in reach_each(places).items() if answer is Reach.OPEN]
    if base.further:
        open_ports = list(dict.fromkeys([own, *open_ports]))
    if named and own not in open_ports:
        others = f"; these ports are open: {_ports(open_ports)}" if open_ports else ""
        raise TargetUnreachable(f"{own}: {reach(own).value}{others}: check the port, and the firewalls in between")
    if not open_ports:
        raise TargetUnreachable(
            f"{base.host}: none of the usual ports of PostgreSQL and its proxies accepts connections "
            f"({_ports(places)}): give the port, as {_bracketed(base.host)}:PORT"
        )
    careful = replace(base, options=libpq.never_in_clear_text(base.options))
    by_name = {str(address): address for address in open_ports}

    def asked(name: str) -> Listener:
        at = by_name[name]
        if at == own and base.further:
            return _listener(base, own)
        return _look(base if at == own and named else careful, at)

    answers = ask_in_parallel(by_name, asked)
    accepting = {by_name[name]: one for name, one in answers.items() if not isinstance(one, NoAnswer)}
    if own not in accepting and (named or not accepting):
        refused = {name: one.why for name, one in answers.items() if isinstance(one, NoAnswer)}
        why = refused[str(own)] if named else max(refused.values(), key=sql.tells_of_refusal)
        raise TargetUnreachable(f"{why}: {advice(why)}")
    return accepting


def choose(
    found: Mapping[Address, Listener],
    named: Address | None,
    own: Mapping[str, Address],
    proxied: Collection[Address] | None = None,
) -> Endpoints:
    """The endpoints for writes and reads among the listeners.

    `named` is the address that the user gave with its port; `own` is member -> its address by Patroni; `proxied` are
    the listeners that HAProxy's statistics show as its own; None if there are no statistics. Raises TargetUnreachable
    if nothing takes writes. Citus worker groups are left out if there is anything else, and so are read endpoints of
    another database system.
    """
    direct = {at for at in found if any(same_address(at, one) for one in own.values())}
    of_workers = named is not None and found[named].of_workers
    ours = [at for at in found if found[at].of_workers == of_workers] or list(found)
    hosts = {at.host for at in found}
    on_a_member = any(names_of(host) & names_of(one.host) for host in hosts for one in own.values())
    behind = [at for at in ours if at not in direct and (proxied is None or at in proxied)]
    if on_a_member and proxied is None:  # PgBouncer would only be in between, and hide what each session is
        behind = [at for at in behind if at.port != _POOLER]
    order = _BESIDE_A_MEMBER if on_a_member else WRITES
    writes = _sorted([at for at in behind if found[at].writes], order)
    write = named if named and found[named].writes else next(iter(writes), None)
    if write is None:
        write = next((at for at in _sorted(ours, order) if found[at].writes), None)
    if write is None:
        met = ", ".join(f"{at} leads to {one.leads_to}" for at, one in found.items())
        mixed = any(len(one.in_recovery) > 1 for one in found.values())
        shared = (
            "; a pooler that spreads statements over servers (Pgpool-II, PgCat with a query parser) cannot be tested: "
            "name what is behind it"
        )
        raise TargetUnreachable(
            f"no address there takes writes ({met}): name the write endpoint, or the leader{shared if mixed else ''}"
        )
    usual = (write.port + 1, *_READS)
    system = found[write].systems
    reads = [at for at in behind if found[at].reads and at != write]
    reads = [at for at in reads if not (system and found[at].systems) or found[at].systems == system]
    reads = _sorted(reads, usual)
    reads.sort(key=lambda at: len(found[at].servers) == 1)  # a port that leads to several is certainly a proxy's
    read = next((at for at in reads if proxied is not None or at.port in usual or len(found[at].servers) > 1), None)
    known = proxied is not None or (write in direct and read is None)
    guess = "" if known else "HAProxy's statistics page would show which ports are its own (--statistics)"
    return Endpoints(found[write], found[read] if read else None, guess)


def worker_primaries(found: Mapping[Address, Listener]) -> tuple[Address, ...]:
    """Addresses that lead to one worker group's primary. A port that leads to several servers belongs to a proxy."""
    alone = [at for at, one in found.items() if len(one.servers) == 1 and len(one.groups) == 1]
    return tuple(at for at in alone if found[at].of_workers and found[at].writes)


def look(base: sql.Endpoint, address: Address) -> Listener:
    """What answers at the address that the user gave for reads. Raises TargetUnreachable, with what to change."""
    try:
        return _look(base, address)
    except (ConnectFailed, sql.Error) as error:
        told = "check HAPROXY_REPLICA_HOST and HAPROXY_REPLICA_PORT (--read)"
        raise TargetUnreachable(f"{error}: {told}, or: {advice(str(error))}") from None


def _look(base: sql.Endpoint, address: Address) -> Listener:
    return _listener(base.at(f"the database at {address}", address.host, address.port), address)


def _listener(where: sql.Endpoint, address: Address) -> Listener:
    """What the login leads to; `address` stands for it."""
    servers, recovery, hosts, groups = set(), set(), set(), set[int]()
    scope, tls, asks = "", False, False
    for number in range(_LOOKS):
        with sql.session(where, connect_timeout=REST, statement_timeout=REST) as session:
            in_recovery, host, scope = sql.rows(session, _STATE)[0]
            servers.add(server_of(session))
            recovery.add(bool(in_recovery))
            hosts.add(str(host))
            groups |= _group(session)
            if number == 0:
                tls, asks = bool(session.info.ssl_in_use), bool(session.info.used_password)
    sets = frozenset(servers), frozenset(recovery), frozenset(hosts - {""})
    return Listener(address, *sets, str(scope), frozenset(groups), tls, asks)


def _group(session: sql.Session) -> set[int]:
    """Empty where Citus is not installed."""
    try:
        return {int(sql.value(session, _GROUP))}
    except (sql.Error, IndexError):
        return set()


def _sorted(addresses: Collection[Address], first: Collection[int]) -> list[Address]:
    order = list(first)
    return sorted(addresses, key=lambda at: (order.index(at.port) if at.port in order else len(order), at.port))


def _ports(addresses: Collection[Address]) -> str:
    return ", ".join(str(port) for port in sorted({at.port for at in addresses}))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
