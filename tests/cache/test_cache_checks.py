"""What the checks of the cache say about histories that are known to be good, bad, or no evidence."""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steps.cache.redis_steps import step_mode
from support.cache.checks import (
    Handoff,
    cached_again,
    caching_resumed,
    every_key_expires,
    every_read_is_a_fresh_hit,
    every_read_served,
    lived_for,
    lost_write_forgotten,
    no_caller_noticed,
    nothing_rolled_back_served,
    oldest_served,
    own_writes_seen,
    served_within,
    storm_was_heavy,
)
from support.engine.checks.answers import same, unchanged
from support.engine.history import History, Operation, Outcome
from support.expectations import Expectations
from support.target.topology import Address, RedisAddress, RedisMode

Fact = tuple[str, Any, float, float] | tuple[str, Any, float, float, Outcome]


def history(*facts: Fact, key: str = "k") -> History:
    """Operations on one key: action, value, begun, ended, and the outcome where it is not ok."""
    return History(
        Operation(0, action, key, value, outcome[0] if outcome else Outcome.OK, begun, ended, "why" if outcome else "")
        for action, value, begun, ended, *outcome in facts
    )


WRITES: Sequence[Fact] = [("write", "a", 0, 1), ("write", "b", 10, 11)]


@pytest.mark.parametrize(
    ("reads", "holds"),
    [
        ([("hit", "a", 5, 6), ("hit", "b", 14, 15)], True),
        ([("hit", "a", 10.5, 12), ("hit", "b", 14, 15)], True),  # began before the change was acknowledged
        ([("hit", "a", 12.9, 13), ("hit", "b", 14, 15)], True),  # within the bound
        ([("hit", "a", 13.1, 13.2)], False),
        ([("miss", "a", 20, 21)], False),  # also when it claims to come from the database
        ([("hit", "never written", 14, 15)], False),
        ([("hit", None, 14, 15)], False),
        ([("hit", "b", 14, 15), ("miss", None, 15, 16, Outcome.UNKNOWN)], False),  # an error reached the reader
        ([("hit", "b", 12, 13)], None),  # too early to tell
        ([], None),
    ],
)
def test_served_within(reads: list[Fact], holds: bool | None) -> None:
    assert served_within(2, history(*WRITES, *reads)).holds is holds


def test_a_write_of_unknown_outcome_may_be_served_but_replaces_nothing() -> None:
    writes: list[Fact] = [*WRITES, ("write", "c", 20, 21, Outcome.UNKNOWN)]
    assert served_within(2, history(*writes, ("hit", "b", 30, 31))).holds is True
    assert served_within(2, history(*writes, ("hit", "c", 30, 31))).holds is True
    assert served_within(2, history(*writes, ("hit", "a", 30, 31))).holds is False


def test_where_every_write_failed_nothing_can_be_told() -> None:
    refused: Sequence[Fact] = [(*write, Outcome.FAIL) for write in WRITES]
    nothing: Sequence[Fact] = [("miss", None, 5, 6), ("miss", None, 14, 15)]
    found = served_within(2, history(*refused, *nothing))
    assert (found.holds, "2 of 2 writes failed, the first: why" in found.words) == (None, True)
    # The later one was acknowledged: then there was something to be read.
    assert served_within(2, history(refused[0], *WRITES, *nothing)).holds is False
    fresh = every_read_is_a_fresh_hit(history(refused[0], ("miss", None, 5, 6)))
    assert (fresh.holds, fresh.words) == (None, "1 of 1 writes failed, the first: why")


def test_one_key_is_no_evidence_for_another() -> None:
    mixed = History([*history(*WRITES), *history(("write", "x", 0, 1), ("hit", "x", 20, 21), key="other")])
    assert served_within(2, mixed).holds is None


def test_the_oldest_served_is_measured() -> None:
    assert oldest_served(history(*WRITES, ("hit", "a", 12.5, 13), ("hit", "b", 14, 15))) == 1.5
    assert oldest_served(history(*WRITES, ("hit", "b", 14, 15))) == 0
    assert oldest_served(history()) == 0


UNDONE: Fact = ("rollback", "draft", 10, 12)


