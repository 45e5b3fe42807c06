"""Sabotages of one worker, behind Citus' back: its shards, its copies of reference tables, its version of Citus."""

from support import sql
from support.example_app.known_profiles import EXAMPLE
from support.sabotage.damage import Damage, MakeDamage, by_sql, in_group, on_member, together
from support.sabotage.own_hosts import host_of
from support.sabotage.sabotage import of_sharded
from support.target.cluster import Cluster
from support.waiting import NotYet

A_WORKER = "the leader of worker group 1"

_OWN_ADDRESSES = "partitions"
"""A sandbox in which each host logs in from an address of its own; elsewhere all have the same."""
_REJECTS = "SELECT bool_or(auth_method = 'reject') FROM pg_hba_file_rules"
_SHARDS_OF = (
    "SELECT oid::regclass AS shard, substring(relname FROM '[0-9]+$') AS number FROM pg_class WHERE relkind = 'r' "
)
_ALONE = (
    "SET citus.enable_ddl_propagation = off;;SET citus.enable_manual_changes_to_shards = on;;"
    "SET citus.override_table_visibility = off"
)
"""Makes the statements that follow apply to this node only, and lets them change shards."""


def for_each_shard(tables: str, statement: str) -> str:
    """Run a statement for each shard of the matching tables on that node; %1$s is the shard, %2$s its number."""
    return (
        f"DO $do$ DECLARE one record; BEGIN FOR one IN {_SHARDS_OF} AND relname ~ '^({tables})_[0-9]{{6,}}$' "
        f"AND relnamespace = 'public'::regnamespace LOOP EXECUTE format($q${statement}$q$, one.shard, one.number); "
        "END LOOP; END $do$"
    )


def triggered_on_worker(tables: str, event: str, body: str) -> MakeDamage:
    """A trigger on every shard of these tables on one worker, behind Citus' back."""
    trigger = f"CREATE TRIGGER sabotage {event} ON %1$s FOR EACH ROW EXECUTE FUNCTION public.sabotage()"
    return on_member(
        A_WORKER,
        f"{_ALONE};;CREATE FUNCTION public.sabotage() RETURNS trigger LANGUAGE plpgsql AS $f$ {body} $f$;;"
        + for_each_shard(tables, trigger),
        f"{_ALONE};;DROP FUNCTION IF EXISTS public.sabotage() CASCADE",
        "SELECT count(*) > 0 FROM pg_trigger WHERE tgname = 'sabotage'",
    )


def stuttering(probability: float, seconds: float) -> MakeDamage:
    """On one worker, reading a row takes that long, with that probability."""
    allowed = f"CASE WHEN random() < {probability} THEN pg_sleep({seconds})::text IS NOT NULL ELSE true END"
    return on_member(
        A_WORKER,
        f"{_ALONE};;"
        + for_each_shard(_TABLE, f"CREATE POLICY sabotage ON %1$s USING ({allowed})")
        + ";;"
        + for_each_shard(_TABLE, "ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"),
        f"{_ALONE};;"
        + for_each_shard(_TABLE, "ALTER TABLE %1$s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")
        + ";;"
        + for_each_shard(_TABLE, "DROP POLICY IF EXISTS sabotage ON %1$s"),
        "SELECT count(*) > 0 FROM pg_policy WHERE polname = 'sabotage'",
    )


_APPLICATION_IS_SUPERUSER = on_member(
    A_WORKER,
    f"{_ALONE};;ALTER ROLE $app SUPERUSER",
    f"{_ALONE};;ALTER ROLE $app NOSUPERUSER",
    "SELECT rolsuper FROM pg_roles WHERE rolname = '$app'",
)
_PASSWORD_AS_MD5 = on_member(
    A_WORKER,
    f"{_ALONE};;SET password_encryption = 'md5';;CREATE ROLE careless LOGIN PASSWORD 'careless'",
    f"{_ALONE};;DROP ROLE IF EXISTS careless",
    "SELECT rolpassword LIKE 'md5%' FROM pg_authid WHERE rolname = 'careless'",
)

_TABLE = "memory_entries"
_KEY = f"{_TABLE}_pkey_%2$s"
_UNCHECKED = "SET citus.enable_version_checks = off;;SET allow_system_table_mods = on"

