"""The order of work on one cluster: every sabotage once, and healthy runs of the destructive scenarios among them."""

import fcntl
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from support.cli import behave_process, prove, prove_share
from support.cli.behave_process import Planned
from support.cli.prove import ProveOptions
from support.cli.prove_share import PlannedRun, Share, Work, needs_quiet, ordered, repeated, speed_run
from support.cli.prover import ALARMS_KEPT, Prover, forget_old_alarms
from support.errors import UsageError
from support.reporting import journal
from support.reporting.journal import Journal, RunRecord
from support.reporting.scenario import Scenario, ScenarioResult, Verdict
from support.reporting.trust import NOT_TRIED, HealthyRun, Heard, Proof, Trust, read
from support.run import Run
from support.sabotage.damage import Damage, nothing
from support.sabotage.sabotage import Sabotage, notices
from support.settings import Settings
from support.target.topology import Address, Login, Topology
from support.work import WorkQueue


def planned(id: str, file: str, *tags: str) -> Planned:
    return Planned("F", f"the scenario of {id}", f"features/{file}.feature:1", frozenset({f"id.{id}", *tags}))


SCENARIOS = (
    planned("AA-01", "a"),
    planned("BB-01", "b", "destructive"),
    planned("BB-02", "b", "destructive"),
    planned("CC-01", "c", "destructive"),
)


def sabotage(name: str, *ids: str) -> Sabotage:
    return Sabotage(name, "it breaks", notices(dict.fromkeys(ids, "broken")), nothing)


SABOTAGES = (sabotage("one", "BB-01"), sabotage("two", "AA-01"), sabotage("three", "AA-01", "BB-02"))


def names(work: Sequence[Work]) -> list[str]:
    return [one.name for one in work]


def test_destructive_scenarios_run_once_on_the_healthy_cluster_a_feature_at_a_time() -> None:
    work = ordered(SABOTAGES, SCENARIOS, 1, narrowed=False)
    runs = [one for one in work if isinstance(one, PlannedRun)]
    assert [[one.name for one in run.scenarios] for run in runs] == [
        ["the scenario of BB-01", "the scenario of BB-02"],
        ["the scenario of CC-01"],
    ]
    b, c = names(runs)
    assert names(work) == ["two", b, c, "one", "three"], "the fast ones come first: nothing has disturbed the cluster"


def test_several_runs_are_spread_and_have_names_of_their_own() -> None:
    work = names(ordered(SABOTAGES, SCENARIOS, 2, narrowed=False))
    assert len(set(work)) == len(work) == len(SABOTAGES) + 2 * 2
    assert (work[0], work[3], work[6]) == ("two", "one", "three")


def test_a_narrowed_proof_runs_those_that_must_notice() -> None:
    work = ordered(SABOTAGES[:1], SCENARIOS, 1, narrowed=True)
    assert [one.scenarios for one in work if isinstance(one, PlannedRun)] == [(SCENARIOS[1],)]
    assert names(ordered(SABOTAGES[1:2], SCENARIOS, 1, narrowed=True)) == ["two"]


def test_without_healthy_runs_every_sabotage_is_tried() -> None:
    assert names(ordered(SABOTAGES, SCENARIOS, 0, narrowed=True)) == ["two", "one", "three"]


FAST, SEARCH = planned("PF-01", "speed"), planned("PF-02", "speed", "destructive")


def test_what_measures_speed_waits_until_its_cluster_has_the_machine_to_itself() -> None:
    assert needs_quiet(sabotage("slow", "PF-01"), [*SCENARIOS, FAST])
    assert not needs_quiet(sabotage("one", "BB-01"), [*SCENARIOS, FAST])
    assert speed_run([*SCENARIOS, FAST, SEARCH], sharded=False) == PlannedRun("healthy run of speed", (FAST,))
    assert speed_run(SCENARIOS, sharded=False) is None
    plain, sharded = (speed_run([FAST], kind) for kind in (False, True))
    assert plain is not None
    assert sharded is not None
    assert plain.name != sharded.name, "each is claimed by its name"


def test_what_was_inconclusive_is_repeated_and_nothing_else() -> None:
    unclear = Heard("BB-01", False, "inconclusive", "s", "the machine was busy")
    proofs = (
        Proof("one", "p", "w", (unclear,)),
        Proof("two", "p", "w", (Heard("AA-01", False, "passed", "s", "it passed all the same"),)),
        Proof("three", "p", "w", (unclear,), failed="it could not be undone"),
    )
    assert repeated(Trust(proofs), SABOTAGES, SCENARIOS, sharded=False) == [SABOTAGES[0]]
    busy = HealthyRun(4, inconclusive={SCENARIOS[0].name: "the machine was busy"})
    (run,) = repeated(Trust(healthy=(busy,)), SABOTAGES, SCENARIOS, sharded=False)
    assert isinstance(run, PlannedRun)
    assert (run.scenarios, run.repeated) == ((SCENARIOS[0],), True)


