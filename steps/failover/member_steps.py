"""The members: their health, their roles, who leads and who could take over."""

from behave import then
from hamcrest import assert_that, empty, is_

from support.engine.tables import alike, as_tabled, of_each, rows_of, transposed
from support.engine.world import Context
from support.failover import member_health
from support.failover.checks import a_replica_may_take_over, could_lose, members_known, one_leader
from support.failover.leader_views import OBSERVERS, leader_views
from support.target import etcd, failover_readiness, members
from support.target.cluster import Cluster
from support.target.members import in_each_group, of_the_whole
from support.vocabulary import Kind, columns

MEMBER = Kind("role of a member", (members.THE_LEADER, members.A_REPLICA, members.AN_ARCHIVE_REPLICA))
YES_OR_NO = Kind("answer", ("yes", "no"))
CHECK, TRUE_ROLE = Kind.of("health check", member_health.CHECKS), Kind.of("role", member_health.TRUE_ROLES)
OBSERVER = Kind.of("observer of the leader", OBSERVERS)
STATUS = {
    "member": MEMBER,
    "role": Kind("role of a PostgreSQL", (members.LEADER, members.REPLICA)),
    "PostgreSQL": Kind("state of a PostgreSQL", ("running", "starting", "stopping", "stopped", "restarting")),
    "replication": Kind("state of replication", ("none", "streaming", "in archive recovery")),
    "timeline": Kind("timeline", ("the leader's",), more=r"\d+"),
}


@then("every member answers each health check according to its true role")
@columns({"check": CHECK}, others=YES_OR_NO, headings=TRUE_ROLE)
def step_health_checks_are_true(context: Context) -> None:
    """For the role that a member has by SQL, each of its health checks answers as in the table."""
    truth = transposed(rows_of(context.table))
    in_each_group(
        context.world.cluster,
        lambda group: as_tabled(of_each(member_health.kinds(group), truth), member_health.answers(group)).require(),
        "every health check of every member is true",
    )


@then("every member is in the state that its role requires")
@columns(STATUS)
def step_members_are(context: Context) -> None:
    """Each member reports about itself what its row says: the leader is the holder of the leader key."""
    rows = rows_of(context.table)
    in_each_group(
        context.world.cluster,
        lambda group: as_tabled(
            of_each(members.roles(group.as_declared), rows), members.status_table(group.as_declared)
        ).require(),
        "every member is in the state that its role requires",
    )


@then("the DCS knows every member and no other")
def step_dcs_knows_members(context: Context) -> None:
    """Patroni's view, which comes from the DCS, names the members that were declared or known when the run began.

    If [expect] declares members, their number or their names are as declared.
    """
    cluster = context.world.cluster
    of_the_whole(cluster, members.require_as_declared, "the members are those that were declared", only_late=False)
    in_each_group(
        cluster,
        lambda group: members_known([one.name for one in group.view().members], group.as_declared.members).require(),
        "the DCS knows every member and no other",
        only_late=False,
    )


@then("every member's PostgreSQL answers, and its Patroni is alive")
def step_members_run(context: Context) -> None:
    """Each member answers a query past the proxy, and the heartbeat of its Patroni is not late."""
    in_each_group(
        context.world.cluster,
        lambda group: as_tabled(
            alike(group.as_declared.members, member_health.WELL), member_health.vital_signs(group.as_declared)
        ).require(),
        "every member runs",
    )


@then("the same single member leads according to")
@columns({"observer": OBSERVER})
def step_one_leader(context: Context) -> None:
    """All observers of the table name one member. A member that gives no answer could be leading, too."""
    observers = rows_of(context.table)

    def agreed(group: Cluster) -> None:
        views = leader_views(group, observers)
        one_leader(views.seen, views.unheard).require()

    in_each_group(context.world.cluster, agreed, "all observers name one leader", only_late=False)


@then("automatic failover is on")
def step_failover_is_on(context: Context) -> None:
    """Patroni is not paused (in maintenance mode)."""
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(group.view().paused, is_(False), "Patroni is paused: no member would take over"),
        "automatic failover is on",
        only_late=False,
    )


@then("at least one replica may take over")
def step_a_replica_may_take_over(context: Context) -> None:
    """By Patroni's rules: it streams on the leader's timeline, lags less than allowed, and no tag bars it."""
    in_each_group(
        context.world.cluster,
        lambda group: a_replica_may_take_over(failover_readiness.obstacles(group)).require(),
        "a replica may take over from the leader",
    )


@then("the DCS has a quorum with one member to spare")
def step_dcs_has_spare(context: Context) -> None:
    """Enough members of the DCS are healthy that it keeps its quorum when any one of them is lost.

    If [expect] declares how many it can lose (dcs_spare), that number counts.
    """
    topology = context.world.cluster.topology
    declared = topology.expectations.dcs_spare
    of_the_whole(
        context.world.cluster,
        lambda _: could_lose(etcd.quorum(topology), 1 if declared is None else declared).require(),
        "the DCS has a quorum with a member to spare",
        only_late=False,
    )


@then("failsafe mode is on, and every member knows all others that a leader has to reach")
def step_failsafe_is_ready(context: Context) -> None:
    """By each member's REST API: whichever leads goes on without the DCS as long as all the others answer.

    If [expect] declares failsafe mode on or off, it is so.
    """
    for group in context.world.cluster.groups:
        failover_readiness.require_failsafe_as_declared(group)
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(
            failover_readiness.unprepared_for_failsafe(group), empty(), "members that could not continue"
        ),
        "a leader could continue without the DCS",
    )
