"""What the members are: their health, their roles, who leads and who could, and their settings."""

from behave import then
from hamcrest import assert_that, empty, equal_to, greater_than_or_equal_to, has_length, is_

from support.checkers.election import one_leader
from support.checkers.table import alike, as_tabled, of_each, rows_of, transposed
from support.checkers.takeover import someone_may_lead
from support.cluster import etcd, health, rewinding, rollcall, standing, synchrony, takeover
from support.cluster.rollcall import SILENCE
from support.cluster.witnesses import testimony
from support.timeouts import VISIBLE
from support.waiting import eventually


@then("every member says, by what it truly is, whether it is")
def step_health_checks_are_true(context):
    """Each health check of each member answers as the table has it for what SQL says that the member is."""
    cluster, truth = context.world.cluster, transposed(rows_of(context.table))
    eventually(
        lambda: as_tabled(of_each(health.kinds(cluster), truth), health.answers(cluster)).require(),
        within=VISIBLE,
        subject="every health check of every member is true",
        retry_on=SILENCE,
    )


@then("the members are, by who holds the leader key")
def step_members_are(context):
    """Each member's words about itself are those of its row: the holder of the leader key's, or the others'."""
    cluster, rows = context.world.cluster, rows_of(context.table)
    eventually(
        lambda: as_tabled(of_each(standing.roles(cluster), rows), standing.makeup(cluster)).require(),
        within=VISIBLE,
        subject="every member is as its role wants it",
        retry_on=SILENCE,
    )


@then("the DCS knows every member and no other")
def step_dcs_knows_members(context):
    """Patroni's view, which comes from the DCS, names exactly the members that the cluster was set up with."""
    cluster = context.world.cluster
    eventually(
        lambda: assert_that(
            {one.name for one in cluster.view().members}, equal_to(set(cluster.members)), "its members"
        ),
        within=VISIBLE,
        subject="the DCS knows every member and no other",
        retry_on=SILENCE,
    )


@then("every member's PostgreSQL answers, and its Patroni is alive")
def step_members_run(context):
    """A query past the proxy is answered by each member, and the heartbeat of its Patroni is not late."""
    cluster = context.world.cluster
    as_tabled(alike(cluster.members, health.WELL), health.vital_signs(cluster)).require()


@then("one and the same member leads according to")
def step_one_leader(context):
    """All witnesses of the table name the same single member. A member that gives no answer could lead as well."""
    heard = testimony(context.world.cluster, rows_of(context.table))
    one_leader(heard.seen, heard.unheard).require()


@then("automatic failover is on")
def step_failover_is_on(context):
    """Patroni is not paused (in maintenance mode)."""
    cluster = context.world.cluster
    eventually(
        lambda: assert_that(cluster.view().paused, is_(False), "Patroni is paused: nobody takes over from the leader"),
        within=VISIBLE,
        subject="automatic failover is on",
        retry_on=SILENCE,
    )


@then("at least one replica may take over")
def step_someone_may_lead(context):
    """By Patroni's rules: it streams on the leader's timeline, lags less than allowed, and no tag bars it."""
    cluster = context.world.cluster
    eventually(
        lambda: someone_may_lead(takeover.obstacles(cluster)).require(),
        within=VISIBLE,
        subject="a replica may take over from the leader",
        retry_on=SILENCE,
    )


@then("the DCS has a quorum with one member to spare")
def step_dcs_has_spare(context):
    """So many members of the DCS are healthy that it works on when any one of them is lost."""
    now = etcd.quorum(context.world.cluster.topology)
    assert_that(now.spare, greater_than_or_equal_to(1), f"members of the DCS that could be lost; now it is {now}")


@then("every member has these settings for the application")
def step_settings(context):
    """What SHOW says in a session of the application on each member, role and database settings included."""
    cluster, wanted = context.world.cluster, {name: row["value"] for name, row in rows_of(context.table).items()}
    as_tabled(alike(cluster.members, wanted), rollcall.settings(cluster, wanted)).require()


@then("every member logs what a rewind needs")
def step_rewind_is_possible(context):
    """wal_log_hints or data checksums are on, without which pg_rewind refuses."""
    assert_that(rewinding.unprepared(context.world.cluster), empty(), "members that could not be rewound")


@then("Patroni is configured to rewind")
def step_rewind_is_configured(context):
    """use_pg_rewind is on in the configuration that all members share."""
    assert_that(rewinding.configured(context.world.cluster), is_(True), "use_pg_rewind is on")


@then("the leader waits for as many standbys as the configuration asks for")
def step_standbys_are_waited_for(context):
    """By the states of the leader's streams; not proved for a cluster that is configured to be asynchronous."""
    cluster = context.world.cluster
    asked_for = synchrony.standbys_asked_for(cluster)
    eventually(
        lambda: assert_that(synchrony.standbys_waited_for(cluster), has_length(greater_than_or_equal_to(asked_for))),
        within=VISIBLE,
        subject=f"a commit waits for {asked_for} standbys",
        retry_on=SILENCE,
    )
