"""What is kept back on the members: WAL and old row versions, by slots, the archive, transactions and late vacuums."""

from collections.abc import Callable

from behave import then

from support.engine.world import Context, World
from support.failover import retention
from support.failover.retention_checks import (
    OpenTransaction,
    little_wal_unarchived,
    longest_open,
    most_kept,
    most_unarchived,
    none_open_longer,
    oldest_kept,
    oldest_unfrozen,
    rows_are_frozen,
    slots_are_limited,
    slots_keep_few_rows,
    slots_keep_little_wal,
)
from support.target.cluster import Cluster
from support.target.members import NoAnswer, heard_and_silent, in_each_group

_PREPARED = "COMMIT PREPARED or ROLLBACK PREPARED ends it"
_OPEN = "pg_terminate_backend ends its session; idle_in_transaction_session_timeout prevents it"


@then("no replication slot of any member retains more than {megabytes:d} megabytes of WAL")
def step_slots_keep_little_wal(context: Context, megabytes: int) -> None:
    """Every slot of each member, whatever its kind and whether it is used: the WAL from where it is to the end of what
    the member has."""
    world, limit = context.world, context.world.limit(megabytes, "wal")

    def little(group: Cluster) -> None:
        told, silent = heard_and_silent(retention.slots(group))
        world.measure(f"most WAL kept by a slot{_in(group)}", most_kept(told), "MB", limit)
        slots_keep_little_wal(told, silent, limit).require()

    in_each_group(world.cluster, little, "no slot retains more WAL than allowed", only_late=False)


@then("no replication slot of any member retains rows that are older than {count:d} transactions")
def step_slots_keep_few_rows(context: Context, count: int) -> None:
    """By the older of the slot's xmin and catalog_xmin, against the transactions that the member has seen."""
    world, limit = context.world, context.world.limit(count, "xmin")

    def few(group: Cluster) -> None:
        told, silent = heard_and_silent(retention.slots(group))
        world.measure(f"oldest rows kept by a slot{_in(group)}", oldest_kept(told), "transactions", limit)
        slots_keep_few_rows(told, silent, limit).require()

    in_each_group(world.cluster, few, "no slot holds back vacuum for longer than allowed", only_late=False)


@then("the WAL that replication slots can keep is limited on every member")
def step_slots_are_limited(context: Context) -> None:
    """By max_slot_wal_keep_size. Where no member has a limit, and [expect] bounded_slots does not ask for one, that is
    a known limit of the cluster, and the scenario is skipped."""

    def limited(group: Cluster) -> None:
        slots_are_limited(*heard_and_silent(retention.slot_limits(group))).require()

    in_each_group(context.world.cluster, limited, "slots can keep a limited amount of WAL", only_late=False)


@then("no member keeps more than {megabytes:d} megabytes of WAL that waits to be archived")
def step_little_wal_unarchived(context: Context, megabytes: int) -> None:
    """By the segments that PostgreSQL has marked as ready for the archive, on members that archive: the leader, and
    replicas where archive_mode is "always". Where nothing is archived, nothing waits for it."""
    world, limit = context.world, context.world.limit(megabytes, "wal")

    def little(group: Cluster) -> None:
        told, silent = heard_and_silent(retention.unarchived_wal(group))
        world.measure(f"most WAL that waits to be archived{_in(group)}", most_unarchived(told), "MB", limit)
        little_wal_unarchived(told, silent, limit).require()

    subject = "no member keeps more WAL for the archive than allowed"
    in_each_group(world.cluster, little, subject, only_late=False)


@then("no database of any member has unfrozen rows beyond {times:g} times the age at which vacuum freezes them")
def step_rows_are_frozen(context: Context, times: float) -> None:
    """By age(datfrozenxid) of every database against autovacuum_freeze_max_age, and mxid_age(datminmxid) against
    autovacuum_multixact_freeze_max_age. Autovacuum freezes rows of that age even where it is switched off."""
    world, limit = context.world, context.world.limit(times, "frozen")

    def frozen(group: Cluster) -> None:
        told, silent = heard_and_silent(retention.unfrozen_rows(group))
        oldest = oldest_unfrozen(told)
        world.measure(f"oldest rows not frozen, of the age at which they are due{_in(group)}", oldest, "times", limit)
        rows_are_frozen(told, silent, limit).require()

    in_each_group(world.cluster, frozen, "vacuum freezes the rows of every database in time", only_late=False)


@then("no prepared transaction of any member is older than {seconds:g} seconds")
def step_none_prepared(context: Context, seconds: float) -> None:
    """Counts those of all roles and databases, including Citus' own, from when they were prepared."""
    limit = context.world.limit(seconds, "prepared")
    _require_none_older(context.world, retention.prepared_transactions, "prepared", limit, _PREPARED)


@then("no open transaction of any member has held back vacuum for more than {seconds:g} seconds")
def step_none_open(context: Context, seconds: float) -> None:
    """Since its beginning, of all roles and databases, if it has a snapshot or has written. On a replica only where
    hot_standby_feedback is on: elsewhere the leader does not wait for it. Vacuum itself is left out."""
    limit = context.world.limit(seconds, "open")
    _require_none_older(context.world, retention.open_transactions, "open", limit, _OPEN)


Ask = Callable[[Cluster], dict[str, list[OpenTransaction] | NoAnswer]]


def _require_none_older(world: World, ask: Ask, what: str, limit: float, advice: str) -> None:
    def none(group: Cluster) -> None:
        told, silent = heard_and_silent(ask(group))
        world.measure(f"oldest {what} transaction{_in(group)}", longest_open(told), "s", limit)
        none_open_longer(told, silent, limit, advice).require()

    in_each_group(world.cluster, none, f"no {what} transaction is older than allowed", only_late=False)


def _in(group: Cluster) -> str:
    return f" in worker group {group.group}" if group.group else ""
