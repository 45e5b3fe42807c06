"""Timing: how long the cluster's own reactions may take, derived from its configuration.

A scenario states the limit for our embedded cluster (ttl 20, loop_wait 1, HAProxy checks every second). A cluster that
checks less often needs longer, and that breaks no promise: its limit is the sum of the times that it has to wait for.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from support.timeouts import CLIENT, EFFECT, NOTICE, RECOVERY, REJOIN, VISIBLE
from support.vocabulary import Kind

PROXY_ASSUMED = 12.0
"""Seconds within which a HAProxy with unknown settings notices a change: one interval of 3 s until the first failed
check, and three failed checks (as in Patroni's example; HAProxy's defaults are quicker)."""
DCS_ELECTION_ASSUMED = 15.0
"""Seconds by which an election of etcd or Consul makes the leader's lock last longer, with timeouts of 5 s; neither
tells its own. The other members of it miss their leader within two such timeouts.

In etcd, the new one extends every lease by a third; 5 s is autobase's ETCD_ELECTION_TIMEOUT, and etcd's default 1 s.
In Consul, the new one starts the time of every session anew, and a vote that is split costs a third; 5 s is the default
(raft_multiplier 5). Sources: Promote in lease/lessor.go of etcd; initializeSessionTimers in agent/consul/session_ttl.go
of Consul, which doubles a TTL that Patroni has halved (`set_ttl` in patroni/dcs/consul.py)"""
_ELECTION = 5.0  # seconds: the replicas compare their WAL, one takes the leader key and is promoted
_CHOICE = 2.0  # seconds: the leader chooses another standby, and PostgreSQL reloads its configuration
_START = 30.0  # seconds: a host's programs start, PostgreSQL recovers or is rewound
_STOP = 7.0  # seconds: an immediate stop, in which the postmaster kills after 5 s what does not end by itself
_CHECK = 5.0  # seconds: a health check of a frozen server times out

_INTER = re.compile(r"\binter\s+(\d+)(us|ms|s|m|)\b")
_UNITS = {"us": 1e-6, "ms": 0.001, "": 0.001, "s": 1.0, "m": 60.0}
_TIMES = ((re.compile(r"\bfall\s+(\d+)\b"), 3), (re.compile(r"\brise\s+(\d+)\b"), 2))
_SECTIONS = ("global", "defaults", "frontend", "backend", "listen")


class Span(StrEnum):
    """A reaction of the cluster that takes time."""

    FAILOVER = "failover"
    """The leader is lost; clients write on another member."""
    HANGING_START = "hanging start"
    """The leader's PostgreSQL died and does not finish starting; clients write on another member."""
    SWITCHOVER = "switchover"
    """The leader hands over; clients write on another member."""
    STANDBY_LOSS = "loss of a standby"
    """A commit waited for a standby that is gone; it waits for another one, or for none."""
    REJOIN = "rejoin"
    """A member that was away streams again."""
    BLACKOUT = "loss of everything"
    """All hosts went down at once and came back; clients write again."""
    RETURN = "return of service"
    """The fault that kept the leader from taking writes is healed; clients write again."""
    READ_ROUTING = "read routing"
    """A replica that failed, or recovered, is removed from, or added to, the read endpoint."""
    HANGUP = "hangup"
    """The proxy closes the sessions on a lost member."""
    READER = "read retry"
    """A reader whose server is lost is served by another one."""
    NODES = "node addresses"
    """Every Citus node knows the new leader of a worker group."""


EVENT = Kind.of("event", (Span.FAILOVER, Span.HANGING_START, Span.SWITCHOVER, Span.STANDBY_LOSS, Span.BLACKOUT))
"""What interrupts clients, in the words of the scenarios."""


@dataclass(frozen=True)
class Limit:
    """The limit that applies, in seconds, and how it was derived."""

    seconds: float
    why: str


