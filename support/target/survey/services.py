"""Patroni's REST APIs, etcd, HAProxy's statistics page and what else listens beside the database."""

import socket
import ssl
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests

from support.errors import AcceptError
from support.target import etcd as etcd_api
from support.target import haproxy, http
from support.target.discovery import web
from support.target.discovery.addresses import PROBE, Reach, parsed, reach_each, same_address
from support.target.discovery.identity import PatroniAnswer, patronis_at
from support.target.members import NO_ANSWER, NoAnswer, ask_in_parallel
from support.target.topology import PLAIN, Address, Login, StatisticsPage, Topology, WebAccess
from support.timeouts import REST
from support.waiting import NotYet

PATRONI, ETCD = 8008, 2379
_PUBLISHED_PATRONIS = range(PATRONI, PATRONI + 10)
_PUBLISHED_ETCDS = (ETCD, 2381, 2382, 2383, 2389, 12379, 22379, 32379)
_PAGES = (7000, 8404, 1936, 9000, 8080, 8100, 8888, 9101)
_PATHS = ("", "/stats", "/haproxy?stats", "/haproxy/stats", "/admin?stats")
_REFUSAL = "You need a valid user and password to access this content"
"""What HAProxy says to a visitor without a login."""
_REDIS = (6379, 6380)


@dataclass(frozen=True)
class Patronis:
    """The REST APIs of the members."""

    answers: tuple[PatroniAnswer, ...] = ()
    why: str = ""
    """Why there is none, with what was tried; empty if there is."""

    @property
    def own(self) -> dict[str, Address]:
        """Member -> the address that the cluster itself uses for its PostgreSQL."""
        return {
            one.name: Address(one.host, one.port) for answer in self.answers for one in answer.view.members if one.host
        }


