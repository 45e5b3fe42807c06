"""Whether the cluster could lose its leader now."""

from collections.abc import Collection, Mapping

from support.checkers.finding import Finding


def someone_may_lead(obstacles: Mapping[str, Collection[str]]) -> Finding:
    """At least one replica may take over; `obstacles` is replica -> what keeps it from leading."""
    fit = [name for name, found in obstacles.items() if not found]
    if fit:
        return Finding.true(f"fit to lead: {', '.join(fit)}")
    reasons = "; ".join(f"{name}: {', '.join(found)}" for name, found in obstacles.items())
    return Finding.false(f"no replica may take over: {reasons or 'there is none'}")
