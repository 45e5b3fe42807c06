"""Who leads: everyone who can tell must name the same single member."""

from collections.abc import Collection, Mapping

from support.checkers.finding import Finding


def one_leader(seen: Mapping[str, Collection[str]], unheard: Mapping[str, str]) -> Finding:
    """Every witness saw the same single member leading.

    `seen` is witness -> whom it saw leading. Unknown when that is so, but some witnesses did not see everything
    (`unheard`: witness -> why): who gives no answer may lead as well.
    """
    named = {leader for leaders in seen.values() for leader in leaders}
    against = {
        witness: leaders
        for witness, leaders in seen.items()
        if len(named) > 1 or (not leaders and witness not in unheard)
    }
    if against:
        said = "; ".join(f"{' and '.join(sorted(who)) or 'nobody'} by {witness}" for witness, who in against.items())
        return Finding.false(f"not one and the same leader: {said}")
    if unheard or not named:
        why = "; ".join(f"{witness}: {reason}" for witness, reason in unheard.items()) or "no witness was asked"
        return Finding.unknown(f"who gives no answer may lead as well: {why}")
    return Finding.true(f"{named.pop()} leads, by {len(seen)} witnesses")
