"""The DCS: etcd's own health, and the keys in which Patroni keeps its state; read only, by the JSON gateway.

Sources: https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ and patroni/dcs/__init__.py (the names of the keys)
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from support.target.members import Silent, ask_each
from support.target.topology import Address, Topology
from support.timeouts import REST
from support.waiting import NotYet

MOST_KEYS = 200_000
"""How many keys of etcd are looked through for those of Patroni; a cluster has about ten."""

_PEER = re.compile(r'^etcd_network_active_peers\{(?=.*Remote="([0-9a-f]+)").*\} (\d+)', re.MULTILINE)


@dataclass(frozen=True)
class Quorum:
    """How many members of etcd vote, and which of those that we know are healthy."""

    voters: int
    healthy: frozenset[str]
    unhealthy: Mapping[str, str]
    """Address, or name, -> what is wrong."""
    unjudged: frozenset[str] = field(default_factory=frozenset)
    """The names of voters of which nothing is known: no address of theirs was given, and etcd does not tell."""

    @property
    def needed(self) -> int:
        """The smallest number of healthy voters with which it works."""
        return self.voters // 2 + 1

    @property
    def spare(self) -> int:
        """How many more it could lose and still work; negative when it does not work now."""
        return len(self.healthy) - self.needed


def quorum(topology: Topology) -> Quorum:
    """The health of etcd now: by its members' own words, and of those that are out of reach by the others'.

    Raises NotYet if none answers.
    """
    addresses = {str(address): address for address in topology.dcs}
    ids = ask_each(addresses, lambda name: _healthy_member(addresses[name]))
    members = ask_each(addresses, lambda name: _post(addresses[name], "/v3/cluster/member/list", {})["members"])
    known = [answer for answer in members.values() if not isinstance(answer, Silent)]
    unhealthy = {name: str(answer) for name, answer in ids.items() if isinstance(answer, Silent)}
    if not known:
        raise NotYet(f"no member of etcd answered: {unhealthy}")
    voters = {str(one["ID"]): one for answer in known for one in answer if not one.get("isLearner")}
    healthy = {answer: name for name, answer in ids.items() if not isinstance(answer, Silent) and answer in voters}
    others = {id: one for id, one in voters.items() if id not in healthy}
    found = _of_others(others, [addresses[name] for name in healthy.values()]) if len(others) > len(unhealthy) else {}
    # A silent address is one of the others, though it is not known which: so many of them are judged already.
    spare = len(others) - len(unhealthy)
    well = sorted(_name(others[id]) for id, active in found.items() if active)[: max(0, spare)]
    ill = sorted(_name(others[id]) for id, active in found.items() if active is False)[: max(0, spare - len(well))]
    untold = sorted(_name(others[id]) for id in others if id not in found)[: max(0, spare - len(well) - len(ill))]
    return Quorum(
        len(voters),
        frozenset([*healthy.values(), *well]),
        {**unhealthy, **dict.fromkeys(ill, "the others have lost it")},
        frozenset(untold),
    )


def _of_others(others: Mapping[str, Mapping[str, Any]], healthy: Iterable[Address]) -> dict[str, bool]:
    """Member -> whether it works: asked at its own address, else by the connections that the healthy have to it."""
    own = {id: _own_address(one) for id, one in others.items()}
    answers = ask_each(
        [id for id, address in own.items() if address], lambda id: _healthy_member(_required(own[id])) == id
    )
    peers = ask_each(map(str, healthy), lambda name: _peers(name))
    told = [answer for answer in peers.values() if not isinstance(answer, Silent)]
    found = {}
    for id in others:
        by_peers = [answer[id] for answer in told if id in answer]
        if answers.get(id) is True:
            found[id] = True
        elif by_peers:
            found[id] = any(by_peers)
    return found


def _peers(address: str) -> dict[str, bool]:
    """Member -> whether the one at that address is connected with it, by its metrics."""
    answer = requests.get(f"http://{address}/metrics", timeout=REST)
    answer.raise_for_status()
    return {str(int(id, 16)): count != "0" for id, count in _PEER.findall(answer.text)}


def _name(member: Mapping[str, Any]) -> str:
    return str(member.get("name") or member["ID"])


def _own_address(member: Mapping[str, Any]) -> Address | None:
    parts = urlsplit(next(iter(member.get("clientURLs") or ()), ""))
    return Address(parts.hostname, parts.port or 2379) if parts.hostname else None


def _required(address: Address | None) -> Address:
    assert address is not None
    return address


def key(topology: Topology, name: str, group: int = 0) -> str | None:
    """The value of one of Patroni's keys of a group ("leader", "sync", "config", ...); None if there is none.

    Raises NotYet if no member of etcd can tell.
    """
    beginning = f"{topology.dcs_namespace}/{topology.scope}"
    # A coordinator has a number too, also where nothing is known of its workers.
    paths = (
        [f"{beginning}/{group}/{name}"]
        if len(topology.groups) > 1
        else [f"{beginning}/{name}", f"{beginning}/0/{name}"]
    )
    for path in paths:
        if found := _first_answer(topology, {"key": _encoded(path)}).get("kvs", []):
            return b64decode(found[0]["value"]).decode()
    return None


def namespaces(topology: Topology) -> dict[str, str]:
    """Namespace of Patroni's, without a slash at the end -> the system identifier of the cluster of this scope there.

    Empty where etcd's v3 API shows no such cluster. Raises NotYet if no member of etcd can tell.
    """
    everything = {"key": _encoded("/"), "range_end": _encoded("0"), "keys_only": True, "limit": MOST_KEYS}
    keys = [b64decode(one["key"]).decode() for one in _first_answer(topology, everything).get("kvs", [])]
    pattern = re.compile(rf"(.*)/{re.escape(topology.scope)}/(?:0/)?initialize")
    found = {match[1]: match[0] for one in keys if (match := pattern.fullmatch(one))}
    return {
        namespace: b64decode(_first_answer(topology, {"key": _encoded(one)})["kvs"][0].get("value", "")).decode()
        for namespace, one in found.items()
    }


def _first_answer(topology: Topology, question: Mapping[str, Any]) -> dict[str, Any]:
    addresses = {str(address): address for address in topology.dcs}
    answers = ask_each(addresses, lambda one: _post(addresses[one], "/v3/kv/range", question))
    for answer in answers.values():
        if not isinstance(answer, Silent):
            return answer
    raise NotYet(f"no member of etcd answered: {', '.join(f'{name}: {why}' for name, why in answers.items())}")


def leases(topology: Topology, group: int = 0) -> dict[str, int]:
    """Patroni's keys of a group that are gone unless they are renewed -> for how many seconds each was granted.

    Raises NotYet if no member of etcd can tell.
    """
    scope = f"{topology.scope}/{group}" if len(topology.groups) > 1 else topology.scope
    root = f"{topology.dcs_namespace}/{scope}/"
    question = {"key": _encoded(root), "range_end": _encoded(f"{root[:-1]}0")}  # 0 comes after /
    refused = []
    for address in topology.dcs:
        try:
            found = [one for one in _post(address, "/v3/kv/range", question).get("kvs", []) if "lease" in one]
            return {
                b64decode(one["key"]).decode().removeprefix(root): int(
                    _post(address, "/v3/lease/timetolive", {"ID": one["lease"]}).get("grantedTTL", 0)
                )
                for one in found
            }
        except requests.RequestException as error:
            refused.append(f"{address}: {type(error).__name__}")
    raise NotYet(f"no member of etcd answered: {', '.join(refused)}")


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def answers(topology: Topology) -> bool:
    """Whether an etcd of any release answers at any of the addresses."""
    addresses = {str(address): address for address in topology.dcs}
    found = ask_each(addresses, lambda one: "etcdserver" in requests.get(f"http://{one}/version", timeout=REST).json())
    return any(answer is True for answer in found.values())


def leader(topology: Topology) -> Address:
    """The address of the member that leads etcd now. Raises NotYet while none says that it does."""
    addresses = {str(address): address for address in topology.dcs}
    answers = ask_each(addresses, lambda name: _post(addresses[name], "/v3/maintenance/status", {}))
    for name, answer in answers.items():
        if not isinstance(answer, Silent) and answer.get("leader") == answer["header"]["member_id"]:
            return addresses[name]
    raise NotYet(f"no member of etcd says that it leads: {answers}")


def _healthy_member(address: Address) -> str:
    """The id of the member there; raises NotYet with what it says when it is not part of a working quorum."""
    answer = requests.get(f"http://{address}/health", timeout=REST)
    if answer.json().get("health") != "true":
        raise NotYet(f"it says {answer.text.strip()}")
    return str(_post(address, "/v3/maintenance/status", {})["header"]["member_id"])


def _post(address: Address, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
    answer = requests.post(f"http://{address}{path}", json=question, timeout=REST)
    answer.raise_for_status()
    decoded: dict[str, Any] = answer.json()
    return decoded
