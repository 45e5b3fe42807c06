"""Moves and rebalances of shards as jobs: how far they are while they last, and what they leave behind.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html#shard-rebalancing
"""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from support import sql
from support.cluster.cluster import Cluster
from support.cluster.shard_contents import leaders_of_nodes
from support.errors import ConnectFailed, Inconclusive
from support.waiting import NotYet, describe, eventually

COPIED = "Catching Up"
"""The phase in which the rows are copied, and what was written meanwhile is being brought after."""

_LONGEST = 120.0  # seconds that a job may take
_PROGRESS = "SELECT shardid, table_name::text, status FROM get_rebalance_progress()"
_MOVE = """
    SELECT citus_move_shard_placement(%s, source.nodeid, target.nodeid, 'force_logical')
      FROM pg_dist_node source, pg_dist_node target
     WHERE source.groupid = %s AND source.noderole = 'primary' AND target.groupid = %s AND target.noderole = 'primary'
"""
_REBALANCE = """
    SELECT rebalance_table_shards(%s, rebalance_strategy => 'by_shard_count', shard_transfer_mode => 'force_logical',
                                  drain_only => %s)
"""
_TAKE_SHARDS = """
    SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards', %s)
      FROM pg_dist_node WHERE groupid = %s AND noderole = 'primary'
"""
_LEFT = """
    SELECT 'subscription ' || subname FROM pg_subscription WHERE subname LIKE 'citus_shard_%'
    UNION ALL SELECT 'publication ' || pubname FROM pg_publication WHERE pubname LIKE 'citus_shard_%'
    UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE slot_name LIKE 'citus_shard_%'
    UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE rolname LIKE 'citus_shard_%'
    UNION ALL SELECT 'to be removed: ' || object_name FROM pg_dist_cleanup
"""


@dataclass(frozen=True)
class Step:
    """A look at a job: how far one shard was, so many seconds after the job began."""

    seconds: float
    shard: int
    table: str
    phase: str

    def __str__(self) -> str:
        return f"{self.seconds:5.1f} s  {self.table}_{self.shard}  {self.phase}"


class ShardJob:
    """A statement that moves shards, in a session of its own, while writes go on. A context manager: it begins there.

    Whatever error it ends with is in `error`; leaving the context waits for its end.
    """

    def __init__(self, where: sql.Endpoint, statement: str, values: sql.Values) -> None:
        self._where, self._statement, self._values = where, statement, values
        self._thread = threading.Thread(target=self._perform, daemon=True)
        self.error: Exception | None = None
        self.backend = 0
        """The process of its session, on the coordinator."""
        self.begun = self.ended = 0.0
        """On the monotonic clock."""
        self.steps: list[Step] = []
        """What was seen of its progress."""

    def __enter__(self) -> "ShardJob":
        self._session = sql.connect(self._where, statement_timeout=_LONGEST, autocommit=True)
        self.backend = self._session.info.backend_pid
        self.begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.await_end()

    @property
    def runs(self) -> bool:
        return self._thread.is_alive()

    def await_phase(self, phase: str, within: float) -> None:
        """Wait until every shard that it moves now is in that phase. Raises Inconclusive when it ends before."""

        def reached() -> None:
            if not self.runs:
                raise Inconclusive(f"the job ended before it was seen in the phase {phase!r}: {self.error or 'done'}")
            if {step.phase for step in self._look()} != {phase}:
                raise NotYet(f"it is at {[str(step) for step in self.steps[-2:]]}")

        eventually(reached, within=within, subject=f"the job is in the phase {phase!r}", pause=0.03)

    def await_end(self) -> float:
        """Wait until it has ended, well or not, and look at its progress meanwhile; returns how long it took."""

        def ended() -> None:
            with suppress(sql.Error, ConnectFailed):  # the coordinator may be what was broken
                self._look()
            if self.runs:
                raise NotYet(f"it is at {[str(step) for step in self.steps[-2:]]}")

        eventually(ended, within=_LONGEST + 10, subject="the job has ended")
        return self.ended - self.begun

    def require_done(self) -> float:
        """Wait for its end; an error of it is a broken promise. Returns how long it took."""
        seconds = self.await_end()
        if self.error is not None:
            raise AssertionError(f"the shards were not moved: {describe(self.error)}")
        return seconds

    def _look(self) -> list[Step]:
        seconds = time.monotonic() - self.begun
        found = [Step(seconds, *row) for row in sql.rows(self._where, _PROGRESS)]
        known = {(step.shard, step.phase) for step in self.steps}
        self.steps += [step for step in found if (step.shard, step.phase) not in known]
        return found

    def _perform(self) -> None:
        try:
            sql.rows(self._session, self._statement, self._values)
        except sql.Error as error:
            self.error = error
        finally:
            self.ended = time.monotonic()
            self._session.close()


def move(where: sql.Endpoint, shard: int, source: int, target: int) -> ShardJob:
    """Move a shard, and those that belong to it, from one group of workers to another."""
    return ShardJob(where, _MOVE, [shard, source, target])


def rebalance(where: sql.Endpoint, table: str, *, drain_only: bool = False) -> ShardJob:
    """Share out the shards of a table and its family among the nodes that take shards.

    With `drain_only` those nodes that take none are emptied, and nothing else is moved.
    """
    return ShardJob(where, _REBALANCE, [table, drain_only])


def let_take_shards(where: sql.Endpoint, group: int, takes: bool) -> None:
    """Say whether a group of workers is to have shards; takes a superuser."""
    sql.rows(where, _TAKE_SHARDS, [takes, group])


def left_behind(cluster: Cluster) -> Mapping[str, list[str]]:
    """Node -> what moves of shards have left there and nobody needs any more; nodes with nothing are left out."""
    found = {node: [what for (what,) in sql.rows(where, _LEFT)] for node, where in leaders_of_nodes(cluster).items()}
    return {node: things for node, things in found.items() if things}
