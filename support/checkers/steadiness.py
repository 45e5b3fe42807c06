"""Nothing changes while one looks."""

from collections.abc import Mapping, Sequence

from support.checkers.finding import Finding

Look = Mapping[str, object]
"""Aspect -> how it is found at one look."""


def nothing_changed(looks: Sequence[Look]) -> Finding:
    """Every look found what the first one found. Unknown when there were fewer than two."""
    if len(looks) < 2:
        return Finding.unknown(f"there were {len(looks)} looks")
    first = looks[0]
    for number, look in enumerate(looks[1:], start=2):
        changed = [aspect for aspect in {**first, **look} if look.get(aspect) != first.get(aspect)]
        if changed:
            said = "; ".join(f"{aspect} was {first.get(aspect)}, then {look.get(aspect)}" for aspect in changed)
            return Finding.false(f"at look {number} of {len(looks)}: {said}")
    return Finding.true(
        f"the same at {len(looks)} looks: {', '.join(f'{key} {value}' for key, value in first.items())}"
    )
