"""Whether something secret can be read where anybody may look.

Whether strangers were turned away, and for that reason.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from support.engine.finding import Finding, listed

_DECOY = "the decoy"


@dataclass
class Search:
    """A search for secrets, and what it has come to so far. They go by their names here: this is printed."""

    secrets: Mapping[str, Collection[bytes]] = field(repr=False)
    """Name -> every form in which the secret may stand."""
    decoy: str
    """A word that is no secret, but sought like one, to show that the search finds what is there."""
    planted: int = 0
    """In how many places the decoy should be found."""
    found: dict[str, list[str]] = field(default_factory=dict)
    """Name -> where it stands."""
    places: int = 0
    size: int = 0
    """In bytes, of all places together."""

    def look_into(self, places: Iterable[tuple[str, bytes]]) -> None:
        """Search some more places, each a name and what is written there."""
        sought = {**self.secrets, _DECOY: [self.decoy.encode()]}
        for place, content in places:
            self.places, self.size = self.places + 1, self.size + len(content)
            for name, forms in sought.items():
                if any(form in content for form in forms):
                    self.found.setdefault(name, []).append(place)


def decoy_found(search: Search) -> Finding:
    """The search finds what is there: the decoy in every place where it was planted. Unknown where it does not."""
    places: list[object] = [*search.found.get(_DECOY, [])]
    words = f"the decoy was planted in {search.planted} places and found in {len(places)}: {listed(places) or 'none'}"
    return Finding.true(words) if 0 < search.planted <= len(places) else Finding.unknown(words)


def nothing_told(search: Search) -> Finding:
    """No secret was found. Unknown when there was none to seek, or nowhere to look."""
    told = {name: places for name, places in search.found.items() if name != _DECOY}
    if told:
        where = "; ".join(f"{name} in {listed([*places])}" for name, places in told.items())
        return Finding.false(f"it can be read: {where}")
    words = f"{len(search.secrets)} secrets, {search.places} places of {search.size} bytes together: none was found"
    return Finding.true(words) if search.secrets and search.size else Finding.unknown(words)


_NOT_AUTHENTICATED = "28"
"""The class of SQLSTATE: invalid authorization specification."""
_WITHOUT_LOGIN = frozenset({"401", "403", "NOAUTH", "certificate verify failed", "08P01"})
"""HTTP's statuses for it, Redis's word, that of a client which does not believe the server, and PgBouncer's SQLSTATE.

PgBouncer refuses every login by 08P01, a wrong password and one for replication alike. PostgreSQL has that code for
messages that it does not understand; the right login, which is tried before, is made of the same messages.
"""


def all_refused(attempts: Mapping[str, str]) -> Finding:
    """Everything that was tried without a right login was refused for want of one.

    `attempts` is a login, an order, a command -> the code that refused it (a SQLSTATE, a status of HTTP, Redis's
    NOAUTH, a client's own "certificate verify failed"), "" when the stranger was believed, or why there was no answer.
    Unknown when none was tried, or when one failed for another reason: that says nothing about who may come in.
    """
    let_in = [name for name, outcome in attempts.items() if not outcome]
    if let_in:
        return Finding.false(f"{len(let_in)} of {len(attempts)} were believed: {', '.join(let_in)}")
    astray = {name: why for name, why in attempts.items() if not _is_refusal(why)}
    if astray or not attempts:
        reasons = "; ".join(f"{name}: {why}" for name, why in astray.items()) or "nothing was tried"
        return Finding.unknown(f"not everything was answered: {reasons}")
    return Finding.true(f"{len(attempts)} were refused")


def _is_refusal(outcome: str) -> bool:
    return outcome in _WITHOUT_LOGIN or (len(outcome) == 5 and outcome.startswith(_NOT_AUTHENTICATED))
