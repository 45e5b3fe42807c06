"""How the cluster recovers: who leads, who is back, for how long clients could not work, and what was lost."""

from behave import step, then

from support.aftermath import (
    require_interruption_under,
    require_ledger_whole,
    require_other_leader,
    require_rejoined,
)
from support.timeouts import RECOVERY


@step("another member leads")
def step_another_leads(context):
    """Another member than the struck one holds the leader key, and takes writes."""
    require_other_leader(context.world, RECOVERY)


@then("another member leads within {seconds:g} seconds")
def step_another_leads_within(context, seconds):
    """Another member than the struck one holds the leader key, and takes writes, in that time from the fault on."""
    require_other_leader(context.world, context.world.limit(seconds))


@then("the struck member streams as a replica within {seconds:g} seconds")
def step_struck_member_streams(context, seconds):
    """It streams from the leader on the leader's timeline, in that time from now on."""
    require_rejoined(context.world, context.world.limit(seconds))


@then("clients are interrupted for less than {seconds:g} seconds")
def step_interruption(context, seconds):
    """The longest time without an acknowledged write, from the fault until clients got through again."""
    require_interruption_under(context.world, context.world.limit(seconds))


@then("the ledger lost no acknowledged write")
def step_nothing_lost(context):
    """Every entry whose writing was acknowledged, before, during and after the fault, is read back, and only once."""
    require_ledger_whole(context.world)
