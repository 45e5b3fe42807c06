"""Who has to give way when sessions wait for one another."""

from collections.abc import Sequence

from support.checkers.finding import Finding

DEADLOCK = "deadlock detected"


def one_victim(conditions: Sequence[str]) -> Finding:
    """One session was cancelled because of a deadlock, and every other met no error.

    `conditions` are the names that PostgreSQL gives to what ended each of the sessions, empty where nothing did.
    Unknown where there are not two, or nobody was stopped: then nobody waited for the other.
    """
    said = ", ".join(condition or "no error" for condition in conditions)
    if len(conditions) < 2 or not any(conditions):
        return Finding.unknown(f"no two sessions waited for each other: {said or 'there was none'}")
    victims = [condition for condition in conditions if condition]
    words = f"{len(victims)} of {len(conditions)} sessions were stopped: {said}"
    return Finding(victims == [DEADLOCK], words)
