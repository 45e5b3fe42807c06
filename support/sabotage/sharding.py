"""Sabotages of what makes many nodes one cluster: of Citus' metadata and jobs, and of the links between nodes."""

import threading
from collections.abc import Callable
from dataclasses import replace

from support import sql
from support.sabotage.application import PARTS
from support.sabotage.damages import Damage, Making, by_parameters, by_shared_configuration, by_sql, in_group, nothing
from support.sabotage.sabotage import expecting, of_sharded
from support.target.cluster import Cluster
from support.waiting import NotYet


def again_and_again(words: str, statement: str, mend: Callable[[Cluster], object]) -> Making:
    """A statement of a superuser on the coordinator, ten times a second; `mend` puts right what it left.

    %(address)s stands for where the leader of worker group 1 was when it began.
    """

    def making(cluster: Cluster) -> Damage:
        over, at_work = threading.Event(), threading.Event()
        values = {"address": cluster.of_group(1).write.host}

        def go_on() -> None:
            while not over.wait(0.1):
                if sql.error_of(lambda: sql.execute(cluster.administration, statement, values)) is None:
                    at_work.set()

        def seen() -> None:
            if over.is_set() or not at_work.is_set():
                raise NotYet("nobody does it")

        def stop() -> None:
            over.set()
            mend(cluster)

        return Damage(words, threading.Thread(target=go_on, daemon=True).start, seen, stop)

    return making


def _right_addresses(cluster: Cluster) -> None:
    """The coordinator has the addresses of worker group 1 again: the leader's as primary, the others as secondaries."""
    group = cluster.of_group(1)
    leader = group.leader()
    with sql.session(cluster.administration) as session:
        # No two nodes may have one address, not even for a moment.
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

SABOTAGES = (
    of_sharded(
        "placement-inactive",
        "Citus takes one shard to be out of use",
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
        "worker-disabled",
        "a worker group is switched off",
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
        "the patterns lie elsewhere than the entries that they are joined with",
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
        "a table that should be on every node is on the coordinator alone",
        {"CS-04": "kind|sessions"},
        by_sql(
            "SELECT undistribute_table('sessions')",
            "SELECT create_reference_table('sessions')",
            "SELECT count(*) = 0 FROM pg_dist_partition WHERE logicalrelid = 'sessions'::regclass",
        ),
    ),
    of_sharded(
        "one-shard-outweighs",
        "most of what is stored is in one namespace",
        {"RB-02 shard is known": "times the mean"},
        again_and_again(
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
        "what-moves-leave-stays",
        "the shards that a move has left behind are never removed",
        {
            "RB-03 Draining": "is empty: not so after",
            "RB-04 the session that moves it": "left|where it was|does not belong",
        },
        by_parameters(**{"citus.defer_shard_delete_interval": "-1"}),
    ),
    of_sharded(
        "deadlocks-last",
        "nobody looks for deadlocks between workers",
        {"DT-03": "sessions were stopped: .*query canceled"},
        by_parameters(**{"citus.distributed_deadlock_detection_factor": "-1"}),
    ),
    of_sharded(
        "recovery-off",
        "what is in doubt after a crash is left so",
        {"DT-01 PostgreSQL of a worker dies between": "in doubt"},
        by_parameters(**{"citus.recover_2pc_interval": "-1"}),
    ),
    of_sharded(
        "commit-records-vanish",
        "the coordinator forgets which transactions it has committed",
        {"DT-01 PostgreSQL of a worker dies between": "told|worker"},
        again_and_again(
            "the records of commits are removed",
            "DELETE FROM pg_dist_transaction",
            lambda cluster: None,
        ),
    ),
    of_sharded(
        "node-address-goes-stale",
        "the coordinator goes to an address at which there is no worker",
        {"DT-05": "every node knows where"},
        again_and_again(
            "the address of worker group 1 is made wrong once its leader has changed",
            "UPDATE pg_dist_node SET nodename = '192.0.2.1' "
            "WHERE groupid = 1 AND noderole = 'primary' AND nodename NOT LIKE %(address)s || '%%'",
            _right_addresses,
        ),
    ),
    of_sharded(
        "worker-slow-to-notice",
        "a worker group is without a leader for a minute and a half before anybody takes over",
        {"DT-04": "another member than .* leads: not so after"},
        in_group(1, by_shared_configuration({"ttl": 90, "loop_wait": 30})),
    ),
    of_sharded(
        "rollbacks-are-commits",
        "the application commits where it should roll back",
        {"DT-02": "unexpected on the nodes|missing on the nodes"},
        nothing,
        application=PARTS["commits_what_is_rolled_back"].__name__,
    ),
)
