"""What the steps of sharding scenarios hand to one another."""

from collections.abc import Mapping
from typing import Annotated

from support import sql
from support.engine.history import Outcome
from support.engine.world import Handover
from support.errors import Inconclusive
from support.example_app.entries import Entry
from support.example_app.sessions import Attempt
from support.sharding.checks import Compared
from support.sharding.membership import NewWorker
from support.sharding.moves import Leftovers, OwnTables, PlannedMove, ShardJob
from support.sharding.placement_checks import Placement
from support.sharding.plans import TaskPlan
from support.sharding.queries import ShardedSearches
from support.sharding.transactions import OpenTransaction
from support.sharding.workloads import Ledger
from support.target.cluster import Cluster


class QueryHandover(Handover):
    """Rows over several workers, and what queries over them answered."""

    entries: Annotated[list[Entry], "Given 400 entries over 20 namespaces, on more than one worker"]
    unsharded: Annotated[
        Cluster, "Given the same rows in sharded tables, on more than one worker, and in unsharded tables"
    ]
    reference_rows: Annotated[list[sql.Row], "When rows of a reference table are inserted, updated and deleted"]
    topics: Annotated[Mapping[str, int], "Given a reference table with a row for each of their topics"]
    searches: Annotated[ShardedSearches, "When the nearest 10 entries of all shards are searched for, 100 times"]
    answers: Annotated[list[Compared], "When they are counted and summed by topic"]
    plan: Annotated[TaskPlan, "When the entries are joined with it"]
    copies: Annotated[
        Cluster, "Given 5000 entries over 1000 namespaces, in a separate table sharded like the application's"
    ]


class TransactionHandover(Handover):
    """Transactions over several workers."""

    before: Annotated[
        list[sql.Row], "Given a transaction that has inserted, updated and deleted entries on several workers"
    ]
    locked: Annotated[list[str], "Given two sessions that have each changed an entry on a different worker"]
    attempts: Annotated[list[Attempt], "When each then changes the other's entry"]
    transaction: Annotated[OpenTransaction, "Given a transaction that has written to two workers"]
    told: Annotated[Outcome, "When PostgreSQL of one of these workers dies before its commit"]


class MoveHandover(Handover):
    """Shards that are moved."""

    tables: Annotated[OwnTables, "Given two co-located tables of 8 shards, and a client that writes to each shard"]
    drained: Annotated[int, "When one worker group is drained"]
    """The worker group that is drained, and may be filled again."""
    before: Annotated[list[Placement], "When one worker group is drained"]
    meanwhile: Annotated[tuple[float, float], "When one worker group is drained"]
    """When shards began to be moved, and when that was over, on the monotonic clock."""
    left_before: Annotated[
        Leftovers,
        "When that shard is moved to another worker group, and PostgreSQL on the target worker is killed halfway",
    ]
    """What earlier moves had left behind, before this one began."""
    job: Annotated[
        ShardJob,
        "When that shard is moved to another worker group, and PostgreSQL on the target worker is killed halfway",
    ]
    new_worker: Annotated[NewWorker, "When a new worker joins, and the tables are rebalanced"]
    planned: Annotated[PlannedMove, "Given two co-located tables of 8 shards, one shard with 10000 rows"]


class WorkerHandover(Handover):
    """Clients of worker groups."""

    accounts: Annotated[list[str], "Given 8 clients transferring between accounts on different worker groups"]
    refused: Annotated[
        Attempt, "Then a write to worker group 1 is refused within 10 seconds, with an error that names its node"
    ]

    def __init__(self) -> None:
        self.ledgers: dict[int, Ledger] = {}
        """Worker group -> the ledger on it."""

    def ledger(self, group: int) -> Ledger:
        """The ledger on that worker group. Raises Inconclusive where no client writes to one."""
        if group not in self.ledgers:
            raise Inconclusive(f"no client writes to worker group {group}")
        return self.ledgers[group]
