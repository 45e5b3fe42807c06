"""Whether sessions that can be of no more use were ended, or left hanging."""

from collections.abc import Sequence

from support.checkers.finding import Finding


def all_hung_up(sessions: int, ended: Sequence[float], limit: float) -> Finding:
    """Each of so many idle sessions was ended within `limit` seconds of the fault. `ended` tells when those were that
    were ended, in seconds from the fault."""
    if not sessions:
        return Finding.unknown("no session was held")
    if late := [when for when in ended if when > limit]:
        return Finding.false(
            f"{len(late)} of {sessions} sessions were cut after {max(late):.1f} s (allowed: {limit:g} s)"
        )
    if len(ended) < sessions:
        return Finding.false(f"{sessions - len(ended)} of {sessions} sessions were left hanging (allowed: {limit:g} s)")
    return Finding.true(f"{sessions} sessions were cut, the last after {max(ended):.1f} s (limit: {limit:g} s)")