@dataclass(frozen=True)
class Timing:
    """The times that decide how long reactions take, in seconds. The defaults are the embedded cluster's."""

    ttl: float = 20.0
    """The leader key expires after this time unless it is renewed."""
    loop_wait: float = 1.0
    """The interval at which Patroni checks its member and updates the DCS."""
    retry_timeout: float = 5.0
    """Patroni retries an operation on the DCS or on PostgreSQL for this time."""
    start_timeout: float = 30.0
    """Patroni lets the PostgreSQL of a leader start for this time before it hands over the lock."""
    silence: float = 5.0
    """PostgreSQL gives up a replication peer that sends nothing for this time (wal_sender_timeout and the like)."""
    proxy: float = 3.0
    """HAProxy notices within this time that a server is down, or up again."""
    proxy_told: str = "proxy"
    """How reports name that part of a limit, including whether it was assumed or declared."""
    dcs_election: float = 0.0
    """The lock lasts longer by this time if the DCS loses its leader together with the cluster's: 0 where it cannot."""
    multiplier: float = 1.0
    """The factor for waits that are not promises, on a slow machine."""

    def parts(self, span: Span) -> Mapping[str, float]:
        """The successive parts of a reaction: name -> seconds."""
        ttl, loop, proxy = {"ttl": self.ttl}, {"loop_wait": self.loop_wait}, {self.proxy_told: self.proxy}
        loops, silence = {"2 x loop_wait": 2 * self.loop_wait}, {"replication timeout": self.silence}
        dcs = {"election of the DCS, if a host of it is lost (assumed)": self.dcs_election} if self.dcs_election else {}
        failover = {**ttl, **dcs, **loop, "election": _ELECTION, **proxy}
        return {
            Span.FAILOVER: failover,
            Span.HANGING_START: {
                **loops,
                "primary_start_timeout": self.start_timeout,
                "immediate stop": _STOP,
                "election": _ELECTION,
                **proxy,
            },
            Span.SWITCHOVER: {**loop, "election": _ELECTION, **proxy},
            Span.STANDBY_LOSS: {
                "replication timeout, ttl at most": min(self.silence, self.ttl),
                **loops,
                "choice of another standby": _CHOICE,
            },
            Span.REJOIN: {**ttl, "3 x loop_wait": 3 * self.loop_wait, **silence, "start and rewind": _START},
            Span.BLACKOUT: {"start of the hosts": _START, **failover},
            Span.RETURN: {
                "3 x loop_wait": 3 * self.loop_wait,
                "election": _ELECTION,
                "start of a member": _START / 2,
                **proxy,
            },
            Span.READ_ROUTING: {**silence, **loops, **proxy},
            Span.HANGUP: {"timeout of a check": _CHECK, **proxy},
            Span.READER: {**proxy, "timeout of a reader": CLIENT},
            Span.NODES: {**loops, "update of pg_dist_node": _ELECTION},
        }[span]

    def after(self, hit: Collection[str], with_dcs: Collection[str]) -> "Timing":
        """The timing of a reaction to faults of these hosts: if none has the DCS, that keeps its leader."""
        return self if {*hit}.intersection(with_dcs) else replace(self, dcs_election=0.0)

    def total(self, span: Span) -> float:
        """How long a reaction takes, in seconds."""
        return sum(self.parts(span).values())

    def sum(self, span: Span) -> str:
        """How long a reaction takes, as a sum, for people: "ttl 30 + loop_wait 10"."""
        return " + ".join(f"{part} {seconds:g}" for part, seconds in self.parts(span).items())

    def limit(self, span: Span, stated: float) -> Limit:
        """The limit that the scenario states, or the longer one that follows from this timing."""
        total = self.total(span)
        if total <= stated:
            return Limit(stated, "as stated")
        return Limit(total, f"{self.sum(span)}; the scenario states {stated:g} s, for a cluster with a shorter timing")

    # Waits that are not promises

    @property
    def visible(self) -> float:
        """For an unhindered change to become visible everywhere: to Patroni on every member, and to the proxy."""
        return self._wait(VISIBLE, 2 * self.loop_wait + self.proxy)

    @property
    def notice(self) -> float:
        """For the cluster to notice, by its periodic checks, that something failed, or recovered."""
        return self._wait(NOTICE, self.total(Span.READ_ROUTING))

    @property
    def effect(self) -> float:
        """For a fault to take effect; if the fault is another configuration, every member must have read it."""
        return self._wait(EFFECT, 3 * self.loop_wait)

    @property
    def rejoin(self) -> float:
        """For a member that was away to become a streaming replica again."""
        return self._wait(REJOIN, self.total(Span.REJOIN))

    @property
    def recovery(self) -> float:
        """For the cluster to become healthy again after a fault."""
        needed = (*self.parts(Span.FAILOVER).values(), *self.parts(Span.REJOIN).values())
        return self._wait(RECOVERY, sum(needed))

    @property
    def second_outage(self) -> float:
        """The time after which a fault has no further outage in store: seconds since the service came back.

        A leader that never manages to renew its lock loses it within this time: when Patroni gives up, or when the lock
        expires. The others notice within a loop, and the proxy after that.
        """
        lock = max(self.ttl + self.dcs_election, self.loop_wait + 2 * self.retry_timeout)
        return self.wait(lock + self.loop_wait + self.proxy)

    @property
    def second_outage_once_settled(self) -> float:
        """`second_outage` once the cluster has settled (support/engine/settling.py): its new leader renews its lock.

        What may still come to light are silent connections between members, and wrong conclusions of the proxy.
        """
        return min(self.second_outage, self.wait(self.silence + 2 * self.loop_wait + self.proxy))

    @property
    def second_outage_of_proxy(self) -> float:
        """`second_outage` for a fault that only the proxy noticed: its health checks have come to their conclusions."""
        return self.wait(self.proxy)

    @property
    def longest_fault(self) -> float:
        """How long a fault may have to last: the cluster reacts, settles, and may have to recover first."""
        reaction = max(self.total(Span.FAILOVER), self.total(Span.HANGING_START))
        return self.wait(reaction) + self.second_outage + self.recovery

    def wait(self, seconds: float) -> float:
        """Any other wait that is not a promise, on this machine."""
        return self.multiplier * seconds

    def _wait(self, least: float, needed: float) -> float:
        return self.wait(max(least, needed))


def proxy_detection(configuration: str) -> float | None:
    """Seconds within which HAProxy notices a change, by its configuration file; None if it checks nothing.

    The slowest of its servers counts. HAProxy's own defaults are inter 2s, fall 3, rise 2.
    """
    everywhere: list[str] = []
    here: list[str] = []
    found = []
    for line in configuration.splitlines():
        keyword, _, rest = line.partition("#")[0].strip().partition(" ")
        if keyword in _SECTIONS:
            here = [] if keyword == "defaults" else [*everywhere]
            everywhere = here if keyword == "defaults" else everywhere
        elif keyword == "default-server":
            here.append(rest)
        elif keyword == "server":
            options = " ".join([*here, rest])  # the last occurrence of an option counts
            if re.search(r"\bcheck\b", options):
                inter = _last(_INTER, options)
                seconds = float(inter[0]) * _UNITS[inter[1]] if inter else 2.0
                times = [int(last[0]) if (last := _last(option, options)) else unless for option, unless in _TIMES]
                found.append(seconds * (max(times) + 1))
    return max(found, default=None)


def _last(option: re.Pattern[str], options: str) -> tuple[str, ...] | None:
    found = [match.groups() for match in option.finditer(options)]
    return found[-1] if found else None
