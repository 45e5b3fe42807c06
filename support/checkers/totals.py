"""Transfers keep the total; increments count exactly."""

from support.checkers.finding import Finding
from support.history import History, Outcome


def total_conserved(history: History, total: int) -> Finding:
    """Every successful read of all balances (action "read", value: account -> balance) adds up to the total.

    Unknown unless at least one transfer was acknowledged, and the balances were read after the last one began.
    """
    transfers = history.of(action="transfer")
    done = [one for one in transfers if one.outcome is Outcome.OK]
    reads = history.of(action="read", outcome=Outcome.OK)
    if not done:
        return Finding.unknown("no transfer was acknowledged")
    if not any(read.begun > max(one.begun for one in transfers) for read in reads):
        return Finding.unknown("the balances were never read after the last transfer")
    wrong = [read for read in reads if sum(read.value.values()) != total]
    if wrong:
        found = sum(wrong[0].value.values())
        return Finding.false(f"{len(wrong)} of {len(reads)} reads did not add up to {total}: one gave {found}")
    return Finding.true(f"{len(reads)} reads added up to {total} over {len(done)} acknowledged transfers")


def counted_exactly(history: History, begun_at: int, ended_at: int) -> Finding:
    """The counter grew by the acknowledged increments, and by at most the unknown ones more."""
    acknowledged = len(history.of(action="increment", outcome=Outcome.OK))
    unknown = len(history.of(action="increment", outcome=Outcome.UNKNOWN))
    grown = ended_at - begun_at
    words = f"the counter grew by {grown} over {acknowledged} acknowledged and {unknown} unknown increments"
    if acknowledged == 0:
        return Finding.unknown("no increment was acknowledged")
    return Finding(acknowledged <= grown <= acknowledged + unknown, words)
