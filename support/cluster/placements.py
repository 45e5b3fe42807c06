"""A shard of a table and the node that has it: plain facts, as Citus has them or as they are found on the nodes."""

from collections.abc import Iterable
from dataclasses import dataclass

from support.application.profile import relation

NOWHERE = "no node"
"""Stands for the node of a shard that Citus has on none."""


@dataclass(frozen=True)
class Placement:
    """One row of pg_dist_placement, with what is known of its shard."""

    table: str
    shard: int
    node: str
    """"worker group 1", "the coordinator"."""
    lowest: int = 0
    highest: int = 0
    """The hashes of those values of the distribution column whose rows it holds."""
    family: int = 0
    """Citus' co-location group: tables whose shards of the same hashes belong on the same node."""
    active: bool = True

    @property
    def name(self) -> str:
        """The table that it is on its node."""
        return f"{relation(self.table)}_{self.shard}"

    def __str__(self) -> str:
        return f"{self.name} on {self.node}"


def of_hash(placements: Iterable[Placement], table: str, hashed: int) -> list[Placement]:
    """Where the rows of a table lie whose distribution column hashes to that."""
    return [one for one in placements if one.table == table and one.lowest <= hashed <= one.highest]
