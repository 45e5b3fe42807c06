"""What was stored against what was read back."""

from collections.abc import Mapping
from reprlib import Repr

from support.checkers.finding import Finding, listed

_short = Repr()
_short.maxstring = _short.maxother = 120


def contents_match(stored: Mapping[str, object], read: Mapping[str, object]) -> Finding:
    """All that was stored was read back, unchanged, and nothing else. Unknown when nothing was stored."""
    if not stored:
        return Finding.unknown("nothing was stored")
    missing = sorted(stored.keys() - read.keys())
    strange = sorted(read.keys() - stored.keys())
    changed = sorted(key for key in stored.keys() & read.keys() if stored[key] != read[key])
    if not (missing or strange or changed):
        return Finding.true(f"all {len(stored)} values were read back unchanged")
    said = []
    if missing:
        said.append(f"{len(missing)} of {len(stored)} values are missing ({listed(missing)})")
    if changed:
        first = changed[0]
        said.append(
            f"{len(changed)} of {len(stored)} values are altered ({listed(changed)}): {first} was stored as "
            f"{_short.repr(stored[first])} and read back as {_short.repr(read[first])}"
        )
    if strange:
        said.append(f"{len(strange)} values were never stored ({listed(strange)})")
    return Finding.false("; ".join(said))
