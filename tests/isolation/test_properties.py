"""Properties: what is serializable is never an anomaly; an anomaly among many sound transactions is always found."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Fault, Serial, add, planned

from support.isolation.checks import anomalies
from support.isolation.levels import Anomaly
from support.isolation.transactions import Access, Item, Kind

A, B, X = (Kind.LIST, "a"), (Kind.LIST, "b"), (Kind.REGISTER, "x")
HISTORIES = settings(max_examples=60, deadline=None)


def before(history: Serial, item: Item) -> tuple[int, ...]:
    return history.state.get(item, ())


def lost_update(history: Serial, free: int) -> None:
    seen = before(history, A)
    add(history, Access(*A, saw=seen), Access(*A, wrote=free))
    add(history, Access(*A, saw=seen), Access(*A, wrote=free + 1))


def lost_update_of_register(history: Serial, free: int) -> None:
    seen = before(history, X)
    last = (seen or (0,))[-1]
    add(history, Access(*X, saw=seen[-2:]), Access(*X, wrote=free, replaced=last))
    add(history, Access(*X, saw=seen[-2:]), Access(*X, wrote=free + 1, replaced=free))


def write_skew(history: Serial, free: int) -> None:
    a, b = before(history, A), before(history, B)
    add(history, Access(*A, saw=a), Access(*B, wrote=free))
    add(history, Access(*B, saw=b), Access(*A, wrote=free + 1))


def read_skew(history: Serial, free: int) -> None:
    a = before(history, A)
    add(history, Access(*A, wrote=free), Access(*B, wrote=free + 1))
    add(history, Access(*A, saw=a), Access(*B, saw=before(history, B)))


def unwritten_value(history: Serial, free: int) -> None:
    add(history, Access(*A, saw=(*before(history, A), free)))


def lost_write(history: Serial, free: int) -> None:
    add(history, Access(*A, wrote=free))
    history.state[A] = tuple(value for value in history.state[A] if value != free)


FAULTS: dict[Anomaly, list[Fault]] = {
    Anomaly.LOST_UPDATE: [lost_update, lost_update_of_register],
    Anomaly.WRITE_SKEW: [write_skew],
    Anomaly.READ_SKEW: [read_skew],
    Anomaly.UNWRITTEN_VALUE: [unwritten_value],
    Anomaly.LOST_WRITE: [lost_write],
}


@HISTORIES
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_what_happened_in_some_order_within_its_time_is_no_anomaly(seed: int, count: int) -> None:
    chance = Random(seed)
    history = Serial(chance).run(planned(chance, count)).read_everything()
    assert not anomalies(history)


@pytest.mark.parametrize(("anomaly", "fault"), [(name, one) for name, many in FAULTS.items() for one in many])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), sound=st.integers(0, 15), after=st.integers(0, 15))
def test_an_anomaly_is_found_wherever_it_is(anomaly: Anomaly, fault: Fault, seed: int, sound: int, after: int) -> None:
    chance = Random(seed)
    plans = planned(chance, sound + after)
    history = Serial(chance).run(plans[:sound])
    fault(history, 1_000_000)
    found = {one.anomaly for one in anomalies(history.run(plans[sound:]).read_everything())}
    assert anomaly in found


@HISTORIES
@given(st.integers(0, 2**32), st.integers(5, 40))
def test_a_history_does_not_depend_on_the_order_in_which_it_was_recorded(seed: int, count: int) -> None:
    chance = Random(seed)
    history = list(Serial(chance).run(planned(chance, count)).read_everything())
    chance.shuffle(history)
    assert not anomalies(history)
