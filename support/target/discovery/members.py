"""Members: where those of a group are reached from here, and which declared members are missing.

A member knows itself by the address that the other members use (`patroni-1:5432`); from here another address may lead
to it. Tried in this order: the address in [members], the member's own, and a port at which the host of its Patroni
publishes it. An address is taken only if the server behind it is the member's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from support import sql
from support.errors import RequirementMissing, UsageError
from support.target.discovery import web
from support.target.discovery.addresses import Place, Reach, names_of, reach_each, same_address
from support.target.discovery.identity import PatroniAnswer, ServerIdentity, patronis_at, published, servers_at
from support.target.members import NoAnswer
from support.target.patroni import ClusterView, MemberView
from support.target.purposes import never_leads
from support.target.topology import PLAIN, Address, MemberAddress, WebAccess


@dataclass(frozen=True)
class SearchContext:
    """What is known before the members of a group are searched."""

    base: sql.Endpoint
    """An endpoint with the application's login."""
    port: int
    """The database's port, as the user gave it."""
    endpoints: frozenset[Address]
    """The addresses of the proxy, none of which is a member's own."""
    places: Mapping[str, Place]
    """[members]."""
    rest: WebAccess = PLAIN
    """How REST APIs are asked."""


@dataclass(frozen=True)
class Group:
    """The members of one group, which one Patroni cluster manages."""

    members: tuple[MemberAddress, ...]
    absent: tuple[MemberAddress, ...] = ()
    """The members that do not answer."""
    answers: Mapping[str, PatroniAnswer] = field(default_factory=dict)
    """Member -> its Patroni's answer."""
    own: Mapping[str, Address] = field(default_factory=dict)
    """Member -> the address that the cluster itself uses for its PostgreSQL."""
    without_rest: Mapping[str, str] = field(default_factory=dict)
    """Member -> why its REST API cannot be reached from here."""
    without_postgres: Mapping[str, str] = field(default_factory=dict)
    """Member whose PostgreSQL probably runs -> why it cannot be reached from here."""
    advertised: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Member -> the hosts that the cluster itself uses for its PostgreSQL and for its REST API."""

    @property
    def leader(self) -> str:
        """The member that says it leads; empty where none does."""
        return next((name for name, answer in self.answers.items() if answer.leads), "")

    @property
    def may_lead(self) -> frozenset[str]:
        """The members that no tag bars from leading, as far as Patroni tells."""
        known = (one for answer in self.answers.values() for one in answer.view.members)
        return frozenset(one.name for one in known if not never_leads(one.tags))


def declared_alone(context: SearchContext, behind: ServerIdentity | None) -> Group:
    """The group of the members in [members], where no Patroni says who they are.

    `behind` is the server behind the write endpoint. One that answers, and refuses the login, is for the scenarios to
    find. Raises RequirementMissing for one that does not answer, UsageError for one that belongs elsewhere.
    """
    places = {name: place.postgres for name, place in context.places.items()}
    found, reached = servers_at(context.base, places.values()), reach_each(places.values())
    if silent := [f"{name} ({at}): {found[at]}" for name, at in places.items() if reached[at] is not Reach.OPEN]:
        raise RequirementMissing(f"[members] declares something that does not exist: {'; '.join(silent)}")
    first: dict[ServerIdentity, str] = {}
    for name, at in places.items():
        server = found[at]
        if isinstance(server, NoAnswer):
            continue
        if behind and behind.system and server.system and server.system != behind.system:
            raise UsageError(
                f"[members]: {name} ({at}) belongs to a different database system from that of the write endpoint "
                "(Citus nodes belong in [nodes])"
            )
        if (other := first.setdefault(server, name)) != name:
            raise UsageError(f"[members]: {other} and {name} are one and the same server")
    return Group(tuple(MemberAddress(name, at) for name, at in places.items()), own=places)


@dataclass
class _Search:
    """The state of the search for one group's members."""

    context: SearchContext
    view: ClusterView
    answers: dict[str, PatroniAnswer]
    """Member -> its Patroni's answer."""
    rests: dict[str, Address] = field(default_factory=dict)
    """Member -> its REST API, even if it does not answer."""
    without_rest: dict[str, str] = field(default_factory=dict)

    @property
    def listed(self) -> dict[str, MemberView]:
        return {member.name: member for member in self.view.members}

    @property
    def own(self) -> dict[str, Address]:
        return {name: Address(member.host, member.port) for name, member in self.listed.items() if member.host}

    @property
    def servers(self) -> dict[str, ServerIdentity]:
        """Member -> the PostgreSQL beside its Patroni, where it runs."""
        return {name: answer.server for name, answer in self.answers.items() if answer.server}


