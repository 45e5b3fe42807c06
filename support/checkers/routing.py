"""Where clients were sent, and what became of them there."""

from collections import Counter
from collections.abc import Collection, Sequence

from support.checkers.finding import Finding


def all_among(found: Sequence[str], allowed: Collection[str]) -> Finding:
    """Everything that was found is allowed. Unknown when nothing was found."""
    if not found:
        return Finding.unknown("nothing was found to judge")
    astray = Counter(one for one in found if one not in allowed)
    if astray:
        counted = "; ".join(f"{count} times {one}" for one, count in astray.items())
        return Finding.false(f"of {len(found)}: {counted}; allowed: {'; '.join(allowed) or 'nothing'}")
    return Finding.true(f"{len(found)} times {' or '.join(sorted(set(found)))}")


def shared(found: Sequence[str], among: Collection[str], least: float) -> Finding:
    """Each of `among` was found at least `least` (0 to 1) of an even share of the times. Unknown without any."""
    if not found or not among:
        return Finding.unknown(f"{len(found)} sessions over {len(among)} places show no share")
    counts = Counter(found)
    enough = least * len(found) / len(among)
    words = f"of {len(found)}: {'; '.join(f'{counts[one]} times {one}' for one in among)}"
    if min(counts[one] for one in among) < enough:
        return Finding.false(f"{words}; at least {enough:.1f} of each were due")
    return Finding.true(words)
