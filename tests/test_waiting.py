"""Waiting: the one module that sleeps."""

import ast
import re
import time

import pytest
from hamcrest import assert_that, empty, equal_to, has_length, less_than, not_none
from hamcrest.core.matcher import Matcher
from program import ROOT

from support.errors import Inconclusive, NotInTime
from support.waiting import NotYet, describe, eventually, in_time, look_again, pause, precondition, throughout


class Counter:
    """A probe that is so from a certain call on."""

    def __init__(self, so_at: int, error: BaseException | None = None) -> None:
        self.so_at, self.error, self.calls = so_at, error or NotYet("still closed"), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls < self.so_at:
            raise self.error
        return f"open at call {self.calls}"


def test_what_becomes_so_is_returned():
    probe = Counter(so_at=4)
    assert eventually(probe, within=5, subject="the door is open") == "open at call 4"


def test_what_is_so_at_once_costs_no_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"it paused for {seconds} s"))
    eventually(Counter(so_at=1), within=5, subject="the door is open")


def test_what_does_not_become_so_says_subject_observation_and_both_times():
    with pytest.raises(NotInTime) as caught:
        eventually(Counter(so_at=10**9), within=0.2, subject="the door is open")
    assert re.match(r"the door is open: still not true after \d\.\d s \(limit: 0\.2 s\)", str(caught.value))
    assert str(caught.value).endswith("last observed: still closed")
    assert isinstance(caught.value, AssertionError), "it must count as a broken promise"


def test_no_time_at_all_still_means_one_look():
    assert eventually(Counter(so_at=1), within=0, subject="the door is open") == "open at call 1"
    with pytest.raises(NotInTime):
        eventually(Counter(so_at=2), within=0, subject="the door is open")


def test_the_last_look_is_at_the_end_of_the_time():
    begun = time.monotonic()

    def opens_late() -> None:
        if time.monotonic() - begun < 0.3:
            raise NotYet("closed")

    eventually(opens_late, within=0.3, subject="the door is open", pause=10)


def test_a_failed_assertion_of_the_probe_is_not_so_yet():
    probe = Counter(so_at=2, error=AssertionError("1 != 2"))
    assert eventually(probe, within=1, subject="they agree") == "open at call 2"


def test_other_errors_are_raised_at_once_unless_named():
    probe = Counter(so_at=3, error=ConnectionResetError("reset"))
    with pytest.raises(ConnectionResetError):
        eventually(probe, within=1, subject="it answers")
    assert probe.calls == 1
    assert eventually(probe, within=1, subject="it answers", retry_on=(ConnectionError,)) == "open at call 3"


def slow(seconds: float) -> str:
    """A probe that begins in time and returns late."""
    pause(seconds)
    return "open"


def test_what_is_seen_too_late_breaks_a_promised_time():
    with pytest.raises(NotInTime, match=r"the door is open: still not true after 0\.3 s \(limit: 0\.1 s\)"):
        in_time(lambda: slow(0.3), within=0.1, subject="the door is open")
    assert eventually(lambda: slow(0.3), within=0.1, subject="the door is open") == "open"


def test_what_is_seen_in_time_is_returned_with_the_time_it_took():
    value, took = in_time(lambda: slow(0.1), within=5, subject="the door is open")
    assert value == "open"
    assert 0.1 <= took < 5


def test_a_promised_time_counts_from_when_it_began():
    with pytest.raises(NotInTime, match=r"too late"):
        in_time(lambda: "open", within=1, since=time.monotonic() - 2, subject="the door is open")


def test_throughout_looks_at_the_beginning_and_at_the_end():
    looks: list[float] = []
    calls = throughout(lambda: looks.append(time.monotonic()), seconds=0.3, pause=0.1)
    assert calls == len(looks) >= 2
    assert looks[-1] - looks[0] >= 0.3


