"""Each anomaly in a history written by hand, and no other; and the same history without it.

The names and definitions are those of A. Adya, Weak Consistency (MIT, 1999), and of K. Kingsbury and P. Alvaro, Elle
(VLDB 2020). The patterns called P4, A5A, ... are those of H. Berenson et al., A Critique of ANSI SQL Isolation Levels
(SIGMOD 1995), in the form in which Hermitage (https://github.com/ept/hermitage) tries them out.
"""

import pytest
from hand_made import seen

from support.isolation.levels import RULED_OUT, Anomaly, Level

SHOWN = {
    "aborted read of a list": ("fail a+1\n ok a:1", Anomaly.ABORTED_READ),
    "aborted read of a register (Hermitage, G1a)": ("fail x=101<10\n ok x:101<10\n ok x=10", Anomaly.ABORTED_READ),
    "aborted read of a set": ("fail s*1\n ok s{1}", Anomaly.ABORTED_READ),
    "aborted read below others' values": ("fail a+1\n ok a+2\n ok a:1,2", Anomaly.ABORTED_READ),
    "intermediate read of a list": ("ok a+1 a+2\n ok a:1\n ok a:1,2", Anomaly.INTERMEDIATE_READ),
    "intermediate read of a register (Hermitage, G1b)": (
        "ok x=10\n ok x=101<10 x=11<101\n ok x:101<10\n ok x:11<101",
        Anomaly.INTERMEDIATE_READ,
    ),
    "one query that shows half of a transaction": ("ok s*1 s*2\n ok s{1}\n ok s{1,2}", Anomaly.FRACTURED_STATEMENT),
    "dirty write (Hermitage, G0)": ("ok x=11<0 y=21<12\n ok x=12<11 y=22<0\n ok y=12<22", Anomaly.DIRTY_WRITE),
    "dirty write in lists": ("ok a+1 b+1\n ok a+2 b+2\n ok a:1,2\n ok b:2,1", Anomaly.DIRTY_WRITE),
    "circular information flow (Hermitage, G1c)": (
        "ok x=11<0 y:22\n ok y=22<0 x:11",
        Anomaly.CIRCULAR_INFORMATION,
    ),
    "circular information flow through three transactions": (
        "ok a+1 b:2\n ok b+2 c:3\n ok c+3 a:1",
        Anomaly.CIRCULAR_INFORMATION,
    ),
    "circular: it saw one write and was overwritten by the same transaction": (
        "ok a+1 b+1\n ok a:1 b+2\n ok b:2,1",
        Anomaly.CIRCULAR_INFORMATION,
    ),
    "own append not found": ("ok a+1 a:-\n ok a:1", Anomaly.INTERNAL),
    "own append in the wrong place": ("ok a+1 a:1,2\n ok a+2", Anomaly.INTERNAL),
    "own register not found": ("ok x=7<0 x:5\n ok x=5", Anomaly.INTERNAL),
    "own member not found": ("ok s*1 s{-}\n ok s{1}", Anomaly.INTERNAL),
    "two orders": ("ok a+1\n ok a+2\n ok a+3\n ok a:1,2,3\n ok a:2", Anomaly.INCOMPATIBLE_ORDER),
    "two successors of a version": ("ok x=1<0\n ok x=2<1\n ok x=3<1", Anomaly.INCOMPATIBLE_ORDER),
    "a value that nobody wrote": ("ok a:9", Anomaly.UNWRITTEN_VALUE),
    "a value twice": ("ok a+1\n ok a+2\n ok a:1,2,1\n ok a:1", Anomaly.DUPLICATE),
    "lost append": ("1-2 ok a+1\n 1-2 ok a+2\n 5-6 final a:2", Anomaly.LOST_WRITE),
    "lost member": ("1-2 ok s*1\n 3-4 ok s*2\n 5-6 final s{2}", Anomaly.LOST_WRITE),
    "stale read": ("1-2 ok a+1\n 3-4 ok a:-\n 5-6 ok a:1", Anomaly.STALE_READ),
    "stale read of a register": ("1-2 ok x=1<0\n 3-4 ok x:-", Anomaly.STALE_READ),
    "phantom that was committed and is missed": ("1-2 ok s*1\n 3-4 ok s{}\n 5-6 ok s{1}", Anomaly.STALE_READ),
    "read skew (Hermitage, G-single; A5A)": ("ok x:- y:22\n ok x=11<0 y=22<0", Anomaly.READ_SKEW),
    "read skew in lists": ("ok a:- b:1\n ok a+1 b+1\n ok a:1", Anomaly.READ_SKEW),
    "non-repeatable read (P2)": ("ok a:- a:1\n ok a+1", Anomaly.READ_SKEW),
    "phantom (P3)": ("ok s{} s{1}\n ok s*1", Anomaly.READ_SKEW),
    "read skew through a third transaction": (
        "ok a:- c:3\n ok a+1 b+1\n ok b:1 c+3\n ok a:1",
        Anomaly.READ_SKEW,
    ),
    "lost update (Hermitage, P4)": ("ok x:10 x=11<12\n ok x:10 x=12<10\n ok x=10<0", Anomaly.LOST_UPDATE),
    "lost update of a list": ("ok a:- a+1\n ok a:- a+2\n ok a:2,1", Anomaly.LOST_UPDATE),
    "long fork": ("ok a+1\n ok b+2\n ok a:1 b:-\n ok a:- b:2", Anomaly.LONG_FORK),
    "long fork of two registers": ("ok x=1<0\n ok y=2<0\n ok x:1 y:-\n ok x:- y:2", Anomaly.LONG_FORK),
    "writes against the order of time": ("1-2 ok a+1\n 3-4 ok a+2\n 5-6 ok a:2,1", Anomaly.REALTIME_WRITES),
    "write skew (Hermitage, G2-item; A5B)": ("ok x:- y:- x=11<0\n ok x:- y:- y=21<0", Anomaly.WRITE_SKEW),
    "write skew in lists": ("ok a:- b+1\n ok b:- a+2\n ok a:2 b:1", Anomaly.WRITE_SKEW),
    "write skew by a condition (Hermitage, G2)": ("ok s{} t*1\n ok t{} s*2\n ok s{2} t{1}", Anomaly.WRITE_SKEW),
    "write skew of three (Hermitage, two edges)": (
        "ok a:- b:- a+1\n 0-5 ok b+2\n 7-9 ok a:- b:2\n ok a:1",
        Anomaly.WRITE_SKEW,
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_an_anomaly_is_found_and_named(name: str) -> None:
    text, anomaly = SHOWN[name]
    found = seen(text)
    assert anomaly in found
    levels = [level for level, out in RULED_OUT.items() if anomaly in out]
    weaker = [level for level in Level if level not in levels]
    assert not any(found & RULED_OUT[level] for level in weaker), "something else, which weaker levels rule out, too"


@pytest.mark.parametrize(
    "text",
    [
        "ok a+1\n ok a:1\n ok a:-",
        "fail a+1\n ok a:-",
        "fail a+1\n ok a+2\n ok a:2",
        "ok a+1 a:1 a+2 a:1,2\n ok a:1,2",
        "ok x=7<5 x:7<5\n ok x=5<0\n ok x:7<5",
        "ok s*1 s{1} s*2 s{1,2}\n ok s{}\n ok s{1,2}",
        "1-2 ok a+1\n 3-4 ok a:1 b+2\n 5-6 final a:1 b:2",
        "ok a:- b+1\n ok a+1 b:1",
        "ok x:- x=1<0\n ok x:1 x=2<1\n final x:2<1",
    ],
)
def test_what_is_serializable_shows_nothing(text: str) -> None:
    assert not seen(text)


@pytest.mark.parametrize("read", ["a:-", "a:1"])
def test_a_write_of_unknown_outcome_may_be_seen_or_not(read: str) -> None:
    assert not seen(f"1-2 unknown a+1\n 3-4 ok {read}")


def test_a_write_of_unknown_outcome_may_appear_late_but_not_go_away_again() -> None:
    assert not seen("1-2 unknown a+1\n 3-4 ok a:-\n 5-6 ok a:1")
    assert seen("1-2 unknown a+1\n 3-4 ok a:1\n 5-6 ok a:-") & RULED_OUT[Level.REPEATABLE_READ]


def test_half_of_a_transaction_of_unknown_outcome_is_an_anomaly() -> None:
    assert seen("1-2 unknown a+1 b+1\n 3-4 ok a:1 b:-\n 5-6 ok b:1") == {Anomaly.READ_SKEW}
    assert Anomaly.FRACTURED_STATEMENT in seen("1-2 unknown s*1 s*2\n 3-4 ok s{1}")


def test_what_a_failed_transaction_read_does_not_count() -> None:
    assert not seen("ok a+1\n fail a:9 a:-\n ok a:1")


@pytest.mark.parametrize(
    ("weaker", "stronger"), [(Level.READ_COMMITTED, Level.REPEATABLE_READ), (Level.REPEATABLE_READ, Level.SERIALIZABLE)]
)
def test_a_higher_level_rules_out_more(weaker: Level, stronger: Level) -> None:
    assert RULED_OUT[weaker] < RULED_OUT[stronger]
