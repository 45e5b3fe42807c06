"""Checkers of what endpoints and the cache do under faults: what holds, what does not, and what nobody can tell."""

import pytest

from support.cache.checks import cached_again, forgotten_within, nothing_reached_callers, own_writes_seen
from support.engine.history import History, Operation, Outcome


def done(
    client: int, action: str, value: str | None, begun: float, took: float = 0.01, outcome: Outcome = Outcome.OK
) -> Operation:
    return Operation(client, action, f"entry {client}", value, outcome, begun, begun + took, "no answer")


def own_keys(client: int) -> list[str]:
    return [f"entry {client}"]


BUSY = [done(client, action, "v", 10.5) for client in (0, 1) for action in ("write", "miss")]


@pytest.mark.parametrize(
    ("operations", "holds", "words"),
    [
        (BUSY, True, "4 operations"),
        ([*BUSY, done(0, "miss", None, 11, outcome=Outcome.UNKNOWN)], False, "1 of 5 operations ended in an error"),
        ([*BUSY, done(0, "write", "w", 11, took=2.5)], False, "took too long, up to 2.50 s (allowed: 2 s)"),
        (BUSY[:3], None, "not every client read and wrote"),
        ([], None, "not every client read and wrote"),
    ],
)
def test_an_outage_reaches_no_caller(operations: list[Operation], holds: bool | None, words: str) -> None:
    found = nothing_reached_callers(2, History(operations), clients=2, since=10, until=13)
    assert found.holds is holds
    assert words in found.words


def test_a_client_is_served_what_it_wrote_itself() -> None:
    writes = [done(0, "write", "old", 1), done(0, "write", "new", 2)]
    assert own_writes_seen(History([*writes, done(0, "miss", "new", 3)]), own_keys, 1).holds is True
    assert own_writes_seen(History([*writes, done(0, "hit", "old", 3)]), own_keys, 1).holds is False
    assert own_writes_seen(History(writes), own_keys, 1).holds is None


def test_caching_is_back_when_the_last_client_has_a_hit() -> None:
    hits = [done(0, "hit", "v", 9), done(0, "hit", "v", 11, took=0), done(1, "miss", "v", 10.5)]
    assert cached_again(History(hits), range(2), since=10) is None
    assert cached_again(History([*hits, done(1, "hit", "v", 12, took=0)]), range(2), since=10) == 2


LOST = [done(0, "hit", "lost", 5), done(1, "miss", "lost", 5)]
KEPT = [done(0, "miss", "kept", 40), done(1, "hit", "kept", 40)]


@pytest.mark.parametrize(
    ("operations", "holds", "words"),
    [
        ([*LOST, *KEPT], True, "was served for 0.0 s"),
        ([*LOST, done(0, "hit", "lost", 30), *KEPT], True, "was served for 20.0 s"),
        ([*LOST, done(0, "hit", "lost", 36), *KEPT], False, "was served for 26.0 s after another member led"),
        ([*LOST, done(0, "hit", "other", 12), *KEPT], False, "1 of 5 reads served what nobody wrote: 'other'"),
        ([LOST[1], *KEPT], None, "never served out of the cache"),
        ([*LOST, KEPT[0]], None, "1 of 2 clients read nothing after"),
    ],
)
def test_what_a_failover_lost_is_forgotten(operations: list[Operation], holds: bool | None, words: str) -> None:
    found = forgotten_within(25, History(operations), "lost", "kept", since=10, clients=2)
    assert found.holds is holds
    assert words in found.words
