"""Faults: what happens to the cluster, and how it is healed. Whatever a scenario breaks is healed at its end."""

from behave import given, register_type, when

from support.engine.experiment import Experiment
from support.engine.recovery import inject_until_replaced
from support.engine.world import Context
from support.failover.power_failure import fail_power, put_on_volatile_disks
from support.faults import hanging_start, process, served
from support.faults.declared import disturbs
from support.faults.roles import ROLE
from support.waiting import pause

register_type(Role=ROLE)


@given("a healthy cluster")
def step_healthy_cluster(context: Context) -> None:
    """All members run and stream, both endpoints route, the cache answers; from now on every member is watched."""
    context.world.experiment = Experiment.begin(context.world)


@given("the host of {role:Role} is down")
@when("the host of {role:Role} crashes")
@disturbs(process.crash)
def step_host_crashes(context: Context, role: str) -> None:
    """Every process of that host is gone at once; what it wrote, flushed or not, is still there."""
    context.world.experiment.inject(process.crash(context.world.cluster, role))


@when("the host of {role:Role} is down until another member leads")
@disturbs(process.crash)
def step_down_until_replaced(context: Context, role: str) -> None:
    """The host crashes, and is switched on again when another member has taken over."""
    inject_until_replaced(context.world, process.crash(context.world.cluster, role))


@when("the host of {role:Role} freezes")
@disturbs(process.freeze)
def step_host_freezes(context: Context, role: str) -> None:
    """Its programs are suspended: not dead, not answering."""
    context.world.experiment.inject(process.freeze(context.world.cluster, role))


@when("the host of {role:Role} freezes until another member leads")
@disturbs(process.freeze)
def step_frozen_until_replaced(context: Context, role: str) -> None:
    """Its programs are suspended, and resume when another member has taken over."""
    inject_until_replaced(context.world, process.freeze(context.world.cluster, role))


@when("Patroni on {role:Role} hangs until another member leads")
@disturbs(process.hanging_patroni)
def step_patroni_frozen_until_replaced(context: Context, role: str) -> None:
    """Patroni is suspended while its PostgreSQL runs on, and resumes when another member has taken over."""
    inject_until_replaced(context.world, process.hanging_patroni(context.world.cluster, role))


@when("PostgreSQL alone hangs on {role:Role}")
@disturbs(process.hanging_postgres)
def step_postgres_hangs(context: Context, role: str) -> None:
    """Every process of it is suspended: none is gone, and none answers. Its Patroni keeps running beside it."""
    context.world.experiment.inject(process.hanging_postgres(context.world.cluster, role))


@when("the postmaster alone hangs on {role:Role}")
@disturbs(process.hanging_postmaster)
def step_postmaster_hangs(context: Context, role: str) -> None:
    """The postmaster is suspended. Open sessions, Patroni's own among them, go on, and no new one can be opened."""
    context.world.experiment.inject(process.hanging_postmaster(context.world.cluster, role))


@when("PostgreSQL alone is killed on {role:Role}")
@disturbs(process.killed_postgres)
def step_postgres_killed(context: Context, role: str) -> None:
    """Its Patroni keeps running beside it."""
    context.world.experiment.inject(process.killed_postgres(context.world.cluster, role))


@when("PostgreSQL alone is killed on {role:Role}, and does not finish starting")
@disturbs(hanging_start.hanging_start)
def step_start_hangs(context: Context, role: str) -> None:
    """When it starts again, the process that replays its WAL is suspended. Its Patroni keeps running beside it."""
    context.world.experiment.inject(hanging_start.hanging_start(context.world.cluster, role))


@when("the data directory of {role:Role} is destroyed")
@disturbs(process.destroyed_data)
def step_data_destroyed(context: Context, role: str) -> None:
    """Its PostgreSQL is killed and all its files are gone at once; its Patroni keeps running."""
    context.world.experiment.inject(process.destroyed_data(context.world.cluster, role))


@when("the hosts of all replicas crash")
@disturbs(process.crash_of_replicas)
def step_replicas_crash(context: Context) -> None:
    """All at once, every process of each."""
    context.world.experiment.inject(process.crash_of_replicas(context.world.cluster))


@given("disks that lose what was not flushed when the power fails")
def step_volatile_disks(context: Context) -> None:
    """The data of members and DCS is moved there, with a restart of all of them, until the scenario ends."""
    put_on_volatile_disks(context.world)


@when("the power of every host fails at once")
def step_power_fails(context: Context) -> None:
    """Members, DCS, proxy and cache are down, and the disks are as they were at each last flush."""
    fail_power(context.world)


@when("every host of the cluster crashes at once")
@disturbs(process.crash_of_everything)
def step_every_host_crashes(context: Context) -> None:
    """Every process of members, DCS, proxy and cache is killed. What they wrote, flushed or not, is still there."""
    cluster = context.world.cluster
    context.world.experiment.inject(process.crash_of_everything(cluster), cluster.leader())


@when("the proxy is killed and started again")
@disturbs(served.restart_of_proxy)
def step_proxy_restarts(context: Context) -> None:
    """All its sessions are gone at once."""
    context.world.experiment.inject(served.restart_of_proxy(context.world.cluster))


@when("the fault is healed")
def step_healed(context: Context) -> None:
    """Crashed hosts are switched on, frozen ones resume, cut links are restored."""
    context.world.experiment.heal()


@when("{seconds:g} seconds pass")
def step_time_passes(context: Context, seconds: float) -> None:
    """Just wait: clients keep working, and faults stay in place."""
    pause(seconds)
