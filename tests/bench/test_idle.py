"""What an idle cluster costs, from what the kernel counted."""

import pytest

from support.bench.idle import idle_cost
from support.hosts.processors import ProcessTime, Reading


def reading(at: float, **used: float) -> Reading:
    ours = {number: ProcessTime(name, 1, own, 0.0) for number, (name, own) in enumerate(used.items(), start=10)}
    return Reading(at, 2, sum(used.values()), 2 * at - sum(used.values()), 0.0, None, ours)


def test_everything_is_counted_and_etcd_is_the_floor() -> None:
    sample = idle_cost(reading(0, etcd=1, patroni=5, postgres=7), reading(10, etcd=1.2, patroni=5.3, postgres=7))
    assert sample.figure == pytest.approx(5)
    assert sample.floor == pytest.approx(2)


def test_a_loop_that_spins_is_seen() -> None:
    sample = idle_cost(reading(0, etcd=1, haproxy=0), reading(10, etcd=1.2, haproxy=10))
    assert sample.figure == pytest.approx(102)


def test_without_etcd_there_is_nothing_to_compare_with() -> None:
    assert idle_cost(reading(0, postgres=7), reading(10, postgres=7.1)).floor == 0
