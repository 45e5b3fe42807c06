"""What only etcd can say: the health of its members, and the leases of Patroni's keys. Read only, by its JSON gateway.

What Patroni keeps in it is read in dcs.py. Its certificates and its login are those of Patroni's configuration.
Sources: https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/, patroni/dcs/__init__.py (the names of the keys) and
lease/lessor.go of etcd (Promote: what becomes of leases when it has elected a leader)
"""

import re
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from support.target import dcs, http
from support.target.members import NoAnswer, ask_in_parallel
from support.target.topology import Address, Topology
from support.timeouts import REST
from support.waiting import NotYet

MOST_KEYS = 200_000
"""How many keys of etcd are searched for those of Patroni; a cluster has about ten."""

_URLS = ("clientURLs", "peerURLs")
_IN_USE = re.compile(r"(/.*)/(?:leader|members/[^/]+)")
"""Keys that Patroni has to renew."""
_PEER = re.compile(r'^etcd_network_active_peers\{(?=.*Remote="([0-9a-f]+)").*\} (\d+)', re.MULTILINE)


@dataclass(frozen=True)
class Quorum:
    """How many members of etcd vote, and which of the known ones are healthy."""

    voters: int
    healthy: frozenset[str]
    unhealthy: Mapping[str, str]
    """Address (or name) -> what is wrong."""
    unjudged: frozenset[str] = field(default_factory=frozenset)
    """The names of voters of unknown health: no address was given for them, and etcd does not say."""

    @property
    def needed(self) -> int:
        """The number of healthy voters that make a quorum."""
        return self.voters // 2 + 1

    @property
    def spare(self) -> int:
        """How many more voters can be lost without losing the quorum; negative if there is no quorum now."""
        return len(self.healthy) - self.needed


def quorum(topology: Topology) -> Quorum:
    """The health of etcd now, by its members' own answers; for unreachable members, by those of the others.

    Raises NotYet if no member answers.
    """
    addresses = {str(address): address for address in topology.dcs}
    ids = ask_in_parallel(addresses, lambda name: _healthy_member(topology, addresses[name]))
    members = ask_in_parallel(
        addresses, lambda name: _post(topology, addresses[name], "/v3/cluster/member/list", {})["members"]
    )
    known = [answer for answer in members.values() if not isinstance(answer, NoAnswer)]
    unhealthy = {name: str(answer) for name, answer in ids.items() if isinstance(answer, NoAnswer)}
    if not known:
        raise NotYet(_nobody(members))
    voters = {str(one["ID"]): one for answer in known for one in answer if not one.get("isLearner")}
    healthy = {answer: name for name, answer in ids.items() if not isinstance(answer, NoAnswer) and answer in voters}
    others = {id: one for id, one in voters.items() if id not in healthy}
    well_known = [addresses[name] for name in healthy.values()]
    found = _of_others(topology, others, well_known) if len(others) > len(unhealthy) else {}
    # Each address without an answer belongs to one of the others, not known which: so many are judged already.
    spare = len(others) - len(unhealthy)
    well = sorted(_name(others[id]) for id, active in found.items() if active)[: max(0, spare)]
    ill = sorted(_name(others[id]) for id, active in found.items() if active is False)[: max(0, spare - len(well))]
    untold = sorted(_name(others[id]) for id in others if id not in found)[: max(0, spare - len(well) - len(ill))]
    return Quorum(
        len(voters),
        frozenset([*healthy.values(), *well]),
        {**unhealthy, **dict.fromkeys(ill, "the other members have lost it")},
        frozenset(untold),
    )


def _of_others(
    topology: Topology, others: Mapping[str, Mapping[str, Any]], healthy: Iterable[Address]
) -> dict[str, bool]:
    """Member -> whether it works: asked at its own address, else by the connections that healthy members have to it."""
    own = {id: _own_address(one) for id, one in others.items()}
    known = {id: address for id, address in own.items() if address}
    answers = ask_in_parallel(known, lambda id: _healthy_member(topology, known[id]) == id)
    peers = ask_in_parallel(map(str, healthy), lambda name: _peers(topology, name))
    told = [answer for answer in peers.values() if not isinstance(answer, NoAnswer)]
    found = {}
    for id in others:
        by_peers = [answer[id] for answer in told if id in answer]
        if answers.get(id) is True:
            found[id] = True
        elif by_peers:
            found[id] = any(by_peers)
    return found


def _peers(topology: Topology, address: str) -> dict[str, bool]:
    """Member -> whether the member at that address is connected to it, by its metrics."""
    answer = _get(topology, address, "/metrics")
    answer.raise_for_status()
    return {str(int(id, 16)): count != "0" for id, count in _PEER.findall(answer.text)}


def _name(member: Mapping[str, Any]) -> str:
    return str(member.get("name") or member["ID"])


