"""What the members are: their health, their roles, who leads and who could, and their settings."""

from behave import then
from hamcrest import assert_that, empty, equal_to, greater_than_or_equal_to, has_length, is_

from support.engine.tables import alike, as_tabled, of_each, rows_of, transposed
from support.engine.world import Context
from support.failover import health_checks, replication
from support.failover.checks import could_lose, one_leader, someone_may_lead
from support.failover.leader_views import leader_views
from support.target import dcs, failover_readiness, members, synchronous
from support.target.members import in_each_group, of_the_whole


@then("every member says, by what it truly is, whether it is")
def step_health_checks_are_true(context: Context) -> None:
    """Each health check of each member answers as the table has it for what SQL says that the member is."""
    truth = transposed(rows_of(context.table))
    in_each_group(
        context.world.cluster,
        lambda group: as_tabled(of_each(health_checks.kinds(group), truth), health_checks.answers(group)).require(),
        "every health check of every member is true",
    )


@then("the members are, by who holds the leader key")
def step_members_are(context: Context) -> None:
    """Each member's words about itself are those of its row: the holder of the leader key's, or the others'."""
    rows = rows_of(context.table)
    in_each_group(
        context.world.cluster,
        lambda group: as_tabled(
            of_each(members.roles(group.as_declared), rows), members.status_table(group.as_declared)
        ).require(),
        "every member is as its role wants it",
    )


@then("the DCS knows every member and no other")
def step_dcs_knows_members(context: Context) -> None:
    """Patroni's view, which comes from the DCS, names the members that were declared or known when the run began.

    Where [expect] declares members, they are so many, or those of these names.
    """
    of_the_whole(context.world.cluster, members.require_as_declared, "the members are those that were declared")
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(
            {one.name for one in group.view().members}, equal_to(set(group.as_declared.members)), "members"
        ),
        "the DCS knows every member and no other",
    )


@then("every member's PostgreSQL answers, and its Patroni is alive")
def step_members_run(context: Context) -> None:
    """A query past the proxy is answered by each member, and the heartbeat of its Patroni is not late."""
    for group in context.world.cluster.groups:
        declared = group.as_declared
        as_tabled(alike(declared.members, health_checks.WELL), health_checks.vital_signs(declared)).require()


@then("one and the same member leads according to")
def step_one_leader(context: Context) -> None:
    """All observers of the table name the same single member. A member that gives no answer could lead as well."""
    for group in context.world.cluster.groups:
        heard = leader_views(group, rows_of(context.table))
        one_leader(heard.seen, heard.unheard).require()


@then("automatic failover is on")
def step_failover_is_on(context: Context) -> None:
    """Patroni is not paused (in maintenance mode)."""
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(group.view().paused, is_(False), "Patroni is paused: nobody takes over"),
        "automatic failover is on",
    )


@then("at least one replica may take over")
def step_someone_may_lead(context: Context) -> None:
    """By Patroni's rules: it streams on the leader's timeline, lags less than allowed, and no tag bars it."""
    in_each_group(
        context.world.cluster,
        lambda group: someone_may_lead(failover_readiness.obstacles(group)).require(),
        "a replica may take over from the leader",
    )


@then("the DCS has a quorum with one member to spare")
def step_dcs_has_spare(context: Context) -> None:
    """So many members of the DCS are healthy that it works on when any one of them is lost.

    Where [expect] declares how many can be lost (dcs_spare), so many.
    """
    topology = context.world.cluster.topology
    declared = topology.expectations.dcs_spare
    could_lose(dcs.quorum(topology), 1 if declared is None else declared).require()


@then("failsafe mode is on, and every member knows all others whom a leader has to ask")
def step_failsafe_is_ready(context: Context) -> None:
    """By each member's REST API: whichever of them leads, it goes on without the DCS as long as all the others answer.

    Where [expect] declares the mode, it is as declared.
    """
    for group in context.world.cluster.groups:
        failover_readiness.require_failsafe_as_declared(group)
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(
            failover_readiness.unprepared_for_failsafe(group), empty(), "members that could not go on"
        ),
        "a leader could go on without the DCS",
    )


@then("every member has these settings for the application")
def step_settings(context: Context) -> None:
    """What SHOW says in a session of the application on each member, role and database settings included."""
    wanted = {name: row["value"] for name, row in rows_of(context.table).items()}
    for group in context.world.cluster.groups:
        as_tabled(alike(group.members, wanted), members.settings(group, wanted)).require()


@then("every member logs what a rewind needs")
def step_rewind_is_possible(context: Context) -> None:
    """wal_log_hints or data checksums are on, without which pg_rewind refuses."""
    for group in context.world.cluster.groups:
        assert_that(replication.unprepared(group), empty(), "members that could not be rewound")


@then("Patroni is configured to rewind")
def step_rewind_is_configured(context: Context) -> None:
    """use_pg_rewind is on in the configuration that all members share."""
    for group in context.world.cluster.groups:
        assert_that(replication.configured(group), is_(True), f"use_pg_rewind is on in group {group.group}")


@then("the leader waits for as many standbys as the configuration asks for")
def step_standbys_are_waited_for(context: Context) -> None:
    """By the states of the leader's streams. Where [expect] declares synchronous replication, it is configured so."""
    for group in context.world.cluster.groups:
        synchronous.require_as_declared(group)
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(
            synchronous.standbys_waited_for(group),
            has_length(greater_than_or_equal_to(synchronous.standbys_asked_for(group))),
            "the standbys that commits wait for",
        ),
        "a commit waits for as many standbys as asked for",
    )
