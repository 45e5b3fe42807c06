"""A cluster in reduced circumstances: no replica, a cut connection, a proxy that restarts, a server that hangs."""

from behave import given, then, when

from support.engine import counter
from support.engine.counter import operations
from support.engine.workload import Workload
from support.engine.world import Context
from support.failover.endurance import (
    await_answers_lost,
    require_accepted_again,
    require_each_applied_once,
    require_each_reader_served,
    require_no_write_acknowledged,
    start_readers,
)
from support.faults.network import OneWayCut
from support.faults.patroni import strictly_synchronous
from support.faults.process import EveryHostCrashes, Restart
from support.faults.roles import proxy_host
from support.target.timing import Span

PATIENCE = 3.0
"""Seconds that a client waits for an answer before it gives up and logs in anew."""


@given("a commit waits for a standby even when there is none")
def step_strictly_synchronous(context: Context) -> None:
    """Patroni's synchronous mode is strict, until the scenario ends."""
    world = context.world
    world.experiment.inject(strictly_synchronous(world.cluster), world.cluster.leader())


@given("{clients:d} clients reading through the read endpoint")
def step_readers(context: Context, clients: int) -> None:
    """Each looks up the same entry again and again, until the scenario ends; every replica holds it by now."""
    context.world.scene["readers"] = start_readers(context.world, clients, PATIENCE)


@given("{clients:d} clients counting, each operation repeated until it is acknowledged")
def step_counting(context: Context, clients: int) -> None:
    """An operation makes an entry named by its id and adds one to a counter, unless that entry is there already."""
    world = context.world
    counter.create(world.cluster.write, world.profile, world.namespace)
    world.start(
        Workload(world.cluster.write, operations(world.profile, world.namespace), clients=clients, patience=PATIENCE),
        500,
    )


@when("the hosts of all replicas crash")
def step_replicas_crash(context: Context) -> None:
    """All at once, as by a power cut."""
    cluster, followers = context.world.cluster, context.world.cluster.followers()
    context.world.experiment.inject(EveryHostCrashes([cluster.sandbox.hosts[name] for name in followers]), followers[0])


@when("the answers of the leader are lost on their way")
def step_answers_lost(context: Context) -> None:
    """Requests get to the leader and are carried out; nothing of what it says gets back to the proxy."""
    world, leader = context.world, context.world.cluster.leader()
    world.experiment.inject(OneWayCut(world.cluster.sandbox, leader, proxy_host(world.cluster).name), leader)
    await_answers_lost(world)


@when("the proxy is killed and started again")
def step_proxy_restarts(context: Context) -> None:
    """All its sessions are gone at once."""
    proxy = proxy_host(context.world.cluster)
    process = proxy.processes["haproxy"]
    context.world.experiment.inject(Restart(process), proxy.name)


@then("each reader is answered again within {seconds:g} seconds")
def step_readers_served(context: Context, seconds: float) -> None:
    """None was without an answer for longer, from the fault on, and every answer was right."""
    require_each_reader_served(context.world, context.world.scene["readers"], context.world.limit(seconds, Span.READER))


@then("no write is acknowledged meanwhile")
def step_no_write_acknowledged(context: Context) -> None:
    """Of those that clients tried since the fault."""
    require_no_write_acknowledged(context.world)


@then("each operation was applied exactly once")
def step_each_applied_once(context: Context) -> None:
    """The counter stands at the number of operations, however often their clients had to repeat them."""
    require_each_applied_once(context.world)


@then("once a replica is back, writes are accepted again within {seconds:g} seconds")
def step_accepted_with_a_replica(context: Context, seconds: float) -> None:
    """One of the crashed hosts is switched on; clients get through in that time from then on."""
    world = context.world
    replica = world.cluster.sandbox.hosts[world.experiment.target_member]
    require_accepted_again(world, replica.power_on, world.limit(seconds, Span.RETURN))
