"""The copies of reference tables on the nodes, compared row by row although others may be writing.

A copy is read as digests of groups of its rows: which rows a group has follows from the rows alone, so that equal
copies have equal digests, however large they are.

Sources: https://github.com/citusdata/citus/issues/2149 and https://github.com/citusdata/citus/issues/5474 (a default
such as now() was evaluated on each node),
https://github.com/citusdata/citus/issues/2909 (a copy without some of the rows)
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psycopg2.errors

from support import sql
from support.errors import NotInTime
from support.sharding.copy_checks import ENOUGH, Copy, Reading, copies_agree, is_settled
from support.target.citus import data_node_leaders, node_name
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, NoAnswer, ask_in_parallel, heard_and_silent
from support.waiting import NotYet, eventually

PAUSE = 1.0
"""Seconds between two readings: a change that is being made is the same on all nodes well before."""
LARGEST = 600.0
"""Seconds that one copy of a table may take to be read, every row of it."""
GROUPS = 1024
"""The number of groups into which the rows of a table are divided."""
_TABLES = """
    SELECT logicalrelid::regclass::text,
           CASE WHEN nspname = 'public' THEN 'public.' ELSE '' END || shard_name(logicalrelid, shardid),
           ARRAY (SELECT groupid FROM pg_dist_placement at WHERE at.shardid = pg_dist_shard.shardid)
      FROM pg_dist_partition JOIN pg_dist_shard USING (logicalrelid)
      JOIN pg_class ON pg_class.oid = logicalrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE partmethod = 'n' AND repmodel = 't' AND has_table_privilege(logicalrelid, 'SELECT')
       AND has_schema_privilege(pg_namespace.oid, 'USAGE')
     ORDER BY 1
"""
_IN_DOUBT = "SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'citus_%%' AND database = current_database()"
_READ = """
    SELECT hash & %s, count(*), sum(hash::numeric)::text
      FROM (SELECT hashtextextended(accept_row::text, 0) FROM {copy} accept_row) of_each (hash)
     GROUP BY 1
"""
_FORMATS: Mapping[str, str] = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
}
"""Settings by which the text of a row could differ between nodes although the row does not."""


def tables(cluster: Cluster) -> dict[str, str]:
    """Each reference table that the application may read -> its shard, which has that name on every node."""
    return {table: shard for table, shard, _ in sql.rows(cluster.write, _TABLES)}


class _NoTable(NoAnswer):
    """There is no such table."""


def settled(cluster: Cluster, within: float) -> list[Reading]:
    """Readings of all copies, until they tell whether the copies agree, or for `within` seconds between the readings.

    Raises NotInTime if the coordinator gives no answer in all that time.
    """
    shards, readings, subject = tables(cluster), list[Reading](), "the copies can be compared"

    def once_more() -> float:
        """Returns the seconds that it took: large tables take longer than anybody would wait for a change."""
        begun = time.monotonic()
        readings.append(read(cluster, shards))
        return time.monotonic() - begun

    def until_settled() -> None:
        once_more()
        if not is_settled(readings):
            raise NotYet(copies_agree(readings).words)

    took = eventually(once_more, within=within, subject=subject, retry_on=NO_ANSWER, pause=PAUSE)
    if not is_settled(readings):
        with suppress(NotInTime):
            long = within + ENOUGH * took
            eventually(until_settled, within=long, subject=subject, retry_on=NO_ANSWER, pause=PAUSE)
    return readings


def read(cluster: Cluster, shards: Mapping[str, str]) -> Reading:
    """All copies on all nodes, each node at the same time. A node or a table that gives no answer is reported as
    silent, and a copy that is not where Citus lists it also as missing."""
    nodes = data_node_leaders(cluster)
    heard, silent = heard_and_silent(ask_in_parallel(nodes, lambda node: _read_node(nodes[node], shards)))
    in_doubt = sum(count for count, _ in heard.values())
    copies = {table: {node: found[table] for node, (_, found) in heard.items()} for table in shards}
    unread = {
        f"{table} on {node}": copy.why
        for table, on in copies.items()
        for node, copy in on.items()
        if isinstance(copy, NoAnswer)
    }
    told = {table: {node: copy for node, copy in on.items() if isinstance(copy, Copy)} for table, on in copies.items()}
    absent = [(table, node) for table, on in copies.items() for node, copy in on.items() if isinstance(copy, _NoTable)]
    return Reading(told, silent | unread, in_doubt, _missing(cluster, shards, absent) if absent else frozenset())


def _missing(
    cluster: Cluster, shards: Mapping[str, str], absent: Sequence[tuple[str, str]]
) -> frozenset[tuple[str, str]]:
    """Those of the absent copies, given by table and node, that Citus lists even now; the table may have been dropped
    meanwhile."""
    known = sql.rows(cluster.write, _TABLES)
    there = {(table, shard, node_name(group)) for table, shard, groups in known for group in groups}
    return frozenset((table, node) for table, node in absent if (table, shards[table], node) in there)


def _read_node(where: sql.Endpoint, shards: Mapping[str, str]) -> tuple[int, dict[str, Copy | NoAnswer]]:
    """The number of transactions in doubt on a node, and its copy of each table."""
    with sql.session(where, statement_timeout=LARGEST) as session, sql.settings(session, **_FORMATS):
        in_doubt = int(sql.value(session, _IN_DOUBT))
        return in_doubt, {table: _copy(session, shard) for table, shard in shards.items()}


def _copy(session: sql.Session, shard: str) -> Copy | NoAnswer:
    try:
        return copy_of(sql.rows(session, _READ.format(copy=shard), [GROUPS - 1]))
    except psycopg2.errors.UndefinedTable as error:
        return _NoTable.because(error)
    except sql.Error as error:
        return NoAnswer.because(error)


def copy_of(rows: Sequence[sql.Row]) -> Copy:
    return Copy({int(group): (int(count), str(digest)) for group, count, digest in rows})
