"""What a bench makes of its figures: spread, ratios to floors, and what got worse beyond the noise."""

import math
import random
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.bench.figures import RATE, Bench, Change, Measured, Sample, chance, change, changes, differences, spread
from support.bench.row import Row
from support.cli import bench_table, console
from support.cli.bench_rows import ROWS, chosen
from support.errors import UsageError

FIVE = (1.00, 1.02, 1.04, 1.06, 1.08)
PEER = Row("peer", "the same, twice", "ms", "the other", None, peer=True)


def times(factor: float, ratios: tuple[float, ...] = FIVE) -> list[float]:
    return [factor * one for one in ratios]


def bench(ratios: list[float], name: str = "peer", **facts: str) -> Bench:
    return Bench(facts, {name: Measured("ms", tuple(Sample(2 * one, 2.0) for one in ratios))})


def test_a_spread_is_of_quartiles() -> None:
    found = spread([4.0, 1.0, 5.0, 2.0, 3.0])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)
    with pytest.raises(ValueError, match="nothing"):
        spread([])


def test_a_ratio_is_how_many_times_the_floor() -> None:
    assert Measured("ms", (Sample(3.0, 2.0), Sample(5.0, 2.0))).ratios == (1.5, 2.5)


def test_the_floor_is_the_best_that_was_seen_and_agreement_is_told_run_by_run() -> None:
    row = Measured("ms", (Sample(4.0, 4.0), Sample(2.0, 2.0), Sample(6.0, 6.0)))
    assert (row.floor, row.ratios, row.apart) == (2.0, (2.0, 1.0, 3.0), 1.0)
    assert Measured(RATE, row.samples).floor == 6.0


def test_of_a_rate_less_is_worse() -> None:
    assert Measured(RATE, (Sample(5000.0, 20_000.0),)).ratios == (4.0,)


def test_without_a_floor_there_is_no_ratio() -> None:
    row = Measured("ms", (Sample(3.0, None, "it is not installed"), Sample(4.0, 2.0)))
    assert row.ratios == (1.5, 2.0)
    bare = Measured("ms", row.samples[:1])
    assert (bare.floor, bare.ratios, bare.apart) == (None, (), None)


@pytest.mark.parametrize(
    ("now", "before", "found"),
    [
        (times(1.5), FIVE, Change.WORSE),
        (FIVE, times(1.5), Change.BETTER),
        (times(1.1), FIVE, Change.NONE),  # beyond the noise of the runs, not beyond that of two boots
        ([*times(1.5)[:4], FIVE[-1] - 0.001], FIVE, Change.WORSE),  # one run was as fast as the slowest before
        ([*times(1.5)[:4], 1.01], FIVE, Change.UNTOLD),  # nearly as fast as the fastest: more runs would tell
        (times(9.0)[:3], FIVE[:3], Change.UNTOLD),
        (times(9.0), (), Change.UNTOLD),
        ([9.0], FIVE * 20, Change.WORSE),  # one against a hundred is not chance either
    ],
)
def test_a_change_is_one_beyond_the_noise(now: list[float], before: tuple[float, ...], found: Change) -> None:
    assert change(now, before) is found


def test_noise_alone_is_seldom_taken_for_a_change() -> None:
    dice = random.Random(1)
    noisy = [[math.exp(dice.gauss(0, 0.5)) for _ in range(5)] for _ in range(2000)]
    alarms = sum(change(now, before) is Change.WORSE for now, before in zip(noisy[::2], noisy[1::2], strict=True))
    assert alarms <= 10  # 2 in 252 are expected: 8 of 1000


@given(st.lists(st.floats(0, 9), min_size=1, max_size=4), st.lists(st.floats(0, 9), min_size=1, max_size=5))
def test_the_chance_is_that_of_all_orders_there_are(higher: list[float], lower: list[float]) -> None:
    wrong = sum(one <= other for one in higher for other in lower)
    places = range(len(higher) + len(lower))
    ways = [
        sum(one < other for one in chosen for other in places if other not in chosen)
        for chosen in combinations(places, len(higher))
    ]
    assert chance(higher, lower) == sum(one <= wrong for one in ways) / len(ways)


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    kept = bench(list(FIVE), Machine="2 x any")
    kept = replace(kept, rows={**kept.rows, "bare": Measured("s", (Sample(1.0, None, "no pgbench"),))})
    kept.save(tmp_path / "bench.json")
    assert Bench.load(tmp_path / "bench.json") == kept


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "Invalid JSON"), ("{}", "facts"), ("[1]", "object"), ('{"facts": {}, "rows": {"a": 1}}', "rows.a")],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(UsageError, match=f"other.json was not written by accept bench.*{words}"):
        Bench.load(tmp_path / "other.json")


def test_a_baseline_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        Bench.load(tmp_path / "none.json")


def test_rows_of_one_side_only_are_not_compared() -> None:
    assert changes(bench(list(FIVE), "new"), bench(list(FIVE), "old")) == {}


def test_another_machine_is_told() -> None:
    found = list(differences({"Machine": "4 x b", "Redis": "7"}, {"Machine": "2 x a", "Redis": "7", "etcd": "3"}))
    assert found == ["Machine: 2 x a then, 4 x b now", "etcd: 3 then, none now"]


def test_rows_are_chosen_by_name_or_its_first_word() -> None:
    assert [row.name for row in chosen(["pf-06", "FO-01"])] == ["PF-06 reads", "PF-06 writes", "FO-01"]
    assert chosen(["PF-06 writes"]) == [row for row in ROWS if row.name == "PF-06 writes"]
    assert chosen([]) == list(ROWS)


def test_an_unknown_row_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no row PF-99, speed; the rows are start, .*switchover"):
        chosen(["PF-01", "PF-99", "speed"])


def shown(now: Bench, before: Bench | None = None, missing: dict[str, str] | None = None) -> str:
    with console.out.capture() as told:
        bench_table.show(now, [replace(PEER, name=name) for name in now.rows], missing or {}, before)
    return told.get()


def test_the_table_says_what_got_worse_and_by_how_much() -> None:
    said = shown(bench(times(1.5), Machine="b"), bench(list(FIVE), Machine="a"))
    assert "the baseline is of another Machine: a then, b now" in said
    assert "peer: worse: 1.04 times its floor then, 1.56 now" in said


@pytest.mark.parametrize(("factor", "words"), [(1.1, "agree: +14%"), (1.2, "DO NOT agree: +25%"), (0.5, "DO NOT")])
def test_those_who_measure_the_same_must_agree(factor: float, words: str) -> None:
    assert words in shown(bench(times(factor)))


def test_what_has_no_floor_or_no_figure_says_why() -> None:
    bare = Bench({}, {"bare": Measured("ms", (Sample(1.0, None, "pgbench is not installed"),))})
    said = shown(bare, missing={"PF-05": "the target has no Redis"})
    assert "bare: no floor (the other): pgbench is not installed" in said
    assert "PF-05: not measured: the target has no Redis" in said


def test_the_baseline_to_look_at_has_every_row() -> None:
    kept = Bench.load(Path(__file__).parents[1] / "docs" / "bench.json")
    assert list(kept.rows) == [row.name for row in ROWS]
