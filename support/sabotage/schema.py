"""Sabotages of the application's schema and data."""

from support.sabotage.damage import MakeDamage, by_sql
from support.sabotage.sabotage import Sabotage, notices

INDEX = "CREATE INDEX memory_entries_embedding ON memory_entries USING hnsw (embedding {opclass}) " + (
    "WITH (m = 16, ef_construction = 64)"
)
COSINE, EUCLIDEAN = INDEX.format(opclass="vector_cosine_ops"), INDEX.format(opclass="vector_l2_ops")
NO_INDEX = "DROP INDEX IF EXISTS memory_entries_embedding"


def triggered(event: str, body: str) -> MakeDamage:
    """A trigger on the table of entries that runs `body` for each row, at an event such as "BEFORE INSERT"."""
    return by_sql(
        f"CREATE FUNCTION public.sabotage() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ {body} $$;;"
        f"CREATE TRIGGER sabotage {event} ON memory_entries FOR EACH ROW EXECUTE FUNCTION public.sabotage()",
        "DROP FUNCTION IF EXISTS public.sabotage() CASCADE",
        "SELECT count(*) = 1 FROM pg_trigger WHERE tgname = 'sabotage' AND tgenabled = 'O'",
    )


SABOTAGES = (
    Sabotage(
        "values-are-trimmed",
        "texts lose their leading and trailing spaces",
        notices({"DA-01 spaces at both ends": "values are altered"}),
        triggered("BEFORE INSERT", "BEGIN NEW.value := btrim(NEW.value, E' \\t\\n'); RETURN NEW; END"),
    ),
    Sabotage(
        "texts-get-a-line-end",
        "every text gets a line end",
        notices(
            {
                "DA-01 plain text": "values are altered .*value",
                "DA-01 an empty text": "values are altered .*value",
                "DA-01 quotes and backslashes": "values are altered .*value",
                "DA-01 many scripts": "values are altered .*value",
                "DA-01 a text of 1 MB": "values are altered .*value",
            }
        ),
        triggered("BEFORE INSERT", "BEGIN NEW.value := NEW.value || E'\\n'; RETURN NEW; END"),
    ),
    Sabotage(
        "json-is-wrapped",
        "JSON is stored within another document",
        notices(
            {
                "DA-01 nested JSON": "values are altered .*metadata",
                "DA-01 JSON's null": "values are altered .*metadata",
            }
        ),
        triggered("BEFORE INSERT", "BEGIN NEW.metadata := jsonb_build_object('it', NEW.metadata); RETURN NEW; END"),
    ),
    Sabotage(
        "embeddings-are-made-up",
        "an entry without an embedding gets one, and every other embedding is halved",
        notices(
            {
                "DA-01 no embedding": "values are altered .*embedding",
                "DA-01 an embedding of the right size": "values are altered .*embedding",
            }
        ),
        triggered(
            "BEFORE INSERT",
            "BEGIN NEW.embedding := coalesce((SELECT array_agg(one / 2) FROM unnest(NEW.embedding::real[]) one), "
            "array_fill(1::real, ARRAY[384]))::vector; RETURN NEW; END",
        ),
    ),
    Sabotage(
        "embeddings-are-rounded",
        "embeddings are rounded to two decimals",
        notices(
            {
                "DA-01 numbers of every size": "values are altered .*embedding",
                "DA-02 are loaded": "values are altered .*embedding",
            }
        ),
        triggered(
            "BEFORE INSERT",
            "BEGIN NEW.embedding := (SELECT array_agg(round(one::numeric, 2)::real) "
            "FROM unnest(NEW.embedding::real[]) one)::vector; RETURN NEW; END",
        ),
    ),
    Sabotage(
        "some-inserts-vanish",
        "one entry in ten is silently not stored",
        notices({"DA-02 are loaded": "values are missing", "TX-03 different keys": "acknowledged writes lost"}),
        triggered("BEFORE INSERT", "BEGIN IF NEW.key LIKE '%7' THEN RETURN NULL; END IF; RETURN NEW; END"),
    ),
    Sabotage(
        "all-inserts-vanish",
        "no committed entry is stored",
        notices({"TX-02 every later session": "later sessions find", "HP-02": "marker"}),
        triggered("BEFORE INSERT", "BEGIN RETURN NULL; END"),
    ),
    Sabotage(
        "inserts-are-slow",
        "storing an entry takes 12 ms more",
        notices({"DA-02 are loaded": "the load was acknowledged after"}),
        triggered("BEFORE INSERT", "BEGIN PERFORM pg_catalog.pg_sleep(0.012); RETURN NEW; END"),
    ),
    Sabotage(
        "writers-exclude-one-another",
        "a write fails while another one is in progress",
        notices({"TX-03 different keys": "another writes"}),
        triggered(
            "BEFORE INSERT",
            "BEGIN IF NOT pg_try_advisory_xact_lock(4711) THEN RAISE EXCEPTION 'another writes'; END IF; "
            "PERFORM pg_catalog.pg_sleep(0.005); RETURN NEW; END",
        ),
    ),
    Sabotage(
        "updates-are-lost",
        "some updates change nothing",
        notices(
            {
                "TX-03 counter": "written by several acknowledged increments",
                "IS-03 sees its own writes": "did not see its own write",
            }
        ),
        triggered(
            "BEFORE UPDATE",
            "BEGIN IF NEW.value ~ '^[0-9]*7$' AND random() < 0.5 THEN RETURN OLD; END IF; RETURN NEW; END",
        ),
    ),
    Sabotage(
        "appends-are-lost",
        "one in twenty appends to a list changes nothing, and is acknowledged",
        notices(
            {
                "IS-01 Transactions at read committed see no dirty, aborted or intermediate data": "lost write",
                "IS-02 read skew": "lost write",
                "IS-02 Serializable transactions show no write skew": "lost write",
                "IS-02 default of their session": "lost write",
            }
        ),
        triggered(
            "BEFORE UPDATE",
            "BEGIN IF NEW.value LIKE 'list %' AND random() < 0.05 THEN RETURN OLD; END IF; RETURN NEW; END",
        ),
    ),
    Sabotage(
        "updates-spill-over",
        "an update changes the entries of other namespaces under the same key",
        notices({"DA-04 update": "values are altered"}),
        triggered(
            "AFTER UPDATE",
            "BEGIN IF pg_trigger_depth() = 1 THEN UPDATE memory_entries SET value = NEW.value "
            "WHERE key = NEW.key AND namespace <> NEW.namespace; END IF; RETURN NULL; END",
        ),
    ),
    Sabotage(
        "deletes-spill-over",
        "a delete removes the entries of other namespaces under the same key",
        notices({"DA-04 delete": "values are missing"}),
        triggered(
            "AFTER DELETE",
            "BEGIN DELETE FROM memory_entries WHERE key = OLD.key AND namespace <> OLD.namespace; RETURN NULL; END",
        ),
    ),
    Sabotage(
        "index-dropped",
        "the vector index is missing",
        notices({"DA-03": "index", "PF-02": "index", "FO-10": "index"}),
        by_sql(NO_INDEX, f"{NO_INDEX};;{COSINE}", "SELECT to_regclass('memory_entries_embedding') IS NULL"),
    ),
    Sabotage(
        "index-of-another-metric",
        "the vector index is for Euclidean distance",
        notices({"DA-03": "index"}),
        by_sql(
            f"{NO_INDEX};;{EUCLIDEAN}",
            f"{NO_INDEX};;{COSINE}",
            "SELECT pg_get_indexdef('memory_entries_embedding'::regclass) LIKE '%vector_l2_ops%'",
        ),
    ),
    Sabotage(
        "any-dimension-is-taken",
        "the vector column accepts any dimension",
        notices({"ER-01 is refused": "no error: it was stored"}),
        by_sql(
            f"{NO_INDEX};;ALTER TABLE memory_entries ALTER COLUMN embedding TYPE vector",
            "DELETE FROM memory_entries WHERE vector_dims(embedding) <> 384;;"
            f"ALTER TABLE memory_entries ALTER COLUMN embedding TYPE vector(384);;{NO_INDEX};;{COSINE}",
            "SELECT atttypmod = -1 FROM pg_attribute "
            "WHERE attrelid = 'memory_entries'::regclass AND attname = 'embedding'",
        ),
    ),
    Sabotage(
        "embeddings-of-another-size",
        "the vector column accepts embeddings of 383 dimensions only",
        notices({"ER-01 right size is accepted": "the error of storing the entry.*383 dimensions"}),
        by_sql(
            f"{NO_INDEX};;DELETE FROM memory_entries;;"
            "ALTER TABLE memory_entries ALTER COLUMN embedding TYPE vector(383)",
            "DELETE FROM memory_entries;;ALTER TABLE memory_entries ALTER COLUMN embedding TYPE vector(384);;"
            f"{NO_INDEX};;{COSINE}",
            "SELECT atttypmod = 383 FROM pg_attribute "
            "WHERE attrelid = 'memory_entries'::regclass AND attname = 'embedding'",
        ),
    ),
    Sabotage(
        "duplicates-are-taken",
        "two entries may have the same key",
        notices(
            {
                "ER-02 second entry": "no error: it was stored",
                "GD-02 connection was cut": "applied more than once",
                "GD-02 across a change": "applied more than once",
            }
        ),
        by_sql(
            "ALTER TABLE memory_entries DROP CONSTRAINT memory_entries_pkey",
            "DELETE FROM memory_entries;;ALTER TABLE memory_entries ADD PRIMARY KEY (namespace, key)",
            "SELECT count(*) = 0 FROM pg_constraint WHERE conrelid = 'memory_entries'::regclass AND contype = 'p'",
        ),
    ),
    Sabotage(
        "table-missing",
        "a table of the application's schema is missing",
        notices({"CL-01 every table": "table graph_edges is missing"}),
        by_sql(
            "ALTER TABLE graph_edges RENAME TO graph_edges_away",
            "ALTER TABLE graph_edges_away RENAME TO graph_edges",
            "SELECT to_regclass('graph_edges') IS NULL",
        ),
    ),
    Sabotage(
        "key-is-a-plain-index",
        "a table's key is an index that is not unique",
        notices({"ER-02 relies on": "two rows of hyperbolic_embeddings can share namespace, id"}),
        by_sql(
            "ALTER TABLE hyperbolic_embeddings DROP CONSTRAINT hyperbolic_embeddings_pkey;;"
            "CREATE INDEX plain ON hyperbolic_embeddings (namespace, id)",
            "DROP INDEX IF EXISTS plain;;ALTER TABLE hyperbolic_embeddings ADD PRIMARY KEY (namespace, id)",
            "SELECT to_regclass('plain') IS NOT NULL",
        ),
    ),
    Sabotage(
        "another-table-without-vector-index",
        "the vector index of a table that no scenario searches is for Euclidean distance",
        notices({"DA-03 Every vector column": "patterns.embedding has no HNSW index for cosine distance"}),
        by_sql(
            "DROP INDEX IF EXISTS patterns_embedding;;"
            "CREATE INDEX patterns_embedding ON patterns USING hnsw (embedding vector_l2_ops)",
            "DROP INDEX IF EXISTS patterns_embedding;;"
            "CREATE INDEX patterns_embedding ON patterns USING hnsw (embedding vector_cosine_ops)",
            "SELECT pg_get_indexdef('patterns_embedding'::regclass) LIKE '%vector_l2_ops%'",
        ),
    ),
    Sabotage(
        "search-settings-in-one-place-only",
        "the settings of vector searches are made in one place of the application, and not for its role",
        notices({"DA-05": "did not find 10 entries of their own namespace"}),
        by_sql(
            "ALTER ROLE $app RESET hnsw.ef_search;;ALTER ROLE $app RESET hnsw.iterative_scan",
            "ALTER ROLE $app SET hnsw.ef_search = 200;;ALTER ROLE $app SET hnsw.iterative_scan = 'strict_order'",
            "SELECT NOT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) one WHERE one LIKE 'hnsw.%')",
        ),
    ),
    Sabotage(
        "index-lacks-rows",
        "an index lacks some rows, and the planner does not know it",
        notices({"DA-02 counted": "different counts of the same rows"}),
        by_sql(
            "INSERT INTO memory_entries (namespace, key, value) SELECT 'sabotage', n::text, '' "
            "FROM generate_series(1, 20000) n;;"
            "CREATE INDEX lacking ON memory_entries (key) WHERE namespace = 'nobody';;"
            "SET allow_system_table_mods = on;;"
            "UPDATE pg_index SET indpred = NULL WHERE indexrelid = 'lacking'::regclass",
            "DROP INDEX IF EXISTS lacking;;DELETE FROM memory_entries WHERE namespace = 'sabotage'",
            "SELECT count(*) = 1 FROM pg_index WHERE indexrelid = to_regclass('lacking') AND indpred IS NULL",
        ),
    ),
    Sabotage(
        "last-writer-wins",
        "a second entry under the same key replaces the first",
        notices({"ER-02 second entry": "no error: it was stored"}),
        triggered(
            "BEFORE INSERT",
            "BEGIN DELETE FROM memory_entries WHERE namespace = NEW.namespace AND key = NEW.key; RETURN NEW; END",
        ),
    ),
    Sabotage(
        "entries-are-unlogged",
        "the table of entries is unlogged: replicas lack its rows, and a crash empties it",
        notices(
            {
                "RL-02": "still not true after",
                "TX-02 on every replica": "committed entry is on every replica",
                "FO-02": "acknowledged writes lost",
                "IS-01 while the leader crashes": "lost write",
                "IS-02 while the leader crashes": "lost write",
                "FO-10": "values are not what they were",
                "FO-12": "acknowledged writes lost",
                "DA-06": "memory_entries.*is unlogged",
            }
        ),
        by_sql(
            "ALTER TABLE memory_entries SET UNLOGGED",
            "ALTER TABLE memory_entries SET LOGGED",
            "SELECT relpersistence = 'u' FROM pg_class WHERE oid = 'memory_entries'::regclass",
        ),
    ),
    Sabotage(
        "another-table-is-unlogged",
        "a table that no scenario writes to is unlogged",
        notices({"DA-06": "trajectories.*is unlogged"}),
        by_sql(
            "ALTER TABLE trajectories SET UNLOGGED",
            "ALTER TABLE trajectories SET LOGGED",
            "SELECT relpersistence = 'u' FROM pg_class WHERE oid = 'trajectories'::regclass",
        ),
    ),
)
