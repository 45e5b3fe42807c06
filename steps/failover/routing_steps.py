"""Routing: where the endpoints lead, how HAProxy sees the members, and what happens when a member fails."""

import time

from behave import given, register_type, then, when
from hamcrest import assert_that, is_, none

from support import sql
from support.engine import markers
from support.engine.recovery import require_within
from support.engine.tables import all_answer_as_tabled, as_tabled, of_each, rows_of
from support.engine.world import Context, World
from support.errors import Inconclusive
from support.example_app.sessions import open_as_many, open_idle
from support.failover import member_health, routing
from support.failover.checks import all_among, each_serves, with_unlisted
from support.failover.handover import FailoverHandover
from support.failover.proxy_reload import Reload, reload_proxy
from support.failover.role_claims import require_true_claims, watch_claims
from support.faults.declared import disturbs
from support.faults.network import cut_from_source
from support.faults.process import crash_of_member, freeze_of_member
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.members import of_the_whole
from support.target.purposes import purposes
from support.target.timing import Span
from support.vocabulary import Kind, columns
from support.waiting import NotYet

_ENOUGH = 5
"""Sessions that show where an endpoint leads."""
_MARKER = "marker"
ENDPOINT = Kind("endpoint", ("write", "read"))
VISITOR, RECEPTION = Kind.of("visitor", haproxy.VISITORS), Kind("reception", ("served", "refused"))
ROUTED_ROLE, UP_OR_DOWN = Kind.of("role of a member", member_health.ROUTING_ROLES), Kind("state", ("up", "down"))
register_type(Endpoint=ENDPOINT)


@when("{count:d} sessions are opened through the {endpoint:Endpoint} endpoint")
def step_open_sessions(context: Context, count: int, endpoint: str) -> None:
    """The sessions log in as the application and are held open at once. None is in a transaction, which suits a pooler.

    Fewer are enough where there is no room for more: how many there are is not promised here.
    """
    world, where, full = context.world, getattr(context.world.cluster, endpoint), list[str]()
    refused = sql.error_of(lambda: full.append(open_as_many(where, count, world.sessions)))
    assert_that(refused, none(), f"the error of one of {count} logins at {where.name}")
    if any(full):
        opened = len(world.sessions)
        world.evidence.attach(f"{opened} of {count} sessions", full[0])
        if opened < _ENOUGH:
            raise Inconclusive(f"{where.name} has room for {opened} sessions, {_ENOUGH} are needed: {full[0]}")


@then("each of them is on the leader, and not in recovery")
def step_sessions_on_leader(context: Context) -> None:
    """Every session's server is the leader's, recognised by when it started, and it is a primary."""
    world = context.world
    allowed = [routing.place(world.cluster.leader(), in_recovery=False)]
    all_among(routing.places(world.cluster, world.sessions), allowed).require()


@then("each of them is on a replica, and in recovery")
def step_sessions_on_replicas(context: Context) -> None:
    """Every session's server belongs to a member that does not lead, and it is in recovery."""
    world = context.world
    allowed = [routing.place(name, in_recovery=True) for name in world.cluster.replicas()]
    all_among(routing.places(world.cluster, world.sessions), allowed).require()


@then("every healthy replica serves some of them, or has other sessions to serve")
def step_sessions_are_shared(context: Context) -> None:
    """Healthy by its own health check. The proxy decides how many each gets: a replica may have others already."""
    cluster, sessions = context.world.cluster, context.world.sessions
    of_the_whole(  # the proxy may not have noticed yet that a replica is healthy again
        cluster,
        lambda whole: each_serves(
            routing.members(whole, sessions),
            *member_health.serving_through_proxy(whole),
        ).require(),
        "every healthy replica serves reads",
        only_late=False,
    )


@then("a write on each of them is accepted")
def step_writes_accepted(context: Context) -> None:
    """A row is committed in every session."""
    world = context.world
    all_among(routing.writes(world.sessions, world.profile, world.namespace), ["accepted"]).require()


@then("a write on each of them is refused as read-only")
def step_writes_refused(context: Context) -> None:
    """A write is tried in every session, and refused because the server is read-only, not for another reason."""
    world = context.world
    outcomes = routing.writes(world.sessions, world.profile, world.namespace)
    all_among(outcomes, ["read only sql transaction"]).require()


