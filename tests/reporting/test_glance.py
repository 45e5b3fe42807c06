"""The tiles and the words about trust: what each run may claim, and what it may not."""

from dataclasses import replace
from pathlib import Path

from journals import READS, WRITES, record_of

from support.hosts.processors import Usage
from support.reporting import past
from support.reporting.journal import Journal, RunRecord, read
from support.reporting.pages import costs, grid
from support.reporting.pages.glance import Fact, confidence, glance
from support.reporting.promises import Promise
from support.reporting.scenario import Incident, Measure, ScenarioResult, Verdict
from support.reporting.trust import HealthyRun, Heard, Proof, Trust

LISTED = {
    "FO-02": Promise("FO-02", "failover", "No acknowledged write is lost.", "blocker"),
    "PF-01": Promise("PF-01", "cache", "Reads are quick.", "normal"),
}
CRASH = Incident("the leader crashes", "pg1 crashes", 100.0, 22.2, 21.9, 50.0, 68_378, 261, 8, 30.0)
FREEZE = replace(CRASH, kind="the leader freezes", without_writes=22.1, acknowledged=113, lost=113, limit=None)
SLOW = Measure("reads, 95 in 100", 56.0, "ms", 50.0)
BUSY = f"inconclusive: too slow, but {Usage(2.0, 2, ours=0.2, others=1.8, stolen=0.0, idle=0.0)}"
NEVER_PROVED = Trust()


def told(record: RunRecord) -> list[Fact]:
    return glance(grid.states(record, LISTED), past.run_of(record), (), {})


def of_incidents(folder: Path, *incidents: Incident) -> list[Fact]:
    ends = [ScenarioResult(replace(WRITES, name=f"{n}"), Verdict.PASSED, incident=i) for n, i in enumerate(incidents)]
    return told(record_of(folder, *ends))


def trusted(record: RunRecord, trust: Trust = NEVER_PROVED) -> str:
    return " ".join(confidence(record, grid.states(record, LISTED), trust, 0.0, {"FO-02": ["fsync off"]}))


def test_the_loss_is_told_first_whole_and_by_fault(tmp_path: Path) -> None:
    unchecked = replace(CRASH, lost=None, acknowledged=None, without_writes=None)
    loss, outage, *_ = of_incidents(tmp_path, CRASH, FREEZE, unchecked)
    assert (loss.value, loss.style) == ("374", "broken")
    assert loss.note == (
        "261 of 68,378 when the leader crashes; 113 of 113 when the leader freezes; checked after 2 of 3 faults"
    )
    assert outage.note == "when the leader crashes; limit: 30 s; the longest of 2 unplanned faults with clients writing"


def test_without_a_limit_an_outage_is_neither_red_nor_green(tmp_path: Path) -> None:
    _, outage, *_ = of_incidents(tmp_path, FREEZE)
    assert (outage.style, "its scenario sets no limit" in outage.note) == ("", True)


def test_a_row_of_costs_says_what_was_measured_in_some_of_its_scenarios_only() -> None:
    (row,) = costs.costs([CRASH, replace(CRASH, lost=None, acknowledged=None, without_writes=None)])
    assert (row.times, row.measured, row.checked) == (2, 1, 1)


def test_a_limit_is_told_although_a_scenario_without_one_took_longer() -> None:
    """FO-02 limits what other scenarios only measure: the page must not say that nothing is promised."""
    crash = replace(CRASH, kind="the host of the leader crashes", without_writes=22.2, lost=0)
    others = [replace(crash, without_writes=22.5, limit=None), replace(crash, without_writes=0.3, limit=2.0)]
    worker = replace(crash, kind="the host of the leader of a worker group crashes", without_writes=23.9, limit=40.0)
    found = {one.kind: one for one in costs.costs([*others, crash, worker])}
    row = found[crash.kind]
    assert (row.longest, row.limited, row.bound, row.exceeded) == (others[0], crash, 30, False)
    assert row.allowance == "without a limit; 22.2 s of 30 s allowed in another scenario"
    assert found[worker.kind].allowance == "of 40 s allowed"
    (alone,) = costs.costs(others[:1])
    assert alone.allowance == "without a limit in its scenario"
    told = costs.told(list(found.values()), [worker, *others, crash])
    assert told[0] == (
        "When the host of the leader crashes, writes stop for 22.5 s; in the scenario that limits it, for 22.2 s "
        "(limit: 30 s)."
    )
    assert "worker" not in told[1]
    late = replace(worker, without_writes=41.0)
    assert costs.told(list(found.values()), [late, crash])[1].startswith(f"When {worker.kind}, writes stop for 41.0 s")