@pytest.mark.parametrize(
    ("reads", "holds"),
    [
        ([("hit", "kept", 10.5, 11), ("hit", "kept", 13, 14)], True),
        ([("hit", "draft", 10.5, 11), ("hit", "kept", 13, 14)], False),
        ([("hit", "kept", 10.5, 11), ("miss", "draft", 13, 14)], False),
        ([("hit", "kept", 10.5, 11), ("miss", None, 13, 14, Outcome.FAIL)], False),
        ([("hit", "kept", 13, 14)], None),  # nobody looked while it was open
        ([("hit", "kept", 10.5, 11)], None),  # nobody looked afterwards
    ],
)
def test_nothing_rolled_back_served(reads: list[Fact], holds: bool | None) -> None:
    assert nothing_rolled_back_served(history(UNDONE, *reads)).holds is holds


def test_without_a_rollback_it_is_inconclusive() -> None:
    assert nothing_rolled_back_served(history(("hit", "kept", 1, 2))).holds is None


@pytest.mark.parametrize(
    ("facts", "holds"),
    [
        ([("write", "a", 0, 1), ("hit", "a", 2, 3), ("write", "b", 4, 5), ("hit", "b", 6, 7)], True),
        ([("write", "a", 0, 1), ("miss", "a", 2, 3)], False),
        ([("write", "a", 0, 1), ("hit", "a", 2, 3), ("write", "b", 4, 5), ("hit", "a", 6, 7)], False),
        ([("write", "a", 0, 1), ("hit", "a", 2, 3, Outcome.UNKNOWN)], False),
        ([("write", "a", 0, 1)], None),
        ([], None),
    ],
)
def test_every_read_is_a_fresh_hit(facts: list[Fact], holds: bool | None) -> None:
    assert every_read_is_a_fresh_hit(history(*facts)).holds is holds


@pytest.mark.parametrize(
    ("facts", "holds"),
    [
        ([("hit", "v", 0, 1), ("miss", "v", 1, 2)], True),
        ([("hit", "v", 0, 1), ("miss", None, 1, 2)], False),
        ([("hit", "v", 0, 1, Outcome.FAIL)], False),
        ([("write", "v", 0, 1)], None),
    ],
)
def test_every_read_served(facts: list[Fact], holds: bool | None) -> None:
    assert every_read_served("v", history(*facts)).holds is holds


def lifetime(*reads: Fact) -> History:
    return history(("miss", "old", 0, 0.1), ("change", "new", 0.2, 0.3), *reads)


@pytest.mark.parametrize(
    ("reads", "holds"),
    [
        ([("hit", "old", 9.5, 9.6), ("miss", "new", 10.3, 10.4)], True),
        ([("hit", "old", 9.5, 9.6), ("hit", "old", 10.05, 10.1), ("miss", "new", 10.3, 10.4)], True),  # between the two
        ([("hit", "old", 9.0, 9.1), ("miss", "new", 9.5, 9.6), ("hit", "new", 10.3, 10.4)], False),  # too early
        ([("hit", "old", 9.5, 9.6), ("hit", "old", 10.3, 10.4)], False),  # too late
        ([("hit", "old", 9.5, 9.6), ("miss", "new", 10.3, 10.4, Outcome.FAIL)], False),
        ([("hit", "old", 5, 6), ("miss", "new", 10.3, 10.4)], None),  # nobody looked just before the end
        ([("hit", "old", 9.5, 9.6)], None),  # nobody looked afterwards
    ],
)
def test_lived_for(reads: list[Fact], holds: bool | None) -> None:
    assert lived_for(10, 0.1, lifetime(*reads)).holds is holds


def test_nothing_is_known_of_a_lifetime_if_the_value_was_not_changed() -> None:
    failed = history(("miss", "old", 0, 0.1), ("change", "new", 1, 1.1, Outcome.FAIL), ("hit", "old", 9.5, 9.6))
    found = lived_for(10, 0.1, failed)
    assert (found.holds, found.words) == (None, "the value was not changed in the database: why")


def test_every_key_expires() -> None:
    assert every_key_expires({"a": 3, "b": 10}, 10).holds is True
    assert every_key_expires({"a": 3, "b": 11}, 10).holds is False
    assert "never expires" in every_key_expires({"a": 3, "b": math.inf}, 10).words
    assert every_key_expires({}, 10).words.endswith("perhaps it does not use the prefix that it was given")
    assert every_key_expires({}, 10).holds is None


@pytest.mark.parametrize(("lifetimes", "holds"), [({}, None), ({"a": 3}, None), ({"a": math.inf}, False)])
def test_keys_that_may_be_gone_when_they_are_looked_for(lifetimes: dict[str, float], holds: bool | None) -> None:
    found = every_key_expires(lifetimes, 10, searched=12)
    assert found.holds is holds
    assert (found.words.startswith("the search among all keys of Redis took 12 s")) is (holds is None)


