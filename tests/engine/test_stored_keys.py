"""Keys that scenarios store: an application's table may take no others than lower-case letters, digits and hyphens."""

import re
from functools import partial

import pytest

from support import sql
from support.cache import cold, outages
from support.engine import counter, ledger
from support.engine.checks.exactly_once import Applied
from support.engine.history import Outcome
from support.engine.workload import run_to_end
from support.example_app.known_profiles import EXAMPLE
from support.failover.degradation import ENTRY
from support.failover.partition import UNREPLICATED
from support.isolation import sessions
from support.isolation.transactions import Access, Kind
from support.isolation.workloads import Items

SLUG = "[a-z0-9-]+"


@pytest.fixture
def database(empty: sql.Endpoint) -> sql.Endpoint:
    """Its table of entries refuses all other keys."""
    check = f"CHECK (key ~ '^{SLUG}$')"
    sql.execute(
        empty,
        f"CREATE TABLE memory_entries (namespace text, key text {check}, value text, PRIMARY KEY (namespace, key))",
    )
    return empty


def test_of_transactions(database: sql.Endpoint) -> None:
    items = Items(EXAMPLE, ["n"])
    items.create(database)
    with sql.session(database) as session:
        items.perform(session, Access(Kind.SET, "3", wrote=17))
        assert items.perform(session, Access(Kind.SET, "3")).saw == (17,)


def test_of_sessions(database: sql.Endpoint) -> None:
    sessions.own_entries(database, EXAMPLE, "n", clients=2)
    history = run_to_end(database, sessions.writing_and_reading(EXAMPLE, "n", times=1), clients=2)
    assert [(one.outcome, one.value) for one in history] == [(Outcome.OK, (1, 1))] * 2


def test_of_a_counter(database: sql.Endpoint) -> None:
    counter.create(database, EXAMPLE, "n")
    counter._count(partial(sql.rows, database), EXAMPLE, counter._values("n", "0-1"))
    assert counter._final_count(database, EXAMPLE, "n").applied == (Applied("0-1", 1),)


def test_of_a_ledger(database: sql.Endpoint) -> None:
    run_to_end(database, ledger.appends(EXAMPLE, "n", times=1), clients=1)
    assert list(ledger.entries_on(database, EXAMPLE, "n")) == ["0-0"]


@pytest.mark.parametrize("key", [*cold.keys(2), *outages.own_keys(1), ENTRY, UNREPLICATED])
def test_of_other_entries(key: str) -> None:
    assert re.fullmatch(SLUG, key)