def find(context: SearchContext, heard: list[PatroniAnswer], silent: dict[Address, str], group: int = 0) -> Group:
    """Find the members of the group of which the Patronis in `heard` answered.

    `silent` are declared addresses without an answer, address -> how messages call it, and those of strangers, which
    have another name there; those found to be this group's are removed from it.
    Raises UsageError where [members] gives another member's address.
    """
    speaker = next((answer for answer in heard if answer.leads), heard[0])
    search = _Search(context, speaker.view, _by_member(speaker.view, [one for one in heard if not one.several]))
    _require_true_places(search, heard)
    _find_rests(search, silent)
    postgres, unreached, living = _find_postgres(search)
    found = {
        name: MemberAddress(name, postgres[name], search.rests.get(name), group, unreached.get(name, ""))
        for name in search.listed
    }
    gone = {name for name in found if name in search.rests and name not in search.answers and name not in living}
    return Group(
        tuple(member for name, member in found.items() if name not in gone),
        tuple(member for name, member in found.items() if name in gone),
        search.answers,
        search.own,
        search.without_rest,
        {
            name: why
            for name, why in unreached.items()
            if name not in gone and (name not in search.answers or search.answers[name].server)
        },
        {name: _advertised(member) for name, member in search.listed.items()},
    )


def unlisted(context: SearchContext, groups: Sequence[Group], silent: Mapping[Address, str]) -> list[MemberAddress]:
    """The declared members that no Patroni knows. `silent` is address -> its name for messages.

    Raises UsageError where another member is at the place of a name in [members] that Patroni does not know.
    """
    listed = {member.name for group in groups for member in (*group.members, *group.absent)}
    by_server = {answer.server: name for group in groups for name, answer in group.answers.items() if answer.server}
    further = {name: place for name, place in context.places.items() if name not in listed}
    looks = servers_at(context.base, {place.postgres for place in further.values()})
    for name, place in further.items():
        other = looks[place.postgres]
        if not isinstance(other, NoAnswer) and other in by_server:
            raise UsageError(
                f"[members] names {name}, which Patroni does not know: it knows {', '.join(sorted(listed))}; at "
                f"{place.postgres} is {by_server[other]}"
            )
    rests = {name: place.rest for name, place in further.items()}
    nameless = [at for at in _nameless(silent) if at not in rests.values()]
    without_rest = [name for name, at in rests.items() if at is None]
    if len(without_rest) == len(nameless):  # each of them is one of these
        rests.update(zip(without_rest, nameless, strict=True))
    found = [MemberAddress(name, place.postgres, rests[name]) for name, place in further.items()]
    taken = set(rests.values())
    why = "the address of its PostgreSQL is not known ([members])"
    return [*found, *(MemberAddress(called, at, at, 0, why) for at, called in silent.items() if at not in taken)]


def require_own_names(groups: Sequence[Group]) -> None:
    """Raises UsageError where members of several groups have the same name, by which everything here tells them."""
    names = Counter(member.name for group in groups for member in (*group.members, *group.absent))
    if twice := sorted(name for name, count in names.items() if count > 1):
        raise UsageError(
            f"members of different groups have the same name ({', '.join(twice)}), so they cannot be told "
            "apart: ENABLE_CITUS=false leaves the worker groups out"
        )


