"""Load by a master and workers: real processes against a real PostgreSQL, and what is said when something is amiss."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import free_port
from program import Program, copy

from support import sql
from support.engine.history import History, Operation, Outcome
from support.example_app import schema
from support.example_app.vectors import dialect_of
from support.load import judging
from support.load.judging import Part
from support.load.plan import CLIENTS_EACH
from support.waiting import eventually

_ROWS = "SELECT count(*) FROM memory_entries"
_MUTE = """
import gevent, sys
from support import sql
from support.load.cooperation import cooperate

def ask():
    try:
        sql.execute(where, "SELECT pg_sleep(30)")
    except sql.Error as error:
        return outcome_of(error, committing=True), str(error)

cooperate(1.0)
where = sql.Endpoint("a slow server", *sys.argv[1:2], int(sys.argv[2]), *sys.argv[3:])
print(*[one.get() for one in [gevent.spawn(ask) for _ in range(5)]], sep="\\n")
"""
_LOSE = "DELETE FROM memory_entries WHERE key LIKE '%-3'"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def database(postgres: sql.Endpoint) -> sql.Endpoint:
    """A database of the tests' own, with the application's tables."""
    sql.execute(postgres, "CREATE DATABASE loaded")
    loaded = sql.Endpoint("the loaded one", postgres.host, postgres.port, "loaded", postgres.user, postgres.password)
    sql.execute(loaded, "CREATE EXTENSION vector")
    schema.create(loaded, dialect_of(loaded))
    return loaded


@pytest.fixture
def empty(database: sql.Endpoint) -> Iterator[sql.Endpoint]:
    """The same, and nothing of a load is left in it afterwards."""
    yield database
    assert sql.value(database, _ROWS) == 0


def history(worker: int, *numbers: int) -> History:
    """Acknowledged appends of the first client of a worker."""
    client = worker * CLIENTS_EACH
    entries = [f"{client}-{number}" for number in numbers]
    return History(Operation(client, "append", one, one, Outcome.OK, 900 + i, 901 + i) for i, one in enumerate(entries))


def final_read(*histories: History) -> Operation:
    found = [one.value for each in histories for one in each]
    return Operation(-1, "read", "ns", found, Outcome.OK, 5.0, 5.5)


def test_what_a_worker_did_not_report_is_neither_strange_nor_acknowledged() -> None:
    whole, known, unknown = history(0, 0, 1), history(1, 0), history(1, 1, 2)
    parts = [Part(0, "here", 2, 2, ended=True), Part(1, "there", 1, 3, ended=True)]
    merged = judging.merged([whole, known], final_read(whole, known, unknown), frozenset({1}))
    finding = judging.judged(merged, parts)
    assert finding.holds is None
    assert "worker 1 on there: 1 of its 3 operations arrived" in finding.words
    assert "0 of 3 acknowledged writes lost" in finding.words


def test_an_entry_of_nobody_is_found_also_when_a_worker_is_not_heard() -> None:
    whole = history(0, 0, 1)
    merged = judging.merged([whole], final_read(whole, history(2, 0)), frozenset({1}))
    finding = judging.judged(merged, [Part(0, "here", 2, 2, ended=True), Part(1, "there")])
    assert finding.holds is False
    assert "1 entries are there that no client wrote" in finding.words


def test_the_final_read_is_after_all_whatever_the_clocks_of_the_machines_say() -> None:
    early, late = history(0, 0), history(1, 0)
    merged = judging.merged([early, late], final_read(early))
    assert (
        judging.judged(merged, [Part(0, "here", 1, 1, ended=True), Part(1, "there", 1, 1, ended=True)]).holds is False
    )


def test_clients_wait_side_by_side_and_no_longer_than_their_patience(postgres: sql.Endpoint) -> None:
    where = [postgres.host, str(postgres.port), postgres.database, postgres.user, postgres.password]
    begun = time.monotonic()
    said = subprocess.run([sys.executable, "-c", _MUTE, *where], capture_output=True, text=True, check=True).stdout
    assert said.count("unknown") == said.count("no answer within 1 s; hung up") == 5
    assert time.monotonic() - begun < 4.5


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
    folder = Path(program.project, re.search(r"is in (\S+),", ended.err)[1])
    assert sum(len(path.read_text().splitlines()) for path in folder.glob("worker-*.jsonl")) >= every


def test_what_a_killed_worker_wrote_is_not_judged(program: Program, empty: sql.Endpoint) -> None:
    with program.started("load", "--target", address(empty), "--workers", "2", "--seconds", "2") as running:
        await_writes(empty)
        workers_of(running)[0].kill()
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 1, said
    assert "inconclusive: of worker" in said
    assert "never said its end" in said
    assert "acknowledged writes lost" in said


def test_a_write_that_is_gone_is_found(program: Program, empty: sql.Endpoint) -> None:
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


def test_what_was_written_is_removed_when_the_database_takes_writes_again(
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


def test_workers_that_join_from_elsewhere_and_those_that_cannot(
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
    assert "is not the target of the master" in stranger.err
    assert of_tomorrow.status == 3
    assert "it is of another version" in of_tomorrow.err
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
        (["--join", "127.0.0.1:1"], 3, "a master at 127.0.0.1:1: not so"),
        (["--join", "127.0.0.1", "--clients", "3"], 2, "--clients is for the master to say"),
        (["--workers", "3", "--clients", "2"], 2, "at least one for each worker"),
        (["--workers", "0"], 2, "a load needs a worker"),
    ],
)
def test_bad_orders_are_told_in_a_line(
    program: Program, database: sql.Endpoint, arguments: list[str], status: int, complaint: str
) -> None:
    ended = program.run("load", "--target", address(database), *arguments)
    assert ended.status == status, ended
    assert complaint in ended.err


def test_no_target_is_told_in_a_line(program: Program) -> None:
    ended = program.run("load")
    assert ended.status == 2, ended
    assert ended.complaints == ["accept: no cluster is up; ./accept up starts one"]
