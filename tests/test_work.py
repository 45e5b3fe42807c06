"""The work that processes share: who takes what, and who stays for what needs the machine for itself."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support.waiting import NotYet, eventually
from support.work import SharedWork, Unit, WorkQueue

PLAIN, SHARDED = Unit("features/a.feature", (3, 9)), Unit("features/b.feature", (4,), sharded=True)
SPEED = Unit("features/p.feature", (5,), alone=True)
OTHER = """
import sys
from pathlib import Path
from support.work import SharedWork
with SharedWork(Path(sys.argv[1])).attendance() as attendance:
    if sys.argv[2] == "stays":
        assert attendance.stay()
        attendance.await_others()
    print("here", flush=True)
    sys.stdin.readline()
"""


def work(directory: Path, *units: Unit) -> SharedWork:
    made = SharedWork(directory / "work")
    made.save(units)
    return made


def process(shared: SharedWork, how: str) -> "subprocess.Popen[str]":
    script = [sys.executable, "-c", OTHER, str(shared.directory), how]
    return subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_each_name_is_claimed_once(tmp_path: Path) -> None:
    one, other = WorkQueue(tmp_path / "claims"), WorkQueue(tmp_path / "claims")
    assert not one.taken("features/a.feature")
    assert one.take("features/a.feature")
    assert not other.take("features/a.feature")
    assert other.taken("features/a.feature")
    assert other.take("features/b.feature")


def test_a_cluster_without_worker_groups_takes_nothing_that_needs_them(tmp_path: Path) -> None:
    shared = work(tmp_path, SHARDED, PLAIN)
    assert shared.take(workers=False, alone=False) == PLAIN
    assert shared.take(workers=False, alone=False) is None


def test_a_cluster_with_worker_groups_takes_first_what_only_it_can_run(tmp_path: Path) -> None:
    work(tmp_path, PLAIN, SHARDED)
    one, other = SharedWork(tmp_path / "work"), SharedWork(tmp_path / "work")
    assert one.take(workers=True, alone=False) == SHARDED
    assert other.take(workers=True, alone=False) == PLAIN
    assert one.take(workers=True, alone=False) is None


def test_what_measures_speed_is_not_taken_before_its_time(tmp_path: Path) -> None:
    shared = work(tmp_path, SPEED, PLAIN)
    assert shared.take(workers=True, alone=False) == PLAIN
    assert shared.take(workers=True, alone=False) is None
    assert shared.take(workers=True, alone=True) == SPEED


@pytest.mark.parametrize(
    ("units", "plain", "sharded"),
    [
        ((PLAIN,), False, False),
        ((PLAIN, SPEED), True, True),
        ((PLAIN, SPEED, replace(SPEED, lines=(7,), sharded=True)), False, True),
    ],
)
def test_one_kind_of_cluster_runs_all_that_measures_speed(
    tmp_path: Path, units: tuple[Unit, ...], plain: bool, sharded: bool
) -> None:
    shared = work(tmp_path, *units)
    assert (shared.runs_alone(workers=False), shared.runs_alone(workers=True)) == (plain, sharded)


@pytest.mark.parametrize("ending", ["it is done", "it is killed"])
def test_one_process_stays_and_waits_until_all_others_have_ended(tmp_path: Path, ending: str) -> None:
    shared = work(tmp_path, SPEED)
    with process(shared, "works") as other:
        assert other.stdout
        assert other.stdin
        assert other.stdout.readline() == "here\n"
        with process(shared, "stays") as last:
            eventually(lambda: _require_another_stays(shared), within=20, subject="one stays, and nobody else does")
            assert last.poll() is None, "it waits for the other one"
            if ending == "it is done":
                other.stdin.write("\n")
                other.stdin.flush()
            else:
                other.kill()
            told, _ = last.communicate(timeout=20)
            assert told == "here\n"


def _require_another_stays(shared: SharedWork) -> None:
    with shared.attendance() as late:
        if late.stay():
            raise NotYet("nobody stays yet")


def test_a_long_path_is_taken_as_well(tmp_path: Path) -> None:
    """The name of a file has at most 255 bytes."""
    queue, names = WorkQueue(tmp_path), [f"/{'a long folder/' * 30}{name}.feature:3" for name in ("é", "b")]
    assert [queue.take(one) for one in (*names, *names)] == [True, True, False, False]
    assert [queue.taken(one) for one in (*names, f"{names[0]}0")] == [True, True, False]
