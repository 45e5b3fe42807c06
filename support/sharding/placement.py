"""Where shards and entries are, and how queries find them."""

from support import sql
from support.engine.finding import Finding
from support.engine.world import World
from support.errors import Inconclusive
from support.example_app.entries import Entry
from support.example_app.schema import sharded_copies
from support.run import new_id
from support.sharding import placement_checks as checkers
from support.sharding import shard_map, shards
from support.sharding.placement_checks import of_hash
from support.sharding.setup import workers_of
from support.sharding.shards import name
from support.sharding.spreading import namespaces_over_workers
from support.sharding.task_plans import plan_of
from support.target import citus
from support.target.cluster import Cluster
from support.timeouts import VISIBLE
from support.waiting import eventually

_ONE_NAMESPACE = "SELECT count(*) FROM {entries} WHERE {entries.namespace} = %s"
_FILLING = """
    INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also})
    SELECT 'namespace ' || number %% %s, number::text, repeat(md5(number::text), 4){entries.filling}
      FROM generate_series(1, %s) number
"""


def require_evenly_spread(world: World, count: int, share: float) -> None:
    """Each distributed table has `count` shards, shared out among all worker groups; the map of them is attached."""
    found = shards.placements(world.cluster.write, world.profile.distributed())
    for worker in workers_of(world):
        world.measure(f"shards on {worker}", sum(one.node == worker for one in found), "")
    shard_map.attach(world.evidence, "shards of the application's tables", {"now": found})
    checkers.evenly_spread(found, int(world.limit(count)), workers_of(world), share).require()


def require_each_on_one_live_node(world: World) -> None:
    """Each shard is on the node that the coordinator names, found there on its leader, and on no other.

    What a move has left behind is given a moment to be removed.
    """

    def settled() -> Finding:
        found = checkers.each_on_one_live_node(
            shards.placements(world.cluster.write, world.profile.distributed()),
            shards.held_on_nodes(world.cluster, world.profile.distributed()),
        )
        found.require()
        return found

    finding = eventually(settled, within=VISIBLE, subject="each shard is on the one node where it belongs")
    world.evidence.attach("shards looked for on each node", finding.words)


def store_one_each(world: World, count: int) -> None:
    """An entry in each of so many namespaces, of all workers in turn."""
    names = namespaces_over_workers(world, count)
    world.scene["entries"] = [Entry(namespace, "entry", f"of {namespace}") for namespace in names]
    world.entries.add_many(world.scene["entries"])


def require_where_it_hashes(world: World) -> None:
    """Each entry is in the one shard whose range holds the hash of its namespace, and in no other of any node.

    The hash is PostgreSQL's own; the coordinator's function for the same must agree.
    """
    expected = _by_hash(world)
    names = list(expected)
    with sql.session(world.cluster.write) as session:
        homes = {one: name(citus.home(session, world.profile.entries.table, one)) for one in names}
    astray = [one for one in names if [node for node, _ in expected[one]] != [homes[one]]]
    Finding(not astray, f"the coordinator would look for {astray} elsewhere than where they hash to").require()
    finding = checkers.each_where_it_hashes(expected, shards.rows_by_shard(world.cluster, names))
    world.evidence.attach("entries looked for in every shard of each node", finding.words)
    finding.require()


def require_one_task_each(world: World) -> None:
    """A query for one namespace is one task, on the node and the shard where that lies."""
    expected = _by_hash(world)
    node_at = {str(node.address): name(node.group) for node in citus.known_to(world.cluster.write)}
    with sql.session(world.cluster.write) as session:
        plans = {one: plan_of(session, world.profile.sql(_ONE_NAMESPACE), [one]) for one in expected}
    asked = {
        one: [(node_at[task.node], shard) for task in plan.tasks for shard in task.tables]
        for one, plan in plans.items()
    }
    most = max(plan.count for plan in plans.values())
    world.measure("tasks of a query for one namespace, at most", most, "", 1)
    Finding(most == 1, f"a query for one namespace is {most} tasks").require()
    checkers.each_where_it_hashes(expected, asked).require()


def _by_hash(world: World) -> dict[str, list[tuple[str, str]]]:
    """Namespace -> node and shard in which its entries should be."""
    names = [one.namespace for one in world.scene["entries"]]
    known, hashed = (
        shards.placements(world.cluster.write, world.profile.distributed()),
        shards.hashes(world.cluster.write, names),
    )
    return {
        one: [(at.node, at.name) for at in of_hash(known, world.profile.entries.table, hashed[one])] for one in names
    }


def fill_own_tables(world: World, entries: int, namespaces: int) -> None:
    """A table of the scenario's own, sharded as the application's entries are, with so many of them."""
    own, schema = world.profile.entries, own_schema(world)
    count = len({one.shard for one in shards.placements(world.cluster.write, (own.table,))})
    world.cleanup.enter_context(sharded_copies(world.cluster.write, schema, (own,), count))
    copies = world.scene["own tables"] = world.cluster.with_copies_in(schema)
    sql.execute(copies.write, copies.profile.sql(_FILLING), [namespaces, entries])


def require_sizes_known(world: World) -> None:
    """Citus tells the size of every shard of the application's tables."""
    found = shards.sizes(world.cluster.write, world.profile.distributed())
    unknown = [shard for shard, size in found.items() if not size]
    if not found:
        raise Inconclusive("no shard is known")
    Finding(not unknown, f"the sizes of {len(unknown)} of {len(found)} shards are not known: {unknown[:5]}").require()


def require_sizes_even(world: World, times: float) -> None:
    """Of the table of the scenario's own, no shard is more than so many times as large as the mean."""
    copies: Cluster = world.scene["own tables"]
    found = shards.sizes(copies.write, (copies.profile.entries.table,))
    known = [size for size in found.values() if size]
    if known:
        world.measure("the largest shard, of the mean", max(known) * len(found) / sum(known), "times", times)
    checkers.none_too_large(found, times).require()


def own_schema(world: World) -> str:
    """The name of a schema that nobody has yet, and that is known as the run's."""
    return f"accept_{world.run.id}_shards_{new_id()}"
