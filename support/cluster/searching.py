"""Where the scenarios' vector searches take place: in the application's table, or in a copy if that is too full.

A user's table may hold millions of entries of others. To find ten of a thousand by the index there, nearly all of it
has to be searched: that says nothing about a search over a thousand entries, and no planner would do it.
"""

from support import sql
from support.engine.world import World
from support.errors import Inconclusive, NotAvailable
from support.example_app.profile import Profile
from support.example_app.schema import SHARDS, copies
from support.example_app.search import Search, crowd
from support.run import new_id
from support.target.cluster import Cluster


def why_exactly(world: World) -> str:
    """Why searches in one namespace have to be exact, for the report; empty if they can go by the HNSW index."""
    write, profile = world.cluster.write, world.profile
    why = crowd(write, profile, world.run.namespace).why_not_by_index or _without_index(write, profile)
    if why:
        world.evidence.attach("searched exactly, without the index", why)
    return why


def _without_index(where: sql.Endpoint, profile: Profile) -> str:
    """A message that the table has no HNSW index; empty if it has one.

    An index of another kind would be used in its place, as the searches' settings make the planner avoid a sort.
    IVFFlat examines one of its lists, and does not go on when too few entries of the namespace are in it.
    """
    with sql.session(where) as session:
        if Search(session, profile).cosine_indexes():
            return ""
    return f"{profile.entries.table}.{profile.entries.embedding} has no valid HNSW index for cosine distance"


def roomy(world: World) -> Cluster:
    """The cluster, with an empty copy of the table of entries if the table is too full for searches by its index.

    The copy has all the table's indexes, is sharded if the table is sharded by namespace, and is dropped when the
    scenario ends. Raises Inconclusive if it cannot be made.
    """
    why = crowd(world.cluster.write, world.profile, world.run.namespace).why_not_by_index
    if not why:
        return world.cluster
    schema = f"accept_{world.run.id}_searched_{new_id()}"
    shards = None if {"citus", "sharded_entries"} & world.cluster.topology.lacks.keys() else SHARDS
    try:
        world.cleanup.enter_context(copies(world.cluster.write, schema, [world.profile.entries], shards))
    except NotAvailable as error:
        raise Inconclusive(f"{why}, and a copy of it is impossible: {error}") from error
    world.evidence.attach("searched in an empty copy of the table of entries", why)
    return world.cluster.with_copies_in(schema)