def test_a_pause_that_a_repair_ended_is_a_minimum_unless_the_limit_allows_for_it() -> None:
    """What our own healing ended says how long we waited, not how long clients would have."""
    crash = replace(
        CRASH, kind="the host of the leader crashes", without_writes=16.8, limit=12.0, until_healed=True, lost=0
    )
    longer = replace(crash, without_writes=22.9, limit=None, until_healed=False)
    (row,) = costs.costs([longer, crash])
    assert (row.exceeded, row.bound, row.time) == (True, 12, "22.9 s")
    assert row.allowance == "without a limit; at least 16.8 s of 12 s allowed in another scenario"
    assert costs.told([row], [longer, crash])[0] == (
        "When the host of the leader crashes, writes stop for 22.9 s; in the scenario that limits it, for at least "
        "16.8 s (limit: 12 s)."
    )
    (power,) = costs.costs([replace(crash, kind="the power fails everywhere", limit=60.0)])
    assert (power.time, power.allowance) == ("16.8 s", "of 60 s allowed")
    (quorum,) = costs.costs([replace(crash, limit=None)])
    assert (quorum.time, quorum.allowance) == ("at least 16.8 s", "without a limit in its scenario")


def test_what_was_lost_or_too_long_and_the_crash_of_the_leaders_host_are_shown_first() -> None:
    crash = replace(CRASH, kind="the host of the leader crashes", without_writes=9.0, lost=0)
    long = [replace(crash, kind=f"fault {number}", without_writes=20.0 + number) for number in range(9)]
    late = replace(crash, kind="the proxy is killed", without_writes=3.0, limit=2.0)
    found = costs.costs([*long, late, crash, replace(FREEZE, without_writes=1.0)])
    assert [one.kind for one in found[:4]] == [FREEZE.kind, late.kind, crash.kind, "fault 8"]
    assert costs.most_shown(found, 9) == 9
    assert costs.most_shown(costs.costs([replace(late, kind=f"{n}") for n in range(12)]), 9) == 12


def test_what_was_not_checked_is_told_and_how_far_the_loss_reaches_back() -> None:
    incidents = [replace(CRASH, lost_reach_back=0.41), replace(FREEZE, lost=None, acknowledged=None)]
    assert costs.told(costs.costs(incidents), incidents)[1] == (
        "Acknowledged writes were lost: 261 of 68,378 when the leader crashes (acknowledged up to 410 ms before the "
        "fault). No ledger was read back after 1 other fault."
    )


def test_a_figure_that_could_not_be_judged_is_neither_within_nor_beyond(tmp_path: Path) -> None:
    unclear = ScenarioResult(READS, Verdict.INCONCLUSIVE, BUSY, measures=(SLOW, replace(SLOW, value=1.0)))
    speed = told(record_of(tmp_path / "unclear", unclear))[2]
    assert (speed.value, speed.style) == ("1 of 1", "kept")
    assert (
        speed.note == "1 not judged (PF-01); slower than before? not known yet: needs 5 runs that measured them, has 0"
    )
    speed = told(record_of(tmp_path / "slow", replace(unclear, verdict=Verdict.BROKEN)))[2]
    assert (speed.value, speed.style) == ("1 of 2", "broken")


