"""Where the members of a group are reached from here, and which of those that were declared are not there.

A member calls itself by addresses that the others use (`patroni-1:5432`); from here it may be reached at others. In
this order counts: what [members] says, the member's own address, a port at which its Patroni's host publishes it. An
address that works counts only if the server behind it is the member's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from support import sql
from support.errors import UsageError
from support.target.discovery import rest, servers
from support.target.discovery.addresses import Place, Reach, names_of, reach_each, same
from support.target.discovery.rest import Answer
from support.target.members import Silent
from support.target.patroni import ClusterView, MemberView
from support.target.topology import Address, MemberAddress


@dataclass(frozen=True)
class Known:
    """What is known before a group is looked at."""

    base: sql.Endpoint
    """Some endpoint with the application's login."""
    port: int
    """The one at which the user says that the database is."""
    endpoints: frozenset[Address]
    """Where clients are led to one server or another: no member's own addresses."""
    places: Mapping[str, Place]
    """[members]."""


@dataclass(frozen=True)
class Group:
    """The members of one group of Patroni's."""

    members: tuple[MemberAddress, ...]
    absent: tuple[MemberAddress, ...] = ()
    """Those that give no sign of life."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Member -> what its Patroni says."""
    own: Mapping[str, Address] = field(default_factory=dict)
    """Member -> the address by which its cluster calls its PostgreSQL."""
    without_rest: Mapping[str, str] = field(default_factory=dict)
    """Member -> why no REST API of its is reached from here."""
    without_postgres: Mapping[str, str] = field(default_factory=dict)
    """Member whose PostgreSQL runs, for all that is known -> why it is not reached from here."""

    @property
    def leader(self) -> str:
        """The member that leads by its own word; empty where none says so."""
        return next((name for name, answer in self.answers.items() if answer.leads), "")


@dataclass
class _Look:
    """One group while it is looked at."""

    known: Known
    view: ClusterView
    answers: dict[str, Answer]
    """Member -> what its Patroni says."""
    rests: dict[str, Address] = field(default_factory=dict)
    """Member -> its REST API, also where that is silent."""
    without_rest: dict[str, str] = field(default_factory=dict)

    @property
    def listed(self) -> dict[str, MemberView]:
        return {member.name: member for member in self.view.members}

    @property
    def own(self) -> dict[str, Address]:
        return {name: Address(member.host, member.port) for name, member in self.listed.items() if member.host}

    @property
    def servers(self) -> dict[str, servers.Server]:
        """Member -> the PostgreSQL beside its Patroni, where that runs."""
        return {name: answer.server for name, answer in self.answers.items() if answer.server}


def find(known: Known, heard: list[Answer], silent: dict[Address, str], group: int = 0) -> Group:
    """Look at a group, whose Patronis `heard` are. Of `silent`, declared addresses, those that are its are taken out.

    Raises UsageError where [members] says of a member what is another's.
    """
    speaker = next((answer for answer in heard if answer.leads), heard[0])
    look = _Look(known, speaker.view, _by_name(speaker.view, [one for one in heard if not one.several]))
    _require_true_places(look, heard)
    _find_rests(look, silent)
    postgres, unreached, living = _find_postgres(look)
    found = {
        name: MemberAddress(name, postgres[name], look.rests.get(name), group, unreached.get(name, ""))
        for name in look.listed
    }
    gone = {name for name in found if name in look.rests and name not in look.answers and name not in living}
    return Group(
        tuple(member for name, member in found.items() if name not in gone),
        tuple(member for name, member in found.items() if name in gone),
        look.answers,
        look.own,
        look.without_rest,
        {
            name: why
            for name, why in unreached.items()
            if name not in gone and (name not in look.answers or look.answers[name].server)
        },
    )


def unlisted(known: Known, groups: Sequence[Group], silent: Mapping[Address, str]) -> list[MemberAddress]:
    """What was declared, and is no member that any Patroni knows. `silent` is address -> what it is called.

    Raises UsageError for a name in [members] that Patroni does not know, where another member is at its place.
    """
    listed = {member.name for group in groups for member in (*group.members, *group.absent)}
    by_server = {answer.server: name for group in groups for name, answer in group.answers.items() if answer.server}
    further = {name: place for name, place in known.places.items() if name not in listed}
    looks = servers.look_at_each(known.base, {place.postgres for place in further.values()})
    for name, place in further.items():
        other = looks[place.postgres]
        if not isinstance(other, Silent) and other in by_server:
            raise UsageError(
                f"[members] names {name}, which Patroni does not: it knows {', '.join(sorted(listed))}; at "
                f"{place.postgres} is {by_server[other]}"
            )
    rests = {name: place.rest for name, place in further.items()}
    nameless = [at for at, called in silent.items() if called == str(at) and at not in rests.values()]
    without_rest = [name for name, at in rests.items() if at is None]
    if len(without_rest) == len(nameless):  # each of them is one of these
        rests.update(zip(without_rest, nameless, strict=True))
    found = [MemberAddress(name, place.postgres, rests[name]) for name, place in further.items()]
    taken = set(rests.values())
    why = "the address of its PostgreSQL is not known ([members])"
    return [*found, *(MemberAddress(called, at, at, 0, why) for at, called in silent.items() if at not in taken)]


def _by_name(view: ClusterView, heard: list[Answer]) -> dict[str, Answer]:
    """Who is who. Where Patroni does not say its name: by its own address, by leading, or as the only one left."""
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


