"""Who answers at an address: which PostgreSQL, by its start time and database system; which member's Patroni."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from secrets import token_hex
from typing import Any

import requests

from support import libpq, sql
from support.target.discovery.addresses import POSTGRES, Reach, reach_each
from support.target.login import salt
from support.target.members import NoAnswer, ask_in_parallel
from support.target.patroni import LEADER_ROLES, ClusterView, PatroniApi
from support.target.topology import Address, WebAccess
from support.timeouts import REST
from support.waiting import NotYet

_STARTED = "SELECT pg_postmaster_start_time()"
_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"
_LOOKS = 3  # a proxy that shares sessions among servers leads elsewhere in one of so many
_NEIGHBOURS = range(POSTGRES, POSTGRES + 18)  # where several servers of one machine are published, by custom


@dataclass(frozen=True, eq=False)
class ServerIdentity:
    """One PostgreSQL, as long as it runs."""

    started: datetime
    system: str
    """Its system identifier; empty where the application may not read it, and then not compared."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ServerIdentity) or self.started != other.started:
            return False
        return self.system == other.system or not (self.system and other.system)

    def __hash__(self) -> int:
        return hash(self.started)


def server_at(where: sql.Endpoint) -> ServerIdentity:
    """The server that answers there. Raises ConnectFailed or sql.Error."""
    with sql.session(where, connect_timeout=REST, statement_timeout=REST) as session:
        return server_of(session)


def server_of(session: sql.Session) -> ServerIdentity:
    """The server that serves this session."""
    started = sql.value(session, _STARTED)
    try:
        return ServerIdentity(started, str(sql.value(session, _SYSTEM)))
    except sql.Error:
        return ServerIdentity(started, "")


def servers_at(base: sql.Endpoint, addresses: Iterable[Address]) -> dict[Address, ServerIdentity | NoAnswer]:
    """The server that answers at each of those addresses to the login of `base`."""
    by_name = {str(address): address for address in addresses}
    answers = ask_in_parallel(by_name, lambda name: server_at(_at(base, by_name[name])))
    return {by_name[name]: answer for name, answer in answers.items()}


def published(
    base: sql.Endpoint,
    wanted: Mapping[str, ServerIdentity],
    hosts: Mapping[str, int],
    ports: Collection[int],
    known: Collection[Address],
) -> tuple[dict[str, Address], dict[str, str]]:
    """Search for members at the ports of hosts that are known to publish some.

    `wanted` is member -> its server, according to its Patroni; `hosts` is host -> the number of members published
    there, at `ports` or the customary ones. The addresses that are `known` are not searched.

    Returns member -> its address, and member -> why none is taken although several lead to it: one of them may be a
    proxy's, which leads elsewhere after a failover. The last member that is left may refuse the application: then it
    must be the only server there that does.
    """
    tried = {
        Address(host, port)
        for host, count in hosts.items()
        for port in {POSTGRES, *ports, *(_NEIGHBOURS if count > 1 else ())}
    } - set(known)
    listening = [address for address, answer in reach_each(tried).items() if answer is Reach.OPEN]
    # These addresses may be somebody else's: they are not sent the password, only proof that we know it.
    careful = replace(base, options=libpq.never_in_clear_text(base.options))
    by_server: dict[ServerIdentity, list[Address]] = {}
    looks = [servers_at(careful, listening) for _ in range(_LOOKS)]
    for address in listening:
        answers = {look[address] for look in looks}
        if len(answers) == 1 and isinstance(server := answers.pop(), ServerIdentity):
            by_server.setdefault(server, []).append(address)
    found, in_doubt = {}, {}
    for name, server in wanted.items():
        at = sorted(by_server.get(server, ()), key=str)
        if len(at) == 1:
            found[name] = at[0]
        elif at:
            in_doubt[name] = f"{' and '.join(map(str, at))} lead to it, and any of them may be a proxy"
    left = [name for name in wanted if name not in found and name not in in_doubt]
    refusing = [at for at in listening if all(isinstance(look[at], NoAnswer) for look in looks)]
    of_a_known = next(iter(found.values()), Address(base.host, base.port))
    same_system = [at for at in refusing if _may_share_a_system(base, at, of_a_known)]
    if len(left) == len(same_system) == 1:  # the only member that is left, and the only server that is no other's
        found[left[0]] = same_system[0]
    return found, in_doubt


def _may_share_a_system(base: sql.Endpoint, one: Address, other: Address) -> bool:
    """Whether a server that refuses the application speaks PostgreSQL, and may have the other's database system.

    Compares the salts of passwords; a server that refuses every connection in pg_hba.conf sends none.
    """
    stranger = f"accept_{token_hex(4)}"
    salts = []
    for user in (base.user, stranger):
        try:
            pair = [salt(_at(base, at).as_user(user, "")) for at in (one, other)]
        except (OSError, KeyError, ValueError):
            return False
        if all(pair):
            salts.append(pair)
    return all(mine == its for mine, its in salts)


def _at(base: sql.Endpoint, address: Address) -> sql.Endpoint:
    return base.at(f"the server at {address}", address.host, address.port)


@dataclass(frozen=True)
class PatroniAnswer:
    """The answer of one Patroni. `name` is empty where it does not name its member: releases before 3.1 do not."""

    address: Address
    name: str
    scope: str
    leads: bool
    server: ServerIdentity | None
    """The PostgreSQL beside it; None while it does not run."""
    view: ClusterView
    several: bool = False
    """Different members answered there in turn: the address is a proxy's, not a member's own."""

    @property
    def known(self) -> frozenset[str]:
        """The names of the members that it knows."""
        return frozenset(member.name for member in self.view.members)


def patronis_at(addresses: Iterable[Address], access: WebAccess) -> dict[Address, PatroniAnswer | NoAnswer]:
    """The answer at each of those addresses, all asked at the same time."""
    by_name = {str(address): address for address in addresses}
    answers = ask_in_parallel(by_name, lambda name: _patroni_at(by_name[name], access))
    return {by_name[name]: answer for name, answer in answers.items()}


def _patroni_at(address: Address, access: WebAccess) -> PatroniAnswer:
    patroni = PatroniApi(address, access)
    try:
        first, view, second = patroni.status(), patroni.cluster(), patroni.status()
        about: Mapping[str, Any] = first.get("patroni") or {}
        return PatroniAnswer(
            address=address,
            name=str(about.get("name") or ""),
            scope=str(about.get("scope") or view.scope),
            leads=first.get("role") in LEADER_ROLES,
            server=_server_beside(first),
            view=view,
            several=_member_of(first) != _member_of(second),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotYet(f"what answers at {address} is not Patroni") from error
    except requests.exceptions.JSONDecodeError:
        raise NotYet(f"what answers at {address} is not Patroni") from None


def _member_of(status: Mapping[str, Any]) -> object:
    name = (status.get("patroni") or {}).get("name")
    return name or (status.get("postmaster_start_time"), status.get("role"))


def _server_beside(status: Mapping[str, Any]) -> ServerIdentity | None:
    try:
        started = datetime.fromisoformat(str(status["postmaster_start_time"]))
        return ServerIdentity(started, str(status["database_system_identifier"]))
    except (KeyError, ValueError):
        return None
