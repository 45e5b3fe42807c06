"""What clients of a full disk may meet."""

import pytest

from support.engine.history import History, Operation, Outcome
from support.failover.checks import refused_for_lack_of_space

NO_SPACE = 'could not extend file "base/5/16384": No space left on device HINT: Check free disk space.'


def append(client: int, begun: float, outcome: Outcome = Outcome.OK, error: str = "") -> Operation:
    return Operation(client, "append", "key", "value", outcome, begun, begun + 0.01, error)


def refused(client: int, begun: float) -> Operation:
    return append(client, begun, Outcome.FAIL, NO_SPACE)


EARLIER = append(0, 9, Outcome.UNKNOWN, "server closed the connection")
HUNG = append(0, 12, Outcome.UNKNOWN, "server closed the connection")
OTHERWISE = append(0, 12, Outcome.FAIL, "cannot execute INSERT in a read-only transaction")


@pytest.mark.parametrize(
    ("operations", "holds", "words"),
    [
        ([EARLIER, append(0, 11), refused(0, 12), refused(1, 12)], True, "2 of 3 operations were refused"),
        ([refused(0, 11), refused(1, 11), HUNG], False, "1 of 3 operations on a full disk were not refused"),
        ([refused(0, 11), refused(1, 11), OTHERWISE], False, "(fail): cannot execute INSERT"),
        ([refused(0, 11), append(1, 11)], None, "1 of 2 clients were not refused anything"),
        ([], None, "2 of 2 clients were not refused anything"),
    ],
)
def test_a_full_disk_refuses_writes_and_does_nothing_worse(
    operations: list[Operation], holds: bool | None, words: str
) -> None:
    found = refused_for_lack_of_space(History(operations), "append", since=10, clients=2)
    assert found.holds is holds
    assert words in found.words
