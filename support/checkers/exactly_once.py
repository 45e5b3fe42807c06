"""What a client repeats until it is acknowledged is applied once, however often it was tried.

An attempt is an operation with action "count" and a key that names what is repeated; each that is applied adds one to
a counter.
"""

from collections import defaultdict

from support.checkers.finding import Finding
from support.history import History, Operation, Outcome


def each_applied_once(history: History, counted: int) -> Finding:
    """The counter stands at the number of operations that were acknowledged, or at most at those in doubt more.

    In doubt is what was never acknowledged, and has an attempt whose outcome is unknown. Unknown when nothing was
    acknowledged, or when no operation whose outcome was unknown was repeated until it was: nothing was put to the test.
    """
    attempts: dict[str, list[Operation]] = defaultdict(list)
    for one in history.of(action="count"):
        attempts[one.key].append(one)
    done = {key for key, tries in attempts.items() if any(one.outcome is Outcome.OK for one in tries)}
    doubtful = {key for key, tries in attempts.items() if any(one.outcome is Outcome.UNKNOWN for one in tries)}
    in_doubt, repeated = len(doubtful - done), len(doubtful & done)
    words = f"{counted} were applied of {len(done)} acknowledged operations, {repeated} of them repeated after a lost "
    words += f"answer, and {in_doubt} in doubt"
    if not done:
        return Finding.unknown("no operation was acknowledged")
    if not len(done) <= counted <= len(done) + in_doubt:
        return Finding.false(words)
    if not repeated:
        return Finding.unknown("no operation was repeated whose answer was lost")
    return Finding.true(words)
