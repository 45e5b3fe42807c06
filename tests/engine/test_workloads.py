"""Workloads against a real PostgreSQL: what is recorded, what is raised, what happens to a client that hangs."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bounds import takes_less_than
from conftest import free_port
from hamcrest import assert_that, is_
from poolers import pgbouncer

from support import sql
from support.cluster import workloads
from support.engine import counter, ledger
from support.engine import counter as retries
from support.engine.history import History, Outcome
from support.engine.workload import EASED, Client, Script, Task, Turn, Workload
from support.engine.world import World
from support.errors import Inconclusive, NotInTime
from support.example_app.known_profiles import EXAMPLE
from support.failover import degradation
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, Topology
from support.waiting import eventually


@pytest.fixture(scope="module")
def database(postgres: sql.Endpoint) -> sql.Endpoint:
    sql.execute(
        postgres,
        "CREATE TABLE IF NOT EXISTS memory_entries (namespace text, key text, value text, version bigint, "
        "PRIMARY KEY (namespace, key))",
    )
    return postgres


def always(perform: Callable[[sql.Session], Any], times: int | None = None, transaction: bool = False) -> Script:
    """The same task in every turn."""

    def script(turn: Turn) -> Task | None:
        return None if turn.number == times else Task("try", str(turn.number), None, perform, transaction)

    return script


def outcomes(history: History) -> list[Outcome]:
    return [operation.outcome for operation in history]


def test_every_operation_is_in_the_history(database: sql.Endpoint) -> None:
    with Workload(database, ledger.appends(EXAMPLE, "all", times=10), clients=4) as workload:
        workload.await_end(10)
    ledger.read_back(database, EXAMPLE, "all", workload.history)
    acknowledged = {one.value for one in workload.history.of(action="append", outcome=Outcome.OK)}
    assert len(acknowledged) == 40
    assert set(workload.history.of(action="read")[0].value) == acknowledged
    assert all(one.begun <= one.ended for one in workload.history)


def test_clients_are_at_work_at_the_same_time(database: sql.Endpoint) -> None:
    with Workload(database, workloads.questions(2), clients=20) as workload:
        workload.await_end(10)
    first = [min(one.begun for one in workload.history if one.client == client) for client in range(20)]
    last = [max(one.ended for one in workload.history if one.client == client) for client in range(20)]
    assert max(first) < min(last)


def test_eased_clients_rest_after_each_operation_until_they_work_at_full_speed_again(database: sql.Endpoint) -> None:
    with Workload(database, always(lambda session: sql.execute(session, "SELECT 1")), clients=2) as workload:
        workload.ease()
        eased_from = time.monotonic()
        workload.await_acknowledged(20, within=30)
        eased_until = time.monotonic()
        workload.full_speed()
        workload.await_acknowledged(200, within=30)
    pairs = [pair for number in range(2) for pair in pairwise(one for one in workload.history if one.client == number)]
    eased = [after.begun - before.ended for before, after in pairs if eased_from < before.ended < eased_until - EASED]
    hurried = [after.begun - before.ended for before, after in pairs if before.ended > eased_until]
    assert len(eased) >= 10
    assert min(eased) > 0.9 * EASED
    assert min(hurried) < 0.5 * EASED


def test_all_clients_of_a_scenario_are_eased_once_they_work_except_while_a_fault_is_injected(
    database: sql.Endpoint, tmp_path: Path
) -> None:
    world = World(
        Run("run", tmp_path, tmp_path, 1),
        Cluster(Topology("db", Login("app", ""), Address("127.0.0.1", 1))),
        Evidence(),
    )

    def pauses(workload: Workload) -> list[float]:
        before = len(workload.history)
        workload.await_acknowledged(10, within=30)
        return [after.begun - before.ended for before, after in pairwise(list(workload.history)[before:])]

    with world.cleanup:
        both = [Workload(database, always(lambda session: sql.execute(session, "SELECT 1")), clients=1) for _ in "ab"]
        for workload in both:
            world.start(workload, acknowledged=10)
        assert all(min(pauses(workload)) > 0.9 * EASED for workload in both)
        with world.clients_at_full_speed():
            assert all(min(pauses(workload)) < 0.5 * EASED for workload in both)
        assert all(max(pauses(workload)) > 0.9 * EASED for workload in both)


def test_the_same_seed_gives_the_same_chances(database: sql.Endpoint) -> None:
    def drawn(seed: int) -> dict[tuple[int, str], Any]:
        def script(turn: Turn) -> Task | None:
            value = turn.random.random()
            return None if turn.number == 3 else Task("draw", str(turn.number), value, lambda _: None)

        with Workload(database, script, clients=2, seed=seed) as workload:
            workload.await_end(10)
        return {(one.client, one.key): one.value for one in workload.history}

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert len(set(drawn(1).values())) == 6


def test_increments_under_a_row_lock_all_count(database: sql.Endpoint) -> None:
    counter.create(database, EXAMPLE, "locked")
    with Workload(database, counter.increments(EXAMPLE, "locked", times=20), clients=5) as workload:
        workload.await_end(20)
    assert counter.reading(database, EXAMPLE, "locked") == 100
    assert sorted(one.value for one in workload.history) == list(range(1, 101))


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_increments_all_count_whatever_the_usual_level_of_the_database_is(database: sql.Endpoint, level: str) -> None:
    counter.create(database, EXAMPLE, level)
    given = "-c default_transaction_isolation=" + level.replace(" ", "\\ ")
    usual = replace(database, options={**database.options, "options": given})
    assert sql.value(usual, "SHOW transaction_isolation") == level
    with Workload(usual, counter.increments(EXAMPLE, level, times=20), clients=5) as workload:
        workload.await_end(20)
    assert outcomes(workload.history) == [Outcome.OK] * 100
    assert counter.reading(database, EXAMPLE, level) == 100


def test_the_sqlstate_of_an_error_is_recorded(database: sql.Endpoint) -> None:
    def write(session: sql.Session) -> None:
        sql.execute(session, "SET TRANSACTION READ ONLY")
        sql.execute(session, "INSERT INTO memory_entries VALUES ('read-only', 'key', '')")

    with Workload(database, always(write, times=1, transaction=True), clients=1) as workload:
        workload.await_end(10)
    assert [one.code for one in workload.history] == ["25006"]
    with Workload(database, always(lambda one: sql.value(one, "SELECT 1"), times=1), clients=1) as workload:
        workload.await_end(10)
    assert [one.code for one in workload.history] == [""]


def test_a_refused_statement_is_a_fail_and_the_client_goes_on(database: sql.Endpoint) -> None:
    with Workload(database, always(lambda one: sql.execute(one, "SELECT 1/0"), times=3), clients=1) as workload:
        workload.await_end(10)
    assert outcomes(workload.history) == [Outcome.FAIL] * 3
    assert "division by zero" in next(iter(workload.history)).error


def test_a_transaction_that_is_refused_leaves_nothing_and_the_session_is_used_again(database: sql.Endpoint) -> None:
    backends = set()

    def twice(session: sql.Session) -> None:
        backends.add(session.get_backend_pid())
        sql.execute(session, "INSERT INTO memory_entries VALUES ('twice', 'key', '')")
        sql.execute(session, "INSERT INTO memory_entries VALUES ('twice', 'key', '')")

    with Workload(database, always(twice, times=3, transaction=True), clients=1) as workload:
        workload.await_end(10)
    assert outcomes(workload.history) == [Outcome.FAIL] * 3
    assert sql.value(database, "SELECT count(*) FROM memory_entries WHERE namespace = 'twice'") == 0
    assert len(backends) == 1


def test_a_client_whose_session_is_killed_logs_in_again(database: sql.Endpoint) -> None:
    def die_first(turn: Turn) -> Task | None:
        statement = "SELECT pg_terminate_backend(pg_backend_pid())" if turn.number == 0 else "SELECT 1"
        return None if turn.number == 2 else Task("try", "", None, lambda session: sql.execute(session, statement))

    with Workload(database, die_first, clients=1) as workload:
        workload.await_end(10)
    assert outcomes(workload.history) == [Outcome.UNKNOWN, Outcome.OK]


def test_where_nobody_listens_every_operation_fails_for_certain() -> None:
    nobody = sql.Endpoint("nobody", "127.0.0.1", free_port(), "postgres", "postgres", "")
    with Workload(nobody, ledger.appends(EXAMPLE, "nowhere", times=2), clients=2) as workload:
        workload.await_end(10)
    assert outcomes(workload.history) == [Outcome.FAIL] * 4
    assert workload.acknowledged == 0


def test_a_client_hangs_up_on_a_server_that_outlasts_its_patience(database: sql.Endpoint) -> None:
    def sleep(session: sql.Session) -> None:
        sql.execute(session, "SELECT set_config('statement_timeout', '0', false)")  # as if the server were frozen
        sql.execute(session, "SELECT pg_sleep(30)")

    begun = time.monotonic()
    with takes_less_than(6), Workload(database, always(sleep, times=1), clients=1, patience=2) as workload:
        workload.await_end(25)
    assert outcomes(workload.history) == [Outcome.UNKNOWN]
    assert time.monotonic() - begun > 2


def test_an_error_that_is_no_answer_of_the_database_is_raised(database: sql.Endpoint) -> None:
    started = threading.Event()

    def mistaken(turn: Turn) -> Task | None:
        if turn.client == 2 and started.is_set():
            raise ZeroDivisionError("a mistake in the script")
        return Task("try", "", None, lambda _: None)

    workload = Workload(database, mistaken, clients=3)
    workload.start()
    started.set()
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        workload.await_end(60)
    assert not workload.running
    workload.stop()  # says it once


def test_an_error_before_the_first_operation_does_not_hang_the_start(database: sql.Endpoint) -> None:
    def mistaken(turn: Turn) -> Task | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Workload(database, mistaken, clients=3).start()


def test_an_error_of_the_body_comes_first_and_that_of_a_client_is_noted(database: sql.Endpoint) -> None:
    from_now_on = threading.Event()

    def mistaken(turn: Turn) -> Task | None:
        if from_now_on.is_set():
            raise ZeroDivisionError
        return Task("try", "", None, lambda _: None)

    workload = Workload(database, mistaken, clients=1)

    def body() -> None:
        with workload:
            from_now_on.set()
            eventually(lambda: assert_that(workload.running, is_(False)), within=60, subject="the client is stopped")
            raise KeyError("of the body")

    with pytest.raises(KeyError) as caught:
        body()
    assert any("ZeroDivisionError" in note for note in caught.value.__notes__)


def test_stopping_ends_clients_that_would_go_on_for_ever(database: sql.Endpoint) -> None:
    workload = Workload(database, ledger.appends(EXAMPLE, "endless"), clients=3)
    workload.start()
    workload.await_acknowledged(30, within=60)
    assert workload.running
    workload.stop()
    assert not workload.running
    assert workload.acknowledged >= 30


def test_waiting_for_what_does_not_come_says_how_far_it_came(database: sql.Endpoint) -> None:
    with (
        Workload(database, always(lambda _: None, times=5), clients=1) as workload,
        pytest.raises(NotInTime, match="more operations of 1 clients of a throw-away PostgreSQL"),
    ):
        workload.await_acknowledged(1000, within=0.3)


def test_eight_clients_get_through_a_thousand_writes_a_second(database: sql.Endpoint) -> None:
    with Workload(database, ledger.appends(EXAMPLE, "fast"), clients=8) as workload, takes_less_than(3):
        workload.await_acknowledged(3000, within=60)


def test_what_is_retried_is_tried_until_it_is_acknowledged(database: sql.Endpoint) -> None:
    answers = iter(["SELECT 1/0", "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 1", "SELECT 1"])

    def script(turn: Turn) -> Task | None:
        if turn.number == 2:
            return None
        return Task("try", str(turn.number), None, lambda one: sql.execute(one, next(answers)), retried=True)

    with Workload(database, script, clients=1) as workload:
        workload.await_end(10)
    expected = [("0", Outcome.FAIL), ("0", Outcome.UNKNOWN), ("0", Outcome.OK), ("1", Outcome.OK)]
    assert [(one.key, one.outcome) for one in workload.history] == expected


def test_stopping_ends_a_client_that_retries_in_vain(database: sql.Endpoint) -> None:
    def script(_: Turn) -> Task:
        return Task("try", "", None, lambda one: sql.execute(one, "SELECT 1/0"), retried=True)

    with Workload(database, script, clients=2) as workload:
        assert workload.running
    assert not workload.running
    assert set(outcomes(workload.history)) == {Outcome.FAIL}


def test_a_commit_that_stopped_to_wait_for_its_standby_is_in_doubt(database: sql.Endpoint) -> None:
    statements = ["SELECT 1", "INSERT INTO memory_entries VALUES ('alone', 'key', '')"]

    def script(turn: Turn) -> Task | None:
        if turn.number == len(statements):
            return None
        return Task("try", "", None, lambda one: sql.execute(one, statements[turn.number]))

    def cancel_the_wait() -> None:
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        assert_that(sql.rows(database, cancel), is_([(True,)]))

    sql.execute(database, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    try:
        sql.execute(database, "SELECT pg_reload_conf()")
        with Workload(database, script, clients=1) as workload:
            eventually(cancel_the_wait, within=10, subject="a commit waits for its standby, and is told not to")
            workload.await_end(10)
    finally:
        sql.execute(database, "ALTER SYSTEM RESET synchronous_standby_names")
        sql.execute(database, "SELECT pg_reload_conf()")
    assert outcomes(workload.history) == [Outcome.OK, Outcome.UNKNOWN]
    assert "might not have been replicated" in list(workload.history)[1].error


def test_an_operation_that_is_repeated_counts_once(database: sql.Endpoint) -> None:
    counter.create(database, EXAMPLE, "once")
    task = retries.operations(EXAMPLE, "once")(Turn(0, 0, Random(0)))
    assert task is not None
    with sql.session(database) as session:
        for _ in range(3):
            task.perform(session)
    assert counter.final_reading(database, EXAMPLE, "once") == 1


@pytest.mark.parametrize("pooled", [False, True], ids=["by a session", "by a pool"])
def test_an_operation_that_violates_another_key_is_not_taken_for_applied(database: sql.Endpoint, pooled: bool) -> None:
    """The first number that it draws for a further unique column is taken."""
    table, namespace = "numbered_by_pool" if pooled else "numbered", "once"
    sql.execute(
        database,
        f"CREATE SEQUENCE drawn_for_{table}; CREATE TABLE {table} (namespace text, key text, value text, "
        f"number bigint UNIQUE, PRIMARY KEY (namespace, key)); INSERT INTO {table} VALUES ('other', 'k', 'v', 2)",
    )
    entries = replace(EXAMPLE.entries, table=table, fill={"number": f"nextval('drawn_for_{table}')"})
    profile = replace(EXAMPLE, name=table, entries=entries)
    counter.create(database, profile, namespace)
    pool = partial(sql.rows, database) if pooled else None
    task = retries.operations(profile, namespace, pool=pool)(Turn(0, 0, Random(0)))
    assert task is not None
    history = History()
    client = Client(0, database, history, patience=5)
    for _ in range(3):
        client.perform(task)
    client.close()
    assert outcomes(history) == [Outcome.FAIL, Outcome.OK, Outcome.OK]
    assert "_number_key" in next(iter(history)).error
    counted = counter._final_count(database, profile, namespace)
    assert (counted.counter, [one.number for one in counted.applied]) == (1, [1])


def test_a_lookup_says_what_it_was_answered(database: sql.Endpoint) -> None:
    task = degradation.lookups(EXAMPLE, "looked at")(Turn(0, 0, Random(0)))
    assert task is not None
    with sql.session(database) as session:
        assert task.perform(session) == "nothing"
        sql.execute(session, "INSERT INTO memory_entries VALUES ('looked at', %s, 'found')", [degradation.ENTRY])
        assert task.perform(session) == "found"


def test_clients_that_cannot_work_before_anything_is_tested_are_no_broken_promise(database: sql.Endpoint) -> None:
    nobody = replace(database, port=free_port())
    workload = Workload(nobody, ledger.appends(EXAMPLE, "nobody"), clients=1)
    with workload, pytest.raises(Inconclusive, match="the clients did not start working"):
        workload.await_at_work(10, within=0.5)


def test_clients_whose_operations_take_long_are_at_work(database: sql.Endpoint, tmp_path: Path) -> None:
    """As where each commit waits for a host far away. There are 6 s, in which 4 clients get 160 acknowledgements."""
    topology = Topology("db", Login("app", ""), Address("127.0.0.1", 1), timing=Timing(multiplier=0.2))
    world = World(Run("run", tmp_path, tmp_path, 1), Cluster(topology), Evidence())
    slow = always(lambda session: sql.value(session, "SELECT pg_sleep(0.15)"))
    with world.cleanup:
        world.start(Workload(database, slow, clients=4), acknowledged=1000)
        assert world.clients.acknowledged >= 40


def test_clients_that_worked_for_a_moment_only_are_not_at_work(database: sql.Endpoint) -> None:
    def script(turn: Turn) -> Task:
        query = "SELECT 1" if turn.number < 15 else "SELECT 1 / 0"
        return Task("try", str(turn.number), None, lambda session: sql.value(session, query))

    workload = Workload(database, script, clients=2)
    with workload, pytest.raises(Inconclusive, match="in the second half of the time, 0 of one client"):
        workload.await_at_work(1000, within=2)


def test_a_client_does_not_wait_in_a_login_for_a_server_that_its_pooler_has_not(
    postgres: sql.Endpoint, tmp_path: Path
) -> None:
    """The pooler answers the login, and its only server is busy with another client."""
    patience = 2.0
    with pgbouncer(tmp_path, free_port(), postgres) as through, sql.session(through, autocommit=False) as other:
        sql.execute(other, "SELECT 1")
        history = History()
        client = Client(0, through, history, patience)
        begun = time.monotonic()
        client.perform(Task("look", "key", None, lambda session: sql.value(session, "SELECT 1")))
        assert time.monotonic() - begun < patience + 3
    (operation,) = history
    assert operation.outcome is Outcome.FAIL
    assert "the session ended right after the login: the server gave no answer within" in operation.error