def storm_of(**counts: int) -> History:
    return history(*((kind, "v", 0, 1) for kind, count in counts.items() for _ in range(count)))


def test_storm_was_heavy() -> None:
    assert storm_was_heavy(storm_of(hit=20, miss=20, write=20, rollback=20)).holds is True
    assert storm_was_heavy(storm_of(hit=500, miss=20, write=20)).holds is None
    failed = [*storm_of(hit=20, miss=20, write=20, rollback=20), *history(("write", "v", 0, 1, Outcome.UNKNOWN))]
    assert storm_was_heavy(History(failed)).holds is False


def done(
    client: int, action: str, value: str | None, begun: float, took: float = 0.01, outcome: Outcome = Outcome.OK
) -> Operation:
    return Operation(client, action, f"entry {client}", value, outcome, begun, begun + took, "no answer")


def own_keys(client: int) -> list[str]:
    return [f"entry {client}"]


BUSY = [done(client, action, "v", 10.5) for client in (0, 1) for action in ("write", "miss")]


@pytest.mark.parametrize(
    ("operations", "holds", "words"),
    [
        (BUSY, True, "4 operations"),
        ([*BUSY, done(0, "miss", None, 11, outcome=Outcome.UNKNOWN)], False, "1 of 5 operations ended in an error"),
        ([*BUSY, done(0, "write", "w", 11, took=2.5)], False, "took too long, up to 2.50 s (limit: 2 s)"),
        (BUSY[:3], None, "not every client read and wrote"),
        ([], None, "not every client read and wrote"),
    ],
)
def test_an_outage_reaches_no_caller(operations: list[Operation], holds: bool | None, words: str) -> None:
    found = no_caller_noticed(2, History(operations), clients=2, since=10, until=13)
    assert found.holds is holds
    assert words in found.words


def of_other(action: str, begun: float, value: str = "v", took: float = 0.01) -> Operation:
    """A read of client 0's entry by client 1."""
    return replace(done(1, action, value, begun, took), key="entry 0")


@pytest.mark.parametrize(
    ("further", "holds"),
    [
        ([of_other("hit", 11)], None),
        ([of_other("hit", 11), of_other("miss", 11.5)], None),
        ([of_other("hit", 11), done(0, "miss", None, 11, outcome=Outcome.UNKNOWN)], False),
        ([of_other("hit", 12.85, took=0.1)], True),  # Redis may have been back
        # What a client may have kept:
        ([done(0, "write", "before", 9.9), of_other("hit", 9.95, "before"), of_other("hit", 11, "before")], True),
        ([done(0, "hit", "v", 11)], True),
        ([of_other("miss", 10.8), of_other("hit", 11)], True),
    ],
)
def test_what_is_shared_while_redis_is_silent_shows_that_the_outage_missed_the_cache(
    further: list[Operation], holds: bool | None
) -> None:
    found = no_caller_noticed(2, History([*BUSY, *further]), 2, since=10, until=13, silent_until=12.9)
    assert found.holds is holds
    assert ("missed the cache" in found.words) == (holds is None)


def test_a_client_is_served_what_it_wrote_itself() -> None:
    writes = [done(0, "write", "old", 1), done(0, "write", "new", 2)]
    assert own_writes_seen(History([*writes, done(0, "miss", "new", 3)]), own_keys, 1).holds is True
    assert own_writes_seen(History([*writes, done(0, "hit", "old", 3)]), own_keys, 1).holds is False
    assert own_writes_seen(History(writes), own_keys, 1).holds is None


def test_caching_has_resumed_when_the_last_client_has_a_hit() -> None:
    hits = [done(0, "hit", "v", 9), done(0, "hit", "v", 11, took=0), done(1, "miss", "v", 10.5)]
    assert cached_again(History(hits), range(2), since=10) is None
    assert cached_again(History([*hits, done(1, "hit", "v", 12, took=0)]), range(2), since=10) == 2


def test_caching_resumes_within_the_limit() -> None:
    hits = [done(0, "hit", "v", 11, took=0), done(1, "miss", "v", 10.5)]
    gone = caching_resumed(5, History([*hits, done(1, "miss", "v", 15, took=0)]), range(2), since=10)
    assert (gone.holds, gone.words) == (
        False,
        "not every client had a hit in the 5.0 s after the outage (limit: 5 s)",
    )
    back = History([*hits, done(1, "hit", "v", 12, took=0)])
    assert [caching_resumed(limit, back, range(2), since=10).holds for limit in (5, 2)] == [True, False]


