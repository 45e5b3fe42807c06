"""Transactions on a real PostgreSQL: what their level promises holds, and what it does not promise is found."""

from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from steps.isolation.transaction_steps import step_isolated
from support import sql
from support.engine.history import Outcome
from support.engine.workload import Task, Turn, Workload, run_to_end
from support.engine.world import Context
from support.errors import NotInTime
from support.example_app.known_profiles import EXAMPLE
from support.isolation import second_opinion
from support.isolation.checks import Observed, isolated
from support.isolation.handover import IsolationHandover
from support.isolation.levels import Anomaly, Level
from support.isolation.transactions import FINAL_READER, TRANSACTION, Access, Kind, transactions_of
from support.isolation.workloads import Items, plan, read_at_the_end, transactions
from support.waiting import NotYet, eventually, pause

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


def test_what_is_read_before_its_writer_has_its_answer_is_no_anomaly(
    database: sql.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients do not get through in time, so what they have done is judged: by then, all of them have ended."""
    items, handover = Items(EXAMPLE, ["unanswered"]), IsolationHandover()
    items.create(database)

    def write(session: sql.Session) -> tuple[Access, ...]:
        done = (items.perform(session, Access(Kind.LIST, "0", wrote=1)),)
        session.commit()
        pause(2)  # its answer is on the way
        return done

    def read(session: sql.Session) -> tuple[Access, ...]:
        return (items.perform(session, Access(Kind.LIST, "0")),)

    def script(turn: Turn) -> Task:
        writes = (turn.client, turn.number) == (0, 1)
        planned, perform = (Access(Kind.LIST, "0", wrote=1 if writes else None),), write if writes else read
        return Task(TRANSACTION, f"{turn.client}-{turn.number}", planned, perform, transaction=True)

    def seen() -> None:
        if not any(access.saw for one in workload.history for access in one.value):
            raise NotYet("nobody has read what was written")

    monkeypatch.setattr(second_opinion, "is_there", lambda: False)
    topology = SimpleNamespace(expectations=SimpleNamespace(distributed_snapshots=None))
    world = SimpleNamespace(
        cluster=SimpleNamespace(write=database, topology=topology),
        timing=SimpleNamespace(recovery=0.3),
        handover=lambda _: handover,
        measure=lambda *_: None,
        evidence=SimpleNamespace(attach=lambda *_: None, attach_lines=lambda *_: None),
    )
    with Workload(database, script, clients=2, pace=0.1, patience=5) as workload:
        handover.level, handover.items, handover.running = Level.READ_COMMITTED, items, workload
        eventually(seen, within=1, subject="the other client reads it")
        with pytest.raises(NotInTime, match="50 more operations"):
            step_isolated(cast(Context, SimpleNamespace(world=world)))
    assert sum(access.wrote == 1 for one in workload.history for access in one.value) == 1
