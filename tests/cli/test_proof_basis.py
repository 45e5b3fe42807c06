"""An interrupted proof is continued without repeating anything, and only on the same basis."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.cli import prove
from support.cli.proof_basis import basis_of, claim_done, require_continuable
from support.cli.prove import ProveOptions
from support.cli.prover import ALARMS
from support.errors import UsageError
from support.own_folder import VARIABLE
from support.reporting.scenario import Verdict
from support.reporting.trust import HealthyRun, Heard, Proof, ScenarioUnderTest, Trust, note, read
from support.sabotage.catalogue import SABOTAGES
from support.settings import Settings
from support.work import WorkQueue


def proof(name: str, verdict: Verdict, repeated: bool = False) -> Proof:
    return Proof(name, "part", "words", (Heard("AA-01", verdict is Verdict.BROKEN, verdict),), repeated=repeated)


@pytest.fixture
def queues(tmp_path: Path) -> tuple[WorkQueue, WorkQueue]:
    return WorkQueue(tmp_path / "first"), WorkQueue(tmp_path / "second")


def test_what_was_tried_is_not_tried_again(queues: tuple[WorkQueue, WorkQueue]) -> None:
    first, second = queues
    runs = (HealthyRun(3), HealthyRun(2, name="healthy run 1 of features/a.feature"))
    claim_done(Trust((proof("done", Verdict.BROKEN), proof("missed", Verdict.PASSED)), runs), first, second)
    for queue in queues:
        assert queue.taken("done")
        assert queue.taken("missed"), "what was not noticed stays a finding"
        assert queue.taken("healthy run 1 of features/a.feature")
        assert not queue.taken("open")


def test_what_was_inconclusive_is_left_to_the_second_round_once(queues: tuple[WorkQueue, WorkQueue]) -> None:
    first, second = queues
    unclear, repeated = proof("unclear", Verdict.INCONCLUSIVE), proof("again", Verdict.INCONCLUSIVE, repeated=True)
    claim_done(Trust((unclear, repeated)), first, second)
    assert first.taken("unclear")
    assert not second.taken("unclear")
    assert second.taken("again")


def test_only_a_proof_on_the_same_basis_is_continued() -> None:
    require_continuable(Trust(planned=("one",), basis="abc"), "abc")
    with pytest.raises(UsageError, match="have changed since that proof began"):
        require_continuable(Trust(planned=("one",), basis="abc"), "abd")
    with pytest.raises(UsageError, match="there is no proof to continue"):
        require_continuable(Trust(), "abc")


def _write(path: Path) -> None:
    path.write_text("Feature: another\n")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: _write(folder / "features" / "more.feature"), id="a new file"),
        pytest.param(lambda folder: _write(folder / "features" / "own.feature"), id="a changed file"),
        pytest.param(lambda folder: (folder / "features" / "own.feature").unlink(), id="a removed file"),
    ],
)
def test_the_basis_includes_the_users_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "own.feature").write_text("Feature: own\n")
    without = basis_of(Settings(), ())
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    before = basis_of(Settings(), ())
    assert without != before == basis_of(Settings(), ())
    change(tmp_path)
    assert basis_of(Settings(), ()) != before


def test_the_basis_includes_what_was_asked_for() -> None:
    assert basis_of(Settings(), (("fsync-off",),)) != basis_of(Settings(), ((),))
    assert basis_of(Settings(accept_members=5), ()) != basis_of(Settings(), ())


def test_plans_and_times_of_a_continued_proof_count_once(tmp_path: Path) -> None:
    results = tmp_path / "trust.jsonl"
    plan = Trust(planned=("one",), planned_healthy=("run",), scenarios=(ScenarioUnderTest("AA-01", "it holds"),))
    for seconds in (60.0, 30.0):
        note(results, "plan", plan)
        note(results, "plan", Trust(seconds=seconds))
    found = read(results)
    assert (found.planned, found.planned_healthy, len(found.scenarios)) == (("one",), ("run",), 1)
    assert found.seconds == 90.0


def test_the_time_of_a_part_that_was_killed_counts_until_it_noted_something_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prove.TRUST.parent.mkdir()
    options, chosen = ProveOptions(("fsync-off",), Settings()), [SABOTAGES["fsync-off"]]
    prove._begin(options, chosen, tmp_path / "first")
    begun = read(prove.TRUST).began
    assert begun == pytest.approx(time.time(), abs=60)
    os.utime(prove.TRUST, (begun + 90, begun + 90))
    prove._begin(replace(options, continues=True), chosen, tmp_path / "second")
    assert read(prove.TRUST).seconds == pytest.approx(90)
    note(prove.TRUST, "plan", Trust(seconds=30.0))  # as at its end, or after Ctrl-C
    prove._begin(replace(options, continues=True), chosen, tmp_path / "third")
    assert read(prove.TRUST).seconds == pytest.approx(120)


def test_a_new_proof_keeps_the_evidence_of_false_alarms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = ALARMS / "6b0de92ebeef"
    kept.mkdir(parents=True)
    prove._begin(ProveOptions(("fsync-off",), Settings()), [SABOTAGES["fsync-off"]], tmp_path / "claims")
    assert kept.is_dir()