def advertised(topology: Topology) -> dict[str, list[str]]:
    """Member -> the hosts by which it tells the other members and clients to reach it.

    Raises NotYet if no member answers.
    """
    return {_name(one): _hosts(one) for one in _members(topology)}


def secured_peers(topology: Topology) -> dict[str, tuple[Address, ...]]:
    """Member -> where the other members reach it over TLS; without those that are reached without it.

    Raises NotYet if no member answers.
    """
    found = {}
    for one in _members(topology):
        urls = [url for url in map(urlsplit, one.get("peerURLs") or ()) if url.scheme == "https"]
        if places := tuple(Address(url.hostname, url.port or 2380) for url in urls if url.hostname):
            found[_name(one)] = places
    return found


def _members(topology: Topology) -> list[dict[str, Any]]:
    """The members as one of them knows them. Raises NotYet if none answers."""
    addresses = {str(address): address for address in topology.dcs}
    answers = ask_in_parallel(
        addresses, lambda name: _post(topology, addresses[name], "/v3/cluster/member/list", {})["members"]
    )
    for answer in answers.values():
        if not isinstance(answer, NoAnswer):
            return list(answer)
    raise NotYet(_nobody(answers))


def _hosts(member: Mapping[str, Any]) -> list[str]:
    hosts = (urlsplit(url).hostname for key in _URLS for url in member.get(key) or ())
    return list(dict.fromkeys(host for host in hosts if host))


def _own_address(member: Mapping[str, Any]) -> Address | None:
    parts = urlsplit(next(iter(member.get("clientURLs") or ()), ""))
    return Address(parts.hostname, parts.port or 2379) if parts.hostname else None


def namespaces(topology: Topology) -> dict[str, str]:
    """Patroni namespace (without a slash at the end) -> the system identifier of the cluster with this scope in it.

    Empty where etcd's v3 API shows no such cluster. Raises NotYet if no member of etcd answers.
    """
    everything = {"key": _encoded("/"), "range_end": _encoded("0"), "keys_only": True, "limit": MOST_KEYS}
    keys = {_decoded(one["key"]): one["key"] for one in _first_answer(topology, everything).get("kvs", [])}
    pattern = re.compile(rf"(.*)/{re.escape(topology.scope)}/(?:0/)?initialize")
    found = {match[1]: key for name, key in keys.items() if (match := pattern.fullmatch(name))}
    answers = {namespace: _first_answer(topology, {"key": key}).get("kvs") for namespace, key in found.items()}
    return {namespace: _decoded(kept[0].get("value", "")) for namespace, kept in answers.items() if kept}


def other_clusters(topology: Topology) -> list[str]:
    """The paths (namespace, scope and Citus group) of the other clusters whose Patronis use this etcd now.

    Raises NotYet if that cannot be told: no member answers, or this login does not see the keys of others.
    """
    everything = {"key": _encoded("/"), "range_end": _encoded("0"), "keys_only": True, "limit": MOST_KEYS}
    answer = _first_answer(topology, everything)
    if answer.get("more"):
        raise NotYet(f"etcd has more than {MOST_KEYS} keys")
    keys = {_decoded(one["key"]) for one in answer.get("kvs", [])}
    used = {match[1] for name in keys if (match := _IN_USE.fullmatch(name)) and f"{match[1]}/initialize" in keys}
    own = re.compile(rf"{re.escape(f'{topology.dcs_namespace}/{topology.scope}')}(/\d+)?")
    if not any(own.fullmatch(path) for path in used):
        raise NotYet(f"etcd's v3 API does not show the keys of Patroni's cluster {topology.scope}")
    return sorted(path for path in used if not own.fullmatch(path))


def _first_answer(topology: Topology, question: Mapping[str, Any]) -> dict[str, Any]:
    addresses = {str(address): address for address in topology.dcs}
    answers = ask_in_parallel(addresses, lambda one: _post(topology, addresses[one], "/v3/kv/range", question))
    for answer in answers.values():
        if not isinstance(answer, NoAnswer):
            return answer
    raise NotYet(_nobody(answers))


def _nobody(answers: Mapping[str, object]) -> str:
    return f"no member of etcd answered: {', '.join(f'{name}: {why}' for name, why in answers.items())}"


def leases(topology: Topology, group: int = 0) -> dict[str, int]:
    """Patroni key of a group that expires unless it is renewed -> the seconds for which its lease was granted.

    Raises NotYet if no member of etcd answers.
    """
    refused = {}
    for address in topology.dcs:
        try:
            return _leases(topology, address, group)
        except requests.RequestException as error:
            refused[str(address)] = NoAnswer.because(error)
    raise NotYet(_nobody(refused))


