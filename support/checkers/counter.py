"""A counter that many clients increment counts exactly."""

from support.checkers.finding import Finding
from support.history import History, Outcome


def counted_exactly(history: History, begun_at: int, ended_at: int) -> Finding:
    """The counter grew by the acknowledged increments, and by at most the unknown ones more."""
    acknowledged = len(history.of(action="increment", outcome=Outcome.OK))
    unknown = len(history.of(action="increment", outcome=Outcome.UNKNOWN))
    grown = ended_at - begun_at
    words = f"the counter grew by {grown} over {acknowledged} acknowledged and {unknown} unknown increments"
    if acknowledged == 0:
        return Finding.unknown("no increment was acknowledged")
    return Finding(acknowledged <= grown <= acknowledged + unknown, words)
