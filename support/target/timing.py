"""How long a cluster may take for what it does by itself, by its own timing.

A scenario states what our embedded cluster keeps (ttl 20, loop_wait 1, checks of HAProxy every second). A cluster that
looks less often needs longer, and promises no less for that: its limit is the sum of what it has to wait for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from support.timeouts import EFFECT, NOTICE, RECOVERY, REJOIN, VISIBLE

PROXY_ASSUMED = 12.0
"""Seconds within which a HAProxy whose settings are not known notices a change: checks every 3 s, three that fail, and
one interval before the first of them (Patroni's own example; HAProxy's defaults are quicker)."""
_ELECTION = 5.0  # seconds: the replicas compare their WAL, one takes the key and is promoted
_CHOICE = 2.0  # seconds: the leader names another standby, and PostgreSQL reads its configuration again
_START = 30.0  # seconds: a host's programs start, PostgreSQL recovers or is rewound
_CHECK = 5.0  # seconds: a check of a server that stands still runs into its timeout
_CLIENT = 3.0  # seconds that a client of ours waits for an answer before it asks anew

_INTER = re.compile(r"\binter\s+(\d+)(us|ms|s|m|)\b")
_UNITS = {"us": 1e-6, "ms": 0.001, "": 0.001, "s": 1.0, "m": 60.0}
_TIMES = ((re.compile(r"\bfall\s+(\d+)\b"), 3), (re.compile(r"\brise\s+(\d+)\b"), 2))
_SECTIONS = ("global", "defaults", "frontend", "backend", "listen")


class Span(StrEnum):
    """What a cluster needs time for."""

    FAILOVER = "failover"
    """A leader is lost; clients write on another."""
    SWITCHOVER = "switchover"
    """A leader hands over; clients write on another."""
    STANDBY_LOSS = "loss of a standby"
    """A commit waited for a standby that is gone, and waits for another one, or for none."""
    REJOIN = "rejoin"
    """A member that was away streams again."""
    BLACKOUT = "loss of everything"
    """All hosts went down at once and come back; clients write again."""
    RETURN = "return of service"
    """What kept the leader from taking writes is gone; clients write again."""
    READ_ROUTING = "read routing"
    """A replica that became unfit, or fit again, leaves the read endpoint, or is back."""
    HANGUP = "hangup"
    """The proxy ends the sessions on a member that is lost."""
    READER = "read retry"
    """A reader whose server is lost is served by another."""
    NODES = "node addresses"
    """Every Citus node knows the new leader of a worker group."""


@dataclass(frozen=True)
class Limit:
    """A limit in force, in seconds, and where it comes from."""

    seconds: float
    why: str


@dataclass(frozen=True)
class Timing:
    """What decides how long things take, in seconds. The defaults are those of the embedded cluster."""

    ttl: float = 20.0
    """The leader's lock lasts so long unless it is renewed."""
    loop_wait: float = 1.0
    """Patroni looks, and publishes what it sees, once in that time."""
    silence: float = 5.0
    """After so long PostgreSQL gives up a replication peer that says nothing (wal_sender_timeout and the like)."""
    proxy: float = 3.0
    """HAProxy notices within that time that a server is down, or up again."""
    proxy_told: str = "proxy"
    """How a report calls that part of a limit: whether it was assumed, declared, or read."""
    multiplier: float = 1.0
    """By which waits that are no promises are longer, on a slow machine."""

    def parts(self, span: Span) -> Mapping[str, float]:
        """What the cluster has to wait for, one thing after another: name -> seconds."""
        ttl, loop, proxy = {"ttl": self.ttl}, {"loop_wait": self.loop_wait}, {self.proxy_told: self.proxy}
        loops, silence = {"2 x loop_wait": 2 * self.loop_wait}, {"replication timeout": self.silence}
        failover = {**ttl, **loop, "election": _ELECTION, **proxy}
        return {
            Span.FAILOVER: failover,
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
            Span.READER: {**proxy, "patience of a reader": _CLIENT},
            Span.NODES: {**loops, "update of pg_dist_node": _ELECTION},
        }[span]

    def limit(self, span: Span, stated: float) -> Limit:
        """What a scenario states, or what follows from this timing where that is more."""
        parts = self.parts(span)
        total = sum(parts.values())
        if total <= stated:
            return Limit(stated, "as stated")
        sums = " + ".join(f"{name} {seconds:g}" for name, seconds in parts.items())
        return Limit(total, f"{sums}; the scenario states {stated:g} s, for a cluster with a shorter timing")

    # Waits that are no promises

    @property
    def visible(self) -> float:
        """A change that nothing hinders is seen everywhere: by Patroni on every member, and by the proxy."""
        return self._wait(VISIBLE, 2 * self.loop_wait + self.proxy)

    @property
    def notice(self) -> float:
        """The cluster notices, by its periodic checks, that something is wrong, or right again."""
        return self._wait(NOTICE, sum(self.parts(Span.READ_ROUTING).values()))

    @property
    def effect(self) -> float:
        """A fault shows its effect, also one that consists in another configuration: every member has read it."""
        return self._wait(EFFECT, 3 * self.loop_wait)

    @property
    def rejoin(self) -> float:
        """A member that was away is a streaming replica again."""
        return self._wait(REJOIN, sum(self.parts(Span.REJOIN).values()))

    @property
    def recovery(self) -> float:
        """A cluster that was hurt is whole again."""
        needed = (*self.parts(Span.FAILOVER).values(), *self.parts(Span.REJOIN).values())
        return self._wait(RECOVERY, sum(needed))

    def wait(self, seconds: float) -> float:
        """Any other wait that is no promise, on this machine."""
        return self.multiplier * seconds

    def _wait(self, least: float, needed: float) -> float:
        return self.wait(max(least, needed))


def proxy_detection(configuration: str) -> float | None:
    """Within how many seconds HAProxy notices a change, by its configuration file; None where it checks nothing.

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
            options = " ".join([*here, rest])  # of an option that is there twice the last one counts
            if re.search(r"\bcheck\b", options):
                inter = _last(_INTER, options)
                seconds = float(inter[0]) * _UNITS[inter[1]] if inter else 2.0
                times = [int(last[0]) if (last := _last(option, options)) else unless for option, unless in _TIMES]
                found.append(seconds * (max(times) + 1))
    return max(found, default=None)


def _last(option: re.Pattern[str], options: str) -> tuple[str, ...] | None:
    found = [match.groups() for match in option.finditer(options)]
    return found[-1] if found else None