def _leases(topology: Topology, address: Address, group: int) -> dict[str, int]:
    found = dict[str, int]()
    for root in _roots(topology, group):
        question = {"key": _encoded(root), "range_end": _encoded(f"{root[:-1]}0")}  # 0 comes after /
        for one in _post(topology, address, "/v3/kv/range", question).get("kvs", []):
            name = _decoded(one["key"]).removeprefix(root)
            if "lease" in one and not re.match(r"\d+/", name):  # that is the key of a group
                lease = _post(topology, address, "/v3/lease/timetolive", {"ID": one["lease"]})
                if granted := int(lease.get("grantedTTL", 0)):  # none: it has expired since
                    found.setdefault(name, granted)
    return found


@dataclass(frozen=True)
class Lock:
    """The leader key of a group."""

    owner: str
    made: int
    """The revision of etcd at which it was made; another one if the lock was lost meanwhile and taken again."""
    renewed: float
    """When it was last renewed, or at most a second earlier, as etcd tells whole seconds; monotonic clock.

    Soon after etcd has elected a leader, later than that: see `term`.
    """
    term: int = 0
    """The election of etcd after which this was told. A new leader of etcd extends every lease, by its election timeout
    beyond what was granted, whether or not the owner can renew it. Between two answers of one term, only the owner has
    done so."""


def lock(topology: Topology, group: int = 0) -> Lock:
    """The lock of a group now.

    Raises NotYet if there is none, if no member of etcd answers, or while it is not known when its owner renewed it.
    """
    refused = {}
    for address in topology.dcs:
        try:
            keys = [
                one
                for root in _roots(topology, group)
                for one in _post(topology, address, "/v3/kv/range", {"key": _encoded(f"{root}leader")}).get("kvs", [])
                if "lease" in one
            ]
            if not keys:
                raise NotYet(f"group {group} has no leader key that expires")
            asked = time.monotonic()
            lease = _post(topology, address, "/v3/lease/timetolive", {"ID": keys[0]["lease"]})
            granted, left = int(lease.get("grantedTTL", 0)), int(lease.get("TTL", 0))
            if not granted:
                raise NotYet(f"the leader key of group {group} has expired")
            if left >= granted:  # of what was granted, a part of a second is always gone
                raise NotYet(f"etcd itself extended the leader key of group {group}, as after an election")
            owner, term = _decoded(keys[0]["value"]), int(lease.get("header", {}).get("raft_term", 0))
            return Lock(owner, int(keys[0]["create_revision"]), asked - (granted - left), term)
        except requests.RequestException as error:
            refused[str(address)] = NoAnswer.because(error)
    raise NotYet(_nobody(refused))


def _roots(topology: Topology, group: int) -> tuple[str, ...]:
    """Beginnings that the keys of a group can have: the coordinator's are in group 0, also if it has no workers."""
    whole = f"{topology.dcs_namespace}/{topology.scope}/"
    return (f"{whole}{group}/",) if group else (f"{whole}0/", whole)


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    """A key or a value. Those of other applications in the same etcd may be any bytes."""
    return b64decode(text).decode(errors="replace")


def answers(topology: Topology) -> bool:
    """Whether etcd, of any release, answers at any of the addresses."""
    addresses = {str(address): address for address in topology.dcs}
    found = ask_in_parallel(addresses, lambda one: "etcdserver" in _get(topology, one, "/version").json())
    return any(answer is True for answer in found.values())


def version(topology: Topology) -> str:
    """The release of the first member. Raises OSError or ValueError if it does not tell."""
    return str(_get(topology, topology.dcs[0], "/version").json()["etcdserver"])


def leader(topology: Topology) -> tuple[str, ...]:
    """The hosts at which etcd's leader is now: at the address that was given, then as etcd itself knows it.

    Raises NotYet while no member says that it leads.
    """
    addresses = {str(address): address for address in topology.dcs}
    told = ask_in_parallel(addresses, lambda name: _post(topology, addresses[name], "/v3/maintenance/status", {}))
    for name, answer in told.items():
        if isinstance(answer, NoAnswer) or answer.get("leader") != (own := answer["header"]["member_id"]):
            continue
        try:
            members = _post(topology, addresses[name], "/v3/cluster/member/list", {})["members"]
        except requests.RequestException:
            members = []
        urls = [url for one in members if one["ID"] == own for key in _URLS for url in one.get(key) or ()]
        return tuple(dict.fromkeys([addresses[name].host, *(urlsplit(url).hostname or "" for url in urls)]))
    raise NotYet(f"no member of etcd says that it leads: {told}")


def serving(topology: Topology, addresses: Iterable[Address]) -> list[str]:
    """The addresses whose members report that they belong to a quorum."""
    asked = {str(address): address for address in addresses}
    found = ask_in_parallel(asked, lambda name: _get(topology, asked[name], "/health").json().get("health") == "true")
    return [name for name, answer in found.items() if answer is True]