def test_throughout_stops_at_the_first_exception():
    probe = Counter(so_at=2, error=AssertionError("it flickered"))
    with pytest.raises(AssertionError, match="flickered"):
        throughout(probe, seconds=5)
    assert probe.calls == 1


def test_an_error_without_words_is_described_by_its_type():
    assert describe(TimeoutError()) == "TimeoutError"
    assert describe(ValueError("two\n  lines")) == "two lines"


@pytest.mark.parametrize(
    ("seen", "matcher", "told"),
    [
        (7, equal_to(42), "the answer: expected 42, was 7"),
        (None, not_none(), "the answer: expected not None, was None"),
        ("a <7>", equal_to("b"), "the answer: expected 'b', was 'a <7>'"),
        (0.1 + 0.2, less_than(0.044000000000000046), "the answer: expected a value less than 0.044, was 0.3"),
        ([1, 2], has_length(3), "the answer: expected an object with length of 3, was [1, 2] with length of 2"),
        ({"a": 1}, empty(), "the answer: expected an empty collection, was {'a': 1}"),
    ],
)
def test_what_hamcrest_says_is_told_in_a_line(seen: object, matcher: Matcher[object], told: str) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_that(seen, matcher, "the answer")
    assert describe(raised.value) == told


def test_figures_have_no_more_digits_than_anybody_reads() -> None:
    assert describe(AssertionError("lag of 0.044000000000000046 s")) == "lag of 0.044 s"
    for kept in ("PostgreSQL 16.13", "0.0441 s", "10.0.0.1", "at 1764500000.1234567", "Expected: nothing"):
        assert describe(AssertionError(kept)) == kept


def test_a_limit_that_began_earlier_is_reported_as_it_was_promised() -> None:
    def never() -> None:
        raise NotYet("no leader")

    with pytest.raises(NotInTime, match=r"still not true after 5\.\d s \(limit: 5 s\)"):
        eventually(never, within=5, since=time.monotonic() - 5, subject="another member leads")


def missed(so_at: int, error: BaseException | None = None) -> NotInTime:
    with pytest.raises(NotInTime) as caught:
        eventually(Counter(so_at, error), within=0, subject="the door is open", retry_on=(OSError,))
    return caught.value


def test_what_comes_after_all_was_late_and_what_does_not_come_is_more_than_late():
    late, never = missed(so_at=4), missed(so_at=10**9)
    assert (late.facts.never_came, never.facts.never_came) == (True, True)
    for one in (late, never):
        look_again(one, 0.3)
    assert not late.facts.never_came
    assert never.facts.never_came
    assert str(late) == str(missed(so_at=4)), "what was promised and seen in time stays as it was"


@pytest.mark.parametrize(
    ("otherwise", "told"),
    [
        ((), "inconclusive: the door is open: still not true after "),
        (("nobody got in",), "inconclusive: nobody got in: the door is open: still not true after "),
    ],
)
def test_a_precondition_that_does_not_come_breaks_no_promise(otherwise: tuple[str, ...], told: str):
    with pytest.raises(Inconclusive) as caught, precondition(*otherwise):
        eventually(Counter(so_at=10**9), within=0, subject="the door is open")
    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith("last observed: still closed")
    assert isinstance(caught.value.__cause__, NotInTime)


def test_a_precondition_changes_nothing_else():
    with precondition():
        assert eventually(Counter(so_at=1), within=0, subject="the door is open") == "open at call 1"
    with pytest.raises(OSError, match="refused"), precondition():
        eventually(Counter(so_at=2, error=OSError("refused")), within=0, subject="the door is open")


def test_whatever_a_second_look_raises_it_is_not_there():
    broken = missed(so_at=2, error=OSError("refused"))
    broken.probe = lambda: 1 / 0
    look_again(broken, 0)
    assert broken.facts.never_came


def test_what_is_seen_too_late_has_come():
    begun = time.monotonic()
    with pytest.raises(NotInTime) as caught:
        in_time(lambda: None, within=0.1, subject="the door is open", since=begun - 1)
    assert not caught.value.facts.never_came


