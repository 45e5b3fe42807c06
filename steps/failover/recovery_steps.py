"""How the cluster recovers: who leads, who is back, how long clients were interrupted, and what was lost."""

from behave import register_type, step, then

from support.engine.interruption import require_interruption_under
from support.engine.recovery import (
    require_all_streaming,
    require_ledger_intact,
    require_ledger_on,
    require_no_write_after_thaw,
    require_other_leader,
    require_rejoined,
    require_replaced,
    require_standby_replaced,
)
from support.engine.safety import safety
from support.engine.world import Context
from support.failover import rewinding
from support.failover.checks import rewound_not_copied
from support.failover.handover import FailoverHandover
from support.failover.hung_postmaster import require_new_sessions_again, require_new_sessions_once_healed
from support.failover.numbers import require_none_issued_twice
from support.target.timing import EVENT, Span

register_type(Event=EVENT)


@step("another member leads")
def step_another_leads(context: Context) -> None:
    """A member other than the affected one holds the leader key and accepts writes.

    Not every client has connected to it by then; a later step that judges clients has to wait for that.
    """
    require_other_leader(context.world)


@then("another member leads within {seconds:g} seconds")
def step_another_leads_within(context: Context, seconds: float) -> None:
    """A member other than the affected one holds the leader key and accepts writes, in that time from the fault on.

    Not every client has connected to it by then; a later step that judges clients has to wait for that.
    """
    require_other_leader(context.world, context.world.limit(seconds, "leader", Span.FAILOVER))


@then("the affected member streams as a replica within {seconds:g} seconds")
def step_affected_member_streams(context: Context, seconds: float) -> None:
    """The member that the fault hit streams from the leader, on the leader's timeline, in that time from now on."""
    require_rejoined(context.world, context.world.limit(seconds, "rejoin", Span.REJOIN))


@then("every replica streams on the timeline of the leader within {seconds:g} seconds")
def step_all_stream(context: Context, seconds: float) -> None:
    """All members but the leader, in that time from now on."""
    require_all_streaming(context.world, context.world.limit(seconds, "rejoin", Span.REJOIN))


@then("commits wait for another standby within {seconds:g} seconds, and all observers agree on it")
def step_standby_replaced(context: Context, seconds: float) -> None:
    """The DCS, synchronous_standby_names and the leader's streams name it, in that time from the fault on."""
    require_standby_replaced(context.world, context.world.limit(seconds, "standby", Span.STANDBY_LOSS))


@then("clients are interrupted for less than {seconds:g} seconds")
def step_interruption(context: Context, seconds: float) -> None:
    """The longest time without an acknowledged write, from the fault until no second outage can follow from it."""
    require_interruption_under(context.world, context.world.limit(seconds, "interruption"))


@then("the {event:Event} interrupts clients for less than {seconds:g} seconds")
def step_interruption_by(context: Context, event: str, seconds: float) -> None:
    """The longest time without an acknowledged write, from the fault until no second outage can follow from it.

    `event` is what the cluster needs time for. If its own timing (ttl, loop_wait, ...) is slower than the embedded
    cluster's, its limit follows from that.
    """
    require_interruption_under(context.world, context.world.limit(seconds, event, Span(event)))


@then("new sessions reach a leader again within {seconds:g} seconds, where the cluster promises it")
def step_new_sessions_again(context: Context, seconds: float) -> None:
    """Sessions that are opened at the write endpoint, in that time from the fault on.

    Patroni promises it only where its own session fails as well. So it is a known limit if none got through while the
    former leader kept the leader key and acknowledged writes, unless [expect] login_failover declares more.
    """
    require_new_sessions_again(context.world, context.world.limit(seconds, "logins", Span.FAILOVER))


@then("once the fault is healed, new sessions reach a leader within {seconds:g} seconds")
def step_new_sessions_once_healed(context: Context, seconds: float) -> None:
    """Sessions that are opened at the write endpoint, in that time from the end of the fault on."""
    require_new_sessions_once_healed(context.world, context.world.limit(seconds, "healed", Span.RETURN))


@then("the ledger lost no acknowledged write")
@safety
def step_nothing_lost(context: Context) -> None:
    """Every entry that was acknowledged before, during or after the fault is read back, exactly once.

    If replication is asynchronous, as configured or declared, and the leader was lost, the ledger may lack what a
    failover may then lose.
    """
    require_ledger_intact(context.world)


@then("the affected member was rewound, not copied")
def step_rewound(context: Context) -> None:
    """Copying a large database takes hours, and rewinding it takes seconds.

    Its data directory tells: pg_rewind leaves a backup_label.old since the fault, and a copy leaves one of another
    method, or only files that are newer than the fault. Without that file, even an old directory shows nothing.
    """
    world = context.world
    rewound_not_copied(rewinding.kept_files(world.cluster, world.experiment)).require()


@then("no number was issued twice")
@safety
def step_no_number_twice(context: Context) -> None:
    """Checks the acknowledged numbers from before and after the fault, of the sequence and of the identity column."""
    require_none_issued_twice(context.world)


@then("the affected member holds every acknowledged entry of the ledger")
@safety
def step_affected_member_holds_ledger(context: Context) -> None:
    """Read on the member that the fault hit, past the proxy, once it has replayed all that was written."""
    require_ledger_on(context.world, [context.world.experiment.target_member])


@then("every member holds every acknowledged entry of the ledger")
@safety
def step_every_member_holds_ledger(context: Context) -> None:
    """Read on each, past the proxy, once it has replayed all that was written."""
    require_ledger_on(context.world, context.world.cluster.members)


@then("the thawed member acknowledged no write")
@safety
def step_thawed_member_acknowledged_no_write(context: Context) -> None:
    """No write sent since the thaw is acknowledged, in old sessions or new ones; none acknowledged before is lost.

    Inconclusive if no other member led meanwhile: then it rightly goes on acknowledging writes.
    """
    direct = context.world.handover(FailoverHandover).direct_clients
    require_replaced(context.world)
    require_no_write_after_thaw(context.world, direct.workload, direct.namespace)
