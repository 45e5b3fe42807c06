"""Sabotages of Citus as a whole: its metadata, its maintenance jobs, what the coordinator knows about the workers."""

import threading
from collections.abc import Callable
from dataclasses import replace

from support import sql
from support.sabotage.application import PARTS
from support.sabotage.damage import (
    Damage,
    MakeDamage,
    by_parameters,
    by_shared_configuration,
    by_sql,
    in_group,
    nothing,
    together,
)
from support.sabotage.hosts import members_apart
from support.sabotage.sabotage import expecting, of_sharded
from support.target.cluster import Cluster
from support.waiting import NotYet


def repeatedly(description: str, statement: str, repair: Callable[[Cluster], object]) -> MakeDamage:
    """Run a statement on the coordinator as a superuser, ten times a second; `repair` undoes what it did.

    %(address)s stands for the address of the leader of worker group 1 when this began.
    """

    def make(cluster: Cluster) -> Damage:
        over, at_work = threading.Event(), threading.Event()
        values = {"address": cluster.of_group(1).write.host}

        def repeat() -> None:
            while not over.wait(0.1):
                if sql.error_of(lambda: sql.execute(cluster.administration, statement, values)) is None:
                    at_work.set()

        def check() -> None:
            if over.is_set() or not at_work.is_set():
                raise NotYet("the statement has not succeeded yet")

        def stop() -> None:
            over.set()
            repair(cluster)

        return Damage(description, threading.Thread(target=repeat, daemon=True).start, check, stop)

    return make


def _restore_addresses(cluster: Cluster) -> None:
    """Restore the addresses of worker group 1: the leader as primary, the others as secondaries."""
    group = cluster.of_group(1)
    leader = group.leader()
    with sql.session(cluster.administration) as session:
        # No two nodes may have the same address, not even for a moment.
        sql.execute(session, "UPDATE pg_dist_node SET nodename = 'nowhere-' || nodeid WHERE groupid = 1")
        for member in sorted(group.members, key=lambda name: name != leader):
            address = group.address_of(member).postgres
            sql.execute(session, _ADDRESS, {"host": address.host, "primary": member == leader})


_ADDRESS = """
    UPDATE pg_dist_node SET nodename = %(host)s
     WHERE nodeid = (SELECT min(nodeid) FROM pg_dist_node
                      WHERE groupid = 1 AND nodename LIKE 'nowhere-%%' AND (noderole = 'primary') = %(primary)s)
"""
_TAKES_SHARDS = "SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards',"
_OF_2 = "WHERE groupid = 2 AND noderole = 'primary'"
_CAPACITY = "UPDATE pg_dist_rebalance_strategy SET node_capacity_function ="
_BY_COUNT = "WHERE name = 'by_shard_count'"

