"""A broken driver breaks what it is meant to break, by the calls that the scenarios make."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from support import sql
from support.engine import counter
from support.engine.checks.exactly_once import each_applied_once
from support.engine.history import History
from support.engine.workload import Workload
from support.example_app import schema
from support.example_app.known_profiles import EXAMPLE
from support.example_app.vectors import PGVECTOR
from support.sabotage.application import counts_twice_or_not_at_all


@pytest.fixture
def database(postgres: sql.Endpoint) -> Iterator[sql.Endpoint]:
    sql.execute(postgres, "CREATE DATABASE driven")
    ours = replace(postgres, database="driven")
    sql.execute(ours, "CREATE EXTENSION vector")
    schema.create(ours, PGVECTOR)
    yield ours
    sql.execute(postgres, "DROP DATABASE driven WITH (FORCE)")


@pytest.mark.parametrize("broken", [False, True])
def test_operations_that_are_applied_twice_or_not_at_all(
    database: sql.Endpoint, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    counter.create(database, EXAMPLE, "driven")
    monkeypatch.setattr(sql, "rows", sql.rows)  # put back at the end, whatever takes its place
    if broken:
        counts_twice_or_not_at_all()
    history = History()
    with Workload(database, counter.operations(EXAMPLE, "driven"), clients=2, history=history) as workload:
        counted = counter.close_count(workload, database, EXAMPLE, "driven", within=10)
    finding = each_applied_once(history, counted.applied, counted.counter)
    if broken:
        assert finding.holds is False
        assert "acknowledged but not applied" in finding.words
        assert "claimed by no operation" in finding.words
    else:
        assert finding.holds is None, "no answer was lost"
