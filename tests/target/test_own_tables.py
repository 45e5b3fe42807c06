"""Tables of the suite's own in databases with Citus whose vector extension is missing, or somewhere else."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from steps.sharding import distributed_query_steps
from support import sql
from support.engine.world import Context
from support.errors import NotAvailable
from support.example_app import schema
from support.example_app.catalog import look_at
from support.example_app.entries import Entry, EntryStore
from support.example_app.known_profiles import EXAMPLE, declared_profile
from support.example_app.profile_fit import fit
from support.example_app.search import Search
from support.example_app.trial import tried
from support.target.cluster import Cluster
from support.target.tables import local_tables, own_tables
from support.target.topology import Address, Login, Topology


@contextmanager
def prepared(citus: sql.Endpoint, name: str, statements: Sequence[str] = ()) -> Iterator[Topology]:
    """A user's cluster: a database of its own with Citus, where these statements were executed."""
    where = replace(citus, database=name)
    sql.execute(citus, f"CREATE DATABASE {name}")
    try:
        login = f"password={citus.password}"
        sql.execute(where, "CREATE EXTENSION citus")
        sql.execute(where, "INSERT INTO pg_dist_authinfo VALUES (0, %s, %s)", [citus.user, login])
        for statement in statements:
            sql.execute(where, statement)
        lacks = {} if statements else {"vector": "no vector extension is installed"}
        yield Topology(name, Login(citus.user, citus.password), Address(citus.host, citus.port), lacks=lacks)
    finally:
        sql.execute(citus, f"DROP DATABASE {name} WITH (FORCE)")


def test_tables_of_our_own_need_no_vector_extension(citus: sql.Endpoint) -> None:
    with prepared(citus, "no_vectors") as topology, ExitStack() as cleanup:
        entry = Entry("n", "key", "value")
        for ours in (Cluster(own_tables(topology, "own", cleanup)), local_tables(Cluster(topology), "run", cleanup)):
            assert "schema" not in ours.topology.lacks, ours.topology.lacks
            EntryStore(ours.write, ours.profile).add(entry)
            assert EntryStore(ours.write, ours.profile).find("n", "key") == [entry]


@pytest.mark.parametrize("path", ["public, extensions", '"$user", public', ""])
def test_the_vector_extension_may_be_in_any_schema(citus: sql.Endpoint, path: str) -> None:
    if not sql.rows(citus, "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("the PostgreSQL that has Citus has no pgvector")
    statements = [
        "CREATE SCHEMA extensions",
        "CREATE EXTENSION vector SCHEMA extensions",
        f"ALTER DATABASE elsewhere SET search_path = {path or chr(39) * 2}",
    ]
    with prepared(citus, "elsewhere", statements) as topology, ExitStack() as cleanup:
        for ours in (Cluster(own_tables(topology, "own", cleanup)), local_tables(Cluster(topology), "run", cleanup)):
            assert "schema" not in ours.topology.lacks, ours.topology.lacks
            assert ours.profile.entries.embedding == "embedding"
            entry = Entry("n", "key", "value", embedding=(1.0,) * ours.profile.entries.dimensions)
            EntryStore(ours.write, ours.profile).add(entry)
            with sql.session(ours.write) as session:
                (found,) = Search(session, ours.profile).nearest("n", entry.embedding or (), 1)
            assert found.key == "key"


def test_tables_of_our_own_have_one_copy_of_each_shard(citus: sql.Endpoint) -> None:
    """There is one node: Citus would refuse to make two."""
    default = "ALTER DATABASE once SET citus.shard_replication_factor = 2"
    with prepared(citus, "once", [default]) as topology, ExitStack() as cleanup:
        ours = own_tables(replace(topology, lacks={"vector": "no vector extension is installed"}), "own", cleanup)
        assert "schema" not in ours.lacks, ours.lacks


def test_sharded_tables_are_tried(citus: sql.Endpoint) -> None:
    """To the last one: only what it is told there shows that Citus took the statements before."""
    with prepared(citus, "tried") as topology:
        where, entries = Cluster(topology).write, replace(EXAMPLE.entries, embedding=None)
        schema.create(where, None)
        schema.distribute(where)
        facts = look_at(where, EXAMPLE.tables)
        fitted = fit(replace(EXAMPLE, entries=entries), facts)
        assert tried(where, fitted, facts, "accept-trial") == fitted
        sql.execute(where, "ALTER TABLE vector_indexes ADD CONSTRAINT negative CHECK (dimensions < 0)")
        assert (
            tried(where, fitted, facts, "accept-trial").lacks["reference"].startswith("vector_indexes refuses a row: ")
        )
        sql.execute(where, "ALTER TABLE memory_entries ADD CONSTRAINT short CHECK (value = 'text of entry-1')")
        assert tried(where, fitted, facts, "accept-trial").lacks["schema"].startswith("memory_entries refuses a row: ")


def test_columnar_tables_are_left_alone(citus: sql.Endpoint) -> None:
    """One partition is enough: Citus deletes nothing from it, and it may be the one with our rows."""
    docs = declared_profile({"entries": {"table": "docs"}})
    with prepared(citus, "columnar") as topology:
        where = Cluster(topology).write
        if not sql.rows(where, "SELECT FROM pg_am WHERE amname = 'columnar'"):
            pytest.skip("this Citus has no columnar storage")
        sql.execute(
            where,
            "CREATE TABLE docs (namespace text, key text, value text) PARTITION BY LIST (namespace); "
            "CREATE TABLE docs_old PARTITION OF docs FOR VALUES IN ('old') USING columnar; "
            "CREATE TABLE docs_new PARTITION OF docs DEFAULT",
        )
        told = "docs has columnar storage, from which Citus deletes no rows: docs_old"
        assert fit(docs, look_at(where, ["docs"])).lacks["schema"] == told
        assert look_at(where, ["docs_old"])["docs_old"].columnar == ("docs_old",)
        sql.execute(where, "ALTER TABLE docs DETACH PARTITION docs_old")
        assert "schema" not in fit(docs, look_at(where, ["docs"])).lacks


def test_random_queries_need_a_second_set_of_tables(citus: sql.Endpoint) -> None:
    """Without it, a table would be compared with itself."""
    with prepared(citus, "no_second") as topology, ExitStack() as cleanup:
        sql.execute(citus, "CREATE ROLE without_schemas LOGIN PASSWORD 'x'")
        cleanup.callback(sql.execute, citus, "DROP ROLE without_schemas")
        cluster = Cluster(replace(topology, application=Login("without_schemas", "x")))
        world = SimpleNamespace(cluster=cluster, run=SimpleNamespace(id="run"), cleanup=cleanup)
        with pytest.raises(NotAvailable, match="permission denied for database"):
            distributed_query_steps.step_rows_in_both(cast(Context, SimpleNamespace(world=world)))
