"""Entries, searches and sample data against a real PostgreSQL with the vector extension."""

import random
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy
import pytest
from conftest import free_port
from servers import standby_of

from support import sql
from support.errors import Inconclusive
from support.example_app import samples, schema
from support.example_app.entries import Entry, EntryStore, contents, sightings, write_uncommitted
from support.example_app.known_profiles import EXAMPLE
from support.example_app.search import CROWD, Crowd, Search, crowd, distance
from support.example_app.sessions import identity, system_identifier
from support.example_app.vectors import PGVECTOR, vector_extension


@pytest.fixture(scope="module")
def database(postgres: sql.Endpoint) -> Iterator[sql.Endpoint]:
    """A database of its own with the application's schema."""
    sql.execute(postgres, "CREATE DATABASE entries")
    ours = replace(postgres, database="entries")
    sql.execute(ours, "CREATE EXTENSION vector")
    schema.create(ours, PGVECTOR)
    return ours


@pytest.fixture(scope="module")
def standby(database: sql.Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    """A copy of the server in recovery, where the table of entries is unlogged."""
    EntryStore(database, EXAMPLE).add(Entry("unlogged", "k", "stored"))
    sql.execute(database, "ALTER TABLE memory_entries SET UNLOGGED")
    with standby_of(database, tmp_path_factory.mktemp("standby"), free_port()) as copy:
        yield replace(copy, database=database.database)
    sql.execute(database, "ALTER TABLE memory_entries SET LOGGED")


def test_a_replica_has_no_entry_of_a_table_that_is_unlogged(database: sql.Endpoint, standby: sql.Endpoint) -> None:
    """It refuses to read the table: that is an answer."""
    entry = Entry("unlogged", "k", "stored")
    assert sightings(database, EXAMPLE, entry, sessions=1) == (entry,)
    assert sightings(standby, EXAMPLE, entry, sessions=1) == ()


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


CHANCE = random.Random(7)

CONTENTS = [
    "plain text",
    "quotes and backslashes",
    "many scripts and emoji",
    "nested JSON",
    "JSON's null, numbers and booleans",
    "no embedding",
    "an embedding of numbers of every size",
    "an embedding of the right size",
]


@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_added_is_found(database: sql.Endpoint, namespace: str, content: str) -> None:
    entry = samples.entry_with(content, CHANCE, namespace, EXAMPLE)
    EntryStore(database, EXAMPLE).add(entry)
    assert EntryStore(database, EXAMPLE).find(namespace, entry.key) == [entry]


def test_samples_differ_in_what_they_are_named_for() -> None:
    usual = samples.entry(random.Random(1), "n", EXAMPLE)
    assert all(samples.entry_with(content, random.Random(1), "n", EXAMPLE) != usual for content in CONTENTS[:-1])
    assert samples.entry_with("no embedding", CHANCE, "n", EXAMPLE).embedding is None
    for content, size in (("2 dimensions", 2), ("one dimension too few", 383), ("one dimension too many", 385)):
        made = samples.entry_with(f"an embedding of {content}", CHANCE, "n", EXAMPLE)
        assert len(made.embedding or ()) == size
    with pytest.raises(KeyError):
        samples.entry_with("anything else", CHANCE, "n", EXAMPLE)


def test_sample_vectors_are_distinct_and_repeatable() -> None:
    found = samples.vectors(random.Random(5), 2000, 384)
    assert found.shape == (2000, 384)
    assert len(numpy.unique(found, axis=0)) == 2000
    assert (found == samples.vectors(random.Random(5), 2000, 384)).all()
    assert not (found == samples.vectors(random.Random(6), 2000, 384)).all()


def test_a_session_decides_what_is_committed(database: sql.Endpoint, namespace: str) -> None:
    with sql.session(database, autocommit=False) as session:
        EntryStore(session, EXAMPLE).add_many(samples.entries(CHANCE, namespace, 3, EXAMPLE))
        assert len(EntryStore(session, EXAMPLE).all(namespace)) == 3
    assert EntryStore(database, EXAMPLE).all(namespace) == []


def test_many_are_all_or_nothing(database: sql.Endpoint, namespace: str) -> None:
    entries = samples.entries(CHANCE, namespace, 500, EXAMPLE)
    with pytest.raises(sql.Error):
        EntryStore(database, EXAMPLE).add_many([*entries, entries[0]])
    assert EntryStore(database, EXAMPLE).all(namespace) == []
    EntryStore(database, EXAMPLE).add_many(entries)
    assert EntryStore(database, EXAMPLE).all(namespace) == entries


def test_updates_and_deletes_keep_to_their_namespace(database: sql.Endpoint, namespace: str) -> None:
    store, keys = EntryStore(database, EXAMPLE), ["a", "b", "missing"]
    other = f"{namespace}-other"
    store.add_many([Entry(space, key, "old") for space in (namespace, other) for key in "ab"])
    assert store.update_each(namespace, keys, "new") == 2
    assert [entry.value for entry in store.find_each(namespace, keys)] == ["new", "new"]
    assert [entry.value for entry in store.find_each(other, keys)] == ["old", "old"]
    assert store.delete_each(namespace, keys) == 2
    assert store.all(namespace) == []
    assert len(store.all(other)) == 2


def test_contents_name_every_column_and_every_repetition() -> None:
    entry = Entry("n", "k", "v")
    assert contents([entry])["k's value"] == "v"
    assert contents([entry, entry]).keys() - contents([entry]).keys() == {
        f"k (2)'s {column}" for column in ("namespace", "key", "value", "embedding", "metadata")
    }


def test_a_search_goes_by_the_index_and_finds_the_nearest(database: sql.Endpoint, namespace: str) -> None:
    entries = samples.entries(CHANCE, namespace, 300, EXAMPLE)
    EntryStore(database, EXAMPLE).add_many(entries)
    with sql.session(database) as session:
        search = Search(session, EXAMPLE)
        found = search.nearest(namespace, entries[17].embedding or (), 5)
        assert search.indexes_used(namespace, entries[17].embedding or (), 5) == {"memory_entries_embedding"}
        assert search.cosine_indexes() == {"memory_entries_embedding"}
        assert "memory_entries_embedding" in search.plan(namespace, entries[17].embedding or (), 5)
    assert (found[0].key, len(found)) == (entries[17].key, 5)
    assert found[0].distance == pytest.approx(0, abs=1e-5)


def test_a_search_passes_over_nearer_entries_of_another_namespace(database: sql.Endpoint, namespace: str) -> None:
    """So many that a search without iterative scans would come back with nothing."""
    crowd = samples.entries(CHANCE, f"{namespace}-crowd", 1000, EXAMPLE)
    sought = crowd[0].embedding or ()
    EntryStore(database, EXAMPLE).add_many(crowd)
    EntryStore(database, EXAMPLE).add_many(
        [replace(entry, namespace=namespace, embedding=tuple(-x for x in sought)) for entry in crowd[:5]]
    )
    with sql.session(database) as session:
        found = Search(session, EXAMPLE).nearest(namespace, sought, 5)
    assert [one.namespace for one in found] == [namespace] * 5


def test_a_search_by_the_index_goes_on_as_far_as_the_extension_can(database: sql.Endpoint) -> None:
    with sql.session(database) as session:
        search = Search(session, EXAMPLE)
    assert search.goes_on
    assert {"hnsw.max_scan_tuples = 2147483647", "hnsw.scan_mem_multiplier = 1000"} <= {*search.settings}


def test_an_exact_search_uses_no_vector_index(database: sql.Endpoint, namespace: str) -> None:
    entries = samples.entries(CHANCE, namespace, 50, EXAMPLE)
    EntryStore(database, EXAMPLE).add_many(entries)
    sought = entries[7].embedding or ()
    with sql.session(database) as session:
        exact, by_index = Search(session, EXAMPLE, exact=True), Search(session, EXAMPLE)
        assert "memory_entries_embedding" not in exact.indexes_used(namespace, sought, 5)
        found = exact.nearest(namespace, sought, 5)
        assert found[0].key == entries[7].key
        assert found == by_index.nearest(namespace, sought, 5)


def test_the_entries_of_others_are_counted(database: sql.Endpoint, namespace: str) -> None:
    EntryStore(database, EXAMPLE).add_many(samples.entries(CHANCE, f"{namespace}-ours", 3, EXAMPLE))
    before = crowd(database, EXAMPLE, namespace).others
    EntryStore(database, EXAMPLE).add_many(samples.entries(CHANCE, "somebody's", 4, EXAMPLE))
    after = crowd(database, EXAMPLE, namespace)
    assert (after.others - before, after.goes_on, after.version.split()[0]) == (4, True, "vector")


@pytest.mark.parametrize(
    ("others", "goes_on", "why"),
    [
        (0, True, ""),
        (CROWD, True, ""),
        (CROWD + 1, True, "the table holds more than 20,000 entries of others"),
        (0, False, ""),
        (1, False, "vector 0.7.4 searches a fixed number of candidates, .* 1 entries of others .pgvector 0.8"),
        (CROWD + 1, False, "the table holds more than 20,000 entries of others"),
    ],
)
def test_a_crowd_keeps_a_search_from_going_by_the_index(others: int, goes_on: bool, why: str) -> None:
    assert re.match(why or "$", Crowd(others, goes_on, "vector 0.7.4").why_not_by_index)


@pytest.mark.parametrize("index", ["", "USING hnsw (embedding vector_l2_ops)", "USING hnsw (embedding vector_ip_ops)"])
def test_a_search_without_its_index_says_so(database: sql.Endpoint, namespace: str, index: str) -> None:
    entry = samples.entry(CHANCE, namespace, EXAMPLE)
    EntryStore(database, EXAMPLE).add(entry)
    with sql.session(database, autocommit=False) as session:
        sql.execute(session, "DROP INDEX memory_entries_embedding")
        if index:
            sql.execute(session, f"CREATE INDEX another ON memory_entries {index}")
        search = Search(session, EXAMPLE)
        assert not search.indexes_used(namespace, entry.embedding or (), 5) & {"another", "memory_entries_embedding"}
        assert search.cosine_indexes() == set()


def test_distances_by_hand(database: sql.Endpoint) -> None:
    assert distance(database, PGVECTOR, "cosine", "[3, 4]", "[4, 3]") == pytest.approx(0.04)
    assert distance(database, PGVECTOR, "Euclidean", "[1, 2, 3]", "[3, 5, 9]") == pytest.approx(7)


def test_what_a_server_says_of_itself(database: sql.Endpoint, postgres: sql.Endpoint) -> None:
    assert (identity(database).database, identity(database).user) == ("entries", "postgres")
    assert identity(database).version >= 16
    assert system_identifier(database) == system_identifier(postgres)
    extension = vector_extension(database)
    assert extension is not None
    assert (extension.name, extension.installed) == ("vector", extension.at_hand)
    assert vector_extension(postgres) is None


def test_who_sees_an_entry(database: sql.Endpoint, namespace: str) -> None:
    entry = Entry(namespace, "key", "value")
    with sql.session(database, autocommit=False) as session:
        write_uncommitted(session, EXAMPLE, entry)
        assert sightings(database, EXAMPLE, entry, sessions=2) == ()
        session.commit()
        assert sightings(database, EXAMPLE, entry, sessions=2) == (entry, entry)


def test_a_write_that_its_own_session_does_not_see_proves_nothing(database: sql.Endpoint, namespace: str) -> None:
    sql.execute(
        database,
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
        "CREATE TRIGGER swallow BEFORE INSERT ON memory_entries FOR EACH ROW "
        "WHEN (NEW.key = 'swallowed') EXECUTE FUNCTION swallow()",
    )
    with sql.session(database, autocommit=False) as session, pytest.raises(Inconclusive):
        write_uncommitted(session, EXAMPLE, Entry(namespace, "swallowed", ""))
