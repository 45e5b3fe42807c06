"""Worker groups that take no shards for a while, and take shards again whatever becomes of the suite.

A schema without tables notes it in the database before anything is changed: its name tells the run and the group, and
it is dropped when the group takes shards again. The next run finds it among the leftovers of a run that was killed.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html (citus_set_node_property)
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from support import sql
from support.errors import ConnectFailed
from support.example_app.profile import quoted
from support.target.citus import node_name
from support.target.cluster import Cluster
from support.timeouts import RECOVERY
from support.waiting import eventually

_NAME = re.compile(r"accept_[0-9a-f]{12}_keeps_group_(?P<group>\d+)_empty")
_NOTES = "SELECT nspname FROM pg_namespace WHERE nspname ~ '^accept_[0-9a-f]{12}_keeps_group_[0-9]+_empty$' ORDER BY 1"
_TAKE_SHARDS = """
    SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards', %s)
      FROM pg_dist_node WHERE groupid = %s AND noderole = 'primary'
"""
_TAKES_SHARDS = "SELECT coalesce(bool_or(shouldhaveshards), false) FROM pg_dist_node WHERE groupid = %s"


def let_take_shards(where: sql.Endpoint, group: int, takes: bool) -> None:
    """Set whether a worker group takes shards; needs a superuser."""
    sql.rows(where, _TAKE_SHARDS, [takes, group])


@contextmanager
def without_shards(cluster: Cluster, run: str, group: int) -> Iterator[None]:
    """That worker group takes no shards until this ends; needs a superuser. One that took none before takes none later.

    At the end it waits for the cluster to recover from whatever was done to it. Raises NotInTime if it does not: then
    the note stays.
    """
    if not sql.value(cluster.administration, _TAKES_SHARDS, [group]):  # it is kept in reserve, say, or being replaced
        yield
        return
    note = f"accept_{run}_keeps_group_{group}_empty"
    try:
        sql.execute(cluster.write, f"CREATE SCHEMA IF NOT EXISTS {note}")  # the role that removes leftovers owns it
        let_take_shards(cluster.administration, group, False)
        yield
    finally:
        eventually(
            lambda: give_back(cluster, note),
            within=RECOVERY,
            subject=f"{node_name(group)} takes shards again",
            retry_on=(sql.Error, ConnectFailed),
        )


def give_back(cluster: Cluster, schema: str) -> bool:
    """Let the group take shards again that a schema of this name notes, and drop the schema.

    Returns false, and does nothing, if its name is not that of a note. Raises NotAvailable if no superuser's login is
    known.
    """
    if (noted := _NAME.fullmatch(schema)) is None:
        return False
    let_take_shards(cluster.administration, int(noted["group"]), True)
    sql.execute(cluster.administration, f"DROP SCHEMA IF EXISTS {quoted(schema)}")
    return True


def give_back_all(cluster: Cluster) -> list[str]:
    """The same for every note there is, of whatever run; returns what was done, in words."""
    done = []
    for (schema,) in sql.rows(cluster.administration, _NOTES):
        give_back(cluster, schema)
        done.append(f"{node_name(int(_NAME.fullmatch(schema)['group']))} takes shards again")  # type: ignore[index]
    return done
