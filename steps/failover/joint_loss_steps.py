"""The leader and its synchronous standby lost together: who must not lead, and who brings service back."""

from behave import given, register_type, then, when

from support.engine.world import Context
from support.failover import joint_loss
from support.failover.handover import FailoverHandover
from support.faults import process
from support.faults.declared import disturbs, leaves_hosts
from support.target.timing import Span

register_type(LostMember=joint_loss.LOST)


@given("the host of a replica that no commit waits for is down")
@disturbs(process.crash_of_member, member=joint_loss.spare_replica)
def step_replica_away(context: Context) -> None:
    """Writes go on without it, so from now on it misses what is acknowledged."""
    context.world.handover(FailoverHandover).away = joint_loss.without_one_replica(context.world)


@when("the hosts of the leader and its synchronous standby crash at once")
@disturbs(joint_loss.joint_crash, lost=joint_loss.to_be_lost)
def step_lost_together(context: Context) -> None:
    """If there are several standbys, as many as commits wait for: any member that is left may lack acknowledged
    writes."""
    context.world.handover(FailoverHandover).lost = joint_loss.lose_together(context.world)


@when("the replica that was down comes back alone")
@leaves_hosts("it undoes what an earlier step did")
def step_alone_back(context: Context) -> None:
    """Its host is switched on, and its PostgreSQL answers; all others that ran are down."""
    world = context.world
    joint_loss.switch_on(world, world.handover(FailoverHandover).away)


@then("nobody else leads for as long as a failover takes")
def step_nobody_leads(context: Context) -> None:
    """No member that may lack acknowledged writes accepts one, until long after the leader's lock has expired.

    Every member is asked all the time, past the proxy.
    """
    joint_loss.require_nobody_leads(context.world, context.world.handover(FailoverHandover).lost)


@then("once the host of {who:LostMember} is back, writes are accepted again within {seconds:g} seconds")
@leaves_hosts("it undoes what an earlier step did")
def step_led_again(context: Context, who: str, seconds: float) -> None:
    """The host is switched on. From then on, clients get through within that time, and nobody has to intervene."""
    world = context.world
    limit = world.limit(seconds, "return", Span.BLACKOUT)
    joint_loss.require_led_again(world, world.handover(FailoverHandover).lost, who, limit)
