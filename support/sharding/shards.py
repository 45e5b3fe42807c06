"""How tables are sharded and where their shards and rows are.

Both sides are read here: what Citus' metadata say (`placements`, `sharding_of`, `sizes`), and what each node itself
has among its own tables, read on its leader past the coordinator (`held_on_nodes`, `rows_on_nodes`, `rows_by_shard`).
The second half chooses namespaces by the worker on which their rows will be, and makes copies of tables for scenarios
that move shards.

Source: https://docs.citusdata.com/en/v13.0/develop/api_metadata.html
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count as numbers
from typing import Any

import psycopg2.errors

from support import sql
from support.engine.finding import Finding
from support.engine.world import World
from support.errors import ConnectFailed, Inconclusive, NotAvailable
from support.example_app.profile import Entries, Reference, Related, columns_of, quoted
from support.example_app.schema import copies
from support.run import new_id
from support.sharding.placement_checks import NOWHERE, Placement
from support.target import citus
from support.target.citus import node_leaders, node_name
from support.target.cluster import Cluster

_TABLES = """
    SELECT t, to_regclass(quoted) IS NOT NULL, partmethod, repmodel, colocationid,
           CASE WHEN partkey IS NOT NULL THEN column_to_column_name(logicalrelid, partkey) END
      FROM unnest(%s::text[], %s::text[]) AS named (t, quoted)
      LEFT JOIN pg_dist_partition ON logicalrelid = to_regclass(quoted)
"""
_QUALIFIED = """
    SELECT t, nspname || '.' || relname
      FROM unnest(%s::text[], %s::text[]) AS named (t, quoted)
      JOIN pg_class ON pg_class.oid = to_regclass(quoted) JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE strpos(nspname || relname, '.') = 0
"""
# The name of a shard without its schema. Citus shortens it where the table's name is long, and adds a hash.
_NAME = "parse_ident(shard_name(logicalrelid, shardid)) AS name (parts)"
_PLACEMENTS = f"""
    SELECT t, shardid, groupid, coalesce(lowest, 0), coalesce(highest, 0), colocationid, shardstate = 1,
           parts[cardinality(parts)]
      FROM unnest(%s::text[], %s::text[]) AS named (t, quoted)
      JOIN pg_dist_partition part ON part.logicalrelid = to_regclass(quoted)
      JOIN pg_dist_shard USING (logicalrelid)
      CROSS JOIN {_NAME}
      CROSS JOIN LATERAL (SELECT CASE WHEN partmethod = 'h' THEN shardminvalue::bigint END,
                                 CASE WHEN partmethod = 'h' THEN shardmaxvalue::bigint END) AS hashes (lowest, highest)
      LEFT JOIN pg_dist_placement USING (shardid)
     ORDER BY t, shardid, groupid
"""
# By the view: the function below it tells the numbers of shards only since Citus 11.3.
_SIZES = """
    SELECT shardid, max(shard_size)
      FROM pg_dist_shard LEFT JOIN citus_shards USING (shardid)
     WHERE logicalrelid = ANY (SELECT to_regclass(quoted) FROM unnest(%s::text[], %s::text[]) AS named (t, quoted))
     GROUP BY shardid
"""
_HASHES = "SELECT value, hashtext(value) FROM unnest(%s::text[]) value"
_RESOLVED = f"""
    SELECT DISTINCT nspname, regexp_replace(parts[cardinality(parts)], '_[0-9]+$', '')
      FROM pg_dist_shard CROSS JOIN {_NAME}
      JOIN pg_class ON pg_class.oid = logicalrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE logicalrelid = ANY (SELECT to_regclass(quoted) FROM unnest(%s::text[]) quoted)
"""
_NUMBERS = """
    SELECT least(min(shardid), min(seqmin)),
           greatest(max(shardid),
                    CASE WHEN has_sequence_privilege('pg_dist_shardid_seq', 'SELECT, USAGE')
                         THEN pg_sequence_last_value('pg_dist_shardid_seq') END)
      FROM pg_dist_shard RIGHT JOIN pg_sequence ON true WHERE seqrelid = 'pg_dist_shardid_seq'::regclass
