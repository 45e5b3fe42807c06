"""The DCS: etcd's health, and the keys in which Patroni keeps its state there. Read only, by etcd's JSON gateway.

Sources: https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ and patroni/dcs/__init__.py (the names of the keys)
"""

import re
import time
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import requests

from support.errors import RequirementMissing
from support.target.members import NoAnswer, ask_in_parallel
from support.target.topology import Address, Topology
from support.timeouts import REST
from support.waiting import NotYet

MOST_KEYS = 200_000
"""How many keys of etcd are searched for those of Patroni; a cluster has about ten."""

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
    ids = ask_in_parallel(addresses, lambda name: _healthy_member(addresses[name]))
    members = ask_in_parallel(addresses, lambda name: _post(addresses[name], "/v3/cluster/member/list", {})["members"])
    known = [answer for answer in members.values() if not isinstance(answer, NoAnswer)]
    unhealthy = {name: str(answer) for name, answer in ids.items() if isinstance(answer, NoAnswer)}
    if not known:
        raise NotYet(_nobody(members))
    voters = {str(one["ID"]): one for answer in known for one in answer if not one.get("isLearner")}
    healthy = {answer: name for name, answer in ids.items() if not isinstance(answer, NoAnswer) and answer in voters}
    others = {id: one for id, one in voters.items() if id not in healthy}
    found = _of_others(others, [addresses[name] for name in healthy.values()]) if len(others) > len(unhealthy) else {}
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


def _of_others(others: Mapping[str, Mapping[str, Any]], healthy: Iterable[Address]) -> dict[str, bool]:
    """Member -> whether it works: asked at its own address, else by the connections that healthy members have to it."""
    own = {id: _own_address(one) for id, one in others.items()}
    known = {id: address for id, address in own.items() if address}
    answers = ask_in_parallel(known, lambda id: _healthy_member(known[id]) == id)
    peers = ask_in_parallel(map(str, healthy), lambda name: _peers(name))
    told = [answer for answer in peers.values() if not isinstance(answer, NoAnswer)]
    found = {}
    for id in others:
        by_peers = [answer[id] for answer in told if id in answer]
        if answers.get(id) is True:
            found[id] = True
        elif by_peers:
            found[id] = any(by_peers)
    return found


def _peers(address: str) -> dict[str, bool]:
    """Member -> whether the member at that address is connected to it, by its metrics."""
    answer = requests.get(f"http://{address}/metrics", timeout=REST)
    answer.raise_for_status()
    return {str(int(id, 16)): count != "0" for id, count in _PEER.findall(answer.text)}


def _name(member: Mapping[str, Any]) -> str:
    return str(member.get("name") or member["ID"])


def _own_address(member: Mapping[str, Any]) -> Address | None:
    parts = urlsplit(next(iter(member.get("clientURLs") or ()), ""))
    return Address(parts.hostname, parts.port or 2379) if parts.hostname else None


def key(topology: Topology, name: str, group: int = 0) -> str | None:
    """The value of one of Patroni's keys ("leader", "sync", "config", ...) for a group; None if there is no such key.

    Raises NotYet if no member of etcd answers.
    """
    beginning = f"{topology.dcs_namespace}/{topology.scope}"
    # The coordinator's keys are in group 0, even where nothing is known of its workers.
    paths = (
        [f"{beginning}/{group}/{name}"]
        if len(topology.groups) > 1
        else [f"{beginning}/{name}", f"{beginning}/0/{name}"]
    )
    for path in paths:
        if found := _first_answer(topology, {"key": _encoded(path)}).get("kvs", []):
            return b64decode(found[0]["value"]).decode()
    return None


def keys(topology: Topology, names: Collection[str], group: int = 0) -> dict[str, str | None]:
    """The values of several of Patroni's keys for a group at one and the same revision of etcd; None without a key.

    Raises NotYet if no member of etcd answers.
    """
    beginning = f"{topology.dcs_namespace}/{topology.scope}"
    roots = [f"{beginning}/{group}/"] if len(topology.groups) > 1 else [f"{beginning}/", f"{beginning}/0/"]
    paths = {f"{root}{name}": name for root in roots for name in names}
    # One range holds all of them, with the keys of every group; such a cluster has some dozens.
    question = {"key": _encoded(f"{beginning}/"), "range_end": _encoded(f"{beginning}0")}  # 0 comes after /
    found: dict[str, str | None] = dict.fromkeys(names)
    for one in _first_answer(topology, question).get("kvs", []):
        if (path := b64decode(one["key"]).decode()) in paths:
            found[paths[path]] = b64decode(one.get("value", "")).decode()
    return found


def namespaces(topology: Topology) -> dict[str, str]:
    """Patroni namespace (without a slash at the end) -> the system identifier of the cluster with this scope in it.

    Empty where etcd's v3 API shows no such cluster. Raises NotYet if no member of etcd answers.
    """
    everything = {"key": _encoded("/"), "range_end": _encoded("0"), "keys_only": True, "limit": MOST_KEYS}
    keys = [b64decode(one["key"]).decode() for one in _first_answer(topology, everything).get("kvs", [])]
    pattern = re.compile(rf"(.*)/{re.escape(topology.scope)}/(?:0/)?initialize")
    found = {match[1]: match[0] for one in keys if (match := pattern.fullmatch(one))}
    return {
        namespace: b64decode(_first_answer(topology, {"key": _encoded(one)})["kvs"][0].get("value", "")).decode()
        for namespace, one in found.items()
    }