def electable(topology: Topology, addresses: Iterable[Address]) -> list[str]:
    """The addresses at which a member is connected to enough other members to elect a leader.

    During an election no member reports itself healthy, although there is a quorum. Empty if the metrics, which show
    the connections, are not served at the client address (`--listen-metrics-urls`).
    """
    asked = {str(address): address for address in addresses}
    found = ask_in_parallel(asked, lambda name: _reaches_majority(topology, asked[name]))
    return [name for name, answer in found.items() if answer is True]


def _reaches_majority(topology: Topology, address: Address) -> bool:
    members = _post(topology, address, "/v3/cluster/member/list", {})["members"]
    voters = {str(one["ID"]) for one in members if not one.get("isLearner")}
    own = str(_post(topology, address, "/v3/maintenance/status", {})["header"]["member_id"])
    connected = {id for id, active in _peers(topology, str(address)).items() if active}
    return len(voters & {own, *connected}) > len(voters) // 2


def _healthy_member(topology: Topology, address: Address) -> str:
    """The id of the member there. Raises NotYet, with its answer, when it is not part of a quorum."""
    answer = _get(topology, address, "/health")
    if answer.json().get("health") != "true":
        raise NotYet(f"it says {answer.text.strip()}")
    return str(_post(topology, address, "/v3/maintenance/status", {})["header"]["member_id"])


@dataclass(frozen=True)
class Access:
    """How etcd is asked, by Patroni's section for it."""

    scheme: str
    authority: str | None
    """The file of the authority that signed etcd's certificates."""
    certificate: str | tuple[str, str] | None
    """The file of the client's certificate, and that of its key unless it is in the same file."""
    login: tuple[str, str] | None

    @classmethod
    def of(cls, topology: Topology) -> "Access":
        """What the cluster's topology says about it."""
        section = dcs.section_of_etcd(topology)
        url = urlsplit(str(section.get("proxy") or section.get("url") or ""))  # which overrule the rest, as in Patroni
        user, password = url.username or section.get("username"), url.password or section.get("password")
        cert, key = section.get("cert"), section.get("key")
        return cls(
            scheme=url.scheme or section.get("protocol") or "http",
            authority=section.get("cacert"),
            certificate=(str(cert), str(key)) if cert and key else str(cert) if cert else None,
            # With its API v2, etcd has other users.
            login=(str(user), str(password)) if user and password and "etcd" not in dcs.sections(topology) else None,
        )

    @property
    def files(self) -> tuple[str, str | None] | None:
        """The files of the client's certificate and its key, which may be in the first one."""
        return (self.certificate, None) if isinstance(self.certificate, str) else self.certificate

    @property
    def options(self) -> dict[str, Any]:
        """As arguments of a request."""
        return {"verify": self.authority or True, "cert": self.certificate, "timeout": REST}


def _get(topology: Topology, address: Address | str, path: str) -> requests.Response:
    access = Access.of(topology)
    return http.send("GET", f"{access.scheme}://{address}{path}", **access.options)


def _post(topology: Topology, address: Address, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
    access = Access.of(topology)
    url = f"{access.scheme}://{address}"
    for fresh in (False, True):
        headers = {"Authorization": _token(access, url, fresh)} if access.login else {}
        answer = http.send("POST", f"{url}{path}", json=question, headers=headers, **access.options)
        if not (access.login and answer.status_code == 401):  # the token has expired
            break
    if answer.status_code >= 400:
        raise requests.HTTPError(f"it answers {answer.status_code}: {_message(answer)}")
    decoded: dict[str, Any] = answer.json()
    return decoded


_tokens: dict[tuple[str, tuple[str, str] | None], str] = {}
"""(URL, login) -> the token that etcd gave for it."""


def _token(access: Access, url: str, fresh: bool) -> str:
    """Source: https://etcd.io/docs/v3.4/op-guide/authentication/ and the JSON gateway's page."""
    known = (url, access.login)
    if fresh or known not in _tokens:
        assert access.login is not None
        name, password = access.login
        question = {"name": name, "password": password}
        answer = http.send("POST", f"{url}/v3/auth/authenticate", json=question, **access.options)
        if answer.status_code >= 400 and "not enabled" not in answer.text:
            raise requests.HTTPError(f"it refuses the login of {name}: {_message(answer)}")
        _tokens[known] = str(answer.json().get("token", ""))
    return _tokens[known]


def _message(answer: requests.Response) -> str:
    """What etcd says in an answer that is an error."""
    try:
        decoded = answer.json()
        return str(decoded.get("message") or decoded.get("error") or decoded)
    except (ValueError, AttributeError):
        return answer.text.strip()[:200]
