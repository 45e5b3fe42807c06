"""Whatever ends the examination of a failed scenario early, its world is closed and what was found is recorded."""

import errno
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from behave.model_type import Status
from behave.parser import parse_feature

import environment
from support.engine.world import World
from support.errors import LimitExceeded, PromiseBroken
from support.reporting.evidence import Evidence
from support.reporting.journal import RunRecord, read
from support.reporting.recorder import Recorder
from support.reporting.scenario import Verdict
from support.suite import Suite
from support.target.cluster import Cluster
from support.target.topology import Address, Login, StatisticsPage, Topology

TEXT = """
Feature: A feature
  Scenario: one
    Given a sum
    Then it is so
"""
NOBODY = Topology(
    "app",
    Login("app", "a-password"),
    Address("127.0.0.1", 1),
    statistics=StatisticsPage("http://127.0.0.1:1/stats"),
    lacks={"schema": "nobody answers"},
)
"""There is something to attach: why Citus' nodes and the statistics page cannot be read."""
LATE = LimitExceeded("no leader after 31 s (limit: 30 s)")


class NoEvidence(Evidence):
    """Nothing can be attached."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def attach(self, name: str, text: str) -> None:
        raise self._error


class Hooked(SimpleNamespace):
    """Stands where behave's context stands."""

    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)


def two_writers() -> NoReturn:
    raise PromiseBroken("SB-01", "two members accepted writes")


def ended_with(error: Exception | None) -> Any:
    """A scenario of behave's whose last step has ended so."""
    (model,) = parse_feature(TEXT, filename="features/a.feature").scenarios
    given, then = model.all_steps
    given.status, then.status = Status.passed, Status.failed if error else Status.passed
    then.exception = error
    return model


def after(
    journal: Path,
    model: Any,
    closing: Callable[[], object] = list,
    evidence: Evidence | None = None,
    raises: AbstractContextManager[object] | None = None,
) -> RunRecord:
    """The record of a run after that scenario. `closing` is called when its world is closed."""
    suite: Any = Suite.__new__(Suite)
    suite.topology, suite.unfit, suite._work, suite._saturated, suite._scenario_begun = NOBODY, "", None, list, 0.0
    world = World(run=SimpleNamespace(), cluster=Cluster(NOBODY), evidence=evidence or Evidence())
    world.cleanup.callback(closing)
    closed = list[bool]()
    world.sessions.append(SimpleNamespace(close=lambda: closed.append(True)))
    recorder = Recorder(journal, [model])
    recorder.started(model)
    runner = SimpleNamespace(step_registry=SimpleNamespace(find_match=lambda step: None))
    context = Hooked(world=world, suite=suite, recorder=recorder, begun=time.time(), _runner=runner)
    with raises or nullcontext():
        environment.after_scenario(context, model)
    assert closed == [True], "the whole world, whatever went wrong before"
    recorder.finished()
    return read(journal)


def test_a_full_disk_keeps_no_world_open_and_hides_no_wrong_result(tmp_path: Path) -> None:
    full = NoEvidence(OSError(errno.ENOSPC, "No space left on device"))
    [result] = after(tmp_path / "journal.jsonl", ended_with(LATE), two_writers, evidence=full).results
    assert (result.verdict, result.final, result.also_broken) == (Verdict.BROKEN, True, ("SB-01",))
    assert result.reason.count("(evidence could not be attached: [Errno 28] No space left on device)") == 1


def test_what_is_there_is_not_said_to_be_missing(tmp_path: Path) -> None:
    class Kept(Evidence):
        def attach(self, name: str, text: str) -> None: ...

    [result] = after(tmp_path / "journal.jsonl", ended_with(LATE), evidence=Kept()).results
    assert result.reason == str(LATE)


def test_ctrl_c_while_evidence_is_collected_keeps_no_world_open_and_hides_no_wrong_result(tmp_path: Path) -> None:
    stopped = NoEvidence(KeyboardInterrupt())
    record = after(
        tmp_path / "journal.jsonl",
        ended_with(LATE),
        two_writers,
        evidence=stopped,
        raises=pytest.raises(KeyboardInterrupt),
    )
    [result] = record.results
    assert (result.verdict, result.final, result.also_broken) == (Verdict.BROKEN, True, ("SB-01",))


def test_a_scenario_that_ctrl_c_kept_from_being_closed_has_not_passed(tmp_path: Path) -> None:
    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    record = after(tmp_path / "journal.jsonl", ended_with(None), interrupted, raises=pytest.raises(KeyboardInterrupt))
    assert record.results == ()
    assert [record.verdict_on(one.key) for one in record.selected] == [Verdict.INTERRUPTED]


def test_a_wrong_result_that_was_found_in_spite_of_ctrl_c_counts(tmp_path: Path) -> None:
    """As where Ctrl-C ends the wait for a healthy cluster, and two members are then seen to have accepted writes."""

    def conclude() -> NoReturn:
        try:
            raise KeyboardInterrupt
        finally:
            two_writers()

    record = after(tmp_path / "journal.jsonl", ended_with(None), conclude, raises=pytest.raises(KeyboardInterrupt))
    [result] = record.results
    assert (result.verdict, result.final, result.also_broken) == (Verdict.BROKEN, True, ("SB-01",))
    assert result.reason == "SB-01: two members accepted writes"
