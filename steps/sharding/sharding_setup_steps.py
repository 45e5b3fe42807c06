"""How a sharded cluster is set up: versions, workers, and which table is kept how."""

from behave import then

from support.engine.world import Context
from support.sharding import setup


@then("the coordinator and every worker have the same version of Citus, in the database and as a library")
def step_same_version(context: Context) -> None:
    """Asked of the leader of each group, past the coordinator."""
    setup.require_same_version(context.world)


@then("every worker group is active, takes shards, and has the metadata")
def step_workers_ready(context: Context) -> None:
    """Every group that should be there, by the coordinator's list of nodes."""
    setup.require_workers_ready(context.world)


@then("every node reaches every other")
def step_all_reachable(context: Context) -> None:
    """The coordinator and each worker group, from each to each, tried just now."""
    setup.require_all_reachable(context.world)


@then("every node has the distributed tables of the application's schema distributed as declared")
def step_distributed_as_declared(context: Context) -> None:
    """By the schema profile: the distribution column, and the tables next to whose shards a table's own lie."""
    setup.require_distributed_as_declared(context.world)


@then("every node has the reference tables of the application's schema as reference tables")
def step_references_as_declared(context: Context) -> None:
    """By the schema profile."""
    setup.require_references_as_declared(context.world)


@then("each node has a copy of every reference table, read there")
def step_copy_on_each_node(context: Context) -> None:
    """Among the own tables of the leader of each group, the coordinator's too."""
    setup.require_copy_on_each_node(context.world)
