"""Citus nodes: where they are reached from here, and which members are behind them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from support import sql
from support.errors import UsageError
from support.target import citus
from support.target.discovery import members
from support.target.discovery.addresses import POSTGRES, Reach, names_of, parsed, reach_each
from support.target.discovery.identity import PatroniAnswer, patronis_at
from support.target.discovery.members import Group, SearchContext
from support.target.members import NoAnswer, ask_in_parallel
from support.target.topology import Address, MemberAddress, WebAccess

_LOCAL_GROUP = "SELECT groupid FROM pg_dist_local_group WHERE NOT pg_is_in_recovery()"


@dataclass(frozen=True)
class NodeSettings:
    """The settings about nodes."""

    mapped: Mapping[str, Address]
    """[nodes]"""
    workers: tuple[str, ...]
    """CITUS_WORKERS"""
    rest_port: int | None
    """The port of a Patroni beside a node; None where there is none."""


@dataclass(frozen=True)
class Nodes:
    """What was found."""

    groups: tuple[Group, ...]
    """The members of each worker group; of the coordinator's, too, where it has no Patroni."""
    reached: Mapping[str, Address]
    """Node, as "host:port" in pg_dist_node -> where it is reached from here, where that is another address."""
    absent: tuple[str, ...]
    """The entries of CITUS_WORKERS that are not nodes."""
    scopes: Mapping[int, str]
    """Worker group -> the name of the cluster as which Patroni manages it."""


def find(
    context: SearchContext,
    said: NodeSettings,
    others: list[PatroniAnswer],
    silent: dict[Address, str],
    coordinator: Group | None,
) -> Nodes:
    """Find the nodes. `others` are Patronis of no known group; `coordinator` is its group, where that is known.

    Those of `others` that are a group's are removed from `silent`, where strangers are, too. Raises UsageError for a
    name in [nodes] that is not a node.
    """
    there = {node.group: node.address for node in citus.known_to(context.base)}
    _require_nodes(said.mapped, there.values())
    workers = {group: at for group, at in there.items() if group}
    declared = {one: parsed(one, POSTGRES) for one in said.workers}
    reached = reach_each(workers.values())
    own = {group: at for group, at in workers.items() if reached[at] is Reach.OPEN}
    by_own_answer = _groups_at(context.base, [*declared.values(), *own.values()])
    found = {group: at for at, group in by_own_answer.items() if at in declared.values()}
    found |= {group: at for group, at in own.items() if by_own_answer.get(at, group) == group}
    found |= {group: at for group, node in there.items() if (at := _mapped(said.mapped, node))}
    if 0 not in found:
        found[0] = _host_of(context.base)
    own_addresses_work = any(found.get(group) == at for group, at in own.items())
    unanswered = [one for one, at in declared.items() if at not in by_own_answer]
    groups, scopes = [], dict[int, str]()
    taken = list(coordinator.answers.values()) if coordinator else []
    for group, node in workers.items():
        if heard := _patronis_of(node, found.get(group), others, said.rest_port, context.rest, taken):
            taken += heard
            scopes[group] = heard[0].scope
            for answer in heard:
                silent.pop(answer.address, None)
            groups.append(members.find(context, heard, silent, group))
            if group not in found and (at := _at_member(groups[-1], node)):
                found[group] = at
            continue
        why = ""
        if group not in found and not own_addresses_work:
            advice = (
                f"{', '.join(unanswered)} (CITUS_WORKERS) does not answer"
                if unanswered
                else "say in [nodes] where it is"
            )
            why = f"the node's own address cannot be reached from here ({reached[node].value}): {advice}"
        groups.append(_alone(node, found.get(group, node), group, why))
    if 0 in there and coordinator is None:
        groups.insert(0, _alone(there[0], found[0], 0))
    known_hosts = {name for at in (*there.values(), *found.values()) for name in names_of(at.host)}
    absent = [one for one, at in declared.items() if not names_of(at.host) & known_hosts]
    elsewhere = {str(node): found[group] for group, node in there.items() if found.get(group, node) != node}
    return Nodes(tuple(groups), elsewhere, tuple(absent), scopes)


def _host_of(base: sql.Endpoint) -> Address:
    """Where the endpoint leads to now; a proxy's own address."""
    if not base.further:
        return Address(base.host, base.port)
    with sql.session(base) as session:
        return Address(str(session.info.host), session.info.port)


def _alone(node: Address, at: Address, group: int, why: str = "") -> Group:
    """The group of a node without Patroni: the node is its only member."""
    return Group((MemberAddress(str(node), at, None, group, why),), without_postgres={str(node): why} if why else {})


def _at_member(group: Group, node: Address) -> Address | None:
    """Where the member with the node's address is reached."""
    names = [name for name, at in group.own.items() if at == node]
    return next((one.postgres for one in group.members if one.name in names and not one.unreached), None)


def _require_nodes(mapped: Mapping[str, Address], there: Collection[Address]) -> None:
    names = {str(node) for node in there} | {node.host for node in there}
    if strange := [name for name in mapped if name not in names]:
        listed = ", ".join(map(str, there)) or "none"
        raise UsageError(f"[nodes] names {', '.join(strange)}, which Citus does not know: pg_dist_node has {listed}")


def _mapped(mapped: Mapping[str, Address], node: Address) -> Address | None:
    return mapped.get(str(node)) or mapped.get(node.host)


def _groups_at(base: sql.Endpoint, addresses: Iterable[Address]) -> dict[Address, int]:
    """Address -> the group of the node that answers there, as it says itself. Replicas are not nodes, and left out."""
    by_name = {str(at): at for at in addresses}

    def group(name: str) -> int:
        where = base.at(f"the node at {name}", by_name[name].host, by_name[name].port)
        found = sql.rows(where, _LOCAL_GROUP)
        return int(found[0][0]) if found else 0

    answers = ask_in_parallel(by_name, group)
    return {by_name[name]: answer for name, answer in answers.items() if not isinstance(answer, NoAnswer) and answer}


def _patronis_of(
    node: Address,
    at: Address | None,
    others: list[PatroniAnswer],
    port: int | None,
    rest: WebAccess,
    taken: list[PatroniAnswer],
) -> list[PatroniAnswer]:
    """The Patronis of a node's group: among those that answered already, else beside the node.

    On a host of several groups, those that are `taken` for another group are passed over.
    """
    heard = _of_node(node, others, taken)
    if heard or port is None:
        return heard
    hosts = dict.fromkeys([node.host, at.host if at else node.host])
    answers = patronis_at((Address(host, port) for host in hosts), rest)
    return _of_node(node, [one for one in answers.values() if isinstance(one, PatroniAnswer)], taken)


def _of_node(node: Address, heard: list[PatroniAnswer], taken: list[PatroniAnswer]) -> list[PatroniAnswer]:
    """The Patronis of the one group that has a member at the node's address; else, on the node's host."""
    free = [answer for answer in heard if not any(_of_one_group(answer, other) for other in taken)]
    on_host = [answer for answer in free if _members_on_host(answer, node)]
    at_node = [answer for answer in on_host if node.port in _members_on_host(answer, node)]
    found = at_node or on_host
    return [answer for answer in found if _of_one_group(answer, found[0])]


def _members_on_host(answer: PatroniAnswer, node: Address) -> list[int]:
    """The ports of the members, of that Patroni's group, on the node's host."""
    own = names_of(node.host)
    return [one.port for one in answer.view.members if one.host and names_of(one.host) & own]


def _of_one_group(one: PatroniAnswer, other: PatroniAnswer) -> bool:
    return one.scope == other.scope and bool(one.known & other.known)
