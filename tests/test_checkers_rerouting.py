"""Checkers of what endpoints do under faults: what holds, what does not, and what nobody can tell."""

import pytest

from support.failover.checks import all_hung_up


@pytest.mark.parametrize(
    ("sessions", "ended", "holds", "words"),
    [
        (2, [1.0, 2.0], True, "2 sessions were cut, the last after 2.0 s"),
        (2, [1.0], False, "1 of 2 sessions were left hanging"),
        (2, [1.0, 9.0], False, "1 of 2 sessions were cut after 9.0 s (allowed: 8 s)"),
        (2, [], False, "2 of 2 sessions were left hanging"),
        (0, [], None, "no session was held"),
    ],
)
def test_sessions_are_hung_up_in_time(sessions: int, ended: list[float], holds: bool | None, words: str) -> None:
    found = all_hung_up(sessions, ended, limit=8)
    assert found.holds is holds
    assert words in found.words
