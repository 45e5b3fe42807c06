"""Replication: slots, synchronous standbys, settings that make a commit durable, and the lag of replicas."""

from behave import then
from hamcrest import assert_that, empty, greater_than_or_equal_to, has_length

from support.engine import markers
from support.engine.quiet import excused
from support.engine.tables import alike, all_answer_as_tabled, rows_of
from support.engine.world import Context
from support.failover import replication
from support.failover.member_checks import each_through_a_slot
from support.faults.declared import leaves_hosts
from support.target import members, rewinding, synchronous
from support.target.cluster import Cluster
from support.target.members import in_each_group
from support.vocabulary import columns


@then("the leader streams to every replica through a slot of its own")
def step_replicas_use_slots(context: Context) -> None:
    """By SQL: each member that is not the leader streams from it, and its stream holds an active slot.

    A replica that is configured to stream from another one (replicatefrom) does so from there. If [expect] declares
    replication slots, they are configured so.
    """
    cluster, streaming = context.world.cluster, list[str]()
    for group in cluster.groups:
        replication.require_slots_as_declared(group)

    def through_slots(group: Cluster) -> None:
        there, without = replication.streaming(group), replication.slotless(group)
        if there or without:  # a worker group may have a single member
            each_through_a_slot(there, without).require()
        streaming.extend(there)

    in_each_group(cluster, through_slots, "the leader streams to every replica through a slot")
    each_through_a_slot(streaming, ()).require()


@then("no slot of the leader is orphaned")
def step_no_slot_is_orphaned(context: Context) -> None:
    """An unused slot would retain WAL on the leader until its disk is full.

    Not counted as unused: Patroni's permanent slots (`slots`), slots that it keeps for a while for members that have
    gone, slots of members that stream from another replica, and a logical slot whose consumer is away, as long as it
    retains no more WAL than the server keeps anyway.
    """
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(replication.orphaned(group), empty(), "slots of the leader that nobody uses"),
        "every slot of the leader is used",
        only_late=False,
    )


@then("each of {count:d} markers written through the write endpoint is on every replica within {seconds:g} seconds")
def step_markers_are_on_replicas(context: Context, count: int, seconds: float) -> None:
    """Rows committed one after another, each looked for on every replica, past the proxy; the slowest is measured.

    Left out are replicas that replay late on purpose, or read the archive.
    """
    world, limit = context.world, context.world.limit(seconds, "lag")
    with excused(world):
        slowest = max(markers.delays(world.cluster, world.namespace, count, limit))
    world.measure("slowest marker, from its commit until it was on every replica", slowest, "s", limit)


@then("every replica that replays late on purpose receives what was written within {seconds:g} seconds")
def step_late_replicas_receive(context: Context, seconds: float) -> None:
    """By the position of its WAL: it has everything, although it shows it later (recovery_min_apply_delay).

    If [expect] declares which replicas these are, they are so.
    """
    world = context.world
    cluster, limit = world.cluster, world.limit(seconds, "lag")
    replication.require_delays_as_declared(cluster)
    if not cluster.topology.delays:
        return
    with excused(world):
        replication.await_received(cluster, limit)


@then("every member has these settings for the application")
@columns({"setting": None, "value": None})
def step_settings(context: Context) -> None:
    """What SHOW says in a session of the application on each member, role and database settings included."""
    wanted = {name: row["value"] for name, row in rows_of(context.table).items()}
    in_each_group(
        context.world.cluster,
        lambda group: all_answer_as_tabled(alike(group.members, wanted), members.settings(group, wanted)).require(),
        "every member has these settings",
        only_late=False,
    )


@then("every member writes the WAL that a rewind needs")
def step_rewind_is_possible(context: Context) -> None:
    """wal_log_hints or data checksums are on; pg_rewind refuses without them."""
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(rewinding.not_rewindable(group), empty(), "members that could not be rewound"),
        "every member writes the WAL that a rewind needs",
        only_late=False,
    )


@then("Patroni is configured to rewind")
@leaves_hosts("it reads files")
def step_rewind_is_configured(context: Context) -> None:
    """use_pg_rewind is on, in each member's own configuration file, or else in the configuration that all share."""
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(rewinding.not_configured(group), empty(), "members without use_pg_rewind"),
        "every member is rewound by pg_rewind",
        only_late=False,
    )


@then("the leader waits for as many standbys as the configuration asks for")
def step_standbys_are_waited_for(context: Context) -> None:
    """By the states of the leader's streams. If [expect] declares synchronous replication, it is configured so."""
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
