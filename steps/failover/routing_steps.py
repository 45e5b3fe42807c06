"""Where the endpoints lead, and how HAProxy sees the members."""

from behave import then, when
from hamcrest import assert_that, is_, none

from support import sql
from support.engine import markers
from support.engine.tables import as_tabled, of_each, rows_of
from support.engine.world import Context
from support.example_app.sessions import open_idle
from support.failover import health_checks, session_targets
from support.failover.checks import all_among, each_serves
from support.target import haproxy
from support.target.members import NO_ANSWER
from support.waiting import eventually


@when("{count:d} sessions are opened through the {endpoint} endpoint")
def step_open_sessions(context: Context, count: int, endpoint: str) -> None:
    """That many logins as the application, all held open at once; none is in a transaction, so that a pooler bears it.

    `endpoint` is write or read.
    """
    world, where = context.world, getattr(context.world.cluster, endpoint)
    refused = sql.error_of(lambda: open_idle(where, count, world.sessions))
    assert_that(refused, none(), f"what was said against one of {count} logins at {where.name}")


@then("each of them is on the leader, and not in recovery")
def step_sessions_on_leader(context: Context) -> None:
    """Every session's server is the leader's, told by when it started, and it is a primary."""
    world = context.world
    allowed = [session_targets.place(world.cluster.leader(), in_recovery=False)]
    all_among(session_targets.places(world.cluster, world.sessions), allowed).require()


@then("each of them is on a replica, and in recovery")
def step_sessions_on_replicas(context: Context) -> None:
    """Every session's server is that of a member which does not lead, and it is in recovery."""
    world = context.world
    allowed = [session_targets.place(name, in_recovery=True) for name in world.cluster.replicas()]
    all_among(session_targets.places(world.cluster, world.sessions), allowed).require()


@then("every healthy replica serves some of them, or has others to serve")
def step_sessions_are_shared(context: Context) -> None:
    """Healthy by its own health check. How many each gets is the proxy's affair: it may have others already."""
    cluster, sessions = context.world.cluster, context.world.sessions
    each_serves(
        session_targets.members(cluster, sessions),
        health_checks.serving_replicas(cluster),
        haproxy.read_servers(cluster.topology),
    ).require()


@then("a write on each of them is accepted")
def step_writes_accepted(context: Context) -> None:
    """A row is committed on every session."""
    world = context.world
    all_among(session_targets.writes(world.sessions, world.profile, world.namespace), ["accepted"]).require()


@then("a write on each of them is refused as read-only")
def step_writes_refused(context: Context) -> None:
    """A row is tried on every session, and refused because the server takes no writes; not for another reason."""
    world = context.world
    all_among(
        session_targets.writes(world.sessions, world.profile, world.namespace), ["read only sql transaction"]
    ).require()


@then("the statistics page answers")
def step_statistics_page_answers(context: Context) -> None:
    """Each visitor of the table, told by the credentials, is served or refused."""
    page, expected = context.world.cluster.statistics_page, rows_of(context.table)
    as_tabled(expected, haproxy.receptions(page, expected)).require()


@then("HAProxy holds the members for")
def step_haproxy_view(context: Context) -> None:
    """The position of every member in the proxies behind the write and the read endpoint, by Patroni's roles."""
    cluster, rows = context.world.cluster, rows_of(context.table)
    page, members = cluster.statistics_page, cluster.members

    def as_patroni_sees_them() -> None:
        expected = of_each(health_checks.routing_roles(cluster), rows)
        as_tabled(expected, haproxy.positions(page, members, expected)).require()

    eventually(
        as_patroni_sees_them,
        within=context.world.timing.visible,
        subject="HAProxy sees every member as Patroni does",
        retry_on=NO_ANSWER,
    )


@when("a marker is written through the write endpoint")
def step_marker_written(context: Context) -> None:
    """One row is committed there by the application."""
    world = context.world
    refused = sql.error_of(lambda: markers.write(world.cluster.write, world.profile, world.namespace, "the marker"))
    assert_that(refused, none(), "what PostgreSQL, or the way to it, said against the write")


@then("the marker is seen through the write endpoint")
def step_marker_is_seen(context: Context) -> None:
    """A new session there reads the row as it was written, now."""
    world = context.world
    assert_that(
        markers.is_there(world.cluster.write, world.profile, world.namespace, "the marker"),
        is_(True),
        "the marker is seen",
    )


@then("the marker becomes visible through the read endpoint within {seconds:g} seconds")
def step_marker_becomes_visible(context: Context, seconds: float) -> None:
    """New sessions there read the row as it was written, from then on."""
    world, where = context.world, context.world.cluster.read
    markers.await_seen({where.name: where}, world.profile, world.namespace, "the marker", world.limit(seconds))
