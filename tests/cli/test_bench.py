"""`accept bench`: the choice of rows, the printed results, and whole runs against a plain database."""

from dataclasses import replace

import pytest
from program import ROOT, Program, copy, target
from typer.main import get_command

from support.bench.figures import Bench, Measured, Sample
from support.bench.rows import Row
from support.cli import bench, console
from support.cli.bench import ROWS, chosen
from support.cli.main import app
from support.errors import UsageError
from support.sql import Endpoint

FIVE = (1.00, 1.02, 1.04, 1.06, 1.08)
PEER = Row("peer", "the same, twice", "ms", "the other", None, peer=True)

FAST = Bench({"Machine": "another"}, {"empty suite": Measured("s", (Sample(0.001, 1.0),) * 100)})
"""A baseline that no run can reach; it has so many runs that one run is enough to compare."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


def test_measured_rows_are_saved_and_the_others_have_a_reason(program: Program, postgres: Endpoint) -> None:
    words = ("boot", "empty suite", "idle cost", "PF-01", "FO-01")
    ended = program.run("bench", *words, "--runs", "1", "--save", "kept.json", **target(postgres))
    assert ended.status == 0, ended
    kept = Bench.load(program.project / "kept.json")
    assert list(kept.rows) == ["empty suite"]
    assert kept.rows["empty suite"].ratios[0] > 1
    assert "PostgreSQL" in kept.facts
    for said in (
        "boot: not measured: the target is already up",
        "idle cost: not measured: only for an embedded cluster",
        "PF-01: not measured",
        "FO-01: not measured",
    ):
        assert said in ended.out, ended


def test_a_row_worse_than_the_baseline_fails_the_bench(program: Program, postgres: Endpoint) -> None:
    (program.project / ".accept").mkdir(exist_ok=True)
    FAST.save(program.project / ".accept" / "bench.json")
    ended = program.run("bench", "empty suite", "--runs", "1", **target(postgres))
    assert ended.status == 1, ended
    assert "empty suite: worse: 0.00 times its floor then" in ended.out, ended
    assert "different from the baseline: Machine: another then" in ended.out, ended


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["PF-99"], "there is no row PF-99; the rows are boot"),
        (["--against", "accept"], "was not written by accept bench"),
        (["--against", "none.json"], "No such file"),
        (["--save", "nowhere/b.json"], "there is no folder"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_measured(program: Program, arguments: list[str], words: str) -> None:
    ended = program.run("bench", *arguments, timeout=20)
    assert (ended.status, len(ended.complaints)) == (2, 1), ended
    assert words in ended.complaints[0]


def test_zero_runs_are_refused(program: Program) -> None:
    ended = program.run("bench", "--runs", "0", timeout=20)
    assert ended.status == 2
    assert "Traceback" not in ended.err


def test_the_rows_are_listed(program: Program) -> None:
    ended = program.run("bench", "--list", timeout=20)
    assert ended.status == 0
    assert all(name in ended.out for name in ("boot", "idle cost", "PF-06 writes", "switchover")), ended


def results(factor: float, **facts: str) -> Bench:
    """Runs whose ratios are that many times those of FIVE."""
    return Bench(facts, {"peer": Measured("ms", tuple(Sample(2 * factor * one, 2.0) for one in FIVE))})


def test_rows_are_chosen_by_name_or_its_first_word() -> None:
    assert [row.name for row in chosen(["pf-06", "FO-01"])] == ["PF-06 reads", "PF-06 writes", "FO-01"]
    assert chosen(["PF-06 writes"]) == [row for row in ROWS if row.name == "PF-06 writes"]
    assert {row.name for row in {*ROWS} - {*chosen([])}} == {"whole run", "smoke"}, "they take minutes"
    assert [row.name for row in chosen(["whole", "smoke"])] == ["whole run", "smoke"]


def test_the_help_names_the_rows_that_are_measured_only_by_name() -> None:
    only = " and ".join(row.name for row in ROWS if row.only_by_name)
    said = " ".join(get_command(app).commands["bench"].params[0].help.split())  # type: ignore[attr-defined]
    assert said == f"Rows, as --list names them (default: all but {only})."


def test_the_error_for_an_unknown_row_lists_the_rows() -> None:
    with pytest.raises(UsageError, match=r"no row PF-99, speed; the rows are boot, .*switchover"):
        chosen(["PF-01", "PF-99", "speed"])


def shown(now: Bench, before: Bench | None = None, missing: dict[str, str] | None = None) -> str:
    with console.out.capture() as told:
        bench.show(now, [replace(PEER, name=name) for name in now.rows], missing or {}, before)
    return told.get()


def test_the_table_says_what_got_worse_and_by_how_much() -> None:
    said = shown(results(1.5, Machine="b"), results(1, Machine="a"))
    assert "different from the baseline: Machine: a then, b now" in said
    assert "peer: worse: 1.04 times its floor then, 1.56 now" in said


@pytest.mark.parametrize(("factor", "words"), [(1.1, "agree: +14%"), (1.2, "DO NOT agree: +25%"), (0.5, "DO NOT")])
def test_figure_and_floor_of_a_peer_must_agree(factor: float, words: str) -> None:
    assert words in shown(results(factor))


def test_a_missing_floor_or_figure_has_a_reason() -> None:
    bare = Bench({}, {"bare": Measured("ms", (Sample(1.0, None, "pgbench is not installed"),))})
    said = shown(bare, missing={"PF-05": "the target has no Redis"})
    assert "bare: no floor (the other): pgbench is not installed" in said
    assert "PF-05: not measured: the target has no Redis" in said


def test_the_documented_baseline_has_every_row() -> None:
    kept = Bench.load(ROOT / "docs" / "bench.json")
    assert list(kept.rows) == [row.name for row in ROWS if not row.only_by_name]