_BUILT = f"{_TABLE}_created_at"
_SET_VALID = "SET allow_system_table_mods = on;;UPDATE pg_index SET indisvalid = {} " + (
    f"WHERE indexrelid = '{_BUILT}'::regclass"
)
_INVALID_ON_COORDINATOR = by_sql(
    _SET_VALID.format("false"),
    _SET_VALID.format("true"),
    f"SELECT NOT indisvalid FROM pg_index WHERE indexrelid = '{_BUILT}'::regclass",
)
_MISSING_ON_WORKER = on_member(
    A_WORKER,
    f"{_ALONE};;" + for_each_shard(_TABLE, f"DROP INDEX {_BUILT}_%2$s"),
    f"{_ALONE};;" + for_each_shard(_TABLE, f"CREATE INDEX IF NOT EXISTS {_BUILT}_%2$s ON %1$s (namespace, created_at)"),
    f"SELECT count(*) = 0 FROM pg_index WHERE indexrelid::regclass::text ~ '^{_BUILT}_[0-9]{{6,}}$'",
)


def unlogged(table: str) -> MakeDamage:
    """The shards of a table are unlogged on the leader."""
    return by_sql(
        f"{_ALONE};;" + for_each_shard(table, "ALTER TABLE %1$s SET UNLOGGED"),
        f"{_ALONE};;" + for_each_shard(table, "ALTER TABLE %1$s SET LOGGED"),
        # By a file that only unlogged relations have: Citus hides shards in pg_class.
        "SELECT count((pg_stat_file(pg_relation_filepath(to_regclass(shard)) || '_init', true)).size) > 0 "
        f"FROM (SELECT 'public.{table}_' || shardid FROM pg_dist_shard WHERE logicalrelid = '{table}'::regclass) "
        "AS known (shard)",
    )


def rejecting(role: str, rejected: str) -> MakeDamage:
    """The pg_hba.conf of the member with that role rejects logins from the host of another member, also by its role."""

    def make(cluster: Cluster) -> Damage:
        host, other = host_of(cluster, role), host_of(cluster, rejected)
        file, there = host.directory / "data" / "pg_hba.conf", cluster.administration_of(host.name)
        before = file.read_text()

        def write(contents: str) -> None:
            file.write_text(contents)
            sql.execute(there, "SELECT pg_reload_conf()")

        def check() -> None:
            if sql.value(there, _REJECTS) is not True:
                raise NotYet(f"{host.name} rejects nobody")

        rule = f"host all all {other.address}/32 reject"
        return Damage(
            f"{host.name} rejects {other.name}", lambda: write(f"{rule}\n{before}"), check, lambda: write(before)
        )

    return make


