"""The histories as adya and elle-cli read them; and the two judges held against each other, where adya is installed."""

import json
from pathlib import Path
from random import Random

import pytest
from hand_made import history
from simulated import Serial, planned

from support.engine.finding import Finding
from support.errors import ProcessFailed
from support.isolation import second_opinion
from support.isolation.checks import anomalies
from support.isolation.levels import RULED_OUT, Level
from support.isolation.second_opinion import Opinion, agrees, as_list_append, opinion

asked = pytest.mark.skipif(not second_opinion.is_there(), reason="adya is not on the PATH (cargo install adya)")
LISTS = {
    "aborted read": ("fail a+1\n ok a:1", "G1a", Level.READ_COMMITTED),
    "intermediate read": ("ok a+1 a+2\n ok a:1\n ok a:1,2", "G1b", Level.READ_COMMITTED),
    "dirty write": ("ok a+1 b+1\n ok a+2 b+2\n ok a:1,2\n ok b:2,1", "G0", Level.READ_COMMITTED),
    "circular information flow": ("ok a+1 b:2\n ok b+2 a:1", "G1c", Level.READ_COMMITTED),
    "read skew": ("ok a:- b:1\n ok a+1 b+1\n ok a:1", "G-single-item", Level.REPEATABLE_READ),
    "lost update": ("ok a:- a+1\n ok a:- a+2\n ok a:2,1", "G-single-item", Level.REPEATABLE_READ),
    "long fork": ("ok a+1\n ok b+2\n ok a:1 b:-\n ok a:- b:2", "G-nonadjacent-item", Level.REPEATABLE_READ),
    "write skew": ("ok a:- b+1\n ok b:- a+2\n ok a:2 b:1", "G2-item", Level.SERIALIZABLE),
    "two orders": ("ok a+1\n ok a+2\n ok a+3\n ok a:1,2,3\n ok a:2", "incompatible-order", Level.READ_COMMITTED),
}


def test_every_transaction_begins_and_ends_in_the_order_of_time() -> None:
    text = as_list_append(history("1-4 ok a+1 x=3<0 b:2\n 2-3 fail b+2\n 5-6 unknown a+4 b:-"))
    assert [(one["type"], one["process"], one["value"]) for one in json.loads(text)] == [
        ("invoke", 0, [["append", "a", 1], ["r", "b", None]]),
        ("invoke", 1, [["append", "b", 2]]),
        ("fail", 1, [["append", "b", 2]]),
        ("ok", 0, [["append", "a", 1], ["r", "b", [2]]]),
        ("invoke", 2, [["append", "a", 4], ["r", "b", None]]),
        ("info", 2, [["append", "a", 4], ["r", "b", None]]),
    ]
    assert text.count("\n") == 6


def test_an_objection_of_the_other_judge_makes_a_pass_unknown_and_nothing_else() -> None:
    objects, has_none = Opinion(False, {"G1c": 2}, "T1 < T2"), Opinion(True, {})
    assert agrees(Finding.true("no anomaly"), objects).holds is None
    assert "adya finds G1c: 2" in agrees(Finding.true("no anomaly"), objects).words
    assert agrees(Finding.true("no anomaly"), has_none).holds
    assert agrees(Finding.true("no anomaly"), Opinion(None, {})).holds
    assert agrees(Finding.false("lost update"), has_none).holds is False


def test_a_judge_that_does_not_work_is_an_error_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / second_opinion.PROGRAM
    broken.write_text("#!/bin/sh\necho no such option >&2\nexit 2\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ProcessFailed, match="adya gave no second opinion: no such option"):
        opinion(history("ok a+1"), Level.SERIALIZABLE)


@asked
@pytest.mark.parametrize("name", LISTS)
def test_both_judges_find_the_same_anomaly(name: str) -> None:
    text, theirs, level = LISTS[name]
    told = opinion(history(text), level)
    assert told.valid is False
    assert theirs in told.anomalies
    assert told.example
    assert {one.anomaly for one in anomalies(history(text))} & RULED_OUT[level]


@asked
@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("seed", range(5))
def test_both_judges_find_nothing_in_what_is_serializable(seed: int, level: Level) -> None:
    chance = Random(seed)
    sound = Serial(chance).run(planned(chance, 200)).read_everything()
    assert opinion(sound, level).valid is not False
    assert not anomalies(sound)


@asked
@pytest.mark.parametrize("level", Level)
def test_what_a_weaker_level_allows_is_no_objection(level: Level) -> None:
    skew = history(LISTS["write skew"][0])
    assert opinion(skew, level).valid is (level is not Level.SERIALIZABLE)