def test_a_proof_of_everything_includes_the_destructive_scenarios() -> None:
    with pytest.raises(UsageError, match="only when sabotages or promises are named"):
        ProveOptions(words=(), settings=Settings(), healthy_destructive=0)
    assert ProveOptions(words=("fsync-off",), settings=Settings(), healthy_destructive=0).words


class Told:
    """What a share of the work did: which scenarios it ran, and what it broke. No cluster is there."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends: dict[str, tuple[Verdict, str]] = {}
        self.runs: list[list[str]] = []
        self.broken: list[str] = []
        self.trust = tmp_path / "trust.jsonl"
        self._folder = tmp_path
        monkeypatch.setattr(prove_share, "TRUST", self.trust)
        monkeypatch.setattr(Prover, "_run", lambda prover, *what, **_: self._run(*what))
        monkeypatch.setattr(Prover, "_still_unhealthy", lambda prover: [])

    def _run(self, scenarios: Sequence[Planned], sabotage: Sabotage | None = None) -> RunRecord:
        self.runs.append([*{id: None for one in scenarios for id in one.ids}])
        results = []
        for one in scenarios:
            (id,) = one.ids
            scenario = Scenario("a.feature", "F", one.name, tags=(f"id.{id}",))
            end = (Verdict.BROKEN, "broken") if sabotage and id not in self.ends else (Verdict.PASSED, "")
            results.append(ScenarioResult(scenario, *self.ends.get(id, end)))
        return RunRecord(tuple(one.scenario for one in results), tuple(results))

    def work(
        self, work: Sequence[Work], scenarios: Sequence[Planned], fast: Sequence[Planned], claims: str = "claims"
    ) -> Trust:
        topology = Topology("d", Login("jo", "x"), Address("127.0.0.1", 1))
        prover = Prover(topology, scenarios, self._folder / "log")
        Share(WorkQueue(self._folder / claims), 20, prover, work, fast).work()
        return read(self.trust)

    def sabotage(self, name: str, *ids: str) -> Sabotage:
        """One by the name of a real one, which only notes that it was done."""
        return replace(sabotage(name, *ids), damage=lambda cluster: self._damage(name))

    def _damage(self, name: str) -> Damage:
        return Damage(name, lambda: self.broken.append(name), lambda: None, lambda: None, passes_when_undone=True)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("verdict", "how"), [(Verdict.ERROR, "ends as an error"), (Verdict.BROKEN, "is broken")], ids=["error", "broken"]
)
def test_nothing_is_broken_for_a_scenario_that_fails_on_the_healthy_cluster(
    told: Told, verdict: Verdict, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told.ends["AA-01"] = (verdict, "MissingStep: no step has provided it")
    trust = told.work([told.sabotage("fsync-off", "AA-01")], SCENARIOS, SCENARIOS[:1])
    assert (told.runs, told.broken) == ([["AA-01"]], []), "once on the healthy cluster, and never again"
    (heard,) = trust.heard
    assert (heard.noticed, heard.verdict, heard.mark) == (False, NOT_TRIED, "–")
    why = f"it {how} on the healthy cluster, so no sabotage was tried on it; fix that first: MissingStep"
    assert heard.message.startswith(why)
    assert f"AA-01 the scenario of AA-01: NOT TRIED: {why}" in capsys.readouterr().err
    assert (len(trust.alarms), trust.passed, trust.missing) == (1, False, ())
    assert "1 not tried" in trust.score


def test_the_others_that_must_notice_are_tried_all_the_same(told: Told) -> None:
    told.ends["AA-01"] = (Verdict.ERROR, "no step is defined for it")
    other = planned("AA-02", "a")
    trust = told.work([told.sabotage("fsync-off", "AA-01", "AA-02")], [SCENARIOS[0], other], [SCENARIOS[0], other])
    assert told.broken == ["fsync-off"]
    assert told.runs == [["AA-01", "AA-02"], ["AA-02"], ["AA-02"]]
    assert {one.id: one.label for one in trust.heard} == {"AA-01": "NOT TRIED", "AA-02": "noticed"}


def test_only_what_was_inconclusive_is_repeated_and_a_miss_remains_one(told: Told) -> None:
    scenarios = [SCENARIOS[0], planned("AA-02", "a"), planned("AA-03", "a")]
    work = [told.sabotage("fsync-off", "AA-01", "AA-02", "AA-03")]
    told.ends = {"AA-01": (Verdict.PASSED, ""), "AA-02": (Verdict.INCONCLUSIVE, "the machine was busy")}
    first = told.work(work, scenarios, ())
    assert repeated(first, work, scenarios, sharded=False) == work
    told.ends = {"AA-03": (Verdict.PASSED, "")}
    trust = told.work(work, scenarios, (), claims="alone")
    assert told.runs == [["AA-01", "AA-02", "AA-03"], ["AA-02"]]
    assert {one.id: one.label for one in trust.heard} == {
        "AA-01": "NOT NOTICED",
        "AA-02": "noticed",
        "AA-03": "noticed",
    }
    (proof,) = trust.proofs
    assert (proof.repeated, proof.inconclusive, trust.passed) == (True, False, False)


def test_each_notice_of_a_scenario_has_its_own_second_answer() -> None:
    """Two of one promise may stand for the same scenario, each with words of its own."""
    unclear = Heard("AA-01", False, "inconclusive", "s")
    answers = (Heard("AA-01", False, "broken", "s", "other words"), Heard("AA-01", True, "broken", "s", "broken"))
    both = Proof("one", "p", "w", (unclear, unclear), others=("X",)).with_second(Proof("one", "p", "w", answers))
    assert (both.heard, both.others, both.repeated) == (answers, ("X",), True)


def test_a_destructive_one_that_fails_on_the_healthy_cluster_is_run_once(told: Told) -> None:
    told.ends["BB-01"] = (Verdict.ERROR, "OSError")
    runs = [PlannedRun(f"healthy run {number}", (SCENARIOS[1],)) for number in (1, 2)]
    trust = told.work([runs[0], told.sabotage("fsync-off", "BB-01"), runs[1]], SCENARIOS, ())
    assert (told.runs, told.broken, len(trust.alarms)) == ([["BB-01"]], [], 1)
    assert {run.name for run in trust.healthy} == {"healthy run 1", "healthy run 2"}, "none counts as left out"


def test_an_estimate_is_told_only_where_there_is_one(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    told.work([told.sabotage("fsync-off", "AA-01"), told.sabotage("checks-swapped", "BB-01")], SCENARIOS, SCENARIOS[:1])
    healthy, quick, slow, after = (line for line in capsys.readouterr().err.splitlines() if " s" in line[:9])
    assert healthy.endswith("0 s, about 1 min left  on the healthy cluster: 1 scenario")
    assert "about 1 min left  1/2 fsync-off" in quick
    assert "about 1 min left  2/2 checks-swapped" in slow, "what begins now is part of what is left"
    assert after.endswith("0 s  on the healthy cluster: 1 scenario")


def test_what_was_checked_before_and_after_a_sabotage_is_told(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario that disturbs nothing runs once more after the sabotage; a destructive one only before it."""
    told.work([told.sabotage("fsync-off", "AA-01")], SCENARIOS, SCENARIOS[:1])
    passed, noticed, undone, again = re.findall(r"^ {4}\w.*", capsys.readouterr().err, re.M)
    assert passed == again == "    passed: 1 scenario"
    assert noticed.startswith("    AA-01 the scenario of AA-01: noticed")
    assert undone == "    undone; the cluster is healthy again"
    told.work([PlannedRun("healthy run", SCENARIOS[1:2]), told.sabotage("checks-swapped", "BB-01")], SCENARIOS, ())
    said = capsys.readouterr().err
    assert said.index("    passed: 1 scenario; the cluster is healthy again\n") < said.index("BB-01: noticed")
    assert said.endswith("    undone; the cluster is healthy again\n"), "nothing runs after it"


