"""Which PostgreSQL answers at an address: told by when it started, and to which database system it belongs."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from secrets import token_hex

from support import sql
from support.errors import NotAvailable
from support.target.discovery.addresses import POSTGRES, Reach, reach_each
from support.target.login import salt
from support.target.members import Silent, ask_each
from support.target.topology import Address
from support.timeouts import REST

_STARTED = "SELECT pg_postmaster_start_time()"
_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"
_LOOKS = 3  # a proxy that shares sessions among servers leads elsewhere in one of so many
_NEIGHBOURS = range(POSTGRES, POSTGRES + 18)  # where several servers of one machine are published, by custom


@dataclass(frozen=True, eq=False)
class Server:
    """One PostgreSQL, as long as it runs."""

    started: datetime
    system: str
    """Its system identifier; empty where the application may not read it, and then it tells nothing."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Server) or self.started != other.started:
            return False
        return self.system == other.system or not (self.system and other.system)

    def __hash__(self) -> int:
        return hash(self.started)


def look(where: sql.Endpoint) -> Server:
    """Who answers there. Raises ConnectFailed or sql.Error."""
    with sql.session(where, connect_timeout=REST, statement_timeout=REST) as session:
        return identity(session)


def identity(session: sql.Session) -> Server:
    """Who answers on a session."""
    started = sql.value(session, _STARTED)
    try:
        return Server(started, str(sql.value(session, _SYSTEM)))
    except sql.Error:
        return Server(started, "")


def look_at_each(base: sql.Endpoint, addresses: Iterable[Address]) -> dict[Address, Server | Silent]:
    """Who answers at each of those addresses to the login of `base`."""
    by_name = {str(address): address for address in addresses}
    answers = ask_each(by_name, lambda name: look(_at(base, by_name[name])))
    return {by_name[name]: answer for name, answer in answers.items()}


def published(
    base: sql.Endpoint,
    wanted: Mapping[str, Server],
    hosts: Mapping[str, int],
    ports: Collection[int],
    known: Collection[Address],
) -> tuple[dict[str, Address], dict[str, str]]:
    """The members that are found at ports of hosts that are known to publish some -> their addresses.

    `wanted` is member -> the server that it is, by its Patroni; `hosts` is host -> how many members are published
    there, at `ports` or the customary ones. At the addresses that are `known` nobody is looked for. The second answer
    is, of each member to which several addresses lead, why none is taken: one may be a proxy's, which leads elsewhere
    after a failover. The last member that is left may refuse the application: it is at the only server there which
    does so.
    """
    tried = {
        Address(host, port)
        for host, count in hosts.items()
        for port in {POSTGRES, *ports, *(_NEIGHBOURS if count > 1 else ())}
    } - set(known)
    listening = [address for address, answer in reach_each(tried).items() if answer is Reach.OPEN]
    # Nobody said that these are the cluster's: a password is not told to them, only proved.
    careful = replace(base, options={**base.options, "require_auth": "!password"})
    by_server: dict[Server, list[Address]] = {}
    steady = [look_at_each(careful, listening) for _ in range(_LOOKS)]
    for address in listening:
        answers = {looks[address] for looks in steady}
        if len(answers) == 1 and isinstance(server := answers.pop(), Server):
            by_server.setdefault(server, []).append(address)
    found, in_doubt = {}, {}
    for name, server in wanted.items():
        at = sorted(by_server.get(server, ()), key=str)
        if len(at) == 1:
            found[name] = at[0]
        elif at:
            in_doubt[name] = f"{' and '.join(map(str, at))} lead to it, and any of them may be a proxy"
    left = [name for name in wanted if name not in found and name not in in_doubt]
    refusing = [at for at in listening if all(isinstance(looks[at], Silent) for looks in steady)]
    akin = [at for at in refusing if _may_be_akin(base, at, next(iter(found.values()), Address(base.host, base.port)))]
    if len(left) == len(akin) == 1:  # the only member that is left, and the only server that is no other's
        found[left[0]] = akin[0]
    return found, in_doubt


def _may_be_akin(base: sql.Endpoint, one: Address, other: Address) -> bool:
    """Whether a server that refuses the application speaks PostgreSQL, and may have the database system of another.

    By how they salt passwords; a server which refuses everybody at the door salts none.
    """
    stranger = f"accept_{token_hex(4)}"
    salts = []
    for user in (base.user, stranger):
        try:
            pair = [salt(_at(base, at).as_user(user, "")) for at in (one, other)]
        except (OSError, NotAvailable, KeyError, ValueError):
            return False
        if all(pair):
            salts.append(pair)
    return all(mine == its for mine, its in salts)


def _at(base: sql.Endpoint, address: Address) -> sql.Endpoint:
    return replace(base, name=f"the server at {address}", host=address.host, port=address.port)