"""
# A shard is found by its name, even if Citus has lost track of it. An application's table may have such a name, too: a
# table that Citus distributes is not a shard, nor is one whose number no shard has had yet.
_SHARDS_HERE = """
    SELECT relname, format('%%I.%%I', nspname, relname)
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE (nspname, regexp_replace(relname, '_[0-9]+$', '')) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
       AND substring(relname FROM '_([0-9]+)$')::numeric BETWEEN %s AND %s AND relkind IN ('r', 'p')
       AND NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = pg_class.oid)
     ORDER BY 1
"""
# Citus lists the shard on the target before a move begins, and that on the source when it has ended.
_TO_BE_REMOVED = """
    SELECT node_group_id, parts[cardinality(parts)]
      FROM pg_dist_cleanup CROSS JOIN parse_ident(object_name) AS name (parts)
     WHERE object_type = 1
"""
_REMOVED_EVERY = "SELECT setting::numeric / 1000 FROM pg_settings WHERE name = 'citus.defer_shard_delete_interval'"
_LONGEST_INTERVAL = 60.0  # seconds


@dataclass(frozen=True)
class Sharding:
    """How one table is kept, as one node knows it."""

    kind: str
    """"distributed", "reference", "local", or "missing" where there is no such table."""
    column: str = ""
    """The distribution column."""
    colocation: int = 0
    """Citus' co-location group."""


_LOCAL, _MISSING = Sharding("local"), Sharding("missing")


def sharding_of(where: sql.Endpoint | sql.Session, tables: Sequence[str]) -> dict[str, Sharding]:
    """How each of the tables is kept, as that server knows it, in the order in which they are named."""
    found = {}
    for table, there, method, model, colocation, column in sql.rows(where, _TABLES, _named(tables)):
        kind = "distributed" if method == "h" else "reference" if (method, model) == ("n", "t") else "local"
        found[table] = Sharding(kind, column or "", colocation) if kind != "local" else _LOCAL if there else _MISSING
    return {table: found[table] for table in tables}


def qualified(where: sql.Endpoint | sql.Session, tables: Sequence[str]) -> dict[str, str]:
    """Table -> its name with the schema in which that server's login finds it; the table itself if it finds none."""
    found: dict[str, str] = dict(sql.rows(where, _QUALIFIED, _named(tables)))
    return {table: found.get(table, table) for table in tables}


def sharding_of_qualified(where: sql.Endpoint | sql.Session, names: Mapping[str, str]) -> dict[str, Sharding]:
    """`sharding_of` by another server than the one that gave these `qualified` names: the search_path of its logins may
    be another one, as Citus does not propagate what is set for the database."""
    found = sharding_of(where, list(names.values()))
    return {table: found[name] for table, name in names.items()}


def meant_to_be_distributed(cluster: Cluster) -> tuple[str, ...]:
    """The tables that the schema says are distributed, without optional ones that do not exist."""
    return _meant(cluster, cluster.profile.distributed())


def meant_to_be_references(cluster: Cluster) -> tuple[str, ...]:
    """The tables that the schema says are on every node, without optional ones that do not exist."""
    return _meant(cluster, cluster.profile.references())


def _meant(cluster: Cluster, tables: Sequence[str]) -> tuple[str, ...]:
    known, expected = sharding_of(cluster.write, tables), cluster.profile.tables
    return tuple(name for name in tables if known[name] != _MISSING or not expected[name].optional)


def placements(where: sql.Endpoint | sql.Session, tables: Sequence[str]) -> list[Placement]:
    """Every placement of the tables' shards; a shard without a placement is on "no node"."""
    rows = sql.rows(where, _PLACEMENTS, _named(tables))
    return [
        Placement(table, shard, _holder(group), lowest, highest, colocation, bool(active), name)
        for table, shard, group, lowest, highest, colocation, active, name in rows
    ]


