"""Whether a query over sharded tables is done as it should be, by the plan that was made for it."""

from collections.abc import Collection, Mapping, Sequence

from support.checkers.finding import Finding, listed


def nothing_moves(tasks: int, moves: Sequence[str], shards: int) -> Finding:
    """One task for each shard, and no rows that are moved between nodes before. Unknown where there is no shard."""
    if not shards:
        return Finding.unknown("the table has no shard")
    if moves:
        return Finding.false(f"rows are moved between nodes first: {listed(moves)}")
    if tasks != shards:
        return Finding.false(f"there are {tasks} tasks for {shards} shards")
    return Finding.true(f"{tasks} tasks for {shards} shards, nothing is moved")


def each_shard_by_index(
    used: Mapping[str, Collection[str]], shards: Collection[str], meant: Collection[str]
) -> Finding:
    """Every shard was read by its own part of one of the indexes that are meant for it; `used` is shard -> indexes.

    A shard's index has the name of its table's index, and the number of the shard. Unknown where there is no shard.
    """
    if not shards:
        return Finding.unknown("the table has no shard")
    if not meant:
        return Finding.false("there is no valid HNSW index for this metric")
    if unread := sorted(shards - used.keys()):
        return Finding.false(f"{len(unread)} of {len(shards)} shards are not read: {listed(unread)}")
    astray = sorted(shard for shard in shards if not set(used[shard]) & _own(shard, meant))
    if not astray:
        return Finding.true(f"{len(shards)} shards by {' or '.join(sorted(meant))}")
    instead = ", ".join(sorted(used[astray[0]])) or "no index"
    return Finding.false(
        f"{len(astray)} of {len(shards)} shards are not read by {' or '.join(sorted(meant))}: "
        f"{astray[0]} by {instead}{f', so {listed(astray[1:])}' if astray[1:] else ''}"
    )


def _own(shard: str, indexes: Collection[str]) -> set[str]:
    number = shard.rpartition("_")[2]
    return {f"{index}_{number}" for index in indexes}
