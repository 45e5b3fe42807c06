"""Planned switchovers: refused requests, requests left pending, and switchovers whose driving process dies half-way."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Mapping

from support.engine.finding import Finding
from support.errors import Inconclusive
from support.hosts import Process
from support.target import dcs
from support.target.cluster import Cluster
from support.target.patroni_commands import Reply
from support.timeouts import VISIBLE
from support.waiting import NotYet, eventually

_NONE_PENDING = (None, "{}")
"""What the DCS holds under Patroni's failover key while no switchover is pending."""

_QUICK = 0.005  # seconds between two looks for the request: a switchover takes a second or two

_REQUEST = """
import json, sys, urllib.request
request = json.load(sys.stdin)
body = json.dumps(request["body"]).encode()
urllib.request.urlopen(urllib.request.Request(request["url"], body, request["headers"]))
"""


class HalfwaySwitchover:
    """A switchover during which `who`, one of DYING, dies as soon as the DCS holds the request.

    The request comes from a process of its own, so that there is a client to kill.
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
        """Whether the leader itself survives, and hands over in order."""
        return self._kill is kill_client

    @property
    def member(self) -> Process:
        """The leader's Patroni, with the PostgreSQL that it started."""
        return self.cluster.sandbox.hosts[self.leader].processes["patroni"]

    def inject(self) -> None:
        command = [sys.executable, "-S", "-c", _REQUEST]
        self.client = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.client.stdin is not None
        with self.client.stdin as line:
            json.dump(self._request(), line)
        subject = f"the DCS holds the request that {self.leader} hands over to {self.candidate}"
        eventually(self._require_requested, within=VISIBLE, subject=subject, pause=_QUICK)
        self._kill(self)
        self._led_still = dcs.key(self.cluster.topology, "leader", self.cluster.group) == self.leader

    def require_in_effect(self) -> None:
        if not self._led_still:
            raise Inconclusive(f"{self.leader} had handed over before {self._who} died")

    def heal(self) -> None:
        """The member comes back. Whether the request is carried out or forgotten is up to Patroni."""
        if self.client is not None:
            kill_client(self)
        self.member.start()

    def _require_requested(self) -> None:
        if dcs.key(self.cluster.topology, "failover", self.cluster.group) in _NONE_PENDING:
            raise NotYet("it holds no request")

    def _request(self) -> Mapping[str, object]:
        login = self.cluster.topology.patroni_login
        headers = {"Content-Type": "application/json"}
        if login is not None:
            known = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
            headers["Authorization"] = f"Basic {known}"
        url = f"{self.cluster.patroni(self.leader).url}/switchover"
        return {"url": url, "headers": headers, "body": {"leader": self.leader, "candidate": self.candidate}}


def kill_client(switchover: HalfwaySwitchover) -> None:
    """The client that requested it is killed (kill -9), and gets no answer."""
    assert switchover.client is not None
    switchover.client.kill()
    switchover.client.wait()


def kill_member(switchover: HalfwaySwitchover) -> None:
    """The leader's Patroni and its PostgreSQL are killed (kill -9); its host stays up."""
    switchover.member.kill()


DYING: Mapping[str, Callable[[HalfwaySwitchover], None]] = {
    "the client that requested it": kill_client,
    "the Patroni of the leader": kill_member,
}
"""Who drives a switchover, in the users' words -> how it dies."""


def require_refused_for(replies: Mapping[str, Reply], reasons: Mapping[str, str]) -> None:
    """Each reply is a refusal that mentions the expected reason; both by candidate.

    Raises Inconclusive if there are no replies, or if they are for other candidates.
    """
    if not reasons or replies.keys() != reasons.keys():
        raise Inconclusive(f"requested: {', '.join(replies) or 'none'}; expected: {', '.join(reasons) or 'none'}")
    wrong = [
        f"{who}: {'carried out' if reply.done else 'refused without that reason'}: {reply}"
        for who, reply in replies.items()
        if reply.done or reasons[who] not in reply.words
    ]
    Finding(not wrong, "; ".join(wrong) or f"{len(replies)} switchovers refused").require()


def require_none_pending(cluster: Cluster) -> None:
    """The DCS holds no request for a switchover that could still be carried out."""
    pending = dcs.key(cluster.topology, "failover", cluster.group)
    Finding(pending in _NONE_PENDING, f"the DCS holds a switchover: {pending}").require()
