"""The verdict on a history: what is no evidence, what is excused over several servers, and the words of a report."""

from dataclasses import replace

import pytest
from hand_made import history

from support.engine.history import History, Operation, Outcome
from support.isolation.checks import LEAST_OVERLAPPING, Observed, isolated, limit_of_snapshots
from support.isolation.levels import Anomaly, Level
from support.isolation.session_checks import endpoints_follow, own_writes_seen, reads_never_go_back, shown_early
from support.isolation.transactions import Access, Kind, overlapping, transactions_of

BUSY = "\n".join(f"ok a:- b+{number}" for number in range(1, 30)) + "\n" + "ok c+1 c+2\n 900-901 final c:1,2"
ORDER = ",".join(str(number) for number in range(1, 30))
SKEW = "ok a:- b:1\n ok a+1 b+1\n ok a:1"
FAR, NEAR = {(Kind.LIST, "a"): (1,), (Kind.LIST, "b"): (2,)}, {(Kind.LIST, "a"): (1,), (Kind.LIST, "b"): (1,)}


def observed(text: str, level: Level = Level.REPEATABLE_READ, **more: object) -> Observed:
    return Observed(level, history(text), **{"homes": {}, **more})  # type: ignore[arg-type]


def test_transactions_that_met_and_show_nothing_are_a_pass() -> None:
    finding = isolated(observed(f"{BUSY} b:{ORDER}"))
    assert finding.holds
    assert finding.words.startswith(
        "no anomaly in 30 committed transactions at repeatable read (0 failed, 0 of unknown"
    )


def test_transactions_that_hardly_met_are_no_evidence() -> None:
    alone = "\n".join(f"{2 * number}-{2 * number + 1} ok a+{number}" for number in range(1, 60))
    finding = isolated(observed(f"{alone}\n 900-901 final a:{','.join(str(number) for number in range(1, 60))}"))
    assert (finding.holds, "only 0 pairs" in finding.words) == (None, True)
    assert overlapping(history("ok a+1\n ok a:1")) == 1
    assert overlapping(history("ok a:1\n ok a:1\n ok b+1\n final a:1 b:1")) == 0
    assert overlapping(history("ok a:1\n fail a+1\n 200-201 ok a+2")) == 1
    assert LEAST_OVERLAPPING > 1


def test_without_a_final_read_nothing_is_known_of_what_was_lost() -> None:
    assert isolated(observed(BUSY.rpartition("\n")[0])).holds is None


def test_an_anomaly_is_told_with_its_transactions_in_plain_words() -> None:
    words = isolated(observed(SKEW)).words
    assert words.startswith(
        "read skew (G-single): 1 seen. An example of read skew (G-single): T1 read list a without T2's"
    )
    assert "T1 read T2's 1 in list b" in words
    assert "T1 (client 1): read list a: nothing; read list b: 1; committed" in words
    assert words.endswith(
        "in 3 committed transactions at repeatable read (0 failed, 0 of unknown outcome), which rules that out"
    )


def test_a_weaker_level_allows_it() -> None:
    assert isolated(observed(SKEW, Level.READ_COMMITTED)).holds is None  # too few met, but nothing is wrong


def test_what_only_one_snapshot_rules_out_is_a_limit_over_several_servers() -> None:
    assert isolated(observed(SKEW, homes=FAR, one_snapshot=False)).holds is None
    assert "read skew (G-single): 1 seen" in limit_of_snapshots(observed(SKEW, homes=FAR, one_snapshot=False))
    assert isolated(observed(SKEW, homes=FAR, one_snapshot=True)).holds is False
    assert isolated(observed(SKEW, homes=NEAR, one_snapshot=False)).holds is False
    assert limit_of_snapshots(observed(SKEW, homes=NEAR, one_snapshot=False)) == ""


WRITE_SKEW = "ok a:- b+1\n ok b:- a+2\n ok a:2 b:1"
ELSEWHERE = "ok c:- a:- b+1\n ok b:- a+2 c+9\n ok a:2 b:1 c:9"
"""The same, and the shortest chain of dependencies between the two leads over another server."""
ON_TWO = {**NEAR, (Kind.LIST, "c"): (2,)}


@pytest.mark.parametrize("text", [WRITE_SKEW, ELSEWHERE], ids=["alone", "with a shorter way elsewhere"])
def test_what_one_server_shows_by_itself_is_not_excused_by_another(text: str) -> None:
    seen = observed(text, Level.SERIALIZABLE, homes=ON_TWO, one_snapshot=False)
    assert isolated(seen).holds is False
    assert Anomaly.WRITE_SKEW in {one.anomaly for one in seen.violations}
    assert seen.excused == ()


@pytest.mark.parametrize("text", [WRITE_SKEW, ELSEWHERE], ids=["alone", "with a shorter way elsewhere"])
def test_a_transaction_that_used_a_set_may_have_several_snapshots_of_one_server(text: str) -> None:
    with_set = history(text)
    read = Access(Kind.SET, "s", saw=())
    with_set = (replace(with_set[0], accesses=(read, *with_set[0].accesses)), *with_set[1:])
    homes = {**ON_TWO, (Kind.SET, "s"): (1, 2)}
    seen = Observed(Level.SERIALIZABLE, with_set, homes, one_snapshot=False)
    assert (seen.violations, Anomaly.WRITE_SKEW in {one.anomaly for one in seen.excused}) == ((), True)


