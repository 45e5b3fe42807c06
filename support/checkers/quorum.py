"""Whether a DCS could lose a member."""

from collections.abc import Collection, Mapping
from typing import Protocol

from support.checkers.finding import Finding


class Quorum(Protocol):
    """What is known of the members of a DCS."""

    @property
    def voters(self) -> int:
        """How many there are."""

    @property
    def healthy(self) -> Collection[str]:
        """Those that work."""

    @property
    def unhealthy(self) -> Mapping[str, str]:
        """Those that do not -> what is wrong."""

    @property
    def unjudged(self) -> Collection[str]:
        """Those of which nothing is known."""

    @property
    def spare(self) -> int:
        """How many of the healthy could be lost; negative when there is no quorum."""


def could_lose(now: Quorum, members: int) -> Finding:
    """It would work on without any so many of its members. Unknown where that hangs on those nothing is known of."""
    words = f"{len(now.healthy)} of {now.voters} members of the DCS are healthy ({', '.join(sorted(now.healthy))})"
    if now.unhealthy:
        words += f"; not so: {', '.join(f'{name}: {why}' for name, why in now.unhealthy.items())}"
    if now.spare >= members:
        return Finding.true(words)
    if now.spare + len(now.unjudged) >= members:
        return Finding.unknown(f"{words}; nothing is known of {', '.join(sorted(now.unjudged))}: add to ETCD_HOSTS")
    return Finding.false(f"{words}: {max(0, now.spare)} could be lost, and {members} should be")
