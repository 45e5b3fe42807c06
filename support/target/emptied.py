"""Worker groups that take no shards for a while, and take shards again even if the suite is killed.

Before anything is changed, an empty schema is created in the database as a note. Its name contains the run and the
group, and it is dropped when the group takes shards again. If a run is killed, the next one finds the note among the
leftovers.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html (citus_set_node_property)
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from support import sql
from support.errors import ConnectFailed
from support.example_app.profile import quoted
from support.example_app.schema import create_schema
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
    """Keep a worker group that takes shards from taking any, for the duration of the block; needs a superuser.

    A group that takes none is left as it is.

    At the end, waits for the cluster to recover from whatever was done to it. Raises NotInTime if it does not recover;
    the note then stays.
    """
    if not sql.value(cluster.administration, _TAKES_SHARDS, [group]):  # it is kept in reserve, say, or being replaced
        yield
        return
    note = f"accept_{run}_keeps_group_{group}_empty"
    try:
        create_schema(cluster.write, note, unless_there=True)  # as the role that removes leftovers
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
    """If this schema is a note, let its worker group take shards again, and drop the schema.

    Returns false, and does nothing, if it is not a note. Raises NotAvailable if no superuser's login is known.
    """
    if (noted := _NAME.fullmatch(schema)) is None:
        return False
    let_take_shards(cluster.administration, int(noted["group"]), True)
    sql.execute(cluster.administration, f"DROP SCHEMA IF EXISTS {quoted(schema)}")
    return True


def give_back_all(cluster: Cluster) -> list[str]:
    """Let the worker groups noted by any run take shards again, and drop the notes; returns what was done, in words."""
    done = []
    for (schema,) in sql.rows(cluster.administration, _NOTES):
        give_back(cluster, schema)
        done.append(f"{node_name(int(_NAME.fullmatch(schema)['group']))} takes shards again")  # type: ignore[index]
    return done
