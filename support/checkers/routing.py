"""Where clients were sent, and what became of them there."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from support.checkers.finding import Finding


def all_among(found: Sequence[str], allowed: Collection[str]) -> Finding:
    """Everything that was found is allowed. Unknown when nothing was found."""
    if not found:
        return Finding.unknown("nothing was found to judge")
    astray = Counter(one for one in found if one not in allowed)
    if astray:
        counted = "; ".join(f"{count} times {one}" for one, count in astray.items())
        return Finding.false(f"of {len(found)}: {counted}; allowed: {'; '.join(allowed) or 'nothing'}")
    return Finding.true(f"{len(found)} times {' or '.join(sorted(set(found)))}")


class InProxy(Protocol):
    """How the proxy holds one server."""

    @property
    def position(self) -> str:
        """Whether new sessions are sent there: "up", "down", or another word."""

    @property
    def served(self) -> int:
        """Sessions since the proxy started."""

    @property
    def algorithm(self) -> str:
        """How sessions are balanced; empty where the proxy does not tell."""


def each_serves(found: Sequence[str], among: Collection[str], held: Mapping[str, InProxy]) -> Finding:
    """Each of `among` has some of the sessions, or the proxy has sent others there and would send further ones.

    `found` is the member on which each session is; `held` is member -> how the proxy holds it, where that is known.
    Unknown without any, and where a proxy that sends all sessions of one client to one server would look the same.
    """
    if not found or not among:
        return Finding.unknown(f"{len(found)} sessions over {len(among)} replicas show no share")
    counts = Counter(found)
    words = f"of {len(found)}: {'; '.join(f'{counts[one]} on {one}' for one in among)}"
    unserved = [one for one in among if not counts[one]]
    for one in unserved:
        server = held.get(one)
        if server and server.position != "up":
            return Finding.false(f"{words}; the proxy holds {one} {server.position}")
        if server and server.algorithm == "first":
            return Finding.false(f"{words}; {one} serves none as long as another takes them (balance first)")
        if server and not server.served and (server.algorithm or len(counts) > 1):
            return Finding.false(f"{words}; {one} serves none, and has served none since the proxy started")
        if not server or not server.served:
            return Finding.unknown(
                f"{words}; whether {one} serves others cannot be told: the proxy does not say how it balances "
                "(`stats show-legends` in HAProxy makes its statistics say it, or say it in HAPROXY_BALANCE)"
            )
        words += f"; {one} is up, and the proxy has sent it {server.served} sessions"
    return Finding.true(words)
