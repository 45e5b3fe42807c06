"""What refuses an embedding of the wrong size, and counts that take too long; on a real PostgreSQL and a real Citus."""

import dataclasses
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from steps.cluster import entry_steps
from support import sql
from support.engine.world import Context, World
from support.errors import Inconclusive
from support.example_app import entries
from support.example_app.profile import Entries, Profile
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

PROFILE = Profile("docs", Entries("docs", embedding="vec", dimensions=8))
SIZES = ("2 dimensions", "one dimension too few", "one dimension too many")
Storing = Callable[[str, str], Context]
"""A table's definition after its text columns, and the content to store there -> the scenario after that."""


@pytest.fixture
def storing(postgres: sql.Endpoint, tmp_path: Path) -> Iterator[Storing]:
    sql.execute(postgres, "CREATE DATABASE sizes")
    there = dataclasses.replace(postgres, database="sizes")
    sql.execute(there, "CREATE EXTENSION vector")
    topology = Topology("sizes", Login(there.user, there.password), Address(there.host, there.port), profile=PROFILE)

    def stored(definition: str, content: str) -> Context:
        sql.execute(there, f"CREATE TABLE docs (namespace text, key text, value text, {definition})")
        run = Run("1", tmp_path, tmp_path, 1)
        world = World(run, Cluster(topology), Evidence(), namespace="n", random=random.Random(2))
        context = cast(Context, SimpleNamespace(world=world))
        entry_steps.step_store_entry(context, content)
        return context

    yield stored
    sql.execute(postgres, "DROP DATABASE sizes WITH (FORCE)")


@pytest.mark.parametrize("definition", ["vec vector(8)", "vec vector CHECK (vector_dims(vec) = 8)"])
@pytest.mark.parametrize("size", SIZES)
def test_the_column_or_a_constraint_of_it_may_refuse_an_embedding(storing: Storing, definition: str, size: str) -> None:
    context = storing(definition, f"an embedding of {size}")
    entry_steps.step_refused_dimensions(context)
    entry_steps.step_nothing_stored(context)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("vec vector", "no error: it was stored"),
        (
            "vec vector, CHECK (value = 'another')",
            r"constraint \"docs_value_check\".* is not about the embedding",
        ),
        ("vec vector, needed text NOT NULL", r"null value in column \"needed\""),
    ],
)
def test_what_refuses_it_for_another_reason_does_not_count(storing: Storing, definition: str, said: str) -> None:
    context = storing(definition, "an embedding of 2 dimensions")
    with pytest.raises(AssertionError, match=f"(?s){said}"):
        entry_steps.step_refused_dimensions(context)


@pytest.mark.parametrize(("value", "note", "refused"), [("12", "1234", True), ("1", "123", False)])
def test_the_constraint_of_a_shard_is_the_tables(citus: sql.Endpoint, value: str, note: str, refused: bool) -> None:
    """The coordinator passes on the worker's message, which names it. Here, any text plays the embedding."""
    table = f"noted_{len(note)}"
    columns = "namespace text, key text, value text CHECK (length(value) > 1), note text"
    sql.execute(citus, f"CREATE TABLE {table} ({columns})")
    sql.execute(citus, "SELECT create_distributed_table(%s, 'namespace', shard_count => 2)", [table])
    sql.execute(citus, f"ALTER TABLE {table} ADD CHECK (length(note) = 3)")
    error = sql.error_of(lambda: sql.execute(citus, f"INSERT INTO {table} VALUES ('n', 'k', %s, %s)", [value, note]))
    profile = Profile(table, Entries(table, embedding="note"))
    world = SimpleNamespace(error=error, cluster=SimpleNamespace(write=citus), profile=profile)
    context = cast(Context, SimpleNamespace(world=world))
    if refused:
        entry_steps.step_refused_dimensions(context)
    else:
        with pytest.raises(AssertionError, match="is not about the embedding"):
            entry_steps.step_refused_dimensions(context)


SLOW = """
    CREATE FUNCTION counted() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        IF {} THEN RETURN true; END IF;
        PERFORM pg_cancel_backend(pg_backend_pid());
        PERFORM pg_sleep(60);
    END $$;
    CREATE TABLE stored AS SELECT generate_series(1, 50) n;
    CREATE VIEW notes AS SELECT n FROM stored WHERE counted()
"""
"""A count is cancelled as soon as it begins, as by a timeout, unless the planner's settings are these."""


def count_notes(empty: sql.Endpoint, tmp_path: Path, settings: str) -> None:
    sql.execute(empty, SLOW.format(settings))
    topology = Topology(
        empty.database,
        Login(empty.user, empty.password),
        Address(empty.host, empty.port),
        profile=Profile("notes", Entries("notes")),
    )
    world = World(Run("1", tmp_path, tmp_path, 1), Cluster(topology), Evidence(), namespace="n")
    entry_steps.step_counted_right(cast(Context, SimpleNamespace(world=world)))


@pytest.mark.parametrize(
    ("settings", "counted"), [("false", 0), ("current_setting('enable_indexscan')::boolean", 1)], ids=["none", "one"]
)
def test_counts_of_which_none_can_be_compared_are_no_evidence(
    empty: sql.Endpoint, tmp_path: Path, settings: str, counted: int
) -> None:
    with pytest.raises(Inconclusive, match=f"so {counted} of 3 ways of counting could be tried to the end"):
        count_notes(empty, tmp_path, settings)


def test_two_counts_can_be_compared(empty: sql.Endpoint, tmp_path: Path) -> None:
    count_notes(empty, tmp_path, "current_setting('enable_seqscan')::boolean")


def test_of_a_very_large_table_only_the_plans_are_judged(
    empty: sql.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "LARGEST", -1)
    count_notes(empty, tmp_path, "false")
