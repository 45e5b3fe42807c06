"""How a sharded cluster is set up: versions, workers, and which table is kept how."""

from behave import then

from support.checkers.table import rows_of
from support.trials import sharding_setup


@then("the coordinator and every worker have the same version of Citus, in the database and as a library")
def step_same_version(context):
    """Asked of the leader of each group, past the coordinator."""
    sharding_setup.require_same_version(context.world)


@then("every worker group is active, takes shards, and has the metadata")
def step_workers_ready(context):
    """Every group that should be there, by the coordinator's list of nodes."""
    sharding_setup.require_workers_ready(context.world)


@then("every node reaches every other")
def step_all_reachable(context):
    """The coordinator and each worker group, from each to each, tried just now."""
    sharding_setup.require_all_reachable(context.world)


@then("every node knows these tables so")
def step_kept_as(context):
    """The tables of the scenario; "lies with" names the first of them whose shards lie where this one's do."""
    sharding_setup.require_kept_as(context.world, rows_of(context.table))


@then("each node has a copy of every reference table, read there")
def step_copy_on_each_node(context):
    """Among the own tables of the leader of each group, the coordinator's too."""
    sharding_setup.require_copy_on_each_node(context.world)