def discover(topology: Topology, system: str) -> tuple[Topology, dict[str, str]]:
    """Find the namespace of Patroni's keys. Returns the topology with it, and what it lacks, by capability.

    `system` is the cluster's system identifier: two clusters in one etcd may have the same scope. Raises
    RequirementMissing where etcd was declared and none of its members answers.
    """
    if not topology.dcs:
        why = "etcd's addresses were not given (ETCD_HOSTS)"
        return topology, {"dcs": why, "dcs_keys": why}
    try:
        quorum(topology)
    except NotYet as error:
        if not _answers(topology):
            raise RequirementMissing(f"ETCD_HOSTS declares what is not there: {error}") from None
        why = f"etcd answers, but not by the JSON gateway of its API v3 (etcd 3.4 and newer): {error}"
        return topology, {"dcs": why, "dcs_keys": why}
    try:
        found = namespaces(topology)
    except (NotYet, requests.RequestException) as error:
        return topology, {"dcs_keys": f"etcd does not show its keys: {error}"}
    own = [namespace for namespace, identifier in found.items() if identifier == system] or list(found)
    if len(own) == 1:
        return replace(topology, dcs_namespace=own[0]), {}
    if own:
        why = f"several clusters are called {topology.scope}, in {' and '.join(sorted(own))}"
        return topology, {"dcs_keys": why}
    return topology, {
        "dcs_keys": f"etcd's v3 API shows no keys of Patroni's cluster {topology.scope or '(its name is not known)'}: "
        "Patroni may use etcd's API v2, or another etcd than ETCD_HOSTS names"
    }


def _first_answer(topology: Topology, question: Mapping[str, Any]) -> dict[str, Any]:
    addresses = {str(address): address for address in topology.dcs}
    answers = ask_in_parallel(addresses, lambda one: _post(addresses[one], "/v3/kv/range", question))
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
    root = _root(topology, group)
    question = {"key": _encoded(root), "range_end": _encoded(f"{root[:-1]}0")}  # 0 comes after /
    refused = {}
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
            refused[str(address)] = NoAnswer.because(error)
    raise NotYet(_nobody(refused))


@dataclass(frozen=True)
class Lock:
    """The leader key of a group."""

    owner: str
    made: int
    """The revision of etcd at which it was made; another one if the lock was lost meanwhile and taken again."""
    renewed: float
    """When it was last renewed, or at most a second earlier, as etcd tells whole seconds; monotonic clock."""


def lock(topology: Topology, group: int = 0) -> Lock:
    """The lock of a group now. Raises NotYet if there is none, or if no member of etcd answers."""
    root = _root(topology, group)
    refused = {}
    for address in topology.dcs:
        try:
            found = _post(address, "/v3/kv/range", {"key": _encoded(f"{root}leader")}).get("kvs", [])
            if not found or "lease" not in found[0]:
                raise NotYet(f"group {group} has no leader key that expires")
            asked = time.monotonic()
            lease = _post(address, "/v3/lease/timetolive", {"ID": found[0]["lease"]})
            granted, left = int(lease.get("grantedTTL", 0)), int(lease.get("TTL", 0))
            owner = b64decode(found[0]["value"]).decode()
            return Lock(owner, int(found[0]["create_revision"]), asked - (granted - left))
        except requests.RequestException as error:
            refused[str(address)] = NoAnswer.because(error)
    raise NotYet(_nobody(refused))


def _root(topology: Topology, group: int) -> str:
    """The beginning of the keys of a group."""
    scope = f"{topology.scope}/{group}" if len(topology.groups) > 1 else topology.scope
    return f"{topology.dcs_namespace}/{scope}/"


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _answers(topology: Topology) -> bool:
    """Whether etcd, of any release, answers at any of the addresses."""
    addresses = {str(address): address for address in topology.dcs}
    found = ask_in_parallel(
        addresses, lambda one: "etcdserver" in requests.get(f"http://{one}/version", timeout=REST).json()
    )
    return any(answer is True for answer in found.values())


def leader(topology: Topology) -> Address:
    """The address of etcd's leader now. Raises NotYet while no member says that it leads."""
    addresses = {str(address): address for address in topology.dcs}
    answers = ask_in_parallel(addresses, lambda name: _post(addresses[name], "/v3/maintenance/status", {}))
    for name, answer in answers.items():
        if not isinstance(answer, NoAnswer) and answer.get("leader") == answer["header"]["member_id"]:
            return addresses[name]
    raise NotYet(f"no member of etcd says that it leads: {answers}")


def _healthy_member(address: Address) -> str:
    """The id of the member there. Raises NotYet, with its answer, when it is not part of a quorum."""
    answer = requests.get(f"http://{address}/health", timeout=REST)
    if answer.json().get("health") != "true":
        raise NotYet(f"it says {answer.text.strip()}")
    return str(_post(address, "/v3/maintenance/status", {})["header"]["member_id"])


def _post(address: Address, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
    answer = requests.post(f"http://{address}{path}", json=question, timeout=REST)
    answer.raise_for_status()
    decoded: dict[str, Any] = answer.json()
    return decoded
