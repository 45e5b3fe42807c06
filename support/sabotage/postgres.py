"""Sabotages of PostgreSQL's settings and roles."""

from support.faults.process import server_processes
from support.faults.replay import ReplayStuck
from support.sabotage.damage import (
    Damage,
    by_parameters,
    by_replica_parameters,
    by_shared_configuration,
    by_sql,
    combined,
    on_member,
    together,
)
from support.sabotage.own_hosts import host_of
from support.sabotage.sabotage import Sabotage, notices
from support.target.cluster import Cluster
from support.waiting import NotYet


def _wal_writer_frozen(cluster: Cluster) -> Damage:
    """On the leader, so that commits acknowledged early stay in memory; otherwise they are written a moment later."""
    host = host_of(cluster, "the leader")
    writers = server_processes(host, "walwriter")

    def freeze() -> None:
        host.suspend(writers)

    def check() -> None:
        if not writers or any(not writer.stopped for writer in host.alive(writers)):
            raise NotYet(f"the WAL writer of {host.name} is not frozen ({len(writers)} found)")

    def thaw() -> None:
        host.resume(writers)

    return Damage(f"the WAL writer of {host.name} is frozen", freeze, check, thaw)


EARLY = together(
    by_parameters(wal_writer_delay="10s", wal_writer_flush_after="1GB", bgwriter_lru_maxpages="0"),
    _wal_writer_frozen,
    by_sql(
        "ALTER ROLE $app SET synchronous_commit = off",
        "ALTER ROLE $app RESET synchronous_commit",
        "SELECT 'synchronous_commit=off' = ANY (setconfig) FROM pg_db_role_setting WHERE setrole = '$app'::regrole",
    ),
)
"""Commits are acknowledged up to ten seconds before they are on a disk, or on their way to a standby."""

