"""How a run is spread over clusters: kinds, order, number."""

import json
from pathlib import Path

import pytest

from support.cli.behave_process import Planned
from support.cli.job_plan import Machine, Spread, shuffled, spread, this_machine, units_of
from support.reporting.past import durations
from support.work import Unit

BIG = Machine(cores=16, memory=64e9)


def planned(path: str, line: int, *tags: str) -> Planned:
    return Planned("a feature", f"title {line}", f"features/{path}.feature:{line}", frozenset(tags))


def names(units: tuple[Unit, ...]) -> list[str]:
    return [one.name.removeprefix("features/") for one in units]


def failovers(number: int, *tags: str) -> list[Planned]:
    return [planned("f", line, "destructive", "slow", *tags) for line in range(1, number + 1)]


def test_a_long_scenario_is_work_by_itself_and_short_ones_of_a_feature_are_together() -> None:
    units = units_of([planned("a", 3), planned("a", 9, "destructive"), planned("a", 20), planned("b", 2, "slow")])
    assert names(units) == ["a.feature:9", "b.feature:2", "a.feature:3"], "the longest first"
    assert units[-1].places == ("features/a.feature:3", "features/a.feature:20")


def test_scenarios_with_tls_stay_together_since_each_process_boots_a_cluster_for_them() -> None:
    (unit,) = units_of([planned("e", 3, "tls", "slow"), planned("e", 9, "verified_tls")])
    assert unit.lines == (3, 9)
    assert unit.seconds > 10


def test_a_feature_is_split_where_only_some_of_it_needs_shards() -> None:
    units = units_of([planned("a", 3), planned("a", 9, "citus"), planned("a", 20, "several_workers"), planned("a", 30)])
    assert {one.lines: one.sharded for one in units} == {(3, 30): False, (9, 20): True}


def test_speed_is_measured_alone_in_whichever_feature() -> None:
    units = units_of([planned("a", 3, "id.CO-01"), planned("a", 9, "id.PF-05")])
    assert {one.lines: one.alone for one in units} == {(3,): False, (9,): True}


def test_known_durations_come_before_guesses() -> None:
    known = {("features/a.feature", "title 3"): 30.0, ("features/a.feature", "title 9"): 6.0}
    units = units_of([planned("a", 3), planned("a", 9, "destructive"), planned("b", 2, "slow")], known)
    assert [(one.name, one.seconds) for one in units] == [
        ("features/a.feature:3", 30.0),
        ("features/b.feature:2", 8.0),
        ("features/a.feature:9", 6.0),
    ]


def test_durations_are_read_from_the_history_of_the_report(tmp_path: Path) -> None:
    def line(**seconds: float) -> str:
        results = {
            name: {"fullName": f"features/a.feature: {name}", "status": "passed", "duration": 1000 * value}
            for name, value in seconds.items()
        }
        return json.dumps({"testResults": results})

    history = tmp_path / "history.jsonl"
    assert durations(history) == {}
    history.write_text("\n".join([line(one=1, two=2), line(one=3), "{cut off"]))
    assert durations(history) == {("features/a.feature", "one"): 3.0, ("features/a.feature", "two"): 2.0}


def test_a_little_work_gets_one_cluster_and_no_workers_unless_it_needs_them() -> None:
    sharded = [planned("a", 3), planned("b", 3, "citus")]
    assert spread(units_of([planned("a", 3)]), True, BIG).clusters == (False,)
    assert spread(units_of(sharded), True, BIG).clusters == (True,)
    assert spread(units_of(sharded, kinds=False), False, BIG).clusters == (None,)


@pytest.mark.parametrize(
    ("machine", "number"),
    [
        (Machine(cores=1, memory=64e9), 2),
        (Machine(cores=2, memory=64e9), 4),
        (Machine(cores=2, memory=1.7e9), 2),
        (Machine(cores=2, memory=0.2e9), 1),
        (BIG, 10),
    ],
)
def test_as_many_clusters_as_the_machine_carries_and_the_work_is_worth(machine: Machine, number: int) -> None:
    assert spread(units_of(failovers(20)), True, machine).clusters == (False,) * number


@pytest.mark.parametrize(("asked", "number"), [(1, 1), (3, 3), (7, 5)])
def test_the_user_decides_but_no_cluster_is_idle(asked: int, number: int) -> None:
    assert len(spread(units_of(failovers(5)), True, Machine(2, 1e9), asked).clusters) == number


def test_shards_get_their_share_of_the_clusters() -> None:
    both = units_of([*failovers(15), *(planned("s", one, "citus", "destructive") for one in range(5))])
    assert spread(both, True, Machine(2, 64e9)).clusters == (True, False, False, False)
    assert spread(both, True, Machine(2, 64e9), asked=2).clusters == (True, False)
    assert spread(both, True, Machine(2, 64e9), asked=1).clusters == (True,)
    assert spread(units_of(failovers(9, "citus")), True, BIG, asked=3).clusters == (True, True, True)


def test_a_spread_says_what_it_is() -> None:
    assert str(Spread((), (True, False, False))) == "3 clusters, 1 of them with worker groups"
    assert str(Spread((), (None, None))) == "2 clusters"


def test_a_seed_decides_a_random_order() -> None:
    units = units_of(failovers(9))
    assert shuffled(units, 1) == shuffled(units, 1) != units
    assert sorted(names(shuffled(units, 1))) == sorted(names(units))


def test_this_machine_has_processors_and_memory() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert 50e6 < machine.memory < 1e14