SABOTAGES = (
    of_sharded(
        "replica-of-a-worker-rejects-the-coordinator",
        "the pg_hba.conf of a worker's replica, which may lead next, does not let the coordinator in",
        {"CS-02 may lead next": "of worker group 1: expected reached"},
        rejecting("a replica of worker group 1", "the leader"),
        "worker_replicas",
        _OWN_ADDRESSES,
    ),
    of_sharded(
        "worker-rejects-a-replica-of-the-coordinator",
        "the pg_hba.conf of a worker does not let in a replica of the coordinator, which may lead next",
        {"CS-02 may lead next": "of the coordinator.*: expected reached"},
        rejecting("the leader of worker group 1", "a replica"),
        _OWN_ADDRESSES,
    ),
    of_sharded(
        "application-is-superuser-of-a-worker",
        "the application's role is a superuser on one worker, where somebody made it by hand",
        {
            "SE-02 no privileges over the leader": "worker group 1.*be a superuser.*granted",
            "SE-02 may do on the leader": "worker group 1.*create a role.*expected insufficient privilege",
        },
        _APPLICATION_IS_SUPERUSER,
    ),
    of_sharded(
        "password-stored-as-md5-on-a-worker",
        "a role's password is stored as an MD5 hash on one worker",
        {"SE-02 verifier on the leader": "worker group 1.*expected SCRAM, observed an MD5 hash"},
        _PASSWORD_AS_MD5,
    ),
    of_sharded(
        "shards-are-unlogged",
        "the shards of the entries are unlogged on every worker: replicas lack their rows, and a crash empties them",
        {
            "DT-01 PostgreSQL of a worker dies after": "the client was told .*, and there are",
            "DT-01 the host": "the client was told .*, and there are",
            "CS-06": "memory_entries.*is unlogged",
        },
        together(in_group(1, unlogged(_TABLE)), in_group(2, unlogged(_TABLE))),
    ),
    of_sharded(
        "copies-of-a-reference-table-are-unlogged",
        "one worker's copy of a reference table is unlogged",
        {"CS-06": "metadata.*is unlogged"},
        in_group(1, unlogged("metadata")),
    ),
    of_sharded(
        "worker-forgets-entries",
        "one worker silently drops one entry in five",
        {
            "DQ-01": "holds|missing|lost",
            "SD-02 stored in the shard": "should be in",
            "DT-06": "happened on one account only",
        },
        triggered_on_worker(
            _TABLE,
            "BEFORE INSERT",
            "BEGIN IF NEW.key <> 'account' AND hashtext(NEW.namespace || NEW.key) % 5 = 0 THEN RETURN NULL; END IF; "
            "RETURN NEW; END",
        ),
    ),
    of_sharded(
        "worker-stores-twice",
        "one worker stores each entry in another shard as well",
        {"SD-02 stored in the shard": "should be in", "DQ-01": "more than once|not stored|row is|rows are|too many"},
        triggered_on_worker(
            _TABLE,
            "AFTER INSERT",
            "DECLARE other text := (SELECT max(tgrelid::regclass::text) FROM pg_trigger WHERE tgname = 'sabotage'); "
            "BEGIN EXECUTE format('INSERT INTO %s SELECT ($1).* ON CONFLICT DO NOTHING', other) USING NEW; "
            "RETURN NULL; END",
        ),
    ),
    of_sharded(
        "worker-loses-updates",
        "one worker loses some updates that increase a number",
        {"DT-06": "account does not match its|accounts do not match their"},
        triggered_on_worker(
            _TABLE,
            "BEFORE UPDATE",
            "BEGIN IF NEW.value ~ '^-?[0-9]*7$' AND OLD.value ~ '^-?[0-9]+$' AND NEW.value::bigint > OLD.value::bigint "
            "THEN NEW.value := OLD.value; END IF; RETURN NEW; END",
        ),
    ),
    of_sharded(
        "worker-loses-appends",
        "one worker acknowledges one in ten appends to a list, and changes nothing",
        {"IS-01 over all shards": "lost write", "IS-02 over all shards": "lost write"},
        triggered_on_worker(
            _TABLE,
            "BEFORE UPDATE",
            "BEGIN IF NEW.value LIKE 'list %' AND random() < 0.1 THEN RETURN OLD; END IF; RETURN NEW; END",
        ),
    ),
    of_sharded(
        "worker-alters-entries",
        "one worker changes the metadata that it stores",
        {"DQ-02": "answer", "DQ-04": "answer", "SD-03": "answer", "PF-03": "answer|right", "PF-04": "answer|right"},
        triggered_on_worker(_TABLE, "BEFORE INSERT", "BEGIN NEW.metadata := '{}'; NEW.value := ''; RETURN NEW; END"),
    ),
    of_sharded(
        "worker-stutters-at-some-rows",
        "one worker takes 0.6 s to read one row in sixty",
        {"PF-03": "95th percentile"},
        stuttering(0.016, 0.6),
    ),
    of_sharded(
        "worker-stutters-at-few-rows",
        "one worker takes 1.2 s to read one row in a thousand",
        {"PF-04": "95th percentile"},
        stuttering(0.001, 1.2),
    ),
    of_sharded(
        "reference-copy-behind",
        "one worker's copy of the reference tables lacks new rows",
        {"RT-01": "holds|missing", "RT-02": "answer", "RT-03 computes": "the copies of .* differ in"},
        triggered_on_worker("|".join(EXAMPLE.references()), "BEFORE INSERT", "BEGIN RETURN NULL; END"),
    ),
    of_sharded(
        "reference-copy-has-more",
        "one worker's copy of a reference table has a row that the others lack",
        {"RT-03 All copies": "the copies of .* differ in .*worker group 1"},
        on_member(
            A_WORKER,
            f"{_ALONE};;" + for_each_shard("metadata", "INSERT INTO %1$s (key, value) VALUES ('sabotage', '{}')"),
            f"{_ALONE};;" + for_each_shard("metadata", "DELETE FROM %1$s WHERE key = 'sabotage'"),
            "SELECT count(*) = 1 FROM metadata WHERE key = 'sabotage'",
        ),
    ),
    of_sharded(
        "reference-copy-computes-its-own",
        "one worker fills in the time of a new row by itself",
        {"RT-03 computes": "the copies of .* differ in"},
        triggered_on_worker(
            "|".join(EXAMPLE.references()),
            "BEFORE INSERT",
            "BEGIN NEW.created_at := clock_timestamp(); RETURN NEW; END",
        ),
    ),
    of_sharded(
        "shard-index-missing",
        "the shards of one worker have no vector index",
        {"DQ-03": "index", "CS-05": "lacks .*hnsw"},
        on_member(
            A_WORKER,
            f"{_ALONE};;" + for_each_shard(_TABLE, f"DROP INDEX {_TABLE}_embedding_%2$s"),
            f"{_ALONE};;"
            + for_each_shard(
                _TABLE,
                f"CREATE INDEX IF NOT EXISTS {_TABLE}_embedding_%2$s ON %1$s USING hnsw (embedding vector_cosine_ops) "
                "WITH (m=16, ef_construction=64)",
            ),
            f"SELECT count(*) = 0 FROM pg_index WHERE indexrelid::regclass::text ~ '^{_TABLE}_embedding_[0-9]{{6,}}$'",
        ),
    ),
    of_sharded(
        "shard-key-missing",
        "the shards of one worker do not keep keys unique",
        {"CS-05": "lacks .*unique"},
        on_member(
            A_WORKER,
            f"{_ALONE};;" + for_each_shard(_TABLE, f"ALTER TABLE %1$s DROP CONSTRAINT IF EXISTS {_TABLE}_pkey_%2$s"),
            f"{_ALONE};;"
            + for_each_shard(
                _TABLE, f"ALTER TABLE %1$s ADD CONSTRAINT {_TABLE}_pkey_%2$s PRIMARY KEY (namespace, key)"
            ),
            f"SELECT count(*) = 0 FROM pg_index WHERE indexrelid::regclass::text ~ '^{_TABLE}_pkey_[0-9]{{6,}}$'",
        ),
    ),
    of_sharded(
        "index-build-failed-on-a-worker",
        "an index that was built concurrently is missing on one worker, and so invalid on the coordinator",
        {"CS-05": "an index of memory_entries is not valid: .*lacks"},
        together(_INVALID_ON_COORDINATOR, _MISSING_ON_WORKER),
    ),
    of_sharded(
        "shard-lost",
        "one shard is missing on its worker",
        {"RB-01": "is not there", "SD-01": "is not there"},
        on_member(
            A_WORKER,
            f"{_ALONE};;DO $do$ DECLARE lost text := (SELECT min(relname) FROM pg_class WHERE relkind = 'r' "
            "AND relname ~ '^trajectories_[0-9]{6,}$'); BEGIN "
            "EXECUTE format('ALTER TABLE %I RENAME TO sabotage_lost', lost); "
            "EXECUTE format('COMMENT ON TABLE sabotage_lost IS %L', lost); END $do$",
            f"{_ALONE};;DO $do$ BEGIN IF to_regclass('sabotage_lost') IS NOT NULL THEN EXECUTE format('ALTER TABLE "
            "sabotage_lost RENAME TO %I', obj_description('sabotage_lost'::regclass)); END IF; END $do$",
            "SELECT to_regclass('sabotage_lost') IS NOT NULL",
        ),
    ),
    of_sharded(
        "another-version-on-a-worker",
        "one worker's database has an older version of Citus",
        {"CS-01": "Citus"},
        on_member(
            A_WORKER,
            f"{_UNCHECKED};;UPDATE pg_extension SET extversion = '12.1-1' WHERE extname = 'citus'",
            f"{_UNCHECKED};;UPDATE pg_extension SET extversion = default_version FROM pg_available_extensions citus "
            "WHERE citus.name = extname AND extname = 'citus'",
            "SELECT extversion = '12.1-1' FROM pg_extension WHERE extname = 'citus'",
        ),
    ),
)