@dataclass(frozen=True)
class Etcd:
    """etcd's client addresses."""

    addresses: tuple[Address, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """Member of etcd -> its own host, by its client address."""
    why: str = ""
    """Why there is none, with what was tried; empty if there is."""


@dataclass(frozen=True)
class PageFound:
    """HAProxy's statistics page, or several candidates."""

    pages: tuple[StatisticsPage, ...] = ()
    why: str = ""
    """Why there is none, with what was tried; or what is wrong with the only one. Empty if all is well."""

    @property
    def page(self) -> StatisticsPage | None:
        return self.pages[0] if self.pages else None


def patronis(
    hosts: Collection[str],
    given: Collection[Address],
    published_at: str,
    system: str,
    access: WebAccess = PLAIN,
    port: int = PATRONI,
) -> Patronis:
    """The members' REST APIs: at the addresses given, else beside the database; each knows those of the others.

    `published_at` is the host that may publish the ports of several members; `system` is the system identifier of the
    database, empty if it is not known; `port` is the one at which they usually are.
    """
    asked = list(given) or [Address(host, port) for host in hosts]
    if not given:
        asked += [Address(published_at, one) for one in (port, *_PUBLISHED_PATRONIS)]
    asked = list(dict.fromkeys(asked))
    listening = [at for at, answer in reach_each(asked).items() if answer is Reach.OPEN]
    answers = patronis_at(listening, access)
    heard = [one for one in answers.values() if isinstance(one, PatroniAnswer)]
    ours = [one for one in heard if not (system and one.server and one.server.system not in ("", system))]
    if not ours:
        return Patronis((), _no_patroni(asked, answers, heard, access))
    further = {at for one in ours for at in _others(one)} - set(answers)
    reached = [at for at, answer in reach_each(further).items() if answer is Reach.OPEN]
    more = [one for one in patronis_at(reached, access).values() if isinstance(one, PatroniAnswer)]
    known = {name for one in ours for name in one.known}
    by_name: dict[str, PatroniAnswer] = {}
    for one in (*more, *ours):  # members' own addresses are preferred to those at which they are published
        if not one.several and (one.name in known or not one.name):
            by_name.setdefault(one.name or str(one.address), one)
    why = "" if by_name else _no_patroni(asked, answers, [], access)
    return Patronis(tuple(by_name[name] for name in sorted(by_name)), why)


def _others(answer: PatroniAnswer) -> Iterator[Address]:
    for member in answer.view.members:
        parts = urlsplit(member.api_url)
        if parts.hostname:
            yield Address(parts.hostname, parts.port or PATRONI)


def _no_patroni(
    asked: Collection[Address],
    answers: Mapping[Address, PatroniAnswer | NoAnswer],
    heard: Collection[PatroniAnswer],
    access: WebAccess,
) -> str:
    if heard:
        others = ", ".join(f"{one.address} ({one.scope})" for one in heard)
        return f"the Patroni at {others} manages a database system other than the one at the database's address"
    if access.scheme == "https" and (silent := [one.why for one in answers.values() if isinstance(one, NoAnswer)]):
        return f"no Patroni REST API answers at {_listed(asked)}: {web.advice(silent, access)} ({silent[0]})"
    if encrypted := [at for at in answers if speaks_tls(at)]:
        return (
            f"{_listed(encrypted)} speaks TLS: set PATRONI_CTL_CACERT (and PATRONI_CTL_CERTFILE, PATRONI_CTL_KEYFILE), "
            "or write https:// in PATRONI_HOSTS"
        )
    strange = "".join(f"; {at}: {one.why}" for at, one in answers.items() if isinstance(one, NoAnswer))
    return f"no Patroni REST API answers at {_listed(asked)}{strange}"


def etcd(hosts: Collection[str], given: Collection[Address], published_at: str, topology: Topology) -> Etcd:
    """etcd's client addresses: those given, else beside the members. Only an etcd with the keys of the scope counts."""
    asked = list(given) or [Address(host, ETCD) for host in hosts]
    if not given:
        asked += [Address(published_at, port) for port in _PUBLISHED_ETCDS]
    asked = list(dict.fromkeys(asked))
    by_name = {str(at): at for at, answer in reach_each(asked).items() if answer is Reach.OPEN}
    answers = ask_in_parallel(by_name, lambda name: _members_of_etcd(by_name[name]))
    told = {by_name[name]: one for name, one in answers.items() if not isinstance(one, NoAnswer)}
    ours = {at: one for at, one in told.items() if given or _has_keys(at, topology)}
    if not ours:
        if others := list(told):
            return Etcd((), {}, f"the etcd at {_listed(others)} has no keys of a Patroni cluster {topology.scope}")
        if encrypted := [at for at in by_name.values() if speaks_tls(at)]:
            return Etcd(
                (), {}, f"{_listed(encrypted)} speaks TLS: describe it in [dcs.etcd3], as in Patroni's own file"
            )
        return Etcd((), {}, f"no etcd answers at {_listed(asked)}")
    members = {name: urls for one in ours.values() for name, urls in one.items()}
    own = {name: parsed(urls[0], ETCD) for name, urls in members.items() if urls and not urls[0].startswith("https")}
    reached = reach_each(own.values())
    addresses = [at for at in own.values() if reached[at] is Reach.OPEN]
    if len(addresses) < len(members):  # their own addresses work inside of their network only
        addresses = list(ours)
    return Etcd(tuple(addresses), {name: at.host for name, at in own.items()})


def _members_of_etcd(address: Address) -> dict[str, list[str]]:
    """Member -> its client URLs."""
    answer = http.send("POST", f"http://{address}/v3/cluster/member/list", json={}, timeout=REST)
    answer.raise_for_status()
    return {str(one.get("name") or one["ID"]): list(one.get("clientURLs") or ()) for one in answer.json()["members"]}


def _has_keys(address: Address, topology: Topology) -> bool:
    try:
        seen = Topology(topology.database, topology.application, topology.write, dcs=(address,), scope=topology.scope)
        return bool(etcd_api.namespaces(seen))
    except (AcceptError, NotYet, requests.RequestException, *NO_ANSWER):
        return False


def statistics(hosts: Collection[str], given: str, login: Login | None, authority: str = "") -> PageFound:
    """HAProxy's statistics page: the given one, or else one for each address at the usual places on these hosts.

    Anything may listen there: the login is sent only to a page that is guarded by HAProxy.
    """
    if given:
        return _given_page(StatisticsPage(given, login, authority=authority))
    places = [Address(host, port) for host in hosts for port in _PAGES]
    listening = [at for at, answer in reach_each(places).items() if answer is Reach.OPEN]
    where = {f"http://{at}{path}": at for at in listening for path in _PATHS}
    answers = ask_in_parallel(where, lambda url: haproxy.statistics(StatisticsPage(url)))
    guarded = [url for url, one in answers.items() if isinstance(one, NoAnswer) and "401" in one.why and _is_page(url)]
    if login:
        answers |= ask_in_parallel(guarded, lambda url: haproxy.statistics(StatisticsPage(url, login)))
    served = [url for url, one in answers.items() if not isinstance(one, NoAnswer) and one.servers]
    if pages := {where[url]: StatisticsPage(url, login if url in guarded else None) for url in reversed(served)}:
        return PageFound(tuple(pages[at] for at in listening if at in pages))
    if guarded:
        return PageFound((), _guarded(guarded[0], login))
    why = f"none of the ports {', '.join(map(str, _PAGES))} of {', '.join(hosts)} serves one"
    if encrypted := [at for at in listening if speaks_tls(at)]:
        why += f"; {_listed(encrypted)} speaks TLS: if that is it, give its URL with --statistics https://..."
    return PageFound((), why)


def _given_page(page: StatisticsPage) -> PageFound:
    answer = ask_in_parallel([page.url], lambda url: haproxy.statistics(page))[page.url]
    if not isinstance(answer, NoAnswer):
        return PageFound((page,)) if answer.servers else PageFound((), f"{page.url} shows no servers")
    if "401" in answer.why:
        return PageFound((), _guarded(page.url, page.login))
    at = urlsplit(page.url)
    encrypted = at.scheme == "http" and at.hostname and speaks_tls(Address(at.hostname, at.port or 80))
    return PageFound((), f"{page.url}: {'it speaks TLS: write https://' if encrypted else answer}")


def _guarded(url: str, login: Login | None) -> str:
    refused = f"refuses {login.user}: check" if login else "asks for a login: set"
    return f"{url} {refused} HAPROXY_STATS_USER and HAPROXY_STATS_PASSWORD"


def _is_page(url: str) -> bool:
    """Whether it is HAProxy that asks for a login there: any web server may answer 401."""
    with suppress(requests.RequestException):
        answer = http.send("GET", url, timeout=REST, allow_redirects=False)
        challenge = answer.headers.get("WWW-Authenticate", "").lower()
        return _REFUSAL in answer.text or "haproxy" in challenge or "statistics" in challenge
    return False


def redis_near(hosts: Iterable[str]) -> list[Address]:
    """Where a Redis may be. Nothing is sent there: one that nobody named may be somebody else's."""
    places = [Address(host, port) for host in dict.fromkeys(hosts) for port in _REDIS]
    return [at for at, answer in reach_each(places).items() if answer is Reach.OPEN]


def speaks_tls(address: Address) -> bool:
    """Whether it begins a TLS session; its certificate is not checked."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=PROBE) as plain,
            context.wrap_socket(plain, server_hostname=address.host),
        ):
            return True
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error) or "HANDSHAKE_FAILURE" in str(error)
    except OSError:
        return False


def same_machine(one: str, other: str) -> bool:
    """Whether two names or addresses are of one machine."""
    return same_address(Address(one, 0), Address(other, 0))


def _listed(addresses: Collection[Address]) -> str:
    """Addresses in a few words: the ports of each host together."""
    ports: dict[str, list[int]] = {}
    for at in addresses:
        ports.setdefault(at.host, []).append(at.port)
    return "; ".join(
        f"{host}, port{'s' if len(of) > 1 else ''} {', '.join(map(str, of))}" for host, of in ports.items()
    )
