"""New logins of the members to one another."""

from behave import then, when

from support.engine.world import Context
from support.failover import new_logins
from support.failover.handover import FailoverHandover
from support.failover.member_checks import all_logged_in, all_streamed_again
from support.faults.declared import leaves_hosts
from support.target.purposes import purposes


@when("the stream of each replica is ended, one after another")
def step_end_streams(context: Context) -> None:
    """By a superuser, on the member from which it streams. The next one is ended when the replica streams again, or
    could no longer do so in time: until then, commits can wait for another standby, if there is one."""
    world = context.world
    world.handover(FailoverHandover).streamed_again = [
        new_logins.end_and_await(group, replica, world.time_for("login", 10))
        for group in world.cluster.groups
        for replica, purpose in purposes(group).items()
        if purpose.source and replica in group.members
    ]


@then("each replica has logged in again and streams within {seconds:g} seconds")
def step_streams_again(context: Context, seconds: float) -> None:
    """From the end of its stream until a new session sends WAL to it."""
    world, limit = context.world, context.world.limit(seconds, "login")
    found = world.handover(FailoverHandover).streamed_again
    slowest = max((one.seconds for one in found if one.seconds is not None), default=0.0)
    world.measure("slowest replica to stream again", slowest, "s", limit)
    all_streamed_again(found, limit).require()


@then("from every member's host, its own credentials are accepted by every other member")
@leaves_hosts("it reads files, and logs in")
def step_own_credentials(context: Context) -> None:
    """As the configuration file of its Patroni says: for replication, which is how it streams and how a new member is
    copied, and for pg_rewind, with the functions that pg_rewind calls."""
    attempts = [one for group in context.world.cluster.groups for one in new_logins.try_logins(group)]
    context.world.measure("logins tried", len(attempts), "")
    all_logged_in(attempts).require()
