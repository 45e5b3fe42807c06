"""Transactions on a real PostgreSQL: what their level promises holds, and what it does not promise is found."""

from random import Random

import pytest

from support import sql
from support.engine.history import Outcome
from support.engine.workload import Turn, run_to_end
from support.example_app.known_profiles import EXAMPLE
from support.isolation.checks import Observed, isolated
from support.isolation.levels import Anomaly, Level
from support.isolation.transactions import FINAL_READER, Kind, transactions_of
from support.isolation.workloads import Items, plan, read_at_the_end, transactions

PLANS = [plan(Turn(client, number, Random(f"{client}/{number}"))) for client in range(8) for number in range(100)]


@pytest.fixture(scope="module")
def database(postgres: sql.Endpoint) -> sql.Endpoint:
    sql.execute(
        postgres,
        "CREATE TABLE IF NOT EXISTS memory_entries (namespace text, key text, value text, version bigint, "
        "PRIMARY KEY (namespace, key))",
    )
    return postgres


def run(database: sql.Endpoint, level: Level, name: str, judged: Level | None = None) -> Observed:
    """What clients at that level did, to be judged as if they were at another one."""
    items = Items(EXAMPLE, [name])
    items.create(database)
    history = run_to_end(database, transactions(items, level, times=60), clients=6)
    read_at_the_end(database, items, history, within=10)
    return Observed(judged or level, transactions_of(history), {})


def test_no_value_is_written_twice() -> None:
    written = [access.wrote for planned in PLANS for access in planned if access.wrote]
    assert len(written) == len(set(written)) > 500


def test_writes_are_in_one_order_so_that_few_transactions_block_one_another() -> None:
    for planned in PLANS:
        targets = [access.item for access in planned if access.wrote]
        assert targets == sorted(targets)


def test_every_kind_of_item_is_read_and_written() -> None:
    done = {(access.kind, bool(access.wrote)) for planned in PLANS for access in planned}
    assert done == {(kind, wrote) for kind in Kind for wrote in (True, False)}


@pytest.mark.parametrize("level", Level)
def test_a_level_is_what_it_promises(database: sql.Endpoint, level: Level) -> None:
    observed = run(database, level, f"at {level}")
    finding = isolated(observed)
    assert finding.holds, finding.words
    assert observed.transactions[-1].client == FINAL_READER
    assert any(one.outcome is Outcome.FAIL for one in observed.transactions), "some are rolled back on purpose"


@pytest.mark.parametrize(
    ("level", "judged", "anomaly"),
    [
        (Level.READ_COMMITTED, Level.REPEATABLE_READ, Anomaly.LOST_UPDATE),
        (Level.READ_COMMITTED, Level.SERIALIZABLE, Anomaly.READ_SKEW),
        (Level.REPEATABLE_READ, Level.SERIALIZABLE, Anomaly.WRITE_SKEW),
    ],
)
def test_a_level_that_was_not_given_is_noticed_within_seconds(
    database: sql.Endpoint, level: Level, judged: Level, anomaly: Anomaly
) -> None:
    observed = run(database, level, f"at {level}, not {judged}", judged)
    assert anomaly in {one.anomaly for one in observed.violations}
    assert isolated(observed).holds is False