# Those with a single shard (a schema that is distributed) are kept by method n, as reference tables are.
_DISTRIBUTED = """
    SELECT nspname || '.' || relname
      FROM pg_dist_partition
      JOIN pg_class ON pg_class.oid = logicalrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE repmodel = 's' AND (partmethod = 'h' OR partmethod = 'n' AND colocationid > 0)
       AND has_schema_privilege(pg_namespace.oid, 'USAGE') AND strpos(nspname || relname, '.') = 0
       AND NOT EXISTS (SELECT FROM unnest(%s::text[]) named WHERE to_regclass(named) = logicalrelid)
     ORDER BY 1
"""


def distributed_besides(where: sql.Endpoint | sql.Session, tables: Sequence[str]) -> tuple[str, ...]:
    """Every further table that Citus distributes, whoever uses it; each partition is one, with shards of its own.

    Left out are those whose shards are meant to have several placements, and those that this login cannot name.
    """
    return tuple(name for (name,) in sql.rows(where, _DISTRIBUTED, [[quoted(table) for table in tables]]))


_LEAVES = """
    SELECT nspname || '.' || relname
      FROM pg_partition_tree(to_regclass(%s))
      JOIN pg_class ON pg_class.oid = relid JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE isleaf
"""


def partitions(where: sql.Endpoint | sql.Session, table: str) -> tuple[str, ...]:
    """The tables that hold the rows of a table: its partitions, at the lowest level, or else the table itself."""
    return tuple(name for (name,) in sql.rows(where, _LEAVES, [quoted(table)])) or (table,)


def whole_shards(where: sql.Endpoint | sql.Session, tables: Sequence[str]) -> dict[str, str]:
    """Shard that holds rows of one of these tables -> the shard of the table that it is a part of.

    They differ where a table is partitioned: each partition has shards of its own, with the same ranges of hashes.
    """
    found = {}
    for table in tables:
        wholes = {(one.lowest, one.highest): one.name for one in placements(where, [table])}
        for part in placements(where, partitions(where, table)):
            found[part.name] = wholes.get((part.lowest, part.highest), part.name)
    return found


def _holder(group: int | None) -> str:
    return NOWHERE if group is None else node_name(group)


def sizes(where: sql.Endpoint | sql.Session, tables: Sequence[str]) -> dict[int, int | None]:
    """Shard number -> its size in bytes with its indexes; None where Citus cannot tell."""
    return dict(sql.rows(where, _SIZES, _named(tables)))


def _named(tables: Sequence[str]) -> list[list[str]]:
    """The tables by the names that messages use, and as SQL identifiers."""
    return [list(tables), [quoted(table) for table in tables]]


def hashes(where: sql.Endpoint | sql.Session, values: Collection[str]) -> dict[str, int]:
    """Text -> its hash by PostgreSQL's own function, without Citus."""
    return dict(sql.rows(where, _HASHES, [list(values)]))


def held_on_nodes(cluster: Cluster, tables: Sequence[str]) -> dict[str, frozenset[str]]:
    """Node -> the shards of those tables that are among its own tables. A node that refuses the login is left out."""
    resolved, found = _resolved(cluster, tables), {}
    for node, where in node_leaders(cluster).items():
        with suppress(ConnectFailed), sql.session(where) as session:
            found[node] = frozenset(name for name, _ in _shards_here(session, resolved))
    return found


def to_be_removed(where: sql.Endpoint | sql.Session) -> frozenset[tuple[str, str]]:
    """Node and shard: what Citus will remove if a move under way fails, or removes because a move has ended.

    It is among the node's own tables until then. Citus 11.0 has no such list.
    """
    try:
        found = sql.rows(where, _TO_BE_REMOVED)
    except psycopg2.errors.UndefinedTable:
        return frozenset()
    return frozenset((node_name(group), shard) for group, shard in found)