@then("the statistics page answers")
@columns({"visitor": VISITOR, "answer": RECEPTION})
def step_statistics_page_answers(context: Context) -> None:
    """Each visitor of the table, identified by the credentials, is served or refused."""
    cluster, expected = context.world.cluster, rows_of(context.table)

    def knows_them(whole: Cluster) -> None:
        finding = all_answer_as_tabled(expected, haproxy.receptions(whole.statistics_page, expected))
        if finding.holds is None:
            raise NotYet(finding.words)
        finding.require()

    of_the_whole(cluster, knows_them, "the statistics page knows its visitors", only_late=False)


@then("HAProxy reports these member states")
@columns({"member": ROUTED_ROLE}, others=UP_OR_DOWN, headings=ENDPOINT)
def step_haproxy_view(context: Context) -> None:
    """The state of every member in the proxies behind the write and the read endpoint, by Patroni's roles.

    A member that never leads may be left out of the proxy; any other needs a server for writes.
    """
    rows = rows_of(context.table)

    def as_patroni_sees_them(cluster: Cluster) -> None:
        expected = of_each(member_health.routing_roles(cluster), rows)
        shown = haproxy.positions(cluster.statistics_page, cluster.members, expected)
        may_lead = [name for name, one in purposes(cluster).items() if one.may_lead]
        as_tabled(expected, with_unlisted(shown, expected, may_lead)).require()

    of_the_whole(context.world.cluster, as_patroni_sees_them, "HAProxy sees every member as Patroni does")


@when("a marker is written through the write endpoint")
def step_marker_written(context: Context) -> None:
    """The application commits one row there."""
    world = context.world
    refused = sql.error_of(lambda: markers.write(world.cluster.write, world.profile, world.namespace, _MARKER))
    assert_that(refused, none(), "the error of the write")


@then("the marker is seen through the write endpoint")
def step_marker_is_seen(context: Context) -> None:
    """A new session there reads the row as it was written, now."""
    world = context.world
    seen = markers.is_there(world.cluster.write, world.profile, world.namespace, _MARKER)
    assert_that(seen, is_(True), "the marker is seen")


@then("the marker becomes visible through the read endpoint within {seconds:g} seconds")
def step_marker_becomes_visible(context: Context, seconds: float) -> None:
    """New sessions there read the row as it was written, from then on."""
    world, where, begun = context.world, context.world.cluster.read, time.monotonic()
    limit = world.limit(seconds, "lag")
    markers.await_seen({where.name: where}, world.profile, world.namespace, _MARKER, limit)
    require_within(world, "the marker was visible after", time.monotonic() - begun, limit)


@given("{count:d} idle sessions through the write endpoint")
def step_idle_sessions(context: Context, count: int) -> None:
    """Held open until the scenario ends, all of them on the leader; none is ever used."""
    world = context.world
    open_idle(world.cluster.write, count, world.sessions)
    leader = routing.place(world.cluster.leader(), in_recovery=False)
    if elsewhere := {*routing.places(world.cluster, world.sessions)} - {leader}:
        raise Inconclusive(f"sessions through the write endpoint are on {' and '.join(sorted(elsewhere))}")
    watch = world.cleanup.enter_context(routing.ClosingWatch(world.sessions))
    world.handover(FailoverHandover).closings = watch


@given("{count:d} idle sessions through the read endpoint")
def step_idle_readers(context: Context, count: int) -> None:
    """Held open until the scenario ends, each on the member to which the proxy leads it; none is ever used."""
    world = context.world
    open_idle(world.cluster.read, count, world.sessions)
    world.handover(FailoverHandover).closings_of_readers = routing.watch_by_member(world)


@given("every member is asked continuously whether it is the primary")
def step_claims(context: Context) -> None:
    """By the health check that proxies use, until the scenario ends."""
    context.world.handover(FailoverHandover).claims = watch_claims(context.world)


@then("no member was reported as the primary for longer than {seconds:g} seconds while it was read-only")
def step_claims_are_true(context: Context, seconds: float) -> None:
    """From the fault on. Each member was asked all the time, past the proxy, whether it would accept a write."""
    world = context.world
    require_true_claims(world, world.handover(FailoverHandover).claims, world.limit(seconds, "read-only"))


@given("the proxy has been reloaded since")
@disturbs(Reload)
def step_reloaded(context: Context) -> None:
    """The proxy has reread its configuration. Sessions that it holds are not told, and new ones are routed as before.

    Its former process keeps those sessions, and checks no member any more.
    """
    reload_proxy(context.world)


