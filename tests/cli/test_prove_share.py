"""The order of work on one cluster: every sabotage once, and healthy runs of the destructive scenarios among them."""

from collections.abc import Sequence

import pytest

from support.cli.behave_process import Planned
from support.cli.prove import ProveOptions
from support.cli.prove_share import PlannedRun, Work, needs_quiet, ordered, repeated, speed_run
from support.errors import UsageError
from support.reporting.trust import HealthyRun, Heard, Proof, Trust
from support.sabotage.damage import nothing
from support.sabotage.sabotage import Sabotage, notices
from support.settings import Settings


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
