"""How long operations took: percentiles over many of them."""

import math

from support.checkers.finding import Finding
from support.history import History, Outcome, durations


def percentile_is_under(history: History, action: str, share: float, limit: float) -> Finding:
    """All operations ended well, and `share` per cent of them in under `limit` ms.

    Unknown when there are so few that the percentile would be one of the worst five.
    """
    every = history.of(action=action)
    refused = [operation for operation in every if operation.outcome is not Outcome.OK]
    if refused:
        return Finding.false(f"{len(refused)} of {len(every)} ended in an error, the first: {refused[0].error}")
    needed = math.ceil(5 / (1 - share / 100))
    if len(every) < needed:
        return Finding.unknown(f"{len(every)} samples, and a {share:g}th percentile takes {needed}")
    found = durations(history, action)
    said = (
        f"the {share:g}th percentile of {len(every)} is {found.percentile(share):.1f} ms (limit: {limit:g} ms; "
        f"median {found.percentile(50):.1f} ms, longest {found.milliseconds[-1]:.1f} ms)"
    )
    return Finding.true(said) if found.percentile(share) < limit else Finding.false(said)