LOST = [done(0, "hit", "lost", 5), done(1, "miss", "lost", 5)]
KEPT = [done(0, "miss", "kept", 40), done(1, "hit", "kept", 40)]


@pytest.mark.parametrize(
    ("operations", "holds", "words"),
    [
        ([*LOST, *KEPT], True, "was served for 0.0 s"),
        ([*LOST, done(0, "hit", "lost", 30), *KEPT], True, "was served for 22.0 s"),
        ([*LOST, done(0, "hit", "lost", 34), *KEPT], False, "was served for 26.0 s after the old leader stopped"),
        ([*LOST, done(0, "miss", "lost", 12), *KEPT], False, "from the database 2.0 s after the change of leader"),
        ([*LOST, done(0, "hit", "other", 12), *KEPT], False, "1 of 5 reads served a value that nobody wrote: 'other'"),
        ([LOST[1], *KEPT], None, "never served from the cache"),
        ([*LOST, KEPT[0]], None, "1 of 2 clients read nothing after"),
    ],
)
def test_what_a_failover_lost_is_forgotten(operations: list[Operation], holds: bool | None, words: str) -> None:
    found = lost_write_forgotten(25, History(operations), "lost", "kept", Handoff(8, 10), clients=2)
    assert found.holds is holds
    assert words in found.words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", 1),
        (b"a", "a"),
        (Decimal("1.0"), Decimal("1.00")),
        ([1, 2], (1, 2)),
        ([1, [2]], [1, [2.0]]),
        ({"a": 1}, {"a": True}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.float32([1]), np.float64([1])),
        (np.zeros((2, 1)), np.zeros((1, 2))),
        (None, 0),
    ],
)
def test_equal_is_not_always_the_same(one: Any, other: Any) -> None:
    assert same(one, one)
    assert not same(one, other)


def test_not_a_number_is_the_same_as_itself() -> None:
    assert same([math.nan], [float("nan")])


def test_unchanged() -> None:
    assert unchanged({"a": 1, "b": [0.5]}, {"a": 1, "b": [0.5], "c": 2}).holds is True
    assert unchanged({"a": 1}, {"a": "1"}).words.endswith("a: int 1 came back as str '1'")
    assert unchanged({"a": 1}, {}).holds is False
    assert unchanged({}, {"a": 1}).holds is None


def test_another_mode_of_redis_than_usual_names_the_setting_that_declares_it() -> None:
    """A Redis Cluster may have been found by itself, from one of its nodes."""
    world = SimpleNamespace(
        cluster=SimpleNamespace(topology=SimpleNamespace(expectations=Expectations(), redis=None)),
        handover=lambda kind: SimpleNamespace(redis=SimpleNamespace(mode="cluster")),
    )
    context: Any = SimpleNamespace(world=world)
    with pytest.raises(AssertionError, match=r'declare \[expect\] redis_mode = "cluster"'):
        step_mode(context, "standalone")
    context.world.cluster.topology.expectations = Expectations(redis_mode="cluster")
    step_mode(context, "standalone")


@pytest.mark.parametrize(("given", "declared"), [("sentinel", "sentinel"), ("sentinel", None), ("standalone", None)])
def test_a_redis_behind_sentinels_is_in_the_mode_that_was_declared(given: RedisMode, declared: str | None) -> None:
    """The primary itself reports to be standalone, and so it is for who declares nothing."""
    _reports_standalone(given, declared)


def test_a_redis_that_was_declared_to_be_behind_sentinels_and_is_not() -> None:
    with pytest.raises(AssertionError, match="standalone"):
        _reports_standalone("standalone", "sentinel")


def _reports_standalone(given: RedisMode, declared: str | None) -> None:
    """Redis was given in one mode and declared in another, and reports to be standalone."""
    address = RedisAddress(Address("redis", 6379), mode=given)
    topology = SimpleNamespace(expectations=Expectations(redis_mode=declared), redis=address)
    world = SimpleNamespace(
        cluster=SimpleNamespace(topology=topology),
        handover=lambda kind: SimpleNamespace(redis=SimpleNamespace(mode="standalone")),
    )
    context: Any = SimpleNamespace(world=world)
    step_mode(context, "standalone")
