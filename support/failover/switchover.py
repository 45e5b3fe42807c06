"""Planned switchovers: refused requests, requests left pending, and switchovers whose driving process dies halfway."""

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict

from support.engine.finding import Finding
from support.engine.world import World
from support.errors import Inconclusive, NotInTime
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.faults.roles import member_by_role
from support.hosts.interface import SiteProgram
from support.target import dcs
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.patroni_commands import Reply
from support.waiting import NotYet, eventually, precondition

_QUICK = 0.005  # seconds between two looks for the request: a switchover takes a second or two

_REQUEST = """
import json, ssl, sys, urllib.error, urllib.request
request = json.load(sys.stdin)
body = json.dumps(request["body"]).encode()
tls = None
if request["tls"]:
    tls = ssl.create_default_context(cafile=request["tls"]["authority"] or None)
    if request["tls"]["certificate"]:
        tls.load_cert_chain(request["tls"]["certificate"], request["tls"]["key"])
without_proxy = urllib.request.ProxyHandler({})
opener = urllib.request.build_opener(without_proxy, urllib.request.HTTPSHandler(context=tls))
try:
    opener.open(urllib.request.Request(request["url"], body, request["headers"]))
except urllib.error.HTTPError as refused:
    sys.exit(f"{refused.read().decode()} ({refused.code})")
"""
_ATTEMPTS = 3


class TooQuick(Exception):
    """The switchover was over before anybody could be killed in its middle."""


class HalfwaySwitchover(Fault):
    """A switchover during which `who`, one of DYING, dies as soon as the DCS holds the request.

    The request comes from a process of its own, so that there is a client to kill.
    """

    def __init__(self, cluster: Cluster, candidate: str, who: str) -> None:
        self.cluster, self.leader, self.candidate, self._who = cluster, cluster.leader(), candidate, who
        self.client: subprocess.Popen[str] | None = None
        self._kill = DYING[who]
        self.planned = self._kill is kill_client  # then the leader itself survives, and hands over in order

    @property
    def target_member(self) -> str:
        """See Fault."""
        return self.leader

    def told(self, names: Names) -> str:
        return f"{self._who} dies while {names.member(self.leader)} hands over to {names.member(self.candidate)}"

    @property
    def member(self) -> SiteProgram:
        """The leader's Patroni, with the PostgreSQL that it started."""
        return self.cluster.site.hosts[self.leader].processes["patroni"]

    def on_hosts(self) -> None:
        """See OnHosts."""
        if self._kill is kill_member:
            self._kill(self)

    def inject(self) -> None:
        """Raises TooQuick, AssertionError if Patroni refuses the request, Inconclusive if it does nothing about it."""
        command = [sys.executable, "-S", "-c", _REQUEST]
        self.client = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.client.stdin is not None
        with self.client.stdin as line:
            json.dump(self._request(), line)
        subject = f"the DCS holds the request for {self.leader} to hand over to {self.candidate}"
        within = self.cluster.topology.timing.notice
        with precondition():
            eventually(self._require_requested, within=within, subject=subject, retry_on=NO_ANSWER, pause=_QUICK)
        self._kill(self)

    def require_in_effect(self) -> None:
        """Whoever had to die was killed, and had not come to an end before."""
        assert self.client is not None
        if self._kill is kill_client and self.client.returncode != -signal.SIGKILL:
            raise TooQuick(f"{self._who} received its answer before it died")
        if self._kill is kill_member and self.member.pid is not None:
            raise NotYet(f"it runs as {self.member.pid}")

    def heal(self) -> None:
        """The member comes back. Whether the request is carried out or forgotten is up to Patroni."""
        if self.client is not None:
            kill_client(self)
        if self._kill is kill_member:
            self.member.start()

    def _require_requested(self) -> None:
        """The DCS was asked for both at once: the request was there while the leader still led."""
        now = dcs.state(self.cluster.topology, self.cluster.group)
        if now.leader != self.leader:
            raise TooQuick(f"{self.leader} had handed over before {self._who} died: {now.leader or 'nobody'} leads")
        if now.failover:
            return
        assert self.client is not None
        if self.client.poll():
            said = self.client.stderr.read() if self.client.stderr else ""
            raise Refused(f"{self.leader} hands over to {self.candidate}: refused: {' '.join(said.split())}")
        raise NotYet("it holds no request")

    def _request(self) -> Mapping[str, object]:
        login = self.cluster.topology.patroni_login
        headers = {"Content-Type": "application/json"}
        if login is not None:
            known = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
            headers["Authorization"] = f"Basic {known}"
        patroni, body = self.cluster.patroni(self.leader), {"leader": self.leader, "candidate": self.candidate}
        tls = asdict(patroni.access) if patroni.access.scheme == "https" else None
        return {"url": f"{patroni.url}/switchover", "headers": headers, "body": body, "tls": tls}


class Refused(Exception):
    """Patroni refused the request."""


def hand_over_halfway(world: World, who: str) -> None:
    """Have the leader hand over, and kill `who`, one of DYING, in the middle of it.

    Tried again, up to _ATTEMPTS times, when the switchover was over too soon; Inconclusive if it always was. Raises
    AssertionError if Patroni refuses the request.
    """
    missed = []
    for _ in range(_ATTEMPTS):
        candidate = _await_candidate(world)
        switchover = HalfwaySwitchover(world.cluster, candidate, who)
        try:
            world.experiment.inject(switchover)
            return
        except TooQuick as error:
            missed.append(str(error))
        except Refused as error:
            raise AssertionError(str(error)) from error
    raise Inconclusive("; ".join(missed))


def candidate_now(cluster: Cluster) -> str:
    """A replica that may lead. Raises Inconclusive if there is none now."""
    return member_by_role(cluster, "a replica that may lead")


def _await_candidate(world: World) -> str:
    """A replica that may lead. After an attempt, the former leader may have to rejoin first."""
    return eventually(
        lambda: candidate_now(world.cluster),
        within=world.timing.rejoin,
        subject="a replica may lead",
        retry_on=(*NO_ANSWER, Inconclusive),
    )


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
    "Patroni on the leader": kill_member,
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
    """Once Patroni has cleaned up, the DCS holds no switchover request that could still be carried out.

    Raises Inconclusive if the DCS does not answer.
    """

    def none_pending() -> None:
        pending = dcs.state(cluster.topology, cluster.group).failover
        Finding(not pending, f"the DCS holds a switchover: {json.dumps(dict(pending))}").require()

    within = cluster.topology.timing.notice
    try:
        eventually(none_pending, within=within, subject="no switchover is pending", retry_on=NO_ANSWER)
    except NotInTime as error:
        if isinstance(error.__cause__, AssertionError):
            raise error.__cause__ from None
        raise Inconclusive(str(error)) from error
