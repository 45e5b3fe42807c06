"""Faults: what happens to the cluster, and how it is undone. Whatever a scenario breaks is healed at its end."""

from behave import given, when

from support.faults.disaster import DataDestroyed, EveryHostCrashes
from support.faults.process import Freeze, HostCrash, PostgresKilled
from support.faults.targets import host_of
from support.ordeal import Ordeal


@given("a healthy cluster")
def step_healthy_cluster(context):
    """All members run and stream, both endpoints route, the cache answers; from now on every member is watched."""
    context.world.ordeal = Ordeal(context.world.cluster)


@when("the host of {role} crashes")
def step_host_crashes(context, role):
    """Every process of that host is gone at once, as in a power cut."""
    host = host_of(context.world.cluster, role)
    context.world.ordeal.strike(HostCrash(host), host.name)


@when("the host of {role} freezes")
def step_host_freezes(context, role):
    """Its programs stand still: not dead, not answering."""
    host = host_of(context.world.cluster, role)
    context.world.ordeal.strike(Freeze(host), host.name)


@when("PostgreSQL alone is killed on {role}")
def step_postgres_killed(context, role):
    """Its Patroni lives on beside it."""
    host = host_of(context.world.cluster, role)
    context.world.ordeal.strike(PostgresKilled(host), host.name)


@when("the fault is healed")
def step_healed(context):
    """What crashed is switched on again, what froze thaws, what was cut is whole."""
    context.world.ordeal.nemesis.heal()


@when("the data directory of {role} is destroyed")
def step_data_destroyed(context, role):
    """Its PostgreSQL is killed and all its files are gone at once; its Patroni lives on."""
    host = host_of(context.world.cluster, role)
    context.world.ordeal.strike(DataDestroyed(host), host.name)


@when("every host of the cluster crashes at once")
def step_every_host_crashes(context):
    """Members, DCS, proxy and cache, as in a power cut of the whole room."""
    cluster = context.world.cluster
    context.world.ordeal.strike(EveryHostCrashes(cluster.sandbox.hosts.values()), cluster.leader())
