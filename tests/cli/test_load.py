"""`accept load`: real processes against a real PostgreSQL, and the messages when something goes wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import free_port
from program import Program, copy

from support import sql
from support.engine.finding import Finding
from support.engine.history import Operation, Outcome
from support.example_app import schema
from support.example_app.vectors import dialect_of
from support.load import histories
from support.load.histories import LoadLedger, WorkerHistory
from support.load.plan import CLIENTS_EACH
from support.waiting import eventually

_ROWS = "SELECT count(*) FROM memory_entries"
_MUTE = """
import gevent, sys, time
from support import sql
from support.engine.workload import outcome_of
from support.load.worker import wait_cooperatively

def ask():
    try:
        sql.execute(where, "SELECT pg_sleep(30)")
    except sql.Error as error:
        return outcome_of(error, committing=True), str(error)

wait_cooperatively(1.0)
where = sql.Endpoint("a slow server", *sys.argv[1:2], int(sys.argv[2]), *sys.argv[3:])
begun = time.monotonic()
print(*[one.get() for one in [gevent.spawn(ask) for _ in range(20)]], sep="\\n")
print(time.monotonic() - begun)
"""
_LOSE = "DELETE FROM memory_entries WHERE key LIKE '%-3'"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def database(postgres: sql.Endpoint) -> sql.Endpoint:
    """A database for these tests, with the application's tables."""
    sql.execute(postgres, "CREATE DATABASE loaded")
    loaded = sql.Endpoint("the loaded one", postgres.host, postgres.port, "loaded", postgres.user, postgres.password)
    sql.execute(loaded, "CREATE EXTENSION vector")
    schema.create(loaded, dialect_of(loaded))
    return loaded


@pytest.fixture
def empty(database: sql.Endpoint) -> Iterator[sql.Endpoint]:
    """The same database. Checks that a load leaves no rows behind."""
    yield database
    assert sql.value(database, _ROWS) == 0


def appends(worker: int, *numbers: int, outcome: Outcome = Outcome.OK) -> list[str]:
    """Appends of the first client of a worker, as lines of its history."""
    client = worker * CLIENTS_EACH
    return [
        histories.line_of(Operation(client, "append", "", f"{client}-{number}", outcome, 900 + number, 901 + number))
        for number in numbers
    ]


def entries(*each: list[str]) -> Iterator[str]:
    return (str(json.loads(line)[0]) for lines in each for line in lines)


def complete(number: int, operations: int) -> WorkerHistory:
    return WorkerHistory(number, "here", operations, operations, ended=True)


def test_unreported_entries_of_an_incomplete_worker_are_no_violation() -> None:
    ledger = LoadLedger(incomplete=[1])
    ledger.add(0, appends(0, 0, 1))
    ledger.add(1, appends(1, 0))
    ledger.read(entries(appends(0, 0, 1), appends(1, 0), appends(1, 1, 2)))
    finding = ledger.judge([complete(0, 2), WorkerHistory(1, "there", 1, 3, ended=True)])
    assert finding.holds is None
    assert "worker 1 on there: 1 of its 3 operations arrived" in finding.words
    assert "0 of 3 acknowledged writes lost" in finding.words


def test_an_entry_that_nobody_wrote_is_found_despite_an_incomplete_worker() -> None:
    ledger = LoadLedger(incomplete=[1])
    ledger.add(0, appends(0, 0, 1))
    ledger.read(entries(appends(0, 0, 1), appends(2, 0)))
    finding = ledger.judge([complete(0, 2), WorkerHistory(1, "there")])
    assert finding.holds is False
    assert "1 entry is there that no client wrote: 200000-0" in finding.words


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([0, 1, 2, 3, 5], "1 of 5 acknowledged writes lost: 0-4 (0-4: write 4 of client 0)"),
        ([0, 1, 2, 3, 4, 2], "1 write is there more than once: 0-2 (0-2: write 2 of client 0)"),
        ([0, 1, 2, 3, 4, 6], "1 entry is there that no client wrote: 0-6"),
        ([0, 1, 2, 3, 4, 9], "1 entry is there that no client wrote: 0-9"),
        ([0, 1, 2, 3, 4, 5], "0 of 5 acknowledged writes lost; 1 of 1 unknown ones were there; each of 6 entries"),
        ([0, 1, 2, 3, 4], "0 of 5 acknowledged writes lost; 0 of 1 unknown ones were there; each of 5 entries"),
    ],
)
def test_each_acknowledged_write_is_there_once(found: list[int], words: str) -> None:
    """0 to 4 were acknowledged, the outcome of 5 is unknown, 6 was refused, and nobody wrote 9."""
    ledger = LoadLedger()
    ledger.add(0, appends(0, 0, 1, 2, 3, 4))
    ledger.add(0, appends(0, 5, outcome=Outcome.UNKNOWN) + appends(0, 6, outcome=Outcome.FAIL))
    ledger.read(entries(appends(0, *found)))
    finding = ledger.judge([complete(0, 7)])
    assert words in finding.words
    assert finding.holds is words.startswith("0 of")


