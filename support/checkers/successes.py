"""Whether every client got through with all that it tried."""

from collections import Counter

from support.checkers.finding import Finding, listed
from support.history import History, Outcome


def every_client_succeeded(history: History, action: str, clients: int, times: int) -> Finding:
    """Each of the clients tried that action `times` times, and each time it was acknowledged.

    Unknown unless there was a moment at which all of them were at it.
    """
    tried = history.of(action=action)
    refused = [operation for operation in tried if operation.outcome is not Outcome.OK]
    if refused:
        return Finding.false(
            f"{len(refused)} of {len(tried)} operations ({action}) did not succeed, the first: {refused[0].error}"
        )
    counts = Counter(operation.client for operation in tried)
    short = [f"client {client}: {counts[client]}" for client in range(clients) if counts[client] != times]
    if short:
        return Finding.false(f"not {times} operations ({action}) of each client: {listed(short)}")
    if not _all_at_once(history, action):
        return Finding.unknown("there was no moment at which all clients were at work")
    return Finding.true(f"{len(tried)} operations ({action}) of {clients} clients at once, all acknowledged")


def _all_at_once(history: History, action: str) -> bool:
    begun: dict[int, float] = {}
    ended: dict[int, float] = {}
    for operation in history.of(action=action):
        begun[operation.client] = min(operation.begun, begun.get(operation.client, operation.begun))
        ended[operation.client] = max(operation.ended, ended.get(operation.client, operation.ended))
    return max(begun.values()) < min(ended.values())
