"""The answer of a check: the promise holds, it does not hold, or the facts do not tell."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from support.errors import Inconclusive, LimitExceeded, LimitFacts, PromiseBroken

_NAMED = re.compile(r"(\d+)-(\d+)")
"""The name of a write in the ledger: the number of its client, and its own."""
Moments = tuple[float, float]
"""When something began and ended; monotonic clock."""


@dataclass(frozen=True)
class Finding(LimitFacts):
    """`holds` is None if the facts are no evidence either way. `words` says what was observed, with figures.

    Where it does not hold because a limit was exceeded, the facts about the limit come with it.
    """

    holds: bool | None
    words: str
    only_limit: bool = False
    """Where it does not hold: only a limit on time or speed was exceeded; no result was wrong."""

    def require(self, promise: str = "") -> None:
        """Raises AssertionError if the promise does not hold, Inconclusive if the facts do not tell.

        The AssertionError is a LimitExceeded if only a limit was exceeded: a rerun may then pass. `promise` is the id
        of the promise, if it is not the scenario's own.
        """
        if self.holds is None:
            raise Inconclusive(self.words)
        if self.holds:
            return
        if self.only_limit:
            raise LimitExceeded(self.words, self)
        raise PromiseBroken(promise, self.words) if promise else AssertionError(self.words)

    @classmethod
    def true(cls, words: str) -> "Finding":
        return cls(True, words)

    @classmethod
    def false(cls, words: str) -> "Finding":
        return cls(False, words)

    @classmethod
    def too_late(cls, words: str, *during: Moments, limit: float | None = None, never_came: bool = False) -> "Finding":
        """A limit on time or speed was exceeded.

        `never_came`: what was promised had not come by the end of a wait that is much longer than any limit on it.
        """
        return cls(False, words, only_limit=True, never_came=never_came, during=during, limit=limit)

    @classmethod
    def within_limit(cls, holds: bool, words: str, *during: Moments, limit: float | None = None) -> "Finding":
        """A finding about a limit on time or speed."""
        return cls(holds, words, only_limit=True, during=during, limit=limit)

    @classmethod
    def unknown(cls, words: str) -> "Finding":
        return cls(None, words)


def broken_together(missed: Sequence[Finding]) -> Finding:
    """What several findings that do not hold say together; only a limit was exceeded if that is so of each.

    Their limit is then the largest of theirs, where each tells one.
    """
    words = "; ".join(one.words for one in missed)
    if not all(one.only_limit for one in missed):
        return Finding(False, words)
    during = tuple(moments for one in missed for moments in one.during)
    limits = [one.limit for one in missed if one.limit is not None]
    return Finding.too_late(words, *during, limit=max(limits) if len(limits) == len(missed) else None)


def listed(things: Sequence[object], most: int = 5, count: int = 0) -> str:
    """The first `most` of them, and how many more there are. `count`: how many there are, if not all are given."""
    shown = things[:most]
    more = max(count, len(things)) - len(shown)
    return ", ".join(map(str, shown)) + (f", and {more} more" if more else "")


def listed_writes(names: Sequence[object], count: int = 0) -> str:
    """The first of these writes, how many more there are (see `listed`), and what their names mean."""
    return f"{listed(names, count=count)}{explained(names)}"


def explained(names: Sequence[object]) -> str:
    """What the name of the first write means, in parentheses; empty if it is not one that clients give in a ledger."""
    found = _NAMED.fullmatch(str(names[0])) if names else None
    return f" ({found[0]}: write {found[2]} of client {found[1]})" if found else ""
