"""A leader that is cut off from the other members and still commits: what it stores then is not replicated."""

from collections.abc import Callable

from support import sql
from support.engine.world import World
from support.errors import Inconclusive
from support.faults.nemesis import Fault
from support.waiting import describe


def commit_alone(
    world: World, cut: Fault, write: Callable[[sql.Session], object], is_there: Callable[[sql.Session], bool]
) -> None:
    """Inject the cut, which isolates the leader, and make it commit what `write` stores, without waiting for a standby.

    The session is opened before the cut and bypasses the proxy. Raises Inconclusive if the data is not there
    afterwards: then there is nothing for the cluster to lose.
    """
    leader = world.cluster.leader()
    with sql.session(world.cluster.of_member(leader)) as session:
        sql.execute(session, "SET synchronous_commit = local")
        world.experiment.inject(cut)
        require_stored(leader, session, write, is_there)


def require_stored(
    leader: str,
    session: sql.Session,
    write: Callable[[sql.Session], object],
    is_there: Callable[[sql.Session], bool],
) -> None:
    """Write, then read it back. Raises Inconclusive if the leader refuses the write, or does not have it afterwards."""
    refused = sql.error_of(lambda: write(session))
    if refused is not None or not is_there(session):
        why = describe(refused) if refused else "it is not there"
        raise Inconclusive(f"{leader}, cut off, did not accept an entry: {why}")