SABOTAGES = (
    Sabotage(
        "fsync-off",
        "PostgreSQL does not flush its writes to disk",
        notices({"PH-06 durability": "fsync"}),
        by_parameters(fsync="off"),
    ),
    Sabotage(
        "fsync-off-when-the-power-fails",
        "PostgreSQL does not flush its writes to disk, and the power fails",
        notices({"FO-12 power failure": "acknowledged writes lost"}),
        by_parameters(fsync="off"),
        frozenset({"volatile_disks"}),
    ),
    Sabotage(
        "full-page-writes-off",
        "one replica would not survive a half-written page",
        notices({"PH-06 durability": "full_page_writes"}),
        on_member(
            "a replica",
            "ALTER SYSTEM SET full_page_writes = off;;SELECT pg_reload_conf()",
            "ALTER SYSTEM RESET full_page_writes;;SELECT pg_reload_conf()",
            "SELECT NOT setting::bool FROM pg_settings WHERE name = 'full_page_writes'",
        ),
    ),
    Sabotage(
        "synchronous-commit-off",
        "no commit waits until its WAL is on a disk or a standby",
        notices({"PH-06 durability": "synchronous_commit"}),
        by_parameters(synchronous_commit="off"),
    ),
    Sabotage(
        "commits-acknowledged-early",
        "the application's commits are acknowledged seconds before they are durable anywhere",
        notices(
            {
                "PH-06 durability": "synchronous_commit",
                "FO-02": "acknowledged writes lost",
                "IS-01 while the leader crashes": "lost write",
                "IS-02 while the leader crashes": "lost write",
                "FO-04 PostgreSQL alone": "acknowledged writes lost",
                "FO-09": "acknowledged writes lost",
                "FO-12": "acknowledged writes lost",
                "FO-20": "issued twice by",
            }
        ),
        EARLY,
    ),
    Sabotage(
        "standby-names-emptied",
        "the leader was told, behind Patroni's back, to wait for no standby",
        notices({"PH-06 as many standbys": "a commit waits for as many standbys as asked for"}),
        on_member(
            "the leader",
            "ALTER SYSTEM SET synchronous_standby_names = '';;SELECT pg_reload_conf()",
            "ALTER SYSTEM RESET synchronous_standby_names;;SELECT pg_reload_conf()",
            "SELECT setting = '' FROM pg_settings WHERE name = 'synchronous_standby_names'",
        ),
    ),
    Sabotage(
        "replay-delayed-by-a-minute",
        "replicas serve data that is a minute old",
        notices(
            {
                "RL-02": "still not true after",
                "PF-07": "marker",
                "TX-02 on every replica": "committed entry is on every replica",
            }
        ),
        by_replica_parameters(recovery_min_apply_delay="1min"),
    ),
    Sabotage(
        "replay-stuck",
        "replicas receive WAL but do not replay it",
        notices({"HP-02": "read endpoint", "IS-03 within 5 seconds": "did not show within"}),
        lambda cluster: combined([ReplayStuck(cluster, one, behind=2**20) for one in cluster.followers()]),
    ),
    Sabotage(
        "role-limited-to-15-sessions",
        "the application's role is limited to 15 sessions",
        notices({"CL-03": "too many connections|all 40|session 1", "CL-05": "answered|ask"}),
        by_sql(
            "ALTER ROLE $app CONNECTION LIMIT 15",
            "ALTER ROLE $app CONNECTION LIMIT -1",
            "SELECT rolconnlimit = 15 FROM pg_roles WHERE rolname = '$app'",
        ),
    ),
    Sabotage(
        "application-reads-only",
        "the application's sessions are read-only on every server",
        notices({"HP-02": "read-only transaction", "RW-01": "read only sql transaction"}),
        by_sql(
            "ALTER ROLE $app SET default_transaction_read_only = on",
            "ALTER ROLE $app RESET default_transaction_read_only",
            "SELECT 'default_transaction_read_only=on' = ANY (setconfig) FROM pg_db_role_setting "
            "WHERE setrole = '$app'::regrole",
        ),
    ),
    Sabotage(
        "cancel-is-swallowed",
        "a waiting statement ignores its timeout",
        notices({"CL-04 statement timeout": "what the server reports|statement"}),
        by_sql(
            "CREATE FUNCTION public.pg_sleep(seconds double precision) RETURNS void LANGUAGE plpgsql AS $$ "
            "BEGIN PERFORM pg_catalog.pg_sleep(seconds / 10); EXCEPTION WHEN query_canceled THEN NULL; END $$;;"
            "GRANT EXECUTE ON FUNCTION public.pg_sleep TO $app;;"
            "ALTER ROLE $app SET search_path = public, pg_catalog",
            "ALTER ROLE $app RESET search_path;;DROP FUNCTION IF EXISTS public.pg_sleep(double precision)",
            "SELECT to_regprocedure('public.pg_sleep(double precision)') IS NOT NULL",
        ),
    ),
    Sabotage(
        "answers-are-crossed",
        "a client gets the answer to another client's question",
        notices({"CL-05": "answer"}),
        by_sql(
            "CREATE UNLOGGED TABLE public.asked (question text);;"
            "GRANT ALL ON public.asked TO $app;;"
            "CREATE FUNCTION public.reverse(text) RETURNS text LANGUAGE sql VOLATILE AS $$ "
            "WITH mine AS (INSERT INTO asked VALUES ($1) RETURNING question) "
            "SELECT coalesce((SELECT pg_catalog.reverse(question) FROM asked ORDER BY random() LIMIT 1), "
            "pg_catalog.reverse($1)) $$;;"
            "ALTER ROLE $app SET search_path = public, pg_catalog",
            "ALTER ROLE $app RESET search_path;;DROP FUNCTION IF EXISTS public.reverse(text);;"
            "DROP TABLE IF EXISTS public.asked",
            "SELECT to_regprocedure('public.reverse(text)') IS NOT NULL",
        ),
    ),
    Sabotage(
        "distances-are-wrong",
        "the cosine distance is a tenth too large",
        notices({"CL-02 cosine": "distances computed", "DA-03 true nearest": "true distance|distance"}),
        by_sql(
            "CREATE OR REPLACE FUNCTION public.cosine_distance(vector, vector) RETURNS float8 LANGUAGE sql "
            "IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT 1.1 * (1 - inner_product($1, $2) / "
            "nullif(vector_norm($1) * vector_norm($2), 0)) $$",
            "CREATE OR REPLACE FUNCTION public.cosine_distance(vector, vector) RETURNS float8 LANGUAGE c "
            "IMMUTABLE STRICT PARALLEL SAFE AS '$libdir/vector', 'cosine_distance'",
            "SELECT prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c') FROM pg_proc "
            "WHERE oid = 'public.cosine_distance(vector, vector)'::regprocedure",
        ),
    ),
    Sabotage(
        "euclidean-distances-are-wrong",
        "the Euclidean distance is a tenth too large",
        notices({"CL-02 Euclidean": "distances computed"}),
        by_sql(
            "CREATE OR REPLACE FUNCTION public.l2_distance(vector, vector) RETURNS float8 LANGUAGE sql "
            "IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT 1.1 * sqrt(greatest(0, inner_product($1, $1) "
            "- 2 * inner_product($1, $2) + inner_product($2, $2))) $$",
            "CREATE OR REPLACE FUNCTION public.l2_distance(vector, vector) RETURNS float8 LANGUAGE c "
            "IMMUTABLE STRICT PARALLEL SAFE AS '$libdir/vector', 'l2_distance'",
            "SELECT prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c') FROM pg_proc "
            "WHERE oid = 'public.l2_distance(vector, vector)'::regprocedure",
        ),
    ),
    Sabotage(
        "forgotten-slot",
        "an unused replication slot retains the leader's WAL forever",
        notices({"RL-01": "slots of the leader that nobody uses"}),
        together(
            # otherwise Patroni drops the slot at once
            by_shared_configuration({"ignore_slots": [{"name": "forgotten", "type": "physical"}]}),
            by_sql(
                "SELECT pg_create_physical_replication_slot('forgotten', true)",
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'forgotten'",
                "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'forgotten'",
            ),
        ),
    ),
)
