"""`accept bench` as its users meet it: against a plain database, where few rows can be measured."""

import pytest
from program import Program, copy, target

from support.bench.figures import Bench, Measured, Sample
from support.sql import Endpoint

FAST = Bench({"Machine": "another"}, {"empty suite": Measured("s", (Sample(0.001, 1.0),) * 100)})
"""A baseline that nothing reaches; so many runs that one run beside them is enough."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


def test_what_can_be_measured_is_kept_and_the_rest_says_why(program: Program, postgres: Endpoint) -> None:
    words = ("start", "empty suite", "PF-01", "FO-01")
    ended = program.run("bench", *words, "--runs", "1", "--save", "kept.json", **target(postgres))
    assert ended.status == 0, ended
    kept = Bench.load(program.project / "kept.json")
    assert list(kept.rows) == ["empty suite"]
    assert kept.rows["empty suite"].ratios[0] > 1
    assert "PostgreSQL" in kept.facts
    for said in ("start: not measured: the target is up already", "PF-01: not measured", "FO-01: not measured"):
        assert said in ended.out, ended


def test_what_got_worse_since_the_kept_baseline_fails_the_bench(program: Program, postgres: Endpoint) -> None:
    (program.project / ".accept").mkdir(exist_ok=True)
    FAST.save(program.project / ".accept" / "bench.json")
    ended = program.run("bench", "empty suite", "--runs", "1", **target(postgres))
    assert ended.status == 1, ended
    assert "empty suite: worse: 0.00 times its floor then" in ended.out, ended
    assert "the baseline is of another Machine: another then" in ended.out, ended


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["PF-99"], "there is no row PF-99; the rows are start"),
        (["--against", "accept"], "was not written by accept bench"),
        (["--against", "none.json"], "No such file"),
        (["--save", "nowhere/b.json"], "there is no folder"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_measured(program: Program, arguments: list[str], words: str) -> None:
    ended = program.run("bench", *arguments, timeout=20)
    assert (ended.status, len(ended.complaints)) == (2, 1), ended
    assert words in ended.complaints[0]


def test_no_runs_are_refused(program: Program) -> None:
    ended = program.run("bench", "--runs", "0", timeout=20)
    assert ended.status == 2
    assert "Traceback" not in ended.err


def test_the_rows_are_listed(program: Program) -> None:
    ended = program.run("bench", "--list", timeout=20)
    assert ended.status == 0
    assert all(name in ended.out for name in ("start", "PF-06 writes", "switchover")), ended