def _by_member(view: ClusterView, heard: list[PatroniAnswer]) -> dict[str, PatroniAnswer]:
    """Member -> its answer. One without a name is matched by address, by leading, or as the only one left."""
    listed = {member.name: member for member in view.members}
    found = {answer.name: answer for answer in heard if answer.name in listed}
    nameless = [answer for answer in heard if not answer.name]
    for answer in nameless:
        names = [name for name, member in listed.items() if _is_at(member, answer.address)]
        if not names and answer.leads and view.leader:
            names = [view.leader.name]
        if len(names) == 1 and names[0] not in found:
            found[names[0]] = answer
    rest_names = [name for name in listed if name not in found]
    rest_answers = [answer for answer in nameless if answer not in found.values()]
    if len(rest_names) == len(rest_answers) == 1:
        found[rest_names[0]] = rest_answers[0]
    return {name: replace(answer, name=name) for name, answer in found.items()}


def _require_true_places(search: _Search, heard: list[PatroniAnswer]) -> None:
    """Raises UsageError where another member answers at a REST address in [members]."""
    by_address = {answer.address: answer for answer in heard}
    for name, place in search.context.places.items():
        answer = by_address.get(place.rest) if place.rest else None
        if answer and answer.name and answer.name != name:
            raise UsageError(
                f"[members] says that the Patroni of {name} is at {place.rest}, but that is {answer.name}'s; "
                f"Patroni knows {', '.join(sorted(search.listed))}"
            )


def _find_rests(search: _Search, silent: dict[Address, str]) -> None:
    """Where the REST APIs are: at their own addresses, where those work; another one may move with the leader."""
    search.rests.update({name: answer.address for name, answer in search.answers.items()})
    missing = {name: member for name, member in search.listed.items() if name not in search.answers}
    for name, member in missing.items():
        place = search.context.places.get(name)
        declared = [at for at in silent if (place and at == place.rest) or _is_at(member, at)]
        if declared:
            search.rests[name] = declared[0]
            silent.pop(declared[0])
    own = {name: at for name, member in missing.items() if name not in search.rests and (at := _own_rest(member))}
    elsewhere = {
        name: at
        for name, answer in search.answers.items()
        if not _declared_at(search, name, answer.address)
        and (at := _own_rest(search.listed[name]))
        and not same_address(at, answer.address)
    }
    answers = patronis_at(dict.fromkeys([*own.values(), *elsewhere.values()]), search.context.rest)
    for name, at in (own | elsewhere).items():
        answer = answers[at]
        if isinstance(answer, PatroniAnswer) and _may_be(answer, name, search.answers.get(name)):
            search.answers[name], search.rests[name] = replace(answer, name=name), at
    own_addresses_work = any(_is_at(search.listed[name], answer.address) for name, answer in search.answers.items())
    left = [name for name in missing if name not in search.rests]
    nameless = _nameless(silent)
    if len(left) == len(nameless) and (elsewhere or not own_addresses_work):  # each of them is one of these
        search.rests.update(zip(left, nameless, strict=True))
        for at in nameless:
            silent.pop(at)
    elif own_addresses_work:  # those of other members do: so would this one, if its Patroni ran
        search.rests.update({name: own[name] for name in left if name in own})
    for name in left:
        if name not in search.rests:
            search.without_rest[name] = _unreached(own.get(name), answers, search.context.rest)


def _declared_at(search: _Search, name: str, address: Address) -> bool:
    """Whether [members] says that this member's REST API is there."""
    place = search.context.places.get(name)
    return place is not None and place.rest == address


def _may_be(answer: PatroniAnswer, name: str, before: PatroniAnswer | None) -> bool:
    """Whether what answers at a member's own address is that member, which may have answered elsewhere `before`."""
    if answer.several or answer.name not in ("", name):
        return False
    if before is None:
        return True
    if answer.server is None or before.server is None:
        return bool(answer.name) and answer.scope == before.scope
    return answer.server == before.server


def _unreached(at: Address | None, answers: Mapping[Address, PatroniAnswer | NoAnswer], access: WebAccess) -> str:
    """Why a REST API cannot be reached at its own address, and what to change."""
    add = "add its address to PATRONI_HOSTS, or to [members]"
    if at is None:
        return f"its own address cannot be reached from here: {add}"
    answer = answers[at]
    if isinstance(answer, PatroniAnswer):
        return f"at its own address {at}, {answer.name or 'another member'} answers here: {add}"
    return f"{at} cannot be reached from here ({answer.why}): {web.advice([answer.why], access, add)}"


