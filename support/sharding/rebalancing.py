"""Moves and rebalances of shards as jobs: how far they are while they last, and what they leave behind.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html#shard-rebalancing

Shards that are moved: by a rebalance while clients write, and by a move that dies half-way.

It is tables of the scenario's own that are moved, sharded and co-located as the application's are: nobody else's
shards are touched.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from support import sql
from support.engine.checks.availability import every_client_worked, longest_gap_of_any
from support.engine.checks.durability import each_write_once, no_acknowledged_write_lost
from support.engine.finding import Finding
from support.engine.history import History, Operation, Outcome
from support.engine.ledger import APPEND, READ, appends, read_back
from support.engine.workload import Task, Turn, Workload
from support.engine.world import World
from support.errors import ConnectFailed, Inconclusive, NotAvailable
from support.example_app.profile import quoted
from support.example_app.schema import sharded_copies
from support.sharding import placement_checks as checkers
from support.sharding import shard_map, shards
from support.sharding.placement import own_schema
from support.sharding.placement_checks import Placement, of_hash
from support.sharding.setup import workers_of
from support.sharding.shards import leaders_of_nodes, name
from support.target import citus
from support.target.cluster import Cluster
from support.timeouts import RECOVERY, REJOIN
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


_PACE, _PATIENCE = 0.02, 10.0
_SCENE = "own tables"


@dataclass(frozen=True)
class OwnTables:
    """Tables of the scenario's own."""

    cluster: Cluster
    """Its logins find these tables first."""
    namespaces: Sequence[str]
    """One in each of their shards."""

    @property
    def tables(self) -> tuple[str, ...]:
        """What they are called; the entries first."""
        profile = self.cluster.profile
        return tuple(part.table for part in (profile.entries, profile.related) if part)

    @property
    def placements(self) -> list[Placement]:
        """Where their shards are now."""
        return shards.placements(self.cluster.write, self.tables)


def make_tables(world: World, count: int) -> None:
    """Two tables of `count` shards each, which lie together, on at least two worker groups."""
    if len(workers_of(world)) < 2:
        raise NotAvailable("there is one worker group: shards can be moved nowhere")
    schema = own_schema(world)
    parts = [part for part in (world.profile.entries, world.profile.related) if part]
    world.cleanup.enter_context(sharded_copies(world.cluster.write, schema, parts, count))
    own = OwnTables(world.cluster.with_copies_in(schema), [])
    known = own.placements
    hashed = shards.hashes(own.cluster.write, [f"namespace {number}" for number in range(50 * count)])
    at = {place.shard: value for value, code in hashed.items() for place in of_hash(known, own.tables[0], code)}
    world.scene[_SCENE] = replace(own, namespaces=[at[shard] for shard in sorted(at)])
    checkers.evenly_spread(known, count, workers_of(world)).require()


def own_tables(world: World) -> OwnTables:
    found: OwnTables = world.scene[_SCENE]
    return found


def start_clients(world: World) -> None:
    """One client for each shard appends to a ledger there until the scenario ends."""
    own = own_tables(world)
    ledgers = [appends(own.cluster.profile, namespace) for namespace in own.namespaces]

    def script(turn: Turn) -> Task | None:
        return ledgers[turn.client](turn)

    clients = len(ledgers)
    workload = Workload(own.cluster.write, script, clients=clients, pace=_PACE, patience=_PATIENCE)
    world.start(workload, acknowledged=10 * clients)


def drain(world: World) -> None:
    """Empty one worker group of these tables; it takes shards again when the scenario ends, if not before."""
    group = _newcomer(world)
    world.scene["map"] = {"before": own_tables(world).placements}
    world.cleanup.callback(let_take_shards, world.cluster.administration, group, True)
    let_take_shards(world.cluster.administration, group, False)
    _perform(
        world,
        rebalance(own_tables(world).cluster.write, quoted(own_tables(world).tables[0]), drain_only=True),
        "draining",
    )


