"""What is said of distances and searches where servers give another answer, or none."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psycopg2.errors
import pytest

from steps.cluster import vector_steps
from steps.cluster.vector_steps import step_distance_is
from support import sql
from support.cluster.handover import ClusterHandover
from support.engine.world import Context, World
from support.errors import Inconclusive
from support.example_app import schema
from support.example_app.search import Neighbour, Search
from support.example_app.vectors import PGVECTOR
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.members import NoAnswer
from support.target.topology import Address, Login, Topology

SILENT = NoAnswer("pg_hba.conf rejects the connection")


def judge(distances: Mapping[str, float | NoAnswer]) -> None:
    world = SimpleNamespace(handover=lambda kind: SimpleNamespace(distances=distances))
    step_distance_is(cast(Context, SimpleNamespace(world=world)), 0.5)


def test_everybody_computes_the_distance() -> None:
    judge({"m1": 0.5, "m2": 0.5 + 1e-7})


@pytest.mark.parametrize("other", [0.5, SILENT])
def test_another_distance_is_told_whoever_is_silent(other: float | NoAnswer) -> None:
    with pytest.raises(AssertionError, match=r"distances computed: \{'m1': 0\.4"):
        judge({"m1": 0.4, "m2": other})


@pytest.mark.parametrize("other", [0.5, SILENT])
def test_silence_is_no_distance(other: float | NoAnswer) -> None:
    with pytest.raises(Inconclusive, match=r"m2: no answer \(pg_hba\.conf"):
        judge({"m1": other, "m2": SILENT})


def test_nobody_was_asked() -> None:
    with pytest.raises(Inconclusive, match="nobody was asked"):
        judge({})


@pytest.fixture
def context(postgres: sql.Endpoint, tmp_path: Path) -> Iterator[Context]:
    """Of a world with the application's tables, and 200 entries."""
    sql.execute(postgres, "CREATE DATABASE searches")
    there = replace(postgres, database="searches")
    sql.execute(there, "CREATE EXTENSION vector")
    schema.create(there, PGVECTOR)
    topology = Topology("searches", Login(there.user, there.password), Address(there.host, there.port))
    run = Run("1", tmp_path, tmp_path, 1)
    world = World(run, Cluster(topology), Evidence(), namespace=f"{run.namespace}-own")
    made = cast(Context, SimpleNamespace(world=world))
    with world.cleanup:
        vector_steps.step_entries_with_embeddings(made, 200)
        yield made
    sql.execute(postgres, "DROP DATABASE searches WITH (FORCE)")


JUDGED: Mapping[str, Callable[[Context], None]] = {
    "order": vector_steps.step_in_order,
    "recall": partial(vector_steps.step_recall, count=10, fraction=0.9),
    "the same as before": vector_steps.step_same_answers,
}


def search_and_judge(context: Context) -> Iterator[tuple[str, AssertionError | None]]:
    """What the steps say that judge some searches, as if these had been repeated with the same result."""
    vector_steps.step_search(context, 10, 40)
    state = context.world.handover(ClusterHandover)
    state.earlier_searches = state.searches
    for name, step in JUDGED.items():
        try:
            step(context)
            yield name, None
        except AssertionError as error:
            yield name, error


def test_searches_that_are_all_answered_are_judged_by_their_answers(context: Context) -> None:
    assert dict(search_and_judge(context)) == dict.fromkeys(JUDGED)


def test_a_search_that_fails_is_not_left_out_of_what_is_judged(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one page of the index is damaged: all other searches find what they should."""
    nearest, calls = Search.nearest, itertools.count()

    def on_a_damaged_page(self: Search, namespace: str, sought: Sequence[float], count: int) -> list[Neighbour]:
        if next(calls) == 25:  # later than the searches that are not recorded
            raise psycopg2.errors.DataCorrupted("invalid page in block 7")
        return nearest(self, namespace, sought, count)

    monkeypatch.setattr(Search, "nearest", on_a_damaged_page)
    said = {name: str(error) for name, error in search_and_judge(context)}
    expected = r"1 operation \(search\) failed, the first with: .*invalid page in block 7"
    assert {name: bool(re.search(expected, words)) for name, words in said.items()} == dict.fromkeys(JUDGED, True)
