"""Whether a transaction over several nodes happened wholly or not at all, and as its client was told."""

from collections.abc import Mapping

from support.checkers.finding import Finding
from support.history import Outcome


def all_or_nothing(told: Outcome, found: Mapping[str, int], each: int) -> Finding:
    """`found` is node -> how many of the `each` rows are there that the transaction wrote on it.

    All are there when the client was told so, none when it was told that it failed, all or none when it was told
    neither. Unknown when it wrote on fewer than two nodes.
    """
    there = ", ".join(f"{count} of {each} on {node}" for node, count in found.items())
    words = f"the client was told {told}, and there are {there}"
    if len(found) < 2 or each < 1:
        return Finding.unknown(f"the transaction was at work on fewer than two nodes: {words}")
    allowed = {Outcome.OK: [each], Outcome.FAIL: [0], Outcome.UNKNOWN: [0, each]}[told]
    return Finding(any(all(count == right for count in found.values()) for right in allowed), words)