@when("a replica falls further behind than is allowed")
@disturbs(routing.stuck_replay, replica=routing.replica_in_reads)
def step_falls_behind(context: Context) -> None:
    """The replica stops replaying while the leader writes twice as much WAL as a replica may lag and still serve reads.

    The allowed lag is [expect] read_lag, or else what Patroni allows for a replica that takes over. Before the fault,
    sessions through the read endpoint landed on this replica.
    """
    world, replica = context.world, routing.replica_in_reads(context.world.cluster)
    cluster, handover = world.cluster, world.handover(FailoverHandover)
    handover.read_lag = lag = routing.allowed_read_lag(cluster)
    world.experiment.inject(routing.stuck_replay(cluster, replica))
    handover.least_replayed = routing.least_replayed(cluster, replica, lag)


@when("a replica loses its stream")
@disturbs(cut_from_source, replica=routing.replica_in_reads)
def step_loses_stream(context: Context) -> None:
    """Nothing gets from it to the member from which it streams, nor back; both still reach everybody else.

    Sessions through the read endpoint landed on it before.
    """
    cluster, replica = context.world.cluster, routing.replica_in_reads(context.world.cluster)
    context.world.experiment.inject(cut_from_source(cluster, replica))


@when("the host of a replica that has some of these sessions crashes")
@disturbs(crash_of_member, member=routing.replica_in_reads)
def step_host_of_readers_crashes(context: Context) -> None:
    """Every process of that host is gone at once. New sessions through the read endpoint landed there until then."""
    context.world.experiment.inject(crash_of_member(context.world.cluster, _replica_of_readers(context.world)))


@when("the host of a replica that has some of these sessions freezes")
@disturbs(freeze_of_member, member=routing.replica_in_reads)
def step_host_of_readers_freezes(context: Context) -> None:
    """Its programs are suspended: not dead, not answering. New sessions landed there until then."""
    context.world.experiment.inject(freeze_of_member(context.world.cluster, _replica_of_readers(context.world)))


def _replica_of_readers(world: World) -> str:
    """A replica in reads that has some of the sessions. Raises Inconclusive if it has none."""
    replica = routing.replica_in_reads(world.cluster)
    routing.require_some_on(replica, world.handover(FailoverHandover).closings_of_readers)
    return replica


@then("the affected member leaves the read endpoint within {seconds:g} seconds")
def step_leaves_reads(context: Context, seconds: float) -> None:
    """New sessions there land on other members, in that time from when the fault is in effect, and go on to do so."""
    world = context.world
    lag, limit = world.handover(FailoverHandover).read_lag, world.limit(seconds, "leave", Span.READ_ROUTING)
    routing.require_out_of_reads(world, limit, lag)


@then("once the fault is healed, it is back in the read endpoint within {seconds:g} seconds")
def step_back_in_reads(context: Context, seconds: float) -> None:
    """New sessions there land on it again, in that time from the healing on, but not before it has caught up.

    A replica that replayed nothing must be no further behind than is allowed; one that lost its stream must have one.
    """
    world, limit = context.world, context.world.limit(seconds, "return", Span.READ_ROUTING)
    handover = world.handover(FailoverHandover)
    world.experiment.heal()
    routing.require_back_in_reads(world, limit, handover.least_replayed, streams=handover.read_lag is None)


@then("each of these sessions is cut within {seconds:g} seconds")
def step_sessions_closed(context: Context, seconds: float) -> None:
    """Clients learn of it within this time of the fault, and do not have to wait for a dead connection to time out.

    In a switchover, the time counts from the last write that the former leader accepted.
    """
    world = context.world
    watch, limit = world.handover(FailoverHandover).closings, world.limit(seconds, "cut", Span.HANGUP)
    routing.require_sessions_cut(world, watch, limit)


@then("each of its sessions is cut within {seconds:g} seconds")
def step_sessions_of_replica_closed(context: Context, seconds: float) -> None:
    """Of the sessions through the read endpoint, those on the affected member, in that time from the fault on.

    A reader that waits for an answer without a limit of its own learns in no other way that none will come.
    """
    world = context.world
    watch = world.handover(FailoverHandover).closings_of_readers[world.experiment.target_member]
    routing.require_sessions_cut(world, watch, world.limit(seconds, "cut", Span.HANGUP))
