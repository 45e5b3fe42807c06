"""Faults: what happens to the cluster, and how it is undone. Whatever a scenario breaks is healed at its end."""

from behave import given, when

from support.engine.experiment import Experiment
from support.engine.world import Context
from support.faults.process import DataDestroyed, EveryHostCrashes, Freeze, HostCrash, PostgresKilled
from support.faults.roles import host_of


@given("a healthy cluster")
def step_healthy_cluster(context: Context) -> None:
    """All members run and stream, both endpoints route, the cache answers; from now on every member is watched."""
    context.world.fault_run = Experiment(context.world.cluster)


@when("the host of {role} crashes")
def step_host_crashes(context: Context, role: str) -> None:
    """Every process of that host is gone at once, as in a power cut."""
    host = host_of(context.world.cluster, role)
    context.world.experiment.inject(HostCrash(host), host.name)


@when("the host of {role} freezes")
def step_host_freezes(context: Context, role: str) -> None:
    """Its programs stand still: not dead, not answering."""
    host = host_of(context.world.cluster, role)
    context.world.experiment.inject(Freeze(host), host.name)


@when("PostgreSQL alone is killed on {role}")
def step_postgres_killed(context: Context, role: str) -> None:
    """Its Patroni lives on beside it."""
    host = host_of(context.world.cluster, role)
    context.world.experiment.inject(PostgresKilled(host), host.name)


@when("the fault is healed")
def step_healed(context: Context) -> None:
    """What crashed is switched on again, what froze thaws, what was cut is whole."""
    context.world.experiment.nemesis.heal()


@when("the data directory of {role} is destroyed")
def step_data_destroyed(context: Context, role: str) -> None:
    """Its PostgreSQL is killed and all its files are gone at once; its Patroni lives on."""
    host = host_of(context.world.cluster, role)
    context.world.experiment.inject(DataDestroyed(host), host.name)


@when("every host of the cluster crashes at once")
def step_every_host_crashes(context: Context) -> None:
    """Members, DCS, proxy and cache, as in a power cut of the whole room."""
    cluster = context.world.cluster
    context.world.experiment.inject(EveryHostCrashes(cluster.sandbox.hosts.values()), cluster.leader())
