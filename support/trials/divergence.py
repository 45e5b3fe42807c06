"""A leader that writes what no other member ever hears of."""

from support import sql
from support.cluster import markers
from support.errors import Inconclusive
from support.faults.network import Partition
from support.trials.aftermath import levelled, ordeal_of
from support.waiting import describe
from support.world import World

LONE = "the lone entry"


def write_alone(world: World) -> None:
    """Cut the leader off from all other hosts, and commit an entry on it alone. Clients of the suite still reach it.

    Raises Inconclusive when it did not take the entry: there would be nothing that it has to lose.
    """
    ordeal, leader = ordeal_of(world), world.cluster.leader()
    sandbox, namespace = world.cluster.sandbox, world.another_namespace("alone")
    with sql.session(world.cluster.of_member(leader)) as session:
        sql.execute(session, "SET synchronous_commit = local")
        ordeal.strike(Partition(sandbox, [leader], [host for host in sandbox.hosts if host != leader]), leader)
        refused = sql.error_of(lambda: markers.write(session, world.profile, namespace, LONE))
        if refused is not None or not markers.is_there(session, world.profile, namespace, LONE):
            why = describe(refused) if refused else "it is not there"
            raise Inconclusive(f"{leader}, cut off, took no entry of its own: {why}")


def holders_of_lone_entry(world: World) -> list[str]:
    """The members that hold the entry which the cut-off leader wrote, each asked past the proxy once it is level."""
    (namespace,) = [one for one in world.further_namespaces if one.endswith("-alone")]
    places = levelled(world, world.cluster.members)
    return [name for name, where in places.items() if markers.is_there(where, world.profile, namespace, LONE)]
