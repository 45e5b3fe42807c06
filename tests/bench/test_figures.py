"""The statistics of a bench: spread, ratios to floors, and changes beyond noise."""

import math
import random
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.bench.figures import RATE, Bench, Measured, Sample, changes, differences
from support.errors import UsageError
from support.reporting.chance import Change, change, probability, spread

FIVE = (1.00, 1.02, 1.04, 1.06, 1.08)


def times(factor: float, ratios: tuple[float, ...] = FIVE) -> list[float]:
    return [factor * one for one in ratios]


def bench(ratios: list[float], name: str = "peer", **facts: str) -> Bench:
    return Bench(facts, {name: Measured("ms", tuple(Sample(2 * one, 2.0) for one in ratios))})


def test_a_spread_consists_of_quartiles() -> None:
    found = spread([4.0, 1.0, 5.0, 2.0, 3.0])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_a_ratio_is_a_multiple_of_the_floor() -> None:
    assert Measured("ms", (Sample(3.0, 2.0), Sample(5.0, 2.0))).ratios == (1.5, 2.5)


def test_the_floor_is_the_best_of_all_runs_and_agreement_is_judged_per_run() -> None:
    row = Measured("ms", (Sample(4.0, 4.0), Sample(2.0, 2.0), Sample(6.0, 6.0)))
    assert (row.floor, row.ratios, row.paired_ratio) == (2.0, (2.0, 1.0, 3.0), 1.0)
    assert Measured(RATE, row.samples).floor == 6.0


def test_a_lower_rate_is_worse() -> None:
    assert Measured(RATE, (Sample(5000.0, 20_000.0),)).ratios == (4.0,)


def test_without_a_floor_there_is_no_ratio() -> None:
    row = Measured("ms", (Sample(3.0, None, "it is not installed"), Sample(4.0, 2.0)))
    assert row.ratios == (1.5, 2.0)
    bare = Measured("ms", row.samples[:1])
    assert (bare.floor, bare.ratios, bare.paired_ratio) == (None, (), None)


@pytest.mark.parametrize(
    ("now", "before", "found"),
    [
        (times(1.5), FIVE, Change.WORSE),
        (FIVE, times(1.5), Change.BETTER),
        (times(1.1), FIVE, Change.NONE),  # beyond the noise of the runs, not beyond that of two boots
        ([*times(1.5)[:4], FIVE[-1] - 0.001], FIVE, Change.WORSE),  # one run was as fast as the slowest before
        ([*times(1.5)[:4], 1.01], FIVE, Change.UNCLEAR),  # nearly as fast as the fastest: more runs would tell
        (times(9.0)[:3], FIVE[:3], Change.UNCLEAR),
        (times(9.0), (), Change.UNCLEAR),
        ([9.0], FIVE * 20, Change.WORSE),  # one against a hundred is not chance either
    ],
)
def test_a_change_exceeds_the_noise(now: list[float], before: tuple[float, ...], found: Change) -> None:
    assert change(now, before) is found


def test_noise_is_rarely_taken_for_a_change() -> None:
    dice = random.Random(1)
    noisy = [[math.exp(dice.gauss(0, 0.5)) for _ in range(5)] for _ in range(2000)]
    alarms = sum(change(now, before) is Change.WORSE for now, before in zip(noisy[::2], noisy[1::2], strict=True))
    assert alarms <= 10  # 2 in 252 are expected: 8 of 1000


@given(st.lists(st.floats(0, 9), min_size=1, max_size=4), st.lists(st.floats(0, 9), min_size=1, max_size=5))
def test_the_probability_counts_all_orderings(higher: list[float], lower: list[float]) -> None:
    wrong = sum(one <= other for one in higher for other in lower)
    places = range(len(higher) + len(lower))
    ways = [
        sum(one < other for one in chosen for other in places if other not in chosen)
        for chosen in combinations(places, len(higher))
    ]
    assert probability(higher, lower) == sum(one <= wrong for one in ways) / len(ways)


def test_a_saved_bench_can_be_loaded(tmp_path: Path) -> None:
    kept = bench(list(FIVE), Machine="2 x any")
    kept = replace(kept, rows={**kept.rows, "bare": Measured("s", (Sample(1.0, None, "no pgbench"),))})
    kept.save(tmp_path / "bench.json")
    assert Bench.load(tmp_path / "bench.json") == kept


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "Invalid JSON"), ("{}", "facts"), ("[1]", "object"), ('{"facts": {}, "rows": {"a": 1}}', "rows.a")],
)
def test_other_files_are_refused_as_a_baseline(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(UsageError, match=f"other.json was not written by accept bench.*{words}"):
        Bench.load(tmp_path / "other.json")


def test_a_missing_baseline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        Bench.load(tmp_path / "none.json")


def test_rows_of_only_one_bench_are_not_compared() -> None:
    assert changes(bench(list(FIVE), "new"), bench(list(FIVE), "old")) == {}


def test_a_different_machine_is_reported() -> None:
    found = list(differences({"Machine": "4 x b", "Redis": "7"}, {"Machine": "2 x a", "Redis": "7", "etcd": "3"}))
    assert found == ["Machine: 2 x a then, 4 x b now", "etcd: 3 then, none now"]
