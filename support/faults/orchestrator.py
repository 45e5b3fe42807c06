"""A switchover under way when what drives it dies."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Mapping

from support.cluster import etcd
from support.cluster.cluster import Cluster
from support.errors import Inconclusive
from support.hosts import Process
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
        self._led_still = etcd.key(self.cluster.topology, "leader", self.cluster.group) == self.leader

    def require_bitten(self) -> None:
        if not self._led_still:
            raise Inconclusive(f"{self.leader} had handed over before {self._who} died")

    def cure(self) -> None:
        """The member comes back; the order is Patroni's to carry out, or to forget."""
        if self.client is not None:
            kill_client(self)
        self.member.start()

    def _require_ordered(self) -> None:
        if etcd.key(self.cluster.topology, "failover", self.cluster.group) in DONE:
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
