"""The names of the indexes in plans: those of a table, of its partitions, and of their shards.

Source: AppendShardIdToName in https://github.com/citusdata/citus/blob/main/src/backend/distributed/relay/
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

_LONGEST_NAME = 63  # bytes of an identifier, in a standard build of PostgreSQL


def in_plan(plan: Any) -> Iterator[str]:
    """The name of every index in a plan in JSON, at any depth."""
    if isinstance(plan, dict):
        if "Index Name" in plan:
            yield plan["Index Name"]
        plan = list(plan.values())
    if isinstance(plan, list):
        for part in plan:
            yield from in_plan(part)


def is_part(name: str, shard: str, indexes: Collection[str]) -> bool:
    """Whether a shard's index is its part of one of the table's indexes."""
    return name.rpartition("_")[2] == shard.rpartition("_")[2] and _of_any_shard(name, indexes)


def is_one_of(name: str, indexes: Collection[str]) -> bool:
    """Whether this is one of the table's indexes, or the part of one that belongs to any shard."""
    return name in indexes or _of_any_shard(name, indexes)


def _of_any_shard(name: str, indexes: Collection[str]) -> bool:
    """A shard's index has the name of the table's index and the number of the shard. If that is too long, Citus
    shortens it to its beginning, a hash of the whole name, and the number."""
    beginning, _, number = name.rpartition("_")
    if not re.fullmatch("[0-9]+", number):
        return False
    shortened = re.fullmatch("(.+)_[0-9a-f]{8}", beginning)
    return any(
        shortened is not None and index.startswith(shortened[1])
        if len(f"{index}_{number}".encode()) > _LONGEST_NAME
        else beginning == index
        for index in indexes
    )
