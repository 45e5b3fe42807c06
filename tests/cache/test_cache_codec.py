"""Values come back from the cache's encoding unchanged, and keys are one to one."""

import math
import uuid
from collections import OrderedDict
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from support.engine.checks.answers import same
from support.example_app.cache import Question
from support.example_app.cache.codec import NotCacheable, decode, encode
from support.example_app.cache.repository import Keys

settings.register_profile("at any pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("at any pace")

offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes(timezones=st.none() | offsets)
    | st.dates()
    | st.times(timezones=st.none() | offsets)
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
)
hashable = st.none() | st.integers() | st.text(st.characters()) | st.binary() | st.dates() | st.uuids()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(hashable, inner)
        | st.sets(hashable)
        | st.frozensets(hashable)
    ),
    max_leaves=20,
)


@given(values)
@example("")
@example("\ud800 is half a character")
@example(2**63)
@example(-0.0)
@example(math.inf)
@example({1: "a number", "1": "a text"})
@example({"float": "nan"})
@example([{"tuple": []}, ()])
@example([0.1] * 384)
@example(datetime(2000, 1, 1, tzinfo=timezone(timedelta(microseconds=1))))
@example(datetime(2000, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET")))
@example(datetime(2000, 1, 1, fold=1))
def test_a_value_comes_back_unchanged(value):
    assert same(decode(encode(value)), value)


@given(arrays.arrays(st.sampled_from([np.float32, np.float64, np.int64, np.bool_]), arrays.array_shapes(min_dims=0)))
@example(np.zeros(0, dtype=np.float32))
@example(np.arange(6).reshape(2, 3).T)
def test_an_array_comes_back_unchanged(array):
    back = decode(encode(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    back[...] = 0  # and can be changed by its reader


@pytest.mark.parametrize(
    "value",
    [
        object(),
        OrderedDict(a=1),
        np.float64(0.5),
        [1, {"deep": [{1: object()}]}],
        datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")),
        np.array([object()]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_come_back_changed_is_refused(value):
    with pytest.raises(NotCacheable, match="cannot be cached unchanged"):
        encode(value)


@pytest.mark.parametrize("garbage", [b"", b"\x80\x04.", b"{}", b'{"no such type":1}', b'{"a":1,"b":2}', b'{"uuid":3}'])
def test_what_the_encoding_did_not_make_is_refused(garbage):
    with pytest.raises(ValueError, match=r"(?i)expecting|decode|encoded|unpack"):
        decode(garbage)


keys = Keys("p")
parameters = st.lists(scalars, max_size=3).map(tuple)
questions = st.builds(Question, namespace=st.text(), table=st.text(), parameters=parameters)


@given(questions, questions)
@example(Question("a:b", "c"), Question("a", "b:c"))
@example(Question("a", "t", ("b", "c")), Question("a", "t", ("b,c",)))
@example(Question("a", "t", (1,)), Question("a", "t", ("1",)))
@example(Question("a", "t", (1,)), Question("a", "t", (True,)))
@example(Question("a", "t", (1,)), Question("a", "t", (1.0,)))
@example(Question("a", "t", (None,)), Question("a", "t", ("None",)))
@example(Question("a", "t", ()), Question("a", "t", ("",)))
@example(Question('a","t', "x"), Question("a", 't","x'))
def test_two_questions_share_a_key_only_if_they_are_the_same(one, other):
    parts = [[asked.namespace, asked.table, asked.parameters] for asked in (one, other)]
    assert (keys.answer(one) == keys.answer(other)) == same(*parts)


@given(st.text(), st.text(), st.text(), st.text())
@example("a", "b:c", "a:b", "c")
@example("", "a", "a", "")
def test_two_entries_share_a_key_only_if_they_are_the_same(namespace, key, other_namespace, other_key):
    shared = keys.entry(namespace, key) == keys.entry(other_namespace, other_key)
    assert shared == ((namespace, key) == (other_namespace, other_key))


@given(st.text(), st.text(), questions)
@example("n", "k", Question("n", "entry", ("k",)))
@example("n", "k", Question("n", "memory_entries", ("k",)))
def test_no_question_shares_a_key_with_an_entry(namespace, key, question):
    assert keys.entry(namespace, key) != keys.answer(question)


@pytest.mark.parametrize("value", [uuid.uuid4(), date(2024, 2, 29), Decimal("1.10"), b"\x00\xff", timedelta(days=-1)])
def test_what_is_stored_is_plain_text(value):
    assert encode(value).isascii()