def test_of_many_lost_writes_some_are_named_and_the_others_counted() -> None:
    ledger = LoadLedger()
    ledger.add(0, appends(0, *range(9)))
    ledger.read(entries(appends(0, 0)))
    words = "8 of 9 acknowledged writes lost: 0-1, 0-2, 0-3, 0-4, 0-5, and 3 more (0-1: write 1 of client 0)"
    assert ledger.judge([complete(0, 9)]) == Finding.false(words)


def test_what_was_not_written_or_not_read_back_is_not_judged() -> None:
    ledger = LoadLedger()
    assert ledger.judge([]).holds is None
    ledger.add(0, appends(0, 0))
    assert ledger.judge([complete(0, 1)]) == Finding.unknown("the ledger was never read back")


def test_a_read_that_broke_off_begins_anew() -> None:
    ledger = LoadLedger()
    ledger.add(0, appends(0, 0, 1))

    def torn() -> Iterator[str]:
        yield "0-0"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        ledger.read(torn())
    ledger.read(entries(appends(0, 0, 1)))
    assert ledger.judge([complete(0, 2)]).holds


def test_an_operation_takes_ten_bytes() -> None:
    """An hour of 5,500 writes a second, 20 million, is then judged in 200 MB."""
    ledger, count = LoadLedger(), 20_000
    tracemalloc.start()
    ledger.add(0, (appends(0, number)[0] for number in range(count)))
    ledger.read(f"0-{number}" for number in range(count))
    assert ledger.judge([complete(0, count)]).holds
    current, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert current < 10 * count


