"""Faults of single sessions.

A shard move that dies half-way: nothing has changed, nothing is left behind, and it can be asked for again.
"""

from dataclasses import dataclass

from support import sql
from support.engine.finding import Finding
from support.engine.world import World
from support.errors import Inconclusive
from support.faults.nemesis import Fault
from support.faults.process import PostgresKilled
from support.sharding import placement_checks as checkers
from support.sharding import shards
from support.sharding.placement_checks import Placement
from support.sharding.rebalancing import COPIED, OwnTables, ShardJob, left_behind, move, own_tables, require_in_order
from support.sharding.shards import name
from support.target import citus
from support.target.members import NO_ANSWER
from support.timeouts import STATEMENT
from support.waiting import NotYet, describe, eventually

_THERE = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"


class SessionKilled:
    """The server's process of one session is ended in the middle of what it does."""

    def __init__(self, where: sql.Endpoint, backend: int, words: str) -> None:
        """`where` leads to the server of that session, as its own role; `words` say what session it is."""
        self._where, self._backend, self._words = where, backend, words

    def __str__(self) -> str:
        return f"{self._words} is killed"

    def inject(self) -> None:
        sql.value(self._where, "SELECT pg_terminate_backend(%s)", [self._backend])

    def require_in_effect(self) -> None:
        if sql.value(self._where, _THERE, [self._backend]):
            raise NotYet(f"process {self._backend} is still there")

    def heal(self) -> None:
        """Nothing to be done: who needs it opens another."""


_FILL = """
    INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also})
    SELECT %s, number::text, repeat(md5(number::text), 20){entries.filling} FROM generate_series(1, %s) number
"""
_COUNT = "SELECT {entries.namespace}, count(*), count(DISTINCT {entries.key}) FROM {entries} GROUP BY 1"
_SCENE = "move"


@dataclass(frozen=True)
class Move:
    """What is to be moved, and how all was before."""

    shard: int
    source: int
    target: int
    placements: list[Placement]
    rows: list[sql.Row]


def fill(world: World, entries: int) -> None:
    """So many entries in one shard, and a few in each of the others; that shard is the one that will be moved."""
    own = own_tables(world)
    for namespace in own.namespaces:
        sql.execute(
            own.cluster.write,
            own.cluster.profile.sql(_FILL),
            [namespace, entries if namespace == own.namespaces[0] else 10],
        )
    known = own.placements
    shard = min(one.shard for one in known)
    groups = {name(node.group): node.group for node in citus.known_to(world.cluster.write) if node.group}
    source = next(groups[one.node] for one in known if one.shard == shard)
    target = next(group for group in groups.values() if group != source)
    world.scene[_SCENE] = Move(shard, source, target, known, _rows(own))


def break_half_way(world: World, victim: str) -> None:
    """Start the move, and let the fault hit when the rows are copied and the shard is not yet handed over."""
    planned, own = _planned(world), own_tables(world)
    with move(own.cluster.write, planned.shard, planned.source, planned.target) as job:
        world.scene["job"] = job
        job.await_phase(COPIED, within=STATEMENT)
        fault, target_member = _fault(world, victim, job)
        world.experiment.inject(fault, target_member)
    world.evidence.attach("the move, step by step", "\n".join(map(str, job.steps)))


def require_failed(world: World) -> None:
    """The move ended with an error. Raises Inconclusive when it was done before it could be broken."""
    job: ShardJob = world.scene["job"]
    if job.error is None:
        raise Inconclusive("the move was done before it was broken")
    world.evidence.attach("what was said of the move", describe(job.error))


def require_as_before(world: World, limit: float) -> None:
    """Within `limit` seconds every shard and every row is where it was, and nothing of the move is left anywhere."""
    planned, own = _planned(world), own_tables(world)

    def unharmed() -> None:
        checkers.as_before(planned.placements, own.placements).require()
        held = shards.held_on_nodes(own.cluster, own.tables)
        checkers.each_on_one_live_node(planned.placements, held).require()
        _require_rows(world)
        left = left_behind(own.cluster)
        Finding(not left, f"the move has left behind: {left}").require()

    eventually(unharmed, within=limit, subject="all is as before the move", retry_on=NO_ANSWER)


def require_moved(world: World) -> None:
    """The same move, asked for again, is done: the shard and its relatives are where they were to go, with all rows."""
    planned, own = _planned(world), own_tables(world)
    with move(own.cluster.write, planned.shard, planned.source, planned.target) as job:
        world.measure("the move took, when it was asked for again", job.require_done(), "s")
    shifted = sorted(map(str, checkers.moved(planned.placements, own.placements)))
    family = [one for one in planned.placements if one.shard == planned.shard]
    wanted = sorted(
        f"{one.name} on {name(planned.target)}" for one in planned.placements if one.lowest == family[0].lowest
    )
    Finding(shifted == wanted, f"moved were {shifted}, and {wanted} should have been").require()
    require_in_order(own)
    _require_rows(world)


def _fault(world: World, victim: str, job: ShardJob) -> tuple[Fault, str]:
    """The fault, and the member that it hits."""
    planned, cluster = _planned(world), world.cluster
    if victim == "the session that moves it":
        return SessionKilled(own_tables(world).cluster.write, job.backend, victim), cluster.leader()
    group = {"PostgreSQL where it comes from": planned.source, "PostgreSQL where it goes to": planned.target}[victim]
    leader = cluster.of_group(group).leader()
    return PostgresKilled(cluster.sandbox.hosts[leader]), leader


def _require_rows(world: World) -> None:
    found = _rows(own_tables(world))
    Finding(
        found == _planned(world).rows, f"there are {found} entries, and there were {_planned(world).rows}"
    ).require()


def _rows(own: OwnTables) -> list[sql.Row]:
    return sorted(sql.rows(own.cluster.write, own.cluster.profile.sql(_COUNT)))


def _planned(world: World) -> Move:
    found: Move = world.scene[_SCENE]
    return found
