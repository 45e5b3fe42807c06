"""Whether searches went by the index that is there for them."""

from collections.abc import Collection, Sequence

from support.checkers.finding import Finding


def went_by_index(used: Sequence[Collection[str]], meant: Collection[str]) -> Finding:
    """Every plan names one of the indexes that are meant for it, and no other.

    A shard's index has the name of its table's index and a number. Unknown when there is no plan.
    """
    if not used:
        return Finding.unknown("there is no plan to look at")
    if not meant:
        return Finding.false("there is no valid HNSW index for this metric")
    astray = [names for names in used if not names or not all(_is_one_of(name, meant) for name in names)]
    if astray:
        instead = f"by {', '.join(sorted(astray[0]))}" if astray[0] else "by no index"
        return Finding.false(
            f"{len(astray)} of {len(used)} searches went {instead}, not by {' or '.join(sorted(meant))}"
        )
    return Finding.true(f"{len(used)} searches by {' or '.join(sorted(meant))}")


def _is_one_of(name: str, indexes: Collection[str]) -> bool:
    table_s, _, number = name.rpartition("_")
    return name in indexes or (number.isdigit() and table_s in indexes)
