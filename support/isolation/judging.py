"""From what a scenario recorded to its verdict: figures, known limits, a second opinion, and the history itself."""

from itertools import count

from support import sql
from support.engine.history import History
from support.engine.world import World
from support.errors import Inconclusive, ProcessFailed
from support.isolation import second_opinion
from support.isolation.checks import Observed, isolated, limit_of_snapshots
from support.isolation.handover import IsolationHandover
from support.isolation.transactions import transactions_of
from support.isolation.workloads import Items
from support.target import citus
from support.waiting import describe


def one_place(world: World) -> Items:
    """Empty items in a namespace of their own: on Citus a single worker has all of them."""
    items = Items(world.profile, [world.another_namespace("transactions")])
    items.create(world.cluster.write)
    return items


def over_all_workers(world: World, each: int) -> Items:
    """Empty items in new namespaces, `each` of them on every node that holds a shard of the entries.

    Raises Inconclusive if a single node holds all shards.
    """
    table = world.profile.entries.table
    handover = world.handover(IsolationHandover)
    with sql.session(world.cluster.write) as session:
        groups = citus.holders(session, table)
        if len(groups) < 2:
            held = f"only {citus.node_name(groups[0])}" if groups else "no node"
            raise Inconclusive(f"{held} holds shards of {table}: rebalance first")
        names = citus.chosen(session, table, f"{world.namespace}-", map(str, count()), dict.fromkeys(groups, each))
    found = {world.another_namespace(name): group for name, group in names.items()}
    items = Items(world.profile, list(found))
    items.create(world.cluster.write)
    handover.homes = items.homes(found)
    return items


def require_isolated(world: World, history: History) -> None:
    """No transaction saw what its level rules out. What only one snapshot over all servers would rule out is reported
    as a known limit, unless the cluster is declared to have such snapshots."""
    handover = world.handover(IsolationHandover)
    one_snapshot = not handover.homes or bool(world.cluster.topology.expectations.distributed_snapshots)
    observed = Observed(handover.level, transactions_of(history), handover.homes, one_snapshot)
    world.measure("committed transactions", observed.committed, "")
    finding = isolated(observed)
    if second_opinion.is_there() and not handover.homes:  # the other judge knows nothing of shards
        try:
            theirs = second_opinion.opinion(observed.transactions, observed.level)
            finding, words = second_opinion.agrees(finding, theirs), str(theirs)
        except ProcessFailed as error:  # an optional judge that does not work takes nothing away from ours
            words = describe(error)
        world.evidence.attach("a second opinion", words)
    world.evidence.attach("isolation", finding.words)
    if limit := limit_of_snapshots(observed):
        world.known_limit(
            "a transaction over several worker groups has no snapshot of its own that spans them all (Citus; [expect] "
            f"distributed_snapshots): {limit}"
        )
    if not finding.holds:
        world.evidence.attach_lines("the lists in the history", second_opinion.as_list_append(observed.transactions))
        world.evidence.attach_lines("the history", history.lines)
    finding.require()
