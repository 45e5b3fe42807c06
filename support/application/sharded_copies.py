"""Tables of a scenario's own that are sharded as the application's are: to be moved, filled and dropped at will."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from psycopg2 import errorcodes

from support import sql
from support.application.profile import Entries, Related, quoted, relation
from support.errors import ConnectFailed, NotAvailable
from support.timeouts import RECOVERY
from support.waiting import describe, eventually

_COPY = "CREATE TABLE {copy} (LIKE {table} INCLUDING ALL)"
_DISTRIBUTE = "SELECT create_distributed_table(%s, %s, shard_count => %s, colocate_with => 'none')"
_CO_LOCATE = "SELECT create_distributed_table(%s, %s, colocate_with => %s)"


@contextmanager
def sharded_copies(where: sql.Endpoint, schema: str, parts: Sequence[Entries | Related], shards: int) -> Iterator[None]:
    """Empty copies of these parts' tables, distributed by namespace and co-located, in a schema dropped at the end.

    Raises NotAvailable where the application's role may not make a schema.
    """
    try:
        sql.execute(where, f"CREATE SCHEMA {schema}")
    except sql.Error as error:
        if error.pgcode != errorcodes.INSUFFICIENT_PRIVILEGE:
            raise
        raise NotAvailable(f"tables of our own cannot be made: {describe(error)}") from error
    try:
        with sql.session(where) as session:
            first = ""
            for part in parts:
                copy = quoted(f"{schema}.{relation(part.table)}")
                sql.execute(session, _COPY.format(copy=copy, table=quoted(part.table)))
                if not first:
                    sql.rows(session, _DISTRIBUTE, [copy, part.namespace, shards])
                else:
                    sql.rows(session, _CO_LOCATE, [copy, part.namespace, first])
                first = first or copy
        yield
    finally:
        eventually(
            lambda: sql.execute(where, f"DROP SCHEMA {schema} CASCADE"),
            within=RECOVERY,  # whatever was done to a worker meanwhile
            subject=f"the schema {schema} is dropped",
            retry_on=(sql.Error, ConnectFailed),
        )