def removed_within(where: sql.Endpoint | sql.Session) -> float:
    """Seconds until Citus tries to remove what moves have left behind: a minute at most, and 0 if it never does."""
    found = sql.rows(where, _REMOVED_EVERY)
    return min(max(float(found[0][0]), 0.0), _LONGEST_INTERVAL) if found else 0.0


def rows_on_nodes(
    cluster: Cluster, part: Entries | Reference, columns: Sequence[str], namespaces: Sequence[str]
) -> dict[str, list[sql.Row]]:
    """Node -> the rows of those namespaces in the node's own shards of a table.

    `columns` are named by the fields of the part. Rows of a reference table belong to the namespace that their key
    begins with. Shards that Citus is going to remove are not counted: no query reads them.
    """
    resolved = _resolved(cluster, [part.table])
    found = {
        node: _rows(where, resolved, part, columns, namespaces)
        for node, where in citus.data_node_leaders(cluster).items()
    }
    unused = to_be_removed(cluster.write)
    return {node: [row[1:] for row in rows if (node, row[0]) not in unused] for node, rows in found.items()}


def rows_by_shard(cluster: Cluster, namespaces: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Namespace -> node and shard of each of its entries, read in every shard of entries on every node.

    Shards that Citus is going to remove are not counted: no query reads them.
    """
    entries = cluster.profile.entries
    resolved = _resolved(cluster, [entries.table])
    rows = [
        (node, shard, namespace)
        for node, where in node_leaders(cluster).items()
        for shard, namespace in _rows(where, resolved, entries, ["namespace"], namespaces)
    ]
    found: dict[str, list[tuple[str, str]]] = {namespace: [] for namespace in namespaces}
    unused = to_be_removed(cluster.write)
    for node, shard, namespace in rows:
        if (node, shard) not in unused:
            found[namespace].append((node, shard))
    return found


def _resolved(cluster: Cluster, tables: Sequence[str]) -> list[Any]:
    """The tables' schemas, the prefixes of their shards' names, and the lowest and highest possible shard number, as
    the coordinator knows them."""
    with sql.session(cluster.write) as session:
        found = sql.rows(session, _RESOLVED, [[quoted(table) for table in tables]])
        ((first, last),) = sql.rows(session, _NUMBERS)
    return [[schema for schema, _ in found], [name for _, name in found], first, last]


def _shards_here(session: sql.Session, resolved: list[Any]) -> list[sql.Row]:
    """The shards of those tables among the node's own tables: the name, and the qualified SQL identifier."""
    with sql.settings(session, citus__override_table_visibility="off"):
        return sql.rows(session, _SHARDS_HERE, resolved)


def _rows(
    where: sql.Endpoint,
    resolved: list[Any],
    part: Entries | Reference,
    columns: Sequence[str],
    namespaces: Sequence[str],
) -> list[sql.Row]:
    """Shard and columns of each row."""
    named = columns_of(part)
    wanted = ", ".join(quoted(named[column]) for column in columns)
    own = quoted(part.namespace) if isinstance(part, Entries) else f"split_part({quoted(part.key)}, '/', 1)"
    with sql.session(where) as session:
        shards = _shards_here(session, resolved)
        selects = [f"SELECT %s, {wanted} FROM {identifier} WHERE {own} = ANY (%s)" for _, identifier in shards]
        values = [value for name, _ in shards for value in (name, list(namespaces))]
        return sql.rows(session, " UNION ALL ".join(selects), values) if shards else []


_CHOICE = 8  # candidates for each namespace that is wanted: enough that every one of a few workers gets some
_HOMES = """
    SELECT name, shardid, groupid
      FROM unnest(%s::text[]) name
      JOIN pg_dist_placement ON shardid = get_shard_id_for_distribution_column(%s, %s || name)
"""


def namespaces_over_workers(world: World, count: int, *, workers_only: bool = False) -> list[str]:
    """So many new namespaces of the scenario: the workers take turns, and on each worker its shards take turns.

    A coordinator that holds shards has its turn like a worker, the first one, unless `workers_only` leaves it out.
    The coordinator says where the rows of a namespace will be; whether they really are is read on the workers.
    """
    candidates = [str(number) for number in range(_CHOICE * max(count, 5))]
    on_shard: Counter[int] = Counter()
    on_worker: dict[int, list[tuple[int, str]]] = defaultdict(list)
    homes = [candidates, quoted(world.profile.entries.table), f"{world.namespace}-"]
    for name, shard, worker in sql.rows(world.cluster.write, _HOMES, homes):
        if workers_only and not worker:
            continue
        on_worker[worker].append((on_shard[shard], name))
        on_shard[shard] += 1
    in_turn = sorted(
        (turn, worker, name) for worker, names in on_worker.items() for turn, (_, name) in enumerate(sorted(names))
    )
    return [world.another_namespace(name) for _, _, name in in_turn[:count]]


def namespace_on(world: World, group: int) -> str:
    """A new namespace of the scenario whose rows are on that worker group.

    Raises Inconclusive if the group holds no shard of the entries.
    """
    names = (f"on-{group}-{number}" for number in numbers())
    new = (name for name in names if f"{world.namespace}-{name}" not in world.namespaces)
    with sql.session(world.cluster.write) as session:
        (name,) = citus.chosen(session, world.profile.entries.table, f"{world.namespace}-", new, {group: 1})
    return world.another_namespace(name)


def nodes_for_shards(cluster: Cluster) -> list[str]:
    """The nodes over which shards should be spread: those that take shards, and every worker group.

    Raises NotAvailable if there is no worker group, as nothing can be spread then.
    """
    workers = workers_of(cluster)
    return list(dict.fromkeys([*taking_shards(cluster), *workers]))


def taking_shards(cluster: Cluster) -> list[str]:
    """The nodes on which Citus puts the shards of a new table: a worker group may be kept in reserve."""
    return [node_name(node.group) for node in citus.known_to(cluster.write) if node.takes_shards]


def workers_of(cluster: Cluster) -> list[str]:
    """The worker groups. Raises NotAvailable where there is none: then nothing can be spread."""
    if not (found := citus.expected_workers(cluster)):
        raise NotAvailable("the cluster has no worker group: all shards are on the coordinator")
    return found


def first_worker(cluster: Cluster) -> int:
    """The first worker group. Raises Inconclusive if there is none."""
    return _worker(cluster, 0)


def second_worker(cluster: Cluster) -> int:
    """The second worker group. Raises Inconclusive if there is none."""
    return _worker(cluster, 1)


def _worker(cluster: Cluster, number: int) -> int:
    found = [group.group for group in cluster.groups if group.group]
    if len(found) <= number:
        raise Inconclusive(f"there are {len(found)} worker groups")
    return found[number]


def last_taking_shards(cluster: Cluster) -> int:
    """The last of the worker groups that take shards. Raises Inconclusive unless there is another one."""
    found = [node.group for node in citus.known_to(cluster.write) if node.group and node.takes_shards]
    if len(found) < 2:
        taking = f"only {node_name(found[0])} takes" if found else "no worker group takes"
        raise Inconclusive(f"{taking} shards (shouldhaveshards): those of one cannot be moved to another")
    return found[-1]


def shard_count(cluster: Cluster) -> int:
    """The number of shards of the entries. Raises AssertionError if they are not distributed."""
    table = cluster.profile.entries.table
    kind = sharding_of(cluster.write, [table])[table].kind
    Finding(kind == "distributed", f"{table} is not distributed: it is {kind}").require()
    return len({one.shard for one in placements(cluster.write, [table])})


def own_copies(world: World, parts: Sequence[Entries | Related], count: int) -> Cluster:
    """The cluster with empty copies of these tables, `count` shards each, dropped when the scenario ends.

    The logins of the cluster that is returned find the copies first.
    """
    schema = f"accept_{world.run.id}_shards_{new_id()}"
    world.cleanup.enter_context(copies(world.cluster.write, schema, parts, count))
    return world.cluster.with_copies_in(schema)