def rebalance_again(world: World) -> None:
    """Let that worker group take shards again, and share them out."""
    world.scene["map"] = {"before": own_tables(world).placements}
    let_take_shards(world.cluster.administration, _newcomer(world), True)
    _perform(world, rebalance(own_tables(world).cluster.write, quoted(own_tables(world).tables[0])), "the rebalance")


def require_empty(world: World) -> None:
    """The drained worker group has no shard of these tables, by Citus' word and among its own tables."""
    own, worker = own_tables(world), name(_newcomer(world))

    def emptied() -> None:
        meant = [str(one) for one in own.placements if one.node == worker]
        held = shards.held_on_nodes(own.cluster, own.tables)[worker]
        Finding(not meant and not held, f"{worker} should have {meant}, and has {sorted(held)}").require()

    eventually(emptied, within=REJOIN, subject=f"{worker} is empty")


def require_balanced(world: World, count: int) -> None:
    """Shards were moved; they are evenly spread, each once, and those that belong together are together."""
    own = own_tables(world)
    shifted = checkers.moved(world.scene["map"]["before"], own.placements)
    world.measure("shards moved", len(shifted), "")
    Finding(bool(shifted), "no shard was moved").require()
    checkers.evenly_spread(own.placements, count, workers_of(world)).require()
    require_in_order(own)


def require_in_order(own: OwnTables) -> None:
    """Each shard is on one node, found there and nowhere else, next to its relatives.

    What a move leaves behind is given time to be removed.
    """
    checkers.relatives_together(own.placements).require()

    def settled() -> None:
        held = shards.held_on_nodes(own.cluster, own.tables)
        checkers.each_on_one_live_node(own.placements, held).require()

    eventually(
        settled,
        within=REJOIN,
        subject="each shard is on the one node where it belongs",
        retry_on=(sql.Error, ConnectFailed, NotYet),
    )


def require_ledgers_whole(world: World) -> None:
    """Every client wrote while shards were moved, and nothing that was acknowledged is lost, or there twice."""
    own, workload = own_tables(world), world.clients
    job: ShardJob = world.scene["job"]
    workload.await_acknowledged(len(own.namespaces), within=RECOVERY)
    workload.stop()
    history = workload.history
    every_client_worked(history, APPEND, len(own.namespaces), (job.begun, job.ended)).require()
    world.measure("a client was interrupted for, at most", longest_gap_of_any(history, APPEND, job.begun), "s")
    world.measure("acknowledged writes", len(history.of(action=APPEND, outcome=Outcome.OK)), "")
    _read_back(own, history)
    for finding in (no_acknowledged_write_lost(history, (job.begun, job.ended)), each_write_once(history)):
        world.evidence.attach("ledgers", finding.words)
        finding.require()


def require_nothing_moves(world: World) -> None:
    """A further rebalance leaves every shard where it is."""
    own = own_tables(world)
    before = own.placements
    with rebalance(own.cluster.write, quoted(own.tables[0])) as job:
        job.require_done()
    checkers.as_before(before, own.placements).require()


def _perform(world: World, started: ShardJob, words: str) -> None:
    """Wait for the job's end; how it went, and the maps before and after it, are attached."""
    with started as job:
        world.measure(f"{words} took", job.require_done(), "s")
    world.scene["job"] = job
    world.evidence.attach(f"{words}, step by step", "\n".join(map(str, job.steps)))
    world.scene["map"]["after"] = own_tables(world).placements
    shard_map.attach(world.evidence, f"shards before and after {words}", world.scene["map"])


def _newcomer(world: World) -> int:
    """The worker group that is emptied and filled: the last one."""
    return max(node.group for node in citus.known_to(world.cluster.write))


def _read_back(own: OwnTables, history: History) -> None:
    """Record all that the ledgers hold as one read."""
    found, begun = History(), time.monotonic()
    for namespace in own.namespaces:
        read_back(own.cluster.write, own.cluster.profile, namespace, found)
    values = [value for one in found for value in one.value]
    history.append(Operation(-1, READ, "all ledgers", values, Outcome.OK, begun, time.monotonic()))
