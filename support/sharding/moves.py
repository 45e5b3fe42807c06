"""Moves of shards: a move or a rebalance as a job that runs beside clients, and the tables whose shards are moved.

Those tables are the scenario's own, sharded and co-located like the application's: nobody else's shards are touched.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html#shard-rebalancing
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from support import sql
from support.engine.world import World
from support.errors import ConnectFailed, Inconclusive, NotAvailable
from support.example_app.profile import Entries, Related, quoted
from support.example_app.sessions import backend
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.faults.process import HostCrash, PostgresKilled
from support.faults.roles import host_of
from support.hosts.interface import SiteHost
from support.sharding import placement_checks as checks
from support.sharding import shards
from support.sharding.placement_checks import Placement, of_hash
from support.sharding.shards import taking_shards, workers_of
from support.target.citus import COORDINATOR, Node, known_to, node_leaders, node_name
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.timeouts import REJOIN, STATEMENT
from support.vocabulary import Kind
from support.waiting import NotYet, describe, eventually

COPIED = "Catching Up"
"""The phase in which all rows are copied, and writes that came meanwhile are being replicated."""

_UNDER_WAY = ("Copying Data", "Catching Up", "Creating Constraints", "Final Catchup")
"""The phases of a shard whose rows are being copied, and that is not yet handed over."""
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
# Subscriptions and slots of other databases are visible, too.
_LEFT = """
    SELECT 'subscription ' || subname FROM pg_subscription
     WHERE subname LIKE 'citus_shard_%' AND subdbid IN (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT 'publication ' || pubname FROM pg_publication WHERE pubname LIKE 'citus_shard_%'
    UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
     WHERE slot_name LIKE 'citus_shard_%' AND database = current_database()
    UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE rolname LIKE 'citus_shard_%'
    UNION ALL SELECT format('to be removed: %s (record %s)', object_name, record_id) FROM pg_dist_cleanup
"""


@dataclass(frozen=True)
class Progress:
    """How far a job had got with one shard, this many seconds after the job began."""

    seconds: float
    shard: int
    table: str
    phase: str

    def __str__(self) -> str:
        return f"{self.seconds:5.1f} s  {self.table}_{self.shard}  {self.phase}"


class ShardJob:
    """A statement that moves shards while writes go on, in a session of its own.

    A context manager: entering starts it, leaving waits for its end. An error of the database's is in `error`; any
    other is raised by whoever waits for the end.
    """

    def __init__(self, where: sql.Endpoint, statement: str, values: sql.Values) -> None:
        self.where, self._statement, self._values = where, statement, values
        self._thread = threading.Thread(target=self._perform, daemon=True)
        self.error: Exception | None = None
        self._mistake: BaseException | None = None
        self.backend = 0
        """The process id of its session on the coordinator."""
        self.begun = self.ended = 0.0
        """On the monotonic clock."""
        self.steps: list[Progress] = []
        """What was seen of its progress."""

    def __enter__(self) -> "ShardJob":
        self._session = sql.connect(self.where, statement_timeout=_LONGEST, autocommit=True)
        self.backend = backend(self._session)
        self.begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.await_end()

    @property
    def runs(self) -> bool:
        return self._thread.is_alive()

    def await_phase(self, phase: str, within: float) -> None:
        """Wait until every shard that is moving is in that phase. Raises Inconclusive when the job ends before."""
        self._await(lambda phases: phases == {phase}, f"the job is in the phase {phase!r}", within)

    def await_under_way(self, within: float) -> None:
        """Wait until any shard is half moved. Raises Inconclusive when the job ends before."""
        self._await(lambda phases: not phases.isdisjoint(_UNDER_WAY), "a shard is half moved", within)

    def _await(self, reached: Callable[[set[str]], bool], subject: str, within: float) -> None:
        """Wait until the moving shards have reached the wanted phases."""

        def look() -> None:
            if not self.runs:
                raise Inconclusive(f"the job ended before {subject} was observed: {self.error or 'done'}")
            if not reached({step.phase for step in self._look()}):
                raise NotYet(f"it is at {[str(step) for step in self.steps[-2:]]}")

        eventually(look, within=within, subject=subject, retry_on=NO_ANSWER, pause=0.03)

    def await_end(self) -> float:
        """Wait until it has ended, well or not, and record its progress meanwhile; returns the seconds that it took."""

        def ended() -> None:
            with suppress(sql.Error, ConnectFailed):  # the coordinator itself may be down
                self._look()
            if self.runs:
                raise NotYet(f"it is at {[str(step) for step in self.steps[-2:]]}")

        eventually(ended, within=_LONGEST + 10, subject="the job has ended")
        if self._mistake is not None:
            raise self._mistake
        return self.ended - self.begun

    def require_done(self) -> float:
        """Wait for its end; an error is a broken promise. Returns the seconds that it took."""
        seconds = self.await_end()
        if self.error is not None:
            raise AssertionError(f"the shards were not moved: {describe(self.error)}")
        return seconds

    def _look(self) -> list[Progress]:
        seconds = time.monotonic() - self.begun
        found = [Progress(seconds, *row) for row in sql.rows(self.where, _PROGRESS)]
        known = {(step.shard, step.phase) for step in self.steps}
        self.steps += [step for step in found if (step.shard, step.phase) not in known]
        return found

    def _perform(self) -> None:
        try:
            sql.rows(self._session, self._statement, self._values)
        except sql.Error as error:
            self.error = error
        except BaseException as error:  # not the database's answer: without it the job would count as done
            self._mistake = error
        finally:
            self.ended = time.monotonic()
            self._session.close()


def rebalance(where: sql.Endpoint, table: str, *, drain_only: bool = False) -> ShardJob:
    """Rebalance the shards of a table, and of those co-located with it, over the nodes that take shards.

    With `drain_only` the nodes that take none are emptied, and nothing else is moved.
    """
    return ShardJob(where, _REBALANCE, [table, drain_only])


Leftovers = Mapping[str, list[str]]
"""Node -> what shard moves have left on it; nodes without any are left out."""


def left_behind(cluster: Cluster, before: Leftovers | None = None) -> Leftovers:
    """The leftovers of shard moves, which nobody needs any more, without those that were there `before`."""
    found, known = dict[str, list[str]](), before or {}
    for node, where in node_leaders(cluster).items():
        new = [what for (what,) in sql.rows(where, _LEFT) if what not in known.get(node, ())]
        found |= {node: new} if new else {}
    return found


@dataclass(frozen=True)
class OwnTables:
    """The tables of the scenario's own whose shards are moved."""

    cluster: Cluster
    """Its logins find these tables first."""
    tables: tuple[str, ...]
    """Their names; the entries first."""
    namespaces: Sequence[str]
    """One in each shard of the entries, in the order of the shards."""

    @property
    def placements(self) -> list[Placement]:
        """Where their shards are now."""
        return shards.placements(self.cluster.write, self.tables)

    @property
    def first_on_a_worker(self) -> int:
        """The index of the first namespace whose shard is on a worker group; a coordinator may hold shards, too."""
        entries = sorted((one for one in self.placements if one.table == self.tables[0]), key=lambda one: one.shard)
        return next(number for number, one in enumerate(entries) if one.node != COORDINATOR)

    @property
    def rows(self) -> list[sql.Row]:
        """Each namespace of the entries, with the number of its rows and of their keys."""
        return self.rows_seen(self.cluster.write)

    def rows_seen(self, where: sql.Endpoint) -> list[sql.Row]:
        """Each namespace of the entries, with the number of its rows and of their keys, according to one node."""
        return sorted(sql.rows(where, self.cluster.profile.sql(_COUNT)))

    def require_in_order(self) -> None:
        """Each shard is on one node, found there and nowhere else, next to the shards it is co-located with.

        Citus is given time to remove what a move leaves behind.
        """
        checks.co_located_together(self.placements).require()

        def settled() -> None:
            held = shards.held_on_nodes(self.cluster, self.tables)
            checks.each_on_one_live_node(self.placements, held).require()

        eventually(
            settled,
            within=REJOIN,
            subject="each shard is on the one node where it belongs",
            retry_on=(sql.Error, ConnectFailed, NotYet),
        )


_COUNT = "SELECT {entries.namespace}, count(*), count(DISTINCT {entries.key}) FROM {entries} GROUP BY 1"


_LIKE = "CREATE TABLE {} (LIKE {} INCLUDING ALL)"
_BESIDE = "SELECT create_distributed_table(%s, %s, colocate_with => %s)"


def co_located_pair(world: World, count: int) -> tuple[Cluster, tuple[str, str]]:
    """The cluster with empty copies of two tables, `count` shards each, and the names of both, that of the entries
    first. They are dropped when the scenario ends.

    The second one is the related table if the application co-locates it with the entries, by their namespace. Elsewhere
    it is another copy of the entries: Citus may refuse to shard the related table in the same way.
    """
    entries, related = world.profile.entries, world.profile.related
    if related and _together(world.cluster, entries, related):
        copies = shards.own_copies(world, [entries, related], count)
        assert copies.profile.related
        return copies, (copies.profile.entries.table, copies.profile.related.table)
    copies = shards.own_copies(world, [entries], count)
    first = copies.profile.entries.table
    second = f"{first.rpartition('.')[0]}.beside"
    with sql.session(copies.write) as session:
        sql.execute(session, _LIKE.format(quoted(second), quoted(first)))
        sql.rows(session, _BESIDE, [quoted(second), entries.namespace, quoted(first)])
    return copies, (first, second)


def _together(cluster: Cluster, entries: Entries, related: Related) -> bool:
    known = shards.sharding_of(cluster.write, (entries.table, related.table))
    by_namespace = [known[part.table].column == part.namespace for part in (entries, related)]
    return all(by_namespace) and len({one.colocation for one in known.values()}) == 1


def make_tables(world: World, count: int) -> OwnTables:
    """Two co-located tables of `count` shards each, spread over all nodes that take shards."""
    if len(workers_of(world.cluster)) < 2:
        raise NotAvailable("there is one worker group: shards cannot be moved anywhere")
    copies, tables = co_located_pair(world, count)
    known = shards.placements(copies.write, tables)
    hashed = shards.hashes(copies.write, [f"namespace-{number}" for number in range(50 * count)])
    at = {place.shard: value for value, code in hashed.items() for place in of_hash(known, tables[0], code)}
    checks.evenly_spread(known, count, taking_shards(world.cluster)).require()
    return OwnTables(copies, tables, [at[shard] for shard in sorted(at)])


@dataclass(frozen=True)
class PlannedMove:
    """A move of one shard to another worker group, and the state before it."""

    shard: int
    source: int
    target: int
    """Worker groups."""
    placements: list[Placement]
    rows: list[sql.Row]

    @classmethod
    def of_first_shard(cls, own: OwnTables) -> "PlannedMove":
        """A move of the first shard on a worker group to the first other worker group that takes shards.

        Raises Inconclusive if no other one does: Citus would refuse the move.
        """
        known, nodes = own.placements, known_to(own.cluster.write)
        groups = {node_name(node.group): node.group for node in nodes}
        shard = sorted({one.shard for one in known if one.table == own.tables[0]})[own.first_on_a_worker]
        source = next(groups[one.node] for one in known if one.shard == shard)
        return cls(shard, source, target_of(nodes, source), known, own.rows)

    def start(self, where: sql.Endpoint) -> ShardJob:
        """The move as a job; the shards that this one is co-located with move along."""
        return ShardJob(where, _MOVE, [self.shard, self.source, self.target])


def target_of(nodes: Sequence[Node], source: int) -> int:
    """The first worker group that takes shards beside `source`. Raises Inconclusive if there is none."""
    found = [node.group for node in nodes if node.takes_shards and node.group not in (0, source)]
    if not found:
        raise Inconclusive(f"no worker group but {node_name(source)} takes shards (shouldhaveshards)")
    return found[0]


class SessionKilled(Fault):
    """A fault: the server's process of one session is terminated in the middle of its work."""

    def __init__(self, where: sql.Endpoint, backend: int, words: str) -> None:
        """`where` leads to the session's server, with the session's role; `words` say what session it is."""
        self._where, self._backend, self._words = where, backend, words

    def told(self, names: Names) -> str:
        return f"{self._words} is killed"

    def inject(self) -> None:
        sql.value(self._where, "SELECT pg_terminate_backend(%s)", [self._backend])

    def require_in_effect(self) -> None:
        if sql.value(self._where, "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [self._backend]):
            raise NotYet(f"process {self._backend} is still there")

    def heal(self) -> None:
        """Nothing to heal: clients open another session."""


class Cancelled(Fault):
    """A fault: the statement of one session is cancelled, as its client or an administrator would do it."""

    def __init__(self, job: ShardJob) -> None:
        self._job = job

    def told(self, names: Names) -> str:
        return "the rebalance is cancelled"

    def inject(self) -> None:
        sql.value(self._job.where, "SELECT pg_cancel_backend(%s)", [self._job.backend])

    def require_in_effect(self) -> None:
        if self._job.runs:
            raise NotYet("it goes on")

    def heal(self) -> None:
        """Nothing to heal."""


_COORDINATOR_LOST: Mapping[str, Callable[[SiteHost], HostCrash | PostgresKilled]] = {
    "PostgreSQL of the coordinator is killed": PostgresKilled,
    "the host of the coordinator crashes": HostCrash,
}
BREAK = Kind("way to interrupt a rebalance", ("the rebalance is cancelled", *_COORDINATOR_LOST))


def loss_of_coordinator(cluster: Cluster, how: str) -> HostCrash | PostgresKilled | None:
    """The fault of the coordinator for one of BREAK; None if the coordinator is not hit."""
    return _COORDINATOR_LOST[how](host_of(cluster, "the leader")) if how in _COORDINATOR_LOST else None


def break_off(world: World, job: ShardJob, how: str) -> None:
    """Break a rebalance off when it has moved a part of what it should: one of BREAK.

    Raises Inconclusive if it was done before.
    """
    job.await_under_way(within=STATEMENT)
    world.experiment.inject(loss_of_coordinator(world.cluster, how) or Cancelled(job), world.cluster.leader())
    job.await_end()
    if job.error is None:
        raise Inconclusive("the rebalance was complete before it was interrupted")
    world.evidence.attach("the error of the rebalance", describe(job.error))


_SERVERS = ("PostgreSQL on the source worker", "PostgreSQL on the target worker")
KILLED = Kind.of("process to kill", ("the session that moves it", *_SERVERS))


def kill_in_move(cluster: Cluster, who: str, source: int, target: int) -> PostgresKilled | None:
    """Kills PostgreSQL on one of the two worker groups of a move, as `who` of KILLED says; None if it is a session."""
    if who not in _SERVERS:
        return None
    group = dict(zip(_SERVERS, (source, target), strict=True))[who]
    return PostgresKilled(cluster.site.hosts[cluster.of_group(group).leader()])


def fault_of_move(world: World, who: str, planned: PlannedMove, job: ShardJob) -> Fault:
    """The fault that kills `who`, one of KILLED, during the move."""
    fault = kill_in_move(world.cluster, who, planned.source, planned.target)
    return fault or SessionKilled(job.where, job.backend, who)
