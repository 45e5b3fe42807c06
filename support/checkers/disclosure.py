"""Whether something secret can be read where anybody may look."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from support.checkers.finding import Finding, listed

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