LOST_UPDATE = "ok a:- a+12\n ok a:- a+22\n final a:12,22"
MISSED_ELSEWHERE = "ok b+11 a:- a+12\n ok b:- a:- a+22\n final a:12,22 b:11"
"""The same, and the second transaction has missed a write of the first to an item of another server, too."""


@pytest.mark.parametrize("text", [LOST_UPDATE, MISSED_ELSEWHERE], ids=["alone", "with another write missed elsewhere"])
@pytest.mark.parametrize("sets", [(), (Access(Kind.SET, "s", saw=()),)], ids=["no set", "with a set"])
def test_a_lost_update_is_never_excused(text: str, sets: tuple[Access, ...]) -> None:
    transactions = tuple(replace(one, accesses=(*sets, *one.accesses)) for one in history(text))
    seen = Observed(Level.REPEATABLE_READ, transactions, {**FAR, (Kind.SET, "s"): (1, 2)}, one_snapshot=False)
    assert isolated(seen).holds is False
    assert [one.anomaly for one in seen.violations] == [Anomaly.LOST_UPDATE]


def test_a_lost_update_beside_another_missed_write_on_its_server_is_named() -> None:
    seen = observed(MISSED_ELSEWHERE, homes=NEAR, one_snapshot=False)
    assert Anomaly.LOST_UPDATE in {one.anomaly for one in seen.violations}


def test_a_write_over_a_version_that_was_read_is_no_lost_update() -> None:
    sound = "ok b+11 a:- a+12\n ok b:- a:12 a+22\n final a:12,22 b:11"
    seen = observed(sound, homes=FAR, one_snapshot=False)
    assert (seen.violations, {one.anomaly for one in seen.excused}) == ((), {Anomaly.READ_SKEW})


def test_transactions_are_read_from_a_history_of_operations() -> None:
    done = (Access(Kind.LIST, "a", wrote=1), Access(Kind.LIST, "a", saw=(1,)))
    history = History([Operation(3, "transaction", "3-0", done, Outcome.OK, 1.0, 2.0)])
    history.append(Operation(3, "look", "", None, Outcome.OK, 1.0, 2.0))
    (one,) = transactions_of(history)
    assert (one.client, one.accesses, one.outcome) == (3, done, Outcome.OK)


def reads(*versions: tuple[int, int], outcome: Outcome = Outcome.OK) -> list[Operation]:
    return [Operation(client, "read", "version", seen, outcome, at, at) for at, (client, seen) in enumerate(versions)]


def test_a_session_must_not_go_back_in_time() -> None:
    onward = reads(*((client, seen) for seen in range(12) for client in (0, 1)))
    assert reads_never_go_back(History(onward)).holds
    back = reads_never_go_back(History([*onward, *reads((0, 10))]))
    assert (back.holds, "client 0 read version 10 after version 11" in back.words) == (False, True)
    assert reads_never_go_back(History([*onward, *reads((1, 9), outcome=Outcome.FAIL), *reads((1, 9))])).holds
    assert reads_never_go_back(History(reads((0, 1), (0, 1), (0, 2)))).holds is None, "hardly any version"
    assert reads_never_go_back(History([*onward, *reads((0, -1))])).holds is False, "the entry is gone"


def test_a_session_must_see_its_own_writes() -> None:
    def wrote(number: int, seen: int, outcome: Outcome = Outcome.OK) -> Operation:
        return Operation(0, "write and read", "version", (number, seen), outcome, 1.0, 2.0)

    assert own_writes_seen(History()).holds is None
    assert own_writes_seen(History([wrote(1, 1), wrote(2, 2), wrote(3, 0, Outcome.FAIL)])).holds
    assert own_writes_seen(History([wrote(1, 1), wrote(2, 1)])).holds is False


def test_each_endpoint_must_follow_in_time() -> None:
    def followed(endpoint: str, seconds: float, outcome: Outcome = Outcome.OK, looks: int = 1) -> Operation:
        return Operation(0, "follow", endpoint, (seconds, looks), outcome, 1.0, 1.0 + seconds)

    both = [followed("the read endpoint", 0.2), followed("the write endpoint", 0.1)]
    assert endpoints_follow(History(both), limit=5).holds
    assert endpoints_follow(History(both[:1]), limit=5).holds is None
    assert endpoints_follow(History([followed("the read endpoint", 5, Outcome.FAIL)]), limit=5).holds is False
    assert shown_early(History(both)) == ""
    early = shown_early(History([*both, followed("the write endpoint", 0.02, looks=3)]))
    assert "1 of 2 times" in early
    assert "0.020 s at most" in early
    late = endpoints_follow(History([*both, followed("the read endpoint", 5.5)]), limit=5)
    assert (late.holds, late.only_limit, late.during) == (False, True, ((1.0, 6.5),))
    assert not endpoints_follow(History([*both, followed("the read endpoint", 5, Outcome.FAIL)]), limit=6).holds
