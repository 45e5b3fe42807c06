"""The DCS: etcd's own health, and the keys in which Patroni keeps its state; read only, by the JSON gateway.

Sources: https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ and patroni/dcs/__init__.py (the names of the keys)
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from support.cluster.rollcall import Silent, ask_each
from support.cluster.topology import Address, Topology
from support.timeouts import REST
from support.waiting import NotYet

NAMESPACE = "/service"
"""Where Patroni keeps its keys, unless it is configured otherwise."""


@dataclass(frozen=True)
class Quorum:
    """How many members of etcd vote, and which of those that we know are healthy."""

    voters: int
    healthy: frozenset[str]
    unhealthy: Mapping[str, str]
    """Address -> what is wrong."""

    @property
    def needed(self) -> int:
        """The smallest number of healthy voters with which it works."""
        return self.voters // 2 + 1

    @property
    def spare(self) -> int:
        """How many more it could lose and still work; negative when it does not work now."""
        return len(self.healthy) - self.needed


def quorum(topology: Topology) -> Quorum:
    """The health of etcd now, each of its members asked. Raises NotYet if none answers."""
    addresses = {str(address): address for address in topology.dcs}
    answers = ask_each(addresses, lambda name: _health(addresses[name]))
    unhealthy = {name: str(answer) for name, answer in answers.items() if answer is not True}
    healthy = frozenset(addresses) - frozenset(unhealthy)
    members = ask_each(addresses, lambda name: _post(addresses[name], "/v3/cluster/member/list", {})["members"])
    known = [answer for answer in members.values() if not isinstance(answer, Silent)]
    if not known:
        raise NotYet(f"no member of etcd answered: {unhealthy}")
    voters = max(sum(1 for member in answer if not member.get("isLearner")) for answer in known)
    return Quorum(voters, healthy, unhealthy)


def key(topology: Topology, name: str, group: int = 0) -> str | None:
    """The value of one of Patroni's keys of a group ("leader", "sync", "config", ...); None if there is none.

    Raises NotYet if no member of etcd can tell.
    """
    question = {"key": _encoded(f"{NAMESPACE}/{_scope(topology, group)}/{name}")}
    addresses = {str(address): address for address in topology.dcs}
    answers = ask_each(addresses, lambda one: _post(addresses[one], "/v3/kv/range", question))
    for answer in answers.values():
        if not isinstance(answer, Silent):
            found = answer.get("kvs", [])
            return b64decode(found[0]["value"]).decode() if found else None
    raise NotYet(f"no member of etcd answered: {', '.join(f'{name}: {why}' for name, why in answers.items())}")


def leases(topology: Topology, group: int = 0) -> dict[str, int]:
    """Patroni's keys of a group that are gone unless they are renewed -> for how many seconds each was granted.

    Raises NotYet if no member of etcd can tell.
    """
    root = f"{NAMESPACE}/{_scope(topology, group)}/"
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


def _scope(topology: Topology, group: int) -> str:
    return f"{topology.scope}/{group}" if len(topology.groups) > 1 else topology.scope


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def leader(topology: Topology) -> Address:
    """The address of the member that leads etcd now. Raises NotYet while none says that it does."""
    addresses = {str(address): address for address in topology.dcs}
    answers = ask_each(addresses, lambda name: _post(addresses[name], "/v3/maintenance/status", {}))
    for name, answer in answers.items():
        if not isinstance(answer, Silent) and answer.get("leader") == answer["header"]["member_id"]:
            return addresses[name]
    raise NotYet(f"no member of etcd says that it leads: {answers}")


def _health(address: Address) -> bool:
    """Whether that member is part of a working quorum; raises NotYet with what it says when it is not."""
    answer = requests.get(f"http://{address}/health", timeout=REST)
    if answer.json().get("health") != "true":
        raise NotYet(f"it says {answer.text.strip()}")
    return True


def _post(address: Address, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
    answer = requests.post(f"http://{address}{path}", json=question, timeout=REST)
    answer.raise_for_status()
    decoded: dict[str, Any] = answer.json()
    return decoded
