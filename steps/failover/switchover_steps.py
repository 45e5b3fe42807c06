"""Planned switchovers: requests that are carried out, or refused with a reason."""

from behave import given, register_type, then, when
from hamcrest import assert_that, equal_to

from support.engine.tables import rows_of
from support.engine.world import Context
from support.failover.handover import FailoverHandover
from support.failover.switchover import (
    DYING,
    HalfwaySwitchover,
    candidate_now,
    hand_over_halfway,
    require_none_pending,
    require_refused_for,
)
from support.faults.declared import disturbs
from support.faults.patroni import Switchover
from support.faults.roles import ROLE, in_sandbox, member_by_role
from support.faults.shutdown import ArchivingFails, SilentConsumer
from support.target.component_hosts import proxy_host
from support.target.patroni_commands import switch_over
from support.vocabulary import Kind, columns

ANY_REPLICA = "any replica"
CANDIDATE = Kind("candidate", (ANY_REPLICA, *ROLE.values), ROLE.more, ROLE.shown)
DYING_ONE = Kind.of("process that dies", DYING)
DOWN, NO_MEMBER, THE_LEADER = "the member that is down", "a member that does not exist", "the leader itself"
UNFIT = Kind("candidate that cannot lead", (DOWN, NO_MEMBER, THE_LEADER))
register_type(Candidate=CANDIDATE, Dying=DYING_ONE)


@given("the command that archives WAL fails on every member")
def step_archiving_fails(context: Context) -> None:
    """The command takes 20 seconds to fail, and is tried again and again, until the scenario ends."""
    context.world.experiment.prepare(ArchivingFails(context.world.cluster))


@given("a consumer of the leader's stream that does not answer")
def step_silent_consumer(context: Context) -> None:
    """A program on the proxy's host that receives WAL; it is suspended until the scenario ends."""
    cluster = context.world.cluster
    context.world.experiment.prepare(SilentConsumer(cluster, in_sandbox(proxy_host(cluster))))


@when("a switchover to {candidate:Candidate} is requested")
def step_hand_over(context: Context, candidate: str) -> None:
    """By Patroni's REST API, to "any replica" or to the member with that role; Patroni has answered that it is done."""
    world = context.world
    member = None if candidate == ANY_REPLICA else member_by_role(world.cluster, candidate)
    world.experiment.inject(Switchover(world.cluster, member))
    if member is not None:
        world.handover(FailoverHandover).requested_candidate = member


@then("the requested candidate leads")
def step_candidate_leads(context: Context) -> None:
    """The candidate of the requested switchover holds the leader key."""
    candidate = context.world.handover(FailoverHandover).requested_candidate
    assert_that(context.world.cluster.leader(), equal_to(candidate), "the leader now")


@when("switchovers to members that cannot lead are requested")
@columns({"candidate": UNFIT})
def step_hand_over_in_vain(context: Context) -> None:
    """By Patroni's REST API, to each candidate of the table, one after the other."""
    world, leader = context.world, context.world.cluster.leader()
    names = {
        DOWN: world.experiment.target_member,
        NO_MEMBER: world.namespace,
        THE_LEADER: leader,
    }
    replies = {who: switch_over(world.cluster, leader, names[who]) for who in rows_of(context.table)}
    world.evidence.attach_json("what Patroni answered", {who: str(reply) for who, reply in replies.items()})
    world.handover(FailoverHandover).replies = replies


@then("each request is refused with a reason")
@columns({"candidate": UNFIT, "reason mentions": None})
def step_refused(context: Context) -> None:
    """Patroni did not accept the request, and its reason mentions the words of the table."""
    reasons = {candidate: row["reason mentions"] for candidate, row in rows_of(context.table).items()}
    require_refused_for(context.world.handover(FailoverHandover).replies, reasons)


@when("{who:Dying} dies while the leader hands over")
@disturbs(HalfwaySwitchover, candidate=candidate_now)
def step_orchestrator_dies(context: Context, who: str) -> None:
    """By kill -9, once the DCS holds the request."""
    hand_over_halfway(context.world, who)


@then("the leader is still the same")
def step_same_leader(context: Context) -> None:
    """The member that led before the fault holds the leader key."""
    before = context.world.experiment.leaders[0]
    assert_that(context.world.cluster.leader(), equal_to(before), "the leader now")


@then("no switchover is pending")
def step_none_pending(context: Context) -> None:
    """The DCS holds no request for a switchover that could still be carried out."""
    require_none_pending(context.world.cluster)
