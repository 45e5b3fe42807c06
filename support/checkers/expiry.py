"""Whether a cached value lived as long as it was to, neither shorter nor longer.

A history of: one "miss", which filled the cache with a value; one "change" of it behind the cache's back; and "hit" or
"miss" reads after that, of which each serves the old value while the cache has it, and the new one from then on.
"""

from collections.abc import Mapping

from support.checkers.finding import Finding
from support.checkers.staleness import errors, reads_of
from support.history import History, Operation, Outcome


def lived_for(seconds: float, slack: float, history: History) -> Finding:
    """The old value was served until `seconds` after the fill began, and no longer than until so long after it ended.

    `slack` (seconds) is let pass either way, for clocks that differ or count in whole milliseconds. Unknown unless
    something was read in the last fifth of that time, and something after it.
    """
    (change,) = history.of(action="change", outcome=Outcome.OK)
    reads = reads_of(history)
    if refused := errors(reads):
        return refused
    fill, reads = reads[0], [one for one in reads if one.begun > change.ended]
    least, most = fill.begun + seconds - slack, fill.ended + seconds + slack
    before = [one for one in reads if one.ended < least]
    after = [one for one in reads if one.begun > most]
    if not after or not any(one.begun > least - seconds / 5 for one in before):
        return Finding.unknown("nothing was read just before the end of the time to live, or nothing after it")
    return _judged(fill, before, after, seconds)


def every_key_ends(lives: Mapping[str, float], seconds: float) -> Finding:
    """Each key (name -> seconds that it lives on; infinity where it has no end) is gone after so long.

    Unknown when there is no key.
    """
    if not lives:
        return Finding.unknown("no key of the cache was found in Redis: it may not use the prefix that it was given")
    longer = {key: left for key, left in lives.items() if left > seconds}
    if longer:
        first, left = next(iter(longer.items()))
        lasts = "has no end" if left == float("inf") else f"lives for {left:g} s more"
        return Finding.false(f"{len(longer)} of {len(lives)} keys live for longer than {seconds:g} s: {first} {lasts}")
    return Finding.true(f"each of {len(lives)} keys ends within {seconds:g} s")


def _judged(fill: Operation, before: list[Operation], after: list[Operation], seconds: float) -> Finding:
    early = [one for one in before if one.value != fill.value]
    late = [one for one in after if one.value == fill.value]
    if early:
        return Finding.false(f"gone {early[0].ended - fill.begun:.3f} s after it was filled in, not {seconds:g} s")
    if late:
        return Finding.false(
            f"served {late[-1].begun - fill.ended:.3f} s after it was filled in, not for {seconds:g} s"
        )
    return Finding.true(f"served by {len(before)} reads within {seconds:g} s, and by none of {len(after)} after that")