def _nameless(silent: Mapping[Address, str]) -> list[Address]:
    """The addresses without any answer. An address at which a stranger has answered is no member's."""
    return [at for at, called in silent.items() if called == str(at)]


def _find_postgres(search: _Search) -> tuple[dict[str, Address], dict[str, str], set[str]]:
    """Member -> its PostgreSQL; member -> why it cannot be reached from here; and the members that live."""
    said = {name: place.postgres for name, place in search.context.places.items() if name in search.listed}
    own = search.own
    reached = reach_each((own | said).values())
    opened = {at for at, answer in reached.items() if answer is Reach.OPEN}
    looks = servers_at(search.context.base, opened)
    found, unreached, living = dict(said), dict[str, str](), set[str]()
    for name, at in (own | said).items():
        if at not in opened:
            continue
        seen, right = looks[at], search.servers.get(name)
        others = [other for other, server in search.servers.items() if server == seen and other != name]
        if name in said and others:
            raise UsageError(f"[members] says that {name} is at {at}, but that is {others[0]}")
        if name in said or isinstance(seen, NoAnswer) or right is None or seen == right:
            found[name] = at
            living.add(name)
        else:
            unreached[name] = f"at its own address {at}, another server answers here"
    missing = {name for name in search.listed if name not in found}
    if missing:
        beside, in_doubt = _published(search, missing)
        found |= beside
        living |= beside.keys()
        unreached |= in_doubt
    there = {name: found[name] for name in living if name not in said}
    for name in missing - found.keys():
        here = own.get(name)
        if here and name not in unreached and _own_address_works(search, name, own, there):
            found[name] = here  # the address is right: the member is down, or cut off
            continue
        why = (
            f"its own address {here} cannot be reached from here ({reached[here].value})"
            if here
            else "it has no address"
        )
        unreached[name] = f"{unreached.get(name, why)}: say in [members] where {name} is"
        found[name] = here or Address(name, search.context.port)
    return found, {name: why for name, why in unreached.items() if name in missing - living}, living


def _published(search: _Search, missing: set[str]) -> tuple[dict[str, Address], dict[str, str]]:
    """Members whose Patroni is reached at another address than its own: PostgreSQL may be published beside it."""
    beside = {
        name: answer.address.host
        for name, answer in search.answers.items()
        if not _is_at(search.listed[name], answer.address)
    }
    wanted = {name: server for name, server in search.servers.items() if name in missing and name in beside}
    if not wanted:
        return {}, {}
    endpoints = search.context.endpoints if len(search.listed) > 1 else frozenset[Address]()
    hosts = Counter(beside.values())
    elsewhere = {Address(host, at.port) for host in hosts for at in endpoints if names_of(host) & names_of(at.host)}
    ports = {search.context.port, *(member.port for member in search.listed.values() if member.port)}
    return published(search.context.base, wanted, hosts, ports, endpoints | elsewhere)


def _own_address_works(search: _Search, name: str, own: Mapping[str, Address], found: Mapping[str, Address]) -> bool:
    """Whether a member's own address would work if the member ran: its host, or another's own address, is reached.

    `found` are the addresses at which members were reached.
    """
    answer = search.answers.get(name)
    if answer and names_of(answer.address.host) & names_of(own[name].host):
        return True
    return any(own.get(other) == at for other, at in found.items())


def _is_at(member: MemberView, address: Address) -> bool:
    at = _own_rest(member)
    return at is not None and same_address(at, address)


def _advertised(member: MemberView) -> tuple[str, ...]:
    rest = _own_rest(member)
    return tuple(dict.fromkeys(host for host in (member.host, rest.host if rest else "") if host))


def _own_rest(member: MemberView) -> Address | None:
    """The address of its REST API, according to the member."""
    parts = urlsplit(member.api_url)
    return Address(parts.hostname, parts.port or 8008) if parts.hostname else None