ASK_NOBODY = {
    "degradation._await_each_answered": "clients have recorded it",
    "degradation.await_answers_lost": "clients have recorded it",
    "degradation.require_no_write_acknowledged": "clients have recorded it",
    "hung_postmaster._try_until_reached": "what was tried is recorded, with its error",
    "logical_consumer._await_new_change": "the consumer has recorded it",
    "logical_consumer.require_no_gap": "the consumer has recorded it",
    "logins.refused_for_good": "a login is accepted, or the reason told",
    "members.ask_everyone": "it takes silence for an answer",
    "missed_wal.remove_what_it_needs": "a session that is lost cannot be asked again; the whole is",
    "missed_wal.removed": "the same",
    "moves.await_end": "whether a thread of ours has ended",
    "outages._await_hits": "clients have recorded it",
    "outages._await_served": "clients have recorded it",
    "partition.require_lock_renewed": "by a wait that asks again",
    "partition.require_refusing_until_healed": "the watch has recorded it",
    "partition.require_stopped": "the watch has recorded it",
    "partition.state_before_the_fault": "who gives no answer is part of what is seen",
    "partition.watch_state": "who gives no answer is part of what is seen",
    "quiet.await_quiet": "processes of this machine",
    "recovery._await_refusal": "the watch has recorded it",
    "role_claims._await_no_claim_of_the_former_leader": "the watch has recorded it",
    "role_claims.watch_claims": "the watch has recorded it",
    "routing._targets": "who gives no answer is part of what is seen",
    "sessions._follow": "a session that is lost cannot be asked again",
    "transaction_steps.step_replicas_have": "who gives no answer is part of what is seen",
    "transactions._between": "a client of ours is told it",
    "workload.await_acknowledged": "clients have recorded it",
    "workload.await_at_work": "clients have recorded it",
    "workload.await_each_acknowledged": "clients have recorded it",
    "workload.await_end": "clients have recorded it",
    "workload.await_none_begun_before": "clients have recorded it",
    "workloads._await_last_look": "clients have recorded it",
    "workloads.read_at_the_end": "each attempt is recorded, with its error",
}
"""Module and function -> why its wait gets no error where a server gives no answer."""
PROGRAMS_OF_OURS = frozenset({"bench", "cli", "embedded", "hosts"})
"""Parts that wait for programs of this machine, or see to errors themselves."""


def waits(function: ast.FunctionDef) -> list[ast.Call]:
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return [one for one in calls if isinstance(one.func, ast.Name) and one.func.id in ("eventually", "in_time")]


def test_who_gives_no_answer_for_a_moment_is_asked_again() -> None:
    """A wait without `retry_on` would end as an error of the suite, at the first question without an answer."""
    files = [*(ROOT / "steps").rglob("*.py"), *(ROOT / "support").glob("*/**/*.py")]
    found = {
        f"{file.stem}.{function.name}"
        for file in files
        if file.relative_to(ROOT).parts[1] not in PROGRAMS_OF_OURS
        for text in [file.read_text(encoding="utf-8")]
        if "eventually" in text or "in_time" in text
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef)
        for wait in waits(function)
        if not any(keyword.arg == "retry_on" for keyword in wait.keywords)
    }
    assert sorted(found) == sorted(ASK_NOBODY)


def test_what_could_not_be_found_out_in_time_is_unknown_and_not_late() -> None:
    def unheard() -> None:
        raise Inconclusive("nobody said a word")

    with pytest.raises(Inconclusive, match="nobody said a word"):
        in_time(unheard, within=0.1, subject="the door is open", unknown=(Inconclusive,))

    def closed() -> None:
        raise NotYet("it is closed")

    with pytest.raises(NotInTime, match="it is closed"):
        in_time(closed, within=0.1, subject="the door is open", unknown=(Inconclusive,))