def _require_true_places(look: _Look, heard: list[Answer]) -> None:
    """What answers at the REST address of [members] is that member."""
    by_address = {answer.address: answer for answer in heard}
    for name, place in look.known.places.items():
        answer = by_address.get(place.rest) if place.rest else None
        if answer and answer.name and answer.name != name:
            raise UsageError(
                f"[members] says that the Patroni of {name} is at {place.rest}, but that is {answer.name}'s; "
                f"Patroni knows {', '.join(sorted(look.listed))}"
            )


def _find_rests(look: _Look, silent: dict[Address, str]) -> None:
    look.rests.update({name: answer.address for name, answer in look.answers.items()})
    missing = {name: member for name, member in look.listed.items() if name not in look.answers}
    for name, member in missing.items():
        place = look.known.places.get(name)
        declared = [at for at in silent if (place and at == place.rest) or _is_at(member, at)]
        if declared:
            look.rests[name] = declared[0]
            silent.pop(declared[0])
    own = {name: at for name, member in missing.items() if name not in look.rests and (at := own_rest(member))}
    answers = rest.ask(own.values())
    for name, at in own.items():
        answer = answers[at]
        if isinstance(answer, Answer) and answer.name in ("", name) and not answer.several:
            look.answers[name], look.rests[name] = replace(answer, name=name), at
    ways_are_open = any(_is_at(look.listed[name], answer.address) for name, answer in look.answers.items())
    left = [name for name in missing if name not in look.rests]
    if ways_are_open:  # the other members' own addresses lead to them: so would this one's, if anybody were there
        look.rests.update({name: own[name] for name in left if name in own})
    elif len(left) == len(silent):  # each of them is one of these
        look.rests.update(zip(left, silent, strict=True))
        silent.clear()
    look.without_rest.update(
        {
            name: f"{own.get(name, 'its own address')} is not reached from here: "
            f"add where it is to PATRONI_HOSTS, or to [members]"
            for name in left
            if name not in look.rests
        }
    )


def _find_postgres(look: _Look) -> tuple[dict[str, Address], dict[str, str], set[str]]:
    """Member -> its PostgreSQL; member -> why there is none that is reached from here; and those that live."""
    said = {name: place.postgres for name, place in look.known.places.items() if name in look.listed}
    own = look.own
    reached = reach_each((own | said).values())
    opened = {at for at, answer in reached.items() if answer is Reach.OPEN}
    looks = servers.look_at_each(look.known.base, opened)
    found, unreached, living = dict(said), dict[str, str](), set[str]()
    for name, at in (own | said).items():
        if at not in opened:
            continue
        seen, right = looks[at], look.servers.get(name)
        others = [other for other, server in look.servers.items() if server == seen and other != name]
        if name in said and others:
            raise UsageError(f"[members] says that {name} is at {at}, but that is {others[0]}")
        if name in said or isinstance(seen, Silent) or right is None or seen == right:
            found[name] = at
            living.add(name)
        else:
            unreached[name] = f"at its own address {at} another server answers here"
    missing = {name for name in look.listed if name not in found}
    if missing:
        published, in_doubt = _published(look, missing)
        found |= published
        living |= published.keys()
        unreached |= in_doubt
    there = {name: found[name] for name in living if name not in said}
    for name in missing - found.keys():
        here = own.get(name)
        if here and name not in unreached and _way_is_open(look, name, own, there):
            found[name] = here  # it would be reached there if it ran, or if it were not cut off
            continue
        why = (
            f"its own address {here} is not reached from here ({reached[here].value})" if here else "it has no address"
        )
        unreached[name] = f"{unreached.get(name, why)}: say in [members] where {name} is"
        found[name] = here or Address(name, look.known.port)
    return found, {name: why for name, why in unreached.items() if name in missing - living}, living


def _published(look: _Look, missing: set[str]) -> tuple[dict[str, Address], dict[str, str]]:
    """Those whose Patroni is reached at another address than its own: their PostgreSQL may be published beside it."""
    beside = {
        name: answer.address.host
        for name, answer in look.answers.items()
        if not _is_at(look.listed[name], answer.address)
    }
    wanted = {name: server for name, server in look.servers.items() if name in missing and name in beside}
    if not wanted:
        return {}, {}
    endpoints = look.known.endpoints if len(look.listed) > 1 else frozenset[Address]()
    hosts = Counter(beside.values())
    elsewhere = {Address(host, at.port) for host in hosts for at in endpoints if names_of(host) & names_of(at.host)}
    ports = {look.known.port, *(member.port for member in look.listed.values() if member.port)}
    return servers.published(look.known.base, wanted, hosts, ports, endpoints | elsewhere)


def _way_is_open(look: _Look, name: str, own: Mapping[str, Address], found: Mapping[str, Address]) -> bool:
    """Whether this member's silence is its own: another's own address, or its own host, is reached from here.

    `found` are the addresses at which members were reached.
    """
    answer = look.answers.get(name)
    if answer and names_of(answer.address.host) & names_of(own[name].host):
        return True
    return any(own.get(other) == at for other, at in found.items())


def _is_at(member: MemberView, address: Address) -> bool:
    at = own_rest(member)
    return at is not None and same(at, address)


def own_rest(member: MemberView) -> Address | None:
    """Where a member says that its REST API is."""
    parts = urlsplit(member.api_url)
    return Address(parts.hostname, parts.port or 8008) if parts.hostname else None
