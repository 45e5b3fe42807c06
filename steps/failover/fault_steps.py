"""Faults: what happens to the cluster, and how it is healed. Whatever a scenario breaks is healed at its end."""

from behave import given, register_type, when

from support.engine.experiment import Experiment
from support.engine.fencing import inject
from support.engine.recovery import inject_until_replaced
from support.engine.world import Context
from support.failover.power_failure import fail_power, put_on_volatile_disks
from support.faults.process import (
    DataDestroyed,
    EveryHostCrashes,
    Freeze,
    HostCrash,
    PatroniFrozen,
    PostgresHangs,
    PostgresKilled,
    PostmasterHangs,
)
from support.faults.roles import ROLE, host_of, proxy_host
from support.faults.served import ProxyRestarted

register_type(Role=ROLE)


@given("a healthy cluster")
def step_healthy_cluster(context: Context) -> None:
    """All members run and stream, both endpoints route, the cache answers; from now on every member is watched."""
    context.world.fault_run = Experiment(context.world.cluster)


@given("the host of {role:Role} is down")
@when("the host of {role:Role} crashes")
def step_host_crashes(context: Context, role: str) -> None:
    """Every process of that host is gone at once; what it wrote, flushed or not, is still there."""
    host = host_of(context.world.cluster, role)
    context.world.experiment.inject(HostCrash(host), host.name)


@when("the host of {role:Role} is down until another member leads")
def step_down_until_replaced(context: Context, role: str) -> None:
    """It crashes, and is switched on again when another member has taken over."""
    host = host_of(context.world.cluster, role)
    inject_until_replaced(context.world, HostCrash(host), host.name)


@when("the host of {role:Role} freezes")
def step_host_freezes(context: Context, role: str) -> None:
    """Its programs are suspended: not dead, not answering."""
    host = host_of(context.world.cluster, role)
    inject(context.world, Freeze(host), host.name)


@when("the host of {role:Role} freezes until another member leads")
def step_frozen_until_replaced(context: Context, role: str) -> None:
    """Its programs are suspended, and resume when another member has taken over."""
    host = host_of(context.world.cluster, role)
    inject_until_replaced(context.world, Freeze(host), host.name)


@when("Patroni on {role:Role} hangs until another member leads")
def step_patroni_frozen_until_replaced(context: Context, role: str) -> None:
    """It is suspended, and its PostgreSQL runs on; it resumes when another member has taken over."""
    host = host_of(context.world.cluster, role)
    inject_until_replaced(context.world, PatroniFrozen(host), host.name)


@when("PostgreSQL alone hangs on {role:Role}")
def step_postgres_hangs(context: Context, role: str) -> None:
    """Every process of it is suspended: none is gone, and none answers. Its Patroni keeps running beside it."""
    host = host_of(context.world.cluster, role)
    inject(context.world, PostgresHangs(host), host.name)


@when("the postmaster alone hangs on {role:Role}")
def step_postmaster_hangs(context: Context, role: str) -> None:
    """It is suspended. Sessions that are open, Patroni's own among them, go on, and no new one can be opened."""
    host = host_of(context.world.cluster, role)
    context.world.experiment.inject(PostmasterHangs(host), host.name)


@when("PostgreSQL alone is killed on {role:Role}")
def step_postgres_killed(context: Context, role: str) -> None:
    """Its Patroni keeps running beside it."""
    host = host_of(context.world.cluster, role)
    context.world.experiment.inject(PostgresKilled(host), host.name)


@when("the data directory of {role:Role} is destroyed")
def step_data_destroyed(context: Context, role: str) -> None:
    """Its PostgreSQL is killed and all its files are gone at once; its Patroni keeps running."""
    host = host_of(context.world.cluster, role)
    context.world.experiment.inject(DataDestroyed(host), host.name)


@when("the hosts of all replicas crash")
def step_replicas_crash(context: Context) -> None:
    """All at once, every process of each."""
    cluster, followers = context.world.cluster, context.world.cluster.followers()
    context.world.experiment.inject(EveryHostCrashes([cluster.site.hosts[name] for name in followers]), followers[0])


@given("disks that lose what was not flushed when the power fails")
def step_volatile_disks(context: Context) -> None:
    """The data of members and DCS is moved there, with a restart of all of them, until the scenario ends."""
    put_on_volatile_disks(context.world)


@when("the power of every host fails at once")
def step_power_fails(context: Context) -> None:
    """Members, DCS, proxy and cache are down, and the disks are as they were at each last flush."""
    fail_power(context.world)


@when("every host of the cluster crashes at once")
def step_every_host_crashes(context: Context) -> None:
    """Every process of members, DCS, proxy and cache is killed. What they wrote, flushed or not, is still there."""
    cluster = context.world.cluster
    context.world.experiment.inject(EveryHostCrashes(cluster.site.hosts.values()), cluster.leader())


@when("the proxy is killed and started again")
def step_proxy_restarts(context: Context) -> None:
    """All its sessions are gone at once."""
    cluster, proxy = context.world.cluster, proxy_host(context.world.cluster)
    context.world.experiment.inject(ProxyRestarted(proxy.processes["haproxy"], cluster.write), proxy.name)


@when("the fault is healed")
def step_healed(context: Context) -> None:
    """Crashed hosts are switched on, frozen ones resume, cut links are restored."""
    context.world.experiment.nemesis.heal()
