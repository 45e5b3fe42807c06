"""Who may not lead after the loss of the leader and its synchronous standby: the check of FO-14."""

from collections.abc import Iterator

from support.engine.history import WriterSample
from support.failover.joint_loss import nobody_took_over

LOST, END = 10.0, 40.0


def seen(member: str, writable: bool | None, begun: float = LOST, ended: float = END) -> Iterator[WriterSample]:
    """A look each second."""
    at = begun
    while at < ended:
        yield WriterSample(member, at + 0.1, at + 0.2, writable)
        at += 1


def judged(*samples: Iterator[WriterSample], left: tuple[str, ...] = ("pg3",)) -> tuple[bool | None, str]:
    finding = nobody_took_over([one for some in samples for one in some], left, LOST, END)
    return finding.holds, finding.words


def test_a_replica_that_refuses_to_the_end() -> None:
    assert judged(seen("pg3", False), seen("pg1", True, ended=LOST)) == (True, "pg3 accepted no write for 30.0 s")


def test_a_replica_that_takes_over() -> None:
    holds, words = judged(seen("pg3", False, ended=31), seen("pg3", True, 31))
    assert holds is False
    assert words.startswith("pg3 accepted writes 21.2 s after the loss of the leader and of every standby that had")


def test_what_it_did_before_the_loss_counts_for_nothing() -> None:
    assert judged(seen("pg3", True, 0, LOST), seen("pg3", False))[0] is True


def test_a_replica_that_falls_silent_may_have_taken_over() -> None:
    assert judged(seen("pg3", False, ended=30), seen("pg3", None, 30)) == (
        None,
        "pg3 was not seen to refuse a write until the end",
    )
    assert judged(seen("pg3", False), left=("pg3", "pg4"))[0] is None


def test_without_a_replica_that_is_left_nothing_is_known() -> None:
    assert judged(seen("pg1", False), left=())[0] is None
