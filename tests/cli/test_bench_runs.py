"""The rows of the bench that are whole runs: their floor, and one on a cluster."""

from pathlib import Path

import pytest
from journals import READS, WRITES, record_of
from program import FALSE, TRUE, Program, copy

from support.bench.figures import Bench
from support.cli.bench_runs import floor, lock_time, side_by_side
from support.engine.time_spent import LOCK
from support.reporting.scenario import Measure, ScenarioResult, Verdict

SMALL = ("--members", "1", "--etcd", "1", "--workers", "0")


def test_the_floor_is_shared_locks_and_shared_work() -> None:
    assert floor(lock=300, side_by_side=1, processors=0, cores=2) == 300
    assert floor(lock=300, side_by_side=4, processors=600, cores=2) == 75 + 300
    assert floor(lock=0, side_by_side=0, processors=8, cores=16) == 0.5


def ran(scenario, began: float, seconds: float, lock: float | None = None) -> ScenarioResult:
    measures = () if lock is None else (Measure(LOCK, lock, "s"), Measure("another figure", 9.0, "s"))
    return ScenarioResult(scenario, Verdict.PASSED, seconds=seconds, began=began, measures=measures)


@pytest.mark.parametrize(("second", "most"), [(105.0, 2), (110.0, 1), (120.0, 1)])
def test_a_run_tells_its_waits_for_locks_and_its_clusters(second: float, most: int, tmp_path: Path) -> None:
    record = record_of(tmp_path, ran(WRITES, 100.0, 10.0, lock=19.5), ran(READS, second, 10.0))
    assert lock_time(record) == 19.5
    assert side_by_side(record) == most


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


def test_a_whole_run_takes_longer_than_its_work(program: Program) -> None:
    program.write_features({"cluster/a.feature": TRUE})
    ended = program.run("bench", "whole run", "--runs", "1", "--save", "kept.json", *SMALL)
    assert ended.status == 0, ended
    row = Bench.load(program.project / "kept.json").rows["whole run"]
    assert row.floor is not None
    assert 1 < row.floor < row.figure.median, "processes of a second and more, on all cores at best"


def test_a_run_that_fails_has_no_time(program: Program) -> None:
    program.write_features({"cluster/a.feature": FALSE})
    ended = program.run("bench", "whole", "--runs", "1", *SMALL)
    assert ended.status == 3, ended
    assert "whole run: not measured: failed: " in ended.out
    assert "accept run ended with status 1" in ended.out


def test_a_cluster_that_is_up_is_not_for_whole_runs(program: Program) -> None:
    ended = program.run("bench", "whole", "--target", "postgresql://u:p@127.0.0.1:1/d", timeout=30)
    assert "whole run: not measured: only on clusters that the run boots itself" in ended.out, ended