def test_clients_wait_concurrently_and_no_longer_than_their_patience(postgres: sql.Endpoint) -> None:
    where = [postgres.host, str(postgres.port), postgres.database, postgres.user, postgres.password]
    output = subprocess.run(
        [sys.executable, "-c", _MUTE, *where],
        env={**os.environ, "LOCUST_SKIP_MONKEY_PATCH": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.count("unknown") == output.count("no answer within 1 s; connection closed") == 20
    assert float(output.split()[-1]) < 15, "one after another they take over 20 s"


def address(where: sql.Endpoint) -> str:
    return f"postgresql://{where.user}:{where.password}@{where.host}:{where.port}/{where.database}"


def await_writes(where: sql.Endpoint, more_than: int = 500) -> None:
    def written() -> None:
        assert sql.value(where, _ROWS) > more_than

    eventually(written, within=30, subject="the workers write")


def workers_of(running: "subprocess.Popen[str]") -> list[psutil.Process]:
    every = psutil.Process(running.pid).children(recursive=True)
    return [one for one in every if "support.load.worker" in one.cmdline()]


def test_two_workers_write_one_ledger_and_every_acknowledged_write_is_accounted_for(
    program: Program, empty: sql.Endpoint
) -> None:
    order = ("--workers", "2", "--clients", "6", "--seconds", "2", "--seed", "7")
    ended = program.run("load", "--target", address(empty), *order)
    assert ended.status == 0, ended
    acknowledged = [int(n.replace(",", "")) for n in re.findall(r"^(?:worker|all).*?  +([\d,]+)", ended.out, re.M)]
    first, second, every = acknowledged
    assert first > 50
    assert second > 50
    assert first + second == every
    assert f"passed: 0 of {every} acknowledged writes lost" in ended.out
    folder = Path(program.project, re.search(r"for a day in (\S+);", ended.err)[1])
    assert sum(len(path.read_text().splitlines()) for path in folder.glob("worker-*.jsonl")) >= every


def test_the_history_of_a_killed_worker_is_incomplete(program: Program, empty: sql.Endpoint) -> None:
    with program.started("load", "--target", address(empty), "--workers", "2", "--seconds", "2") as running:
        await_writes(empty)
        workers_of(running)[0].kill()
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 1, said
    assert "inconclusive: incomplete history of worker" in said
    assert "never reported its end" in said
    assert "acknowledged writes lost" in said


def test_a_lost_write_is_found(program: Program, empty: sql.Endpoint) -> None:
    with program.started("load", "--target", address(empty), "--workers", "2", "--seconds", "2") as running:
        await_writes(empty)
        lost = sql.execute(empty, _LOSE)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 1, said
    assert lost > 0
    assert f"broken: {lost} of" in said


def test_ctrl_c_ends_all_workers_and_leaves_no_data(program: Program, empty: sql.Endpoint) -> None:
    with program.started("load", "--target", address(empty), "--workers", "2", "--seconds", "300") as running:
        await_writes(empty)
        workers = workers_of(running)
        os.killpg(running.pid, signal.SIGINT)
        said, _ = running.communicate(timeout=20)
    assert running.returncode == 130, said
    assert len(workers) == 2
    assert not any(one.is_running() for one in workers)


def test_what_a_killed_load_left_is_removed_by_the_next_run(program: Program, empty: sql.Endpoint) -> None:
    with program.started("load", "--target", address(empty), "--seconds", "300") as running:
        await_writes(empty)
        workers = workers_of(running)
        running.kill()
        running.wait()
        psutil.wait_procs(workers, timeout=20)
    left = sql.value(empty, _ROWS)
    assert left > 500
    ended = program.run("run", "--tags", "@id.CL-03", "--target", address(empty))
    assert ended.status == 0, str(ended)
    facts = (program.project / "allure-results/environment.properties").read_text()
    assert f"were removed ({left:,} rows)" in facts


def test_the_data_are_removed_once_the_database_accepts_writes_again(
    program: Program, empty: sql.Endpoint, postgres: sql.Endpoint
) -> None:
    with program.started("load", "--target", address(empty), "--seconds", "300") as running:
        await_writes(empty)
        workers = workers_of(running)
        sql.execute(postgres, "ALTER DATABASE loaded SET default_transaction_read_only = on")
        try:
            os.killpg(running.pid, signal.SIGINT)
            psutil.wait_procs(workers, timeout=20)
            assert running.poll() is None
            assert sql.value(empty, _ROWS) > 0
        finally:
            sql.execute(postgres, "ALTER DATABASE loaded RESET default_transaction_read_only")
        said, _ = running.communicate(timeout=20)
    assert running.returncode == 130, said


def test_workers_from_elsewhere_can_join_unless_target_or_version_differ(
    program: Program, empty: sql.Endpoint, postgres: sql.Endpoint, tmp_path: Path
) -> None:
    newer = copy(tmp_path)
    (newer.project / "support" / "load" / "newer.py").write_text('"""Something else."""')
    port = str(free_port())
    order = ("--workers", "1", "--await", "1", "--port", port, "--seconds", "2")
    with program.started("load", "--target", address(empty), *order) as running:
        await_mark(empty)
        stranger = program.run("load", "--join", f"127.0.0.1:{port}", "--target", address(postgres))
        of_tomorrow = newer.run("load", "--join", f"127.0.0.1:{port}", "--target", address(empty))
        joined = program.run("load", "--join", f"127.0.0.1:{port}", "--target", address(empty))
        said, _ = running.communicate(timeout=60)
    assert stranger.status == 3
    assert "is not the master's target" in stranger.err
    assert of_tomorrow.status == 3
    assert "its version (" in of_tomorrow.err
    assert joined.status == 0, joined
    assert running.returncode == 0, said
    assert len(re.findall(r"^worker \d+ on ", said, re.M)) == 2


def await_mark(where: sql.Endpoint) -> None:
    def marked() -> None:
        assert sql.value(where, _ROWS) == 1

    eventually(marked, within=30, subject="the load begins")


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--join", "127.0.0.1:1"], 3, "a master at 127.0.0.1:1: still not true"),
        (["--join", "127.0.0.1", "--clients", "3"], 2, "--clients is an option of the master"),
        (["--workers", "3", "--clients", "2"], 2, "at least one for each worker"),
        (["--workers", "0"], 2, "a load needs a worker"),
    ],
)
def test_wrong_usage_is_one_line(
    program: Program, database: sql.Endpoint, arguments: list[str], status: int, complaint: str
) -> None:
    ended = program.run("load", "--target", address(database), *arguments)
    assert ended.status == status, ended
    assert complaint in ended.err


def test_a_missing_target_is_one_line(program: Program) -> None:
    ended = program.run("load")
    assert ended.status == 2, ended
    assert ended.complaints == ["accept: no cluster is up; ./accept up starts one"]