SABOTAGES = (
    of_sharded(
        "placement-inactive",
        "Citus considers one shard inactive",
        {"RB-01": "is not active"},
        by_sql(
            "UPDATE pg_dist_placement SET shardstate = 3 WHERE placementid = (SELECT min(placementid) FROM "
            "pg_dist_placement WHERE groupid = 1)",
            "UPDATE pg_dist_placement SET shardstate = 1 WHERE shardstate = 3",
            "SELECT count(*) = 1 FROM pg_dist_placement WHERE shardstate = 3",
        ),
    ),
    of_sharded(
        "worker-takes-no-shards",
        "a worker group is kept from taking shards",
        {"CS-02 takes part": "takes shards"},
        by_sql(
            f"{_TAKES_SHARDS} false) FROM pg_dist_node {_OF_2}",
            f"{_TAKES_SHARDS} true) FROM pg_dist_node {_OF_2}",
            f"SELECT NOT shouldhaveshards FROM pg_dist_node {_OF_2}",
        ),
    ),
    of_sharded(
        "rebalancer-sees-one-worker",
        "the rebalancer believes that only the first worker group has room",
        {
            "RB-03 may hold shards again": "no shard was moved",
            "RB-03 new worker that joins": "no shard was moved|are spread unevenly",
        },
        by_sql(
            "CREATE FUNCTION public.room_on_the_first(integer) RETURNS real LANGUAGE sql AS $f$ "
            "SELECT (CASE groupid WHEN 1 THEN 1 ELSE 0 END)::real FROM pg_dist_node WHERE nodeid = $1 $f$;;"
            f"{_CAPACITY} 'public.room_on_the_first'::regproc {_BY_COUNT}",
            f"{_CAPACITY} 'pg_catalog.citus_node_capacity_1'::regproc {_BY_COUNT};;"
            "DROP FUNCTION IF EXISTS public.room_on_the_first(integer)",
            f"SELECT node_capacity_function::text LIKE '%room_on%' FROM pg_dist_rebalance_strategy {_BY_COUNT}",
        ),
    ),
    of_sharded(
        "worker-disabled",
        "a worker group is disabled",
        {"CS-02 takes part": "active"},
        by_sql(
            f"UPDATE pg_dist_node SET isactive = false {_OF_2}",
            f"UPDATE pg_dist_node SET isactive = true {_OF_2}",
            f"SELECT NOT isactive FROM pg_dist_node {_OF_2}",
        ),
    ),
    replace(
        of_sharded(
            "fewer-workers-than-declared",
            "there are fewer worker groups than were declared",
            {"CS-02 takes part": r"worker groups were declared \(\[expect\] workers = 5\), and Citus knows"},
            nothing,
        ),
        variables=expecting(workers=5),
    ),
    of_sharded(
        "table-not-co-located",
        "the patterns are not co-located with the entries that they are joined with",
        {"CS-03": "co-located with"},
        by_sql(
            "SELECT alter_distributed_table('patterns', colocate_with => 'none')",
            "SELECT alter_distributed_table('patterns', colocate_with => 'memory_entries')",
            "SELECT (SELECT colocationid FROM pg_dist_partition WHERE logicalrelid = 'patterns'::regclass) <> "
            "(SELECT colocationid FROM pg_dist_partition WHERE logicalrelid = 'memory_entries'::regclass)",
        ),
    ),
    of_sharded(
        "reference-table-is-local",
        "a table that should be on every node is on the coordinator only",
        {"CS-04": "kind|sessions"},
        by_sql(
            "SELECT undistribute_table('sessions')",
            "SELECT create_reference_table('sessions')",
            "SELECT count(*) = 0 FROM pg_dist_partition WHERE logicalrelid = 'sessions'::regclass",
        ),
    ),
    of_sharded(
        "distributed-table-is-local",
        "a table that should be distributed is on the coordinator only",
        {
            "CS-03": "trajectories.*kind",
            "SD-01": "is not distributed",
            "RB-01": "is not distributed",
            "RB-02 size of every shard": "not distributed: .*trajectories",
        },
        by_sql(
            "SELECT undistribute_table('trajectories')",
            "SELECT create_distributed_table('trajectories', 'id', shard_count => 32, colocate_with => 'none')",
            "SELECT count(*) = 0 FROM pg_dist_partition WHERE logicalrelid = 'trajectories'::regclass",
        ),
    ),
    of_sharded(
        "one-shard-outweighs",
        "most of the data is in one namespace",
        {"RB-02 shard is known": "times the mean"},
        repeatedly(
            "rows of one namespace are added to each table of a scenario's own",
            "DO $do$ DECLARE own text; BEGIN FOR own IN "
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'accept_%%_shards_%%' LOOP "
            "EXECUTE format('INSERT INTO %%I.memory_entries (namespace, key, value) SELECT ''heavy'', "
            "gen_random_uuid()::text, repeat(md5(number::text), 100) FROM generate_series(1, 3000) number', own); "
            "END LOOP; END $do$",
            lambda cluster: None,
        ),
    ),
    of_sharded(
        "moves-lose-rows",
        "rows vanish while their shards are moved",
        {"RB-03 worker that leaves": "acknowledged writes lost"},
        repeatedly(
            "a row of a scenario's own tables is deleted",
            "DO $do$ DECLARE own text; one record; BEGIN FOR own IN "
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'accept_%%_shards_%%' LOOP "
            "FOR one IN EXECUTE format('SELECT namespace, key FROM %%I.memory_entries LIMIT 1', own) LOOP "
            "EXECUTE format('DELETE FROM %%I.memory_entries WHERE namespace = %%L AND key = %%L', own, "
            "one.namespace, one.key); END LOOP; END LOOP; END $do$",
            lambda cluster: None,
        ),
    ),
    of_sharded(
        "what-moves-leave-stays",
        "the shards that a move has left behind are never removed",
        {
            "RB-03 Draining": "is empty: still not true after",
            "RB-04": "all is as before the move: still not true after",
            "RB-05": "nothing of the rebalance is left: still not true after",
        },
        by_parameters(**{"citus.defer_shard_delete_interval": "-1"}),
    ),
    of_sharded(
        "deadlocks-last",
        "deadlocks between workers are not detected",
        {"DT-03": "sessions were stopped: .*query canceled"},
        by_parameters(**{"citus.distributed_deadlock_detection_factor": "-1"}),
    ),
    of_sharded(
        "recovery-off",
        "transactions that a crash left in doubt are never resolved",
        {"DT-01 PostgreSQL of a worker dies between": "in doubt"},
        by_parameters(**{"citus.recover_2pc_interval": "-1"}),
    ),
    of_sharded(
        "commit-records-vanish",
        "the coordinator forgets which transactions it has committed",
        {"DT-01 PostgreSQL of a worker dies between": "told|worker"},
        repeatedly(
            "the records of commits are removed",
            "DELETE FROM pg_dist_transaction",
            lambda cluster: None,
        ),
    ),
    of_sharded(
        "node-address-goes-stale",
        "the coordinator uses an address where no worker is",
        {"DT-05": "every node knows where"},
        repeatedly(
            "the address of worker group 1 is made wrong once its leader has changed",
            "UPDATE pg_dist_node SET nodename = '192.0.2.1' "
            "WHERE groupid = 1 AND noderole = 'primary' AND nodename NOT LIKE %(address)s || '%%'",
            _restore_addresses,
        ),
    ),
    of_sharded(
        "worker-slow-to-notice",
        "a worker group stays without a leader for a minute and a half",
        {"DT-04 After the failover": "a member other than .* leads: still not true after"},
        in_group(1, by_shared_configuration({"ttl": 90, "loop_wait": 30})),
        variables=expecting(recovery_time=30),  # else the limit follows from that timing
    ),
    of_sharded(
        "one-group-asynchronous-another-loses",
        "worker group 2 may lose writes in a failover, and worker group 1, which may not, loses some",
        {"DT-04 After the failover": "acknowledged writes lost"},
        together(
            in_group(2, by_shared_configuration({"synchronous_mode": False})),
            in_group(1, by_parameters(synchronous_commit="local")),
            in_group(1, members_apart),
        ),
        "partitions",
    ),
    of_sharded(
        "failed-commits-count-as-done",
        "the application takes a commit that fails for a success",
        {"DT-01 before its commit": "the client was told .*, and there are"},
        nothing,
        application=PARTS["ignores_failed_commits"].__name__,
    ),
    of_sharded(
        "statements-wait-for-one-another",
        "the application executes one statement at a time, whichever node it is for",
        {"DT-04 no leader": "clients were interrupted for|data on worker group 2|entries were read in"},
        nothing,
        application=PARTS["executes_one_statement_at_a_time"].__name__,
    ),
    of_sharded(
        "rollbacks-are-commits",
        "the application commits where it should roll back",
        {"DT-02": "unexpected on the nodes|missing on the nodes"},
        nothing,
        application=PARTS["commits_what_is_rolled_back"].__name__,
    ),
)
