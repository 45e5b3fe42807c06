"""Switchovers: whom they are asked for to, and those that cannot be, are refused, and have no effect."""

from collections.abc import Iterable, Mapping

from support.checkers.finding import Finding
from support.cluster import etcd
from support.cluster.cluster import Cluster
from support.cluster.orders import Reply, switch_over
from support.errors import Inconclusive
from support.faults.orchestrator import DONE, HalfwaySwitchover
from support.faults.targets import member_by_role
from support.trials.aftermath import ordeal_of
from support.world import World

ANY = "any replica"
"""To whom Patroni likes best."""
THE_DOWN, THE_ABSENT, THE_LEADER = "the member that is down", "a member that is not there", "the leader itself"
"""Who cannot be handed over to."""


def candidate(cluster: Cluster, whom: str) -> str | None:
    """The member that has the role now; None for "any replica". Raises Inconclusive when nobody has it."""
    return None if whom == ANY else member_by_role(cluster, whom)


def ask_each_of(world: World, whom: Iterable[str]) -> dict[str, Reply]:
    """Ask the leader to hand over to each; returns what it answered."""
    leader = world.cluster.leader()
    names = {THE_DOWN: ordeal_of(world).struck, THE_ABSENT: world.namespace, THE_LEADER: leader}
    replies = {who: switch_over(world.cluster, leader, names[who]) for who in whom}
    world.evidence.attach_json("what Patroni answered", {who: str(reply) for who, reply in replies.items()})
    return replies


def require_refused_for(replies: Mapping[str, Reply], reasons: Mapping[str, str]) -> None:
    """Each reply is a refusal whose words hold the reason. Raises Inconclusive where nobody was asked for."""
    if not reasons or replies.keys() != reasons.keys():
        raise Inconclusive(f"asked for were {', '.join(replies) or 'none'}, expected {', '.join(reasons) or 'none'}")
    astray = [
        f"{who}: {'carried out' if reply.done else 'refused without that reason'}: {reply}"
        for who, reply in replies.items()
        if reply.done or reasons[who] not in reply.words
    ]
    Finding(not astray, "; ".join(astray) or f"{len(replies)} switchovers refused").require()


def require_left_alone(world: World) -> None:
    """The leader is the one of before, and no switchover waits in the DCS."""
    before, now = ordeal_of(world).leaders[0], world.cluster.leader()
    require_none_pending(world)
    Finding(now == before, f"{now} leads, and {before} led before").require()


def break_off(world: World, who: str) -> None:
    """Let the leader hand over to a replica that may lead, and let something that drives it die; see DYING."""
    cluster = world.cluster
    fault = HalfwaySwitchover(cluster, member_by_role(cluster, "a replica that may lead"), who)
    ordeal_of(world).strike(fault, fault.leader)


def require_none_pending(world: World) -> None:
    """The DCS holds no order to hand over that could still be carried out."""
    pending = etcd.key(world.cluster.topology, "failover", world.cluster.group)
    Finding(pending in DONE, f"the DCS holds a switchover: {pending}").require()
