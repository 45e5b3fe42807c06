"""Workloads whose times are judged: repeated reads and searches, markers looked for on replicas."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from conftest import free_port

from support import sql
from support.cluster.checks import every_marker_arrived, sightings
from support.cluster.workloads import read_repeatedly, search_repeatedly, write_markers_and_watch
from support.engine.history import History, Outcome
from support.engine.workload import record
from support.example_app import samples, schema
from support.example_app.entries import Entry, EntryStore
from support.example_app.known_profiles import EXAMPLE
from support.example_app.vectors import PGVECTOR


@pytest.fixture(scope="module")
def database(postgres: sql.Endpoint) -> Iterator[sql.Endpoint]:
    """A database of its own with the application's schema."""
    sql.execute(postgres, "CREATE DATABASE timed")
    ours = replace(postgres, database="timed")
    sql.execute(ours, "CREATE EXTENSION vector")
    schema.create(ours, PGVECTOR)
    yield ours
    sql.execute(postgres, "DROP DATABASE timed WITH (FORCE)")


def test_an_answer_is_recorded_and_returned() -> None:
    history = History()
    assert record(history, "ask", "key", lambda: 42) == 42
    (operation,) = history
    assert (operation.value, operation.outcome, operation.key) == (42, Outcome.OK, "key")
    assert operation.begun <= operation.ended


def test_a_refusal_is_recorded(database: sql.Endpoint) -> None:
    history = History()
    assert record(history, "ask", "", lambda: sql.value(database, "SELECT 1/0")) is None
    (operation,) = history
    assert (operation.outcome, operation.error) == (Outcome.FAIL, "division by zero")


def test_a_mistake_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        record(History(), "ask", "", lambda: 1 / 0)


def test_reads_are_counted_without_the_warm_up(database: sql.Endpoint) -> None:
    entry = samples.entry(random.Random(1), "reads", EXAMPLE)
    EntryStore(database, EXAMPLE).add(entry)
    history = read_repeatedly(database, EXAMPLE, entry, 30)
    assert [one.value for one in history] == [True] * 30


def test_a_read_that_brings_something_else_is_told(database: sql.Endpoint) -> None:
    EntryStore(database, EXAMPLE).add(Entry("other", "key", "stored"))
    history = read_repeatedly(database, EXAMPLE, Entry("other", "key", "expected"), 3)
    assert [one.value for one in history] == [False] * 3


def test_searches_give_what_was_found_and_by_which_index(database: sql.Endpoint) -> None:
    entries = samples.entries(random.Random(2), "searches", 100, EXAMPLE)
    EntryStore(database, EXAMPLE).add_many(entries)
    found = search_repeatedly(database, EXAMPLE, "searches", samples.embeddings(entries[:7]), 3)
    assert [answer[0][0] for _, answer in found.answers] == samples.keys(entries[:7])
    assert found.origins == [{"searches": 3}] * 7
    assert set(found.indexes_used) == {found.cosine_indexes} == {frozenset({"memory_entries_embedding"})}


def test_markers_are_seen_on_every_replica(database: sql.Endpoint) -> None:
    history = History()
    replicas = [replace(database, name="one"), replace(database, name="two")]
    write_markers_and_watch(database, replicas, EXAMPLE, "markers", 5, patience=5, history=history)
    seen = sightings(history, ["one", "two"])
    assert len(seen) == 10
    assert every_marker_arrived(seen, 5).holds


def test_markers_that_do_not_arrive_are_late(database: sql.Endpoint) -> None:
    """The replica is one that shows the table as it was: a view of nothing."""
    sql.execute(database, "CREATE SCHEMA old; CREATE VIEW old.memory_entries AS SELECT * FROM memory_entries LIMIT 0")
    history = History()
    stuck = replace(database, name="stuck", options={"options": "-c search_path=old"})
    write_markers_and_watch(database, [stuck, database], EXAMPLE, "stuck", 3, patience=1, history=history)
    finding = every_marker_arrived(sightings(history, ["stuck", database.name]), 1)
    assert finding.holds is False
    assert "3 of 6 times" in finding.words
    assert "on stuck" in finding.words


def test_a_replica_that_does_not_answer_proves_nothing(database: sql.Endpoint) -> None:
    history = History()
    gone = replace(database, name="gone", port=free_port())
    write_markers_and_watch(database, [gone], EXAMPLE, "gone", 2, patience=0.5, history=history)
    assert every_marker_arrived(sightings(history, ["gone"]), 0.5).holds is None
