"""The answer of a check: the promise holds, it does not hold, or the facts do not tell."""

from collections.abc import Sequence
from dataclasses import dataclass

from support.errors import Inconclusive


@dataclass(frozen=True)
class Finding:
    """`holds` is None if the facts are no evidence either way. `words` says what was observed, with figures."""

    holds: bool | None
    words: str

    def require(self) -> None:
        """Raises AssertionError if the promise does not hold, Inconclusive if the facts do not tell."""
        if self.holds is None:
            raise Inconclusive(self.words)
        if not self.holds:
            raise AssertionError(self.words)

    @classmethod
    def true(cls, words: str) -> "Finding":
        return cls(True, words)

    @classmethod
    def false(cls, words: str) -> "Finding":
        return cls(False, words)

    @classmethod
    def unknown(cls, words: str) -> "Finding":
        return cls(None, words)


def listed(things: Sequence[object], most: int = 5) -> str:
    """The first `most` of them, and how many more there are."""
    shown = ", ".join(map(str, things[:most]))
    return f"{shown}, and {len(things) - most} more" if len(things) > most else shown
