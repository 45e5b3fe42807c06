"""Episodes: made from a seed, written as scenarios that behave knows, and shortened to what breaks."""

import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.cli.behave_process import dry_run
from support.cli.episodes import HEALED, MOVES, Episode, episode, possible
from support.cli.explore import ExploreOptions, Tried, conclude, search, shortest
from support.cli.paths import STATE
from support.errors import UsageError
from support.reporting.scenario import Verdict
from support.settings import Settings

LATER = time.monotonic() + 3600
SENTENCES = {move.sentence: move for move in MOVES}


def outcome(wanted: Episode, broken: bool) -> Tried:
    return Tried(wanted, Verdict.BROKEN if broken else Verdict.PASSED, "lost" if broken else "", 1.0)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_an_episode_does_something_heals_it_and_never_hits_a_broken_cluster_with_what_must_be_alone(seed: int) -> None:
    found = episode(Random(seed), MOVES)
    assert found == episode(Random(seed), MOVES), "the seed decides"
    assert found.sentences[-1] == HEALED
    broken = 0
    done = 0
    for sentence in found.sentences:
        if move := SENTENCES.get(sentence):
            done += 1
            assert not (move.alone and broken), found
            broken += not move.ends_itself
            assert broken <= 2, found
        elif sentence == HEALED:
            broken = 0
        else:
            assert sentence.endswith(" seconds pass")
    assert 1 <= done <= 4


def test_every_sentence_is_a_step_that_behave_knows() -> None:
    folder = STATE / "explored"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "every-move.feature"
    file.write_text(Episode((*SENTENCES, "3 seconds pass", HEALED)).gherkin("All of it"))
    try:
        plan = dry_run([str(file)])
    finally:
        file.unlink()
    assert not plan.undefined
    (scenario,) = plan.scenarios
    assert len(scenario.steps) == len(SENTENCES) + 2 + 4 + 3
    assert scenario.is_destructive


def test_a_target_gets_only_what_it_can_stand() -> None:
    assert {move.sentence for move in possible({"hosts"})} == {"a switchover to any replica is requested"}
    assert not any("cut off" in move.sentence for move in possible({"partitions"}))
    assert not any("of the DCS crashes" in move.sentence for move in possible({"dcs_hosts"}))
    assert possible(()) == MOVES
    with pytest.raises(ValueError, match="no move"):
        episode(Random(1), ())


def test_transactions_are_judged_only_where_nothing_may_be_lost() -> None:
    assert "transactions at isolation level serializable" in Episode((HEALED,)).gherkin("A")
    assert "transaction" not in Episode((HEALED,), transactions=False).gherkin("A")


def test_the_search_ends_with_the_first_episode_that_breaks() -> None:
    asked: list[Episode] = []

    def attempt(wanted: Episode, title: str) -> Tried:
        asked.append(wanted)
        return outcome(wanted, len(asked) == 3)

    tried = search(attempt, 7, MOVES, True, LATER)
    assert [one.broke for one in tried] == [False, False, True]
    assert asked == [episode(Random(f"7/{number}"), MOVES) for number in (1, 2, 3)]
    assert search(attempt, 7, MOVES, True, time.monotonic() - 1) == []


def test_what_broke_is_shortened_to_what_is_needed() -> None:
    crash, freeze = "the host of the leader crashes", "the host of a replica freezes"
    long = Episode((freeze, "8 seconds pass", crash, "20 seconds pass", freeze, "3 seconds pass", HEALED))
    found = shortest(lambda wanted, title: outcome(wanted, crash in wanted.sentences), outcome(long, True), 7, LATER)
    assert found.episode.sentences == (crash, HEALED)
    assert found.broke


def test_what_breaks_only_now_and_then_is_tried_again_before_it_counts_as_sound() -> None:
    crash = "the host of the leader crashes"
    long = Episode((crash, "8 seconds pass", crash, "3 seconds pass", HEALED))
    asked: list[str] = []

    def every_second_time(wanted: Episode, title: str) -> Tried:
        asked.append(str(wanted))
        return outcome(wanted, asked.count(str(wanted)) == 2 and crash in wanted.sentences)

    assert shortest(every_second_time, outcome(long, True), 7, LATER).episode.sentences == (crash, HEALED)


def test_without_time_the_long_episode_is_told() -> None:
    long = outcome(Episode(("the host of the leader crashes", "3 seconds pass", HEALED)), True)
    assert shortest(lambda wanted, title: outcome(wanted, True), long, 7, time.monotonic() - 1) is long


def test_too_short_a_time_is_told() -> None:
    with pytest.raises(UsageError, match="about a minute"):
        ExploreOptions(Settings(), 0.5, 1)


@pytest.mark.parametrize(("judged", "status"), [(30, 0), (15, 0), (14, 3), (1, 3), (0, 3)])
def test_a_few_episodes_that_held_among_many_that_nobody_could_judge_are_no_success(judged: int, status: int) -> None:
    verdicts = [Verdict.PASSED] * judged + [Verdict.ERROR] * (30 - judged)
    wanted = episode(Random(1), MOVES, False)
    tried = [Tried(wanted, verdict, "", 1.0) for verdict in verdicts]
    assert conclude(tried, None, seed=1, end=0.0) == status  # type: ignore[arg-type]