def test_what_failed_is_not_said_to_have_passed(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    told.ends["AA-01"] = (Verdict.INCONCLUSIVE, "the machine was busy")
    told.work([told.sabotage("fsync-off", "AA-01")], SCENARIOS, SCENARIOS[:1])
    assert "passed" not in capsys.readouterr().err


def test_a_sabotage_that_was_not_tried_or_failed_is_not_said_to_be_undone(
    told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told.ends["AA-01"] = (Verdict.ERROR, "no step is defined for it")
    told.work([told.sabotage("fsync-off", "AA-01")], SCENARIOS, SCENARIOS[:1])
    monkeypatch.setattr(Prover, "_still_unhealthy", lambda prover: ["not healthy afterwards: pg2 is down"])
    told.work([told.sabotage("checks-swapped", "BB-01")], SCENARIOS, ())
    said = capsys.readouterr().err
    assert "FAILED: not healthy afterwards: pg2 is down" in said
    assert "undone" not in said


def test_the_evidence_of_earlier_proofs_is_kept_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path was printed, and somebody may want to read it after the next proof has begun."""
    monkeypatch.setattr("support.cli.prover.ALARMS", tmp_path / "alarms")
    forget_old_alarms()
    for second in range(ALARMS_KEPT + 2):
        (tmp_path / "alarms" / f"{0x6B0DE92E + second:08x}beef" / "allure-results").mkdir(parents=True)
    before = sorted((tmp_path / "alarms").iterdir())
    forget_old_alarms()
    assert sorted((tmp_path / "alarms").iterdir()) == before[2:]


def test_a_healthy_run_that_never_took_place_is_no_run_without_false_alarms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Prover, "_run", lambda *_, **__: RunRecord())
    prover = Prover(Topology("d", Login("jo", "x"), Address("127.0.0.1", 1)), SCENARIOS, tmp_path / "log")
    count = len(SCENARIOS)
    found = prover.run_healthy([replace(one, tags=one.tags - {"destructive"}) for one in SCENARIOS])
    assert found.alarms == (f"the run: {count} of {count} scenarios did not begin",)


@pytest.mark.parametrize(("verdict", "kept"), [(Verdict.PASSED, False), (Verdict.INCONCLUSIVE, True)])
def test_the_evidence_of_a_false_alarm_outlives_its_run(
    verdict: Verdict, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = SCENARIOS[0]

    def behave(argv: Sequence[str], *_: object) -> int:
        (file,) = (word.partition("=")[2] for word in argv if word.startswith("accept_run="))
        run, scenario = Run.load(Path(file)), Scenario("a.feature", "F", one.name, tags=tuple(one.tags))
        written = Journal(run.journal)
        written.begin([scenario])
        written.record(ScenarioResult(scenario, verdict, "start failed"))
        written.close()
        run.results.mkdir(exist_ok=True)
        (run.results / "log.txt").write_text("could not start")
        return 0

    monkeypatch.setattr("support.run.RUNS", tmp_path / "runs")
    monkeypatch.setattr("support.cli.prover.ALARMS", tmp_path / "alarms")
    monkeypatch.setattr(prove_share, "TRUST", tmp_path / "trust.jsonl")
    monkeypatch.setattr(behave_process, "run", behave)
    prover = Prover(Topology("d", Login("jo", "x"), Address("127.0.0.1", 1)), SCENARIOS, tmp_path / "log")
    found = prover.run_healthy([one])
    assert list((tmp_path / "runs").iterdir()) == []
    assert bool(found.evidence) is kept
    prove_share._note_healthy(found)
    told = capsys.readouterr().err
    assert ("the evidence: ./accept report " in told) is kept
    if kept:
        results = Path(found.evidence) / "allure-results"
        assert (results / "log.txt").read_text() == "could not start"
        assert [one.reason for one in journal.read(results / "journal.jsonl").failing] == ["start failed"]


def _target(link: Path) -> str:
    """What a file descriptor is open on; of those of other threads, some are closed meanwhile."""
    with suppress(OSError):
        return os.readlink(link)
    return ""


def test_a_run_of_a_proof_leaves_no_folder_and_no_open_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof has hundreds of them."""
    monkeypatch.setattr("support.run.RUNS", tmp_path / "runs")
    monkeypatch.setattr(behave_process, "run", lambda *_: 0)
    prover = Prover(Topology("d", Login("jo", "x"), Address("127.0.0.1", 1)), SCENARIOS, tmp_path / "log")
    for _ in range(3):
        assert prover._run(SCENARIOS).selected == ()
    assert list((tmp_path / "runs").iterdir()) == []
    gone = f"{tmp_path}/runs/"
    assert not [name for one in Path("/proc/self/fd").iterdir() if (name := _target(one)).startswith(gone)]


def test_a_second_proof_in_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second proof would throw away what the first one has found."""
    kept = tmp_path / "trust.jsonl"
    kept.write_text("found so far")
    monkeypatch.setattr(prove, "TRUST", kept)
    monkeypatch.setattr(prove, "STATE", tmp_path)
    with (tmp_path / "prove.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another proof is running here"):
            prove.prove(ProveOptions(("fsync-off",), Settings()), [])
    assert kept.read_text() == "found so far"