def test_what_is_broken_is_trusted_and_what_is_kept_only_once_it_was_seen_to_fail(tmp_path: Path) -> None:
    wrong = ScenarioResult(WRITES, Verdict.BROKEN, "2 writes lost", final=True)
    record = record_of(tmp_path, wrong, ScenarioResult(READS, Verdict.PASSED))
    words = trusted(record)
    assert "Broken promises: yes. FO-02: a result was wrong, and no rerun can change that." in words
    assert "Kept promises: not proved here. Whether these scenarios notice a broken cluster was not tried" in words
    assert "have a sabotage" not in words
    proved = Trust((Proof("fsync-off", "PostgreSQL", "x", (Heard("PF-01", True, "broken", "W"),)),), (HealthyRun(3),))
    told = trusted(record, proved)
    assert "Kept promises: yes. On" in told
    assert "broken on purpose in 1 way. The scenarios noticed 1 of 1, with 0 false alarms in 1 healthy run, and" in told
    assert "and every promise kept was seen to fail." in told
    alarmed = replace(proved, healthy=(HealthyRun(3, ("Reads",)),))
    assert "Kept promises: with caution. On" in trusted(record, alarmed)


def test_a_few_sabotages_vouch_for_no_more_promises_than_they_made_fail(tmp_path: Path) -> None:
    """3 ways that were all noticed say nothing about 118 promises that none of them touched."""
    kept = [replace(READS, name=f"{n}", tags=(f"id.XX-{n:02}",)) for n in range(10)]
    listed = {f"XX-{n:02}": Promise(f"XX-{n:02}", "cache", "Kept.", "normal") for n in range(10)}
    record = record_of(tmp_path, *(ScenarioResult(one, Verdict.PASSED) for one in kept))

    def told(*ids: str) -> str:
        proofs = tuple(Proof(id, "PostgreSQL", "x", (Heard(id, True, "broken", "W"),)) for id in ids)
        ways = {"XX-00": [f"way {n}" for n in range(12)]}
        return next(confidence(record, grid.states(record, listed), Trust(proofs, (HealthyRun(3),)), 0.0, ways))

    few = told("XX-01", "XX-02, XX-03")
    assert few.startswith("Kept promises: in part. On")
    assert "in 2 of 12 known ways. The scenarios noticed 2 of 2" in few
    assert few.endswith(
        "3 of the 10 promises kept were seen to fail. The other 7 were not tried; ./accept prove tries more."
    )
    assert told("XX-01, XX-02, XX-03, XX-04, XX-05, XX-06").startswith("Kept promises: yes. On")


def test_a_limit_that_was_exceeded_is_less_certain_than_a_wrong_result(tmp_path: Path) -> None:
    words = trusted(record_of(tmp_path, ScenarioResult(WRITES, Verdict.BROKEN, "31 s")))
    assert (
        "Broken promises: probably. FO-02 failed once, without a wrong result, which may be noise; run it again"
        in words
    )
    first = ScenarioResult(WRITES, Verdict.BROKEN, "31 s", began=1.0)
    journal = Journal(tmp_path / "twice.jsonl")
    journal.begin([WRITES])
    journal.record(first)
    journal.rerun([first])
    once = read(journal.path)
    assert "probably" in trusted(once), "the rerun was killed before it began"
    journal.record(replace(first, began=2.0))
    assert "Broken promises: yes. FO-02 failed twice, the second time in a rerun." in trusted(read(journal.path))
    weaker = Journal(tmp_path / "weaker.jsonl")
    weaker.begin([WRITES])
    weaker.record(first)
    weaker.rerun([first])
    weaker.record(replace(first, verdict=Verdict.INCONCLUSIVE, began=2.0))
    assert "probably" in trusted(read(weaker.path))


def test_a_busy_machine_is_told_only_where_it_kept_a_promise_from_being_judged(tmp_path: Path) -> None:
    busy = record_of(tmp_path / "busy", ScenarioResult(READS, Verdict.INCONCLUSIVE, BUSY))
    assert "No verdict on the speed of PF-01: other programs kept the machine busy." in trusted(busy)
    other = record_of(tmp_path / "other", ScenarioResult(READS, Verdict.INCONCLUSIVE, "inconclusive: nobody wrote"))
    assert "busy" not in trusted(other)
