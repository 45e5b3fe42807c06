"""What a server without room on its disk does to those who write."""

from support.checkers.finding import Finding
from support.history import History, Outcome

NO_ROOM = ("No space left on device", "Check free disk space")
"""What PostgreSQL says then; either of it."""


def refused_for_want_of_room(history: History, action: str, since: float, clients: int) -> Finding:
    """Operations that began after `since` were refused because there was no room; none hung, or ended otherwise badly.

    What still fitted in may have been acknowledged. Unknown unless every client was refused.
    """
    tried = [one for one in history.of(action=action) if one.begun > since]
    failed = [one for one in tried if one.outcome is not Outcome.OK]
    refused = [one for one in failed if one.outcome is Outcome.FAIL and any(words in one.error for words in NO_ROOM)]
    if others := [one for one in failed if one not in refused]:
        return Finding.false(
            f"{len(others)} of {len(tried)} operations on a full disk were not refused for want of room, the first "
            f"({others[0].outcome}): {others[0].error}"
        )
    if left_out := clients - len({one.client for one in refused}):
        return Finding.unknown(f"{left_out} of {clients} clients were refused nothing")
    return Finding.true(f"{len(refused)} of {len(tried)} operations were refused for want of room, and none hung")
