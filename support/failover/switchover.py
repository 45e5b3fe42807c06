"""A switchover under way when what drives it dies.

Switchovers: whom they are asked for to, and those that cannot be, are refused, and have no effect.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping

from support.engine.finding import Finding
from support.engine.world import World
from support.errors import Inconclusive
from support.faults.roles import member_by_role
from support.hosts import Process
from support.target import dcs
from support.target.cluster import Cluster
from support.target.patroni_commands import Reply, switch_over
from support.timeouts import VISIBLE
from support.waiting import NotYet, eventually

DONE = (None, "{}")
"""What the DCS holds where Patroni keeps an order to hand over, when there is none."""

_QUICK = 0.005  # seconds between two looks for the order: a switchover takes a second or two

_ORDER = """
import json, sys, urllib.request
order = json.load(sys.stdin)
body = json.dumps(order["body"]).encode()
urllib.request.urlopen(urllib.request.Request(order["url"], body, order["headers"]))
"""


class HalfwaySwitchover:
    """A leader hands over because it was asked to, and `who` dies as soon as the DCS holds the order.

    `who` is one of DYING. The order comes from a process of its own, so that there is something to kill.
    """

    def __init__(self, cluster: Cluster, candidate: str, who: str) -> None:
        self.cluster, self.leader, self.candidate, self._who = cluster, cluster.leader(), candidate, who
        self.client: subprocess.Popen[str] | None = None
        self._kill = DYING[who]
        self._led_still = False

    def __str__(self) -> str:
        return f"{self._who} dies while {self.leader} hands over to {self.candidate}"

    @property
    def planned(self) -> bool:
        """Whether the leader itself lives on, and hands over in order."""
        return self._kill is kill_client

    @property
    def member(self) -> Process:
        """The leader's Patroni, with the PostgreSQL that it started."""
        return self.cluster.sandbox.hosts[self.leader].processes["patroni"]

    def inject(self) -> None:
        order = [sys.executable, "-S", "-c", _ORDER]
        self.client = subprocess.Popen(order, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.client.stdin is not None
        with self.client.stdin as line:
            json.dump(self._order(), line)
        subject = f"the DCS holds the order that {self.leader} hands over to {self.candidate}"
        eventually(self._require_ordered, within=VISIBLE, subject=subject, pause=_QUICK)
        self._kill(self)
        self._led_still = dcs.key(self.cluster.topology, "leader", self.cluster.group) == self.leader

    def require_in_effect(self) -> None:
        if not self._led_still:
            raise Inconclusive(f"{self.leader} had handed over before {self._who} died")

    def heal(self) -> None:
        """The member comes back; the order is Patroni's to carry out, or to forget."""
        if self.client is not None:
            kill_client(self)
        self.member.start()

    def _require_ordered(self) -> None:
        if dcs.key(self.cluster.topology, "failover", self.cluster.group) in DONE:
            raise NotYet("it holds no order")

    def _order(self) -> Mapping[str, object]:
        login = self.cluster.topology.patroni_login
        headers = {"Content-Type": "application/json"}
        if login is not None:
            known = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
            headers["Authorization"] = f"Basic {known}"
        url = f"{self.cluster.patroni(self.leader).url}/switchover"
        return {"url": url, "headers": headers, "body": {"leader": self.leader, "candidate": self.candidate}}


def kill_client(switchover: HalfwaySwitchover) -> None:
    """Who ordered it is gone (kill -9), and hears no answer."""
    assert switchover.client is not None
    switchover.client.kill()
    switchover.client.wait()


def kill_member(switchover: HalfwaySwitchover) -> None:
    """The leader's Patroni and its PostgreSQL are gone (kill -9); its host is on."""
    switchover.member.kill()


DYING: Mapping[str, Callable[[HalfwaySwitchover], None]] = {
    "the client that ordered it": kill_client,
    "the Patroni of the leader": kill_member,
}
"""What drives a switchover, in the users' words -> how it dies."""


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
    names = {THE_DOWN: world.experiment.target_member, THE_ABSENT: world.namespace, THE_LEADER: leader}
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
    before, now = world.experiment.leaders[0], world.cluster.leader()
    require_none_pending(world)
    Finding(now == before, f"{now} leads, and {before} led before").require()


def break_off(world: World, who: str) -> None:
    """Let the leader hand over to a replica that may lead, and let something that drives it die; see DYING."""
    cluster = world.cluster
    fault = HalfwaySwitchover(cluster, member_by_role(cluster, "a replica that may lead"), who)
    world.experiment.inject(fault, fault.leader)


def require_none_pending(world: World) -> None:
    """The DCS holds no order to hand over that could still be carried out."""
    pending = dcs.key(world.cluster.topology, "failover", world.cluster.group)
    Finding(pending in DONE, f"the DCS holds a switchover: {pending}").require()
