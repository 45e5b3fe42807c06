"""What keeps a server from removing old WAL and dead rows: slots, a failing archive, and transactions that stay open.

Also what vacuum should have frozen long ago: it is not run, or cannot finish.

Sources: https://github.com/patroni/patroni/issues/3184 (a slot that was left on a replica kept 141 GB of WAL),
https://github.com/zalando/postgres-operator/issues/2012 (slots of members that were away filled the leader's disk),
https://github.com/citusdata/citus/issues/6548 (prepared transactions that nobody resolved),
https://github.com/hapostgres/pg_auto_failover/issues/662 (a standby's slot 1.2 million transactions behind)
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from support import sql
from support.failover.retention_checks import OpenTransaction, RetainingSlot, UnarchivedWal, UnfrozenRows
from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_in_parallel
from support.timeouts import REST

T = TypeVar("T")
_SLOTS = """
    SELECT slot_name, slot_type, active, coalesce(wal_status, ''),
           coalesce(pg_wal_lsn_diff(
               CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                    ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint,
           coalesce(greatest(age(xmin), age(catalog_xmin)), 0)
      FROM pg_replication_slots
     ORDER BY 1
"""
_UNLIMITED = "SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"
_PREPARED = """
    SELECT 'prepared transaction ' || quote_literal(gid), owner, database, '', age(transaction),
           extract(epoch FROM now() - prepared)::float
      FROM pg_prepared_xacts
"""
# Vacuum ignores other vacuums. A walsender passes on what a standby holds, which is judged on the standby.
_OPEN = """
    SELECT CASE WHEN state LIKE 'idle in transaction%%' THEN 'idle transaction of ' ELSE 'open transaction of ' END
           || coalesce(nullif(application_name, ''), backend_type) || ' (pid ' || pid || ')',
           usename, datname, left(query, 80), greatest(age(backend_xmin), age(backend_xid)),
           extract(epoch FROM clock_timestamp() - xact_start)::float
      FROM pg_stat_activity
     WHERE xact_start IS NOT NULL AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
       AND backend_type NOT IN ('walsender', 'autovacuum worker', 'autovacuum launcher')
       AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum) AND pid <> pg_backend_pid()
"""
_HOLDS_NOTHING = "SELECT pg_is_in_recovery() AND NOT current_setting('hot_standby_feedback')::bool"
"""On such a replica, vacuum on the leader does not wait for anybody."""
# As PostgreSQL decides whether a segment has to be archived before it may be removed (XLogArchiveCheckDone).
_ARCHIVES = """
    SELECT current_setting('archive_mode') = 'always'
        OR current_setting('archive_mode') = 'on' AND NOT pg_is_in_recovery()
"""
_UNARCHIVED = """
    SELECT (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{24}([.]partial)?[.]ready$')
           * pg_size_bytes(current_setting('wal_segment_size')),
           coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
      FROM pg_stat_archiver
"""
# One whose DROP DATABASE was interrupted (-2) is never vacuumed, and keeps nothing.
_UNFROZEN = """
    SELECT datname, 'transactions', age(datfrozenxid), current_setting('autovacuum_freeze_max_age')::bigint
      FROM pg_database WHERE datconnlimit <> -2
     UNION ALL
    SELECT datname, 'multixacts', mxid_age(datminmxid), current_setting('autovacuum_multixact_freeze_max_age')::bigint
      FROM pg_database WHERE datconnlimit <> -2
     ORDER BY 1, 2
"""


def slots(cluster: Cluster) -> dict[str, list[RetainingSlot] | NoAnswer]:
    """Member -> its replication slots, and how much each keeps back."""
    return _of_each_member(cluster, lambda session: [RetainingSlot(*row) for row in sql.rows(session, _SLOTS)])


def slot_limits(cluster: Cluster) -> dict[str, int | NoAnswer]:
    """Member -> max_slot_wal_keep_size in MB; -1 if its slots may keep any amount of WAL."""
    return _of_each_member(cluster, lambda session: int(sql.value(session, _UNLIMITED)))


def unarchived_wal(cluster: Cluster) -> dict[str, UnarchivedWal | NoAnswer]:
    """Member -> the WAL that it may not remove before it is archived.

    As a superuser, or as an application that may list what waits to be archived.
    """
    return ask_in_parallel(cluster.members, lambda member: _unarchived(cluster.monitoring_of(member)))


def _unarchived(where: sql.Endpoint) -> UnarchivedWal:
    with sql.session(where, connect_timeout=REST) as session:
        if not sql.value(session, _ARCHIVES):
            return UnarchivedWal(0, fails=False)
        ((kept, fails),) = sql.rows(session, _UNARCHIVED)
        return UnarchivedWal(int(kept), fails)


def unfrozen_rows(cluster: Cluster) -> dict[str, list[UnfrozenRows] | NoAnswer]:
    """Member -> how old the oldest rows of each database are that vacuum has not frozen."""
    return _of_each_member(cluster, lambda session: [UnfrozenRows(*row) for row in sql.rows(session, _UNFROZEN)])


def prepared_transactions(cluster: Cluster) -> dict[str, list[OpenTransaction] | NoAnswer]:
    """Member -> the prepared transactions there."""
    return _of_each_member(cluster, lambda session: [OpenTransaction(*row) for row in sql.rows(session, _PREPARED)])


def _of_each_member(cluster: Cluster, asked: Callable[[sql.Session], T]) -> dict[str, T | NoAnswer]:
    """Member -> the answer in a session of the application's role."""

    def ask(member: str) -> T:
        with sql.session(cluster.of_member(member), connect_timeout=REST) as session:
            return asked(session)

    return ask_in_parallel(cluster.members, ask)


def open_transactions(cluster: Cluster) -> dict[str, list[OpenTransaction] | NoAnswer]:
    """Member -> the open transactions there that hold back vacuum, of all roles and databases.

    As a superuser, or as an application that may see the sessions of other roles.
    """
    return ask_in_parallel(cluster.members, lambda member: list(_open(cluster.monitoring_of(member))))


def _open(where: sql.Endpoint) -> Iterator[OpenTransaction]:
    with sql.session(where, connect_timeout=REST) as session:
        if not sql.value(session, _HOLDS_NOTHING):
            yield from (OpenTransaction(*row) for row in sql.rows(session, _OPEN))
