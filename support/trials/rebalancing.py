"""Shards that are moved: by a rebalance while clients write, and by a move that dies half-way.

It is tables of the scenario's own that are moved, sharded and co-located as the application's are: nobody else's
shards are touched.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from support import sql
from support.application.profile import quoted
from support.application.sharded_copies import sharded_copies
from support.checkers import placement as checkers
from support.checkers.durability import each_write_once, no_acknowledged_write_lost
from support.checkers.finding import Finding
from support.checkers.meanwhile import every_client_worked
from support.checkers.unavailability import longest_gap_of_any
from support.cluster import nodes, shards
from support.cluster.cluster import Cluster
from support.cluster.placements import Placement, of_hash
from support.cluster.shard_contents import name
from support.cluster.shard_jobs import ShardJob, let_take_shards, rebalance
from support.errors import ConnectFailed, NotAvailable
from support.history import History, Operation, Outcome
from support.reporting import shard_map
from support.timeouts import RECOVERY, REJOIN
from support.trials.aftermath import workload_of
from support.trials.placement import own_schema
from support.trials.sharding_setup import workers_of
from support.waiting import NotYet, eventually
from support.workloads.client import Task
from support.workloads.ledger import APPEND, READ, appends, read_back
from support.workloads.runner import Turn, Workload
from support.world import World

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
    own, workload = own_tables(world), workload_of(world)
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
    return max(node.group for node in nodes.known_to(world.cluster.write))


def _read_back(own: OwnTables, history: History) -> None:
    """Record all that the ledgers hold as one read."""
    found, begun = History(), time.monotonic()
    for namespace in own.namespaces:
        read_back(own.cluster.write, own.cluster.profile, namespace, found)
    values = [value for one in found for value in one.value]
    history.append(Operation(-1, READ, "all ledgers", values, Outcome.OK, begun, time.monotonic()))
