"""Checks of failover against facts that are right, facts that are wrong, and facts that prove nothing."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.engine.history import History, InFlight, Operation, Outcome
from support.engine.tables import as_tabled
from support.errors import Inconclusive
from support.failover.checks import (
    DataDirectory,
    a_replica_may_take_over,
    all_among,
    could_lose,
    each_serves,
    nothing_changed,
    one_leader,
    refused_for_lack_of_space,
    rewound_not_copied,
    sessions_closed_in_time,
    with_unlisted,
)
from support.failover.switchover import require_refused_for
from support.target.leadership import NOT_PRIMARY, Leadership, role_told
from support.target.patroni_commands import Reply
from support.waiting import NotYet

NAMES = st.sampled_from(["m1", "m2", "m3"])


class TestOneLeader:
    def test_all_name_the_same(self) -> None:
        assert one_leader({"SQL": {"m1"}, "Patroni": {"m1"}}, {}).holds is True

    def test_two_primaries(self) -> None:
        finding = one_leader({"SQL": {"m1", "m2"}, "Patroni": {"m1"}}, {})
        assert finding.holds is False
        assert "m1 and m2 by SQL" in finding.words

    def test_two_opinions(self) -> None:
        assert one_leader({"SQL": {"m1"}, "Patroni": {"m2"}}, {}).holds is False

    def test_nobody_leads(self) -> None:
        finding = one_leader({"SQL": {"m1"}, "Patroni": set()}, {})
        assert finding.holds is False
        assert "nobody by Patroni" in finding.words

    def test_a_silent_member_may_lead_as_well(self) -> None:
        finding = one_leader({"SQL": {"m1"}}, {"SQL": "m3: no answer"})
        assert finding.holds is None
        assert "m3: no answer" in finding.words

    def test_silence_excuses_no_second_primary(self) -> None:
        assert one_leader({"SQL": {"m1", "m2"}}, {"SQL": "m3: no answer"}).holds is False

    def test_nobody_was_asked(self) -> None:
        assert one_leader({}, {}).holds is None

    @given(st.dictionaries(st.text(min_size=1), st.sets(NAMES), min_size=1))
    def test_holds_only_if_every_observer_names_the_same_member(self, seen: dict[str, set[str]]) -> None:
        same = len(set(map(frozenset, seen.values()))) == 1 and len(next(iter(seen.values()))) == 1
        assert one_leader(seen, {}).holds is same


class TestAReplicaMayTakeOver:
    def test_one_is_fit(self) -> None:
        assert a_replica_may_take_over({"m2": ["it does not stream"], "m3": []}).holds is True

    def test_none_is_fit(self) -> None:
        finding = a_replica_may_take_over({"m2": ["it does not stream", "it is barred"]})
        assert finding.holds is False
        assert "m2: it does not stream, it is barred" in finding.words

    def test_there_is_none(self) -> None:
        assert a_replica_may_take_over({}).holds is False


@dataclass(frozen=True)
class Voters:
    """What is known about a DCS."""

    voters: int
    healthy: frozenset[str]
    unhealthy: dict[str, str] = field(default_factory=dict)
    unjudged: frozenset[str] = frozenset()

    @property
    def spare(self) -> int:
        return len(self.healthy) - (self.voters // 2 + 1)


class TestQuorum:
    def test_one_to_spare(self) -> None:
        assert could_lose(Voters(3, frozenset("abc")), 1).holds is True

    def test_none_to_spare(self) -> None:
        finding = could_lose(Voters(3, frozenset("ab"), {"c": "it is down"}), 1)
        assert finding.holds is False
        assert finding.words.endswith("unhealthy: c: it is down: it can lose 0, and must be able to lose 1")
        assert finding.only_limit, "it may only be slow to answer"

    @pytest.mark.parametrize(("voters", "must"), [("a", 1), ("ab", 1), ("abc", 2), ("abcd", 2)])
    def test_too_few_members_are_not_late(self, voters: str, must: int) -> None:
        finding = could_lose(Voters(len(voters), frozenset(voters)), must)
        assert (finding.holds, finding.only_limit) == (False, False)

    def test_an_unknown_voter_is_not_held_against_it(self) -> None:
        finding = could_lose(Voters(3, frozenset("a"), unjudged=frozenset("bc")), 1)
        assert finding.holds is None
        assert "nothing is known about b, c: add to ETCD_HOSTS" in finding.words

    def test_enough_is_known(self) -> None:
        assert could_lose(Voters(5, frozenset("abcd"), unjudged=frozenset("e")), 1).holds is True
        assert could_lose(Voters(5, frozenset("a"), {"b": "down", "c": "down"}, frozenset("de")), 1).holds is False


BEFORE = {"pg1": "the primary on timeline 3", "pg2": "not the primary", "the write route": "pg1"}


class TestNothingChanged:
    def test_the_same_at_every_look(self) -> None:
        assert nothing_changed([BEFORE] * 3).holds is True

    def test_another_timeline(self) -> None:
        finding = nothing_changed([BEFORE, {**BEFORE, "pg1": "the primary on timeline 4"}])
        assert finding.holds is False
        changed = "pg1 was the primary on timeline 3, then the primary on timeline 4"
        assert finding.words == f"in observation 2 of 2: {changed}"

    def test_a_change_that_was_undone_is_a_change(self) -> None:
        assert nothing_changed([BEFORE, {**BEFORE, "the write route": "pg2"}, BEFORE]).holds is False

    @pytest.mark.parametrize("silent", [{"pg1"}, {"the write route"}, set(BEFORE)])
    def test_silence_is_no_change(self, silent: set[str]) -> None:
        some = {aspect: state for aspect, state in BEFORE.items() if aspect not in silent}
        assert nothing_changed([BEFORE, BEFORE, some, BEFORE, some, BEFORE]).holds is True

    def test_a_change_that_follows_silence_is_a_change(self) -> None:
        assert nothing_changed([BEFORE, {}, {**BEFORE, "pg2": "the primary on timeline 4"}]).holds is False

    @pytest.mark.parametrize("pattern", ["B.", "B.B..B..", "B...BBBBBBBBB", ".BBB", "BBBB."])
    def test_too_much_silence_is_no_evidence(self, pattern: str) -> None:
        some = {"pg2": BEFORE["pg2"], "the write route": BEFORE["the write route"]}
        finding = nothing_changed([BEFORE if one == "B" else some for one in pattern])
        assert finding.holds is None
        assert "got an answer about pg1" in finding.words

    def test_one_look_is_not_enough(self) -> None:
        assert nothing_changed([BEFORE]).holds is None
        assert nothing_changed([]).holds is None
        assert nothing_changed([{}, {}, {}]).holds is None


class TestRoleTold:
    """The role of a member by its own Patroni."""

    up: ClassVar[dict[str, Any]] = {
        "state": "running",
        "role": "master",
        "timeline": 3,
        "xlog": {"location": 1},
        "postmaster_start_time": "2026-01-01 00:00:00+00:00",
    }

    def test_postgresql_runs(self) -> None:
        assert role_told("pg1", self.up) == "the primary on timeline 3"
        assert role_told("pg1", {**self.up, "role": "replica"}) == NOT_PRIMARY

    @pytest.mark.parametrize("state", ["stopped", "starting", "crashed", "stopping", "start failed"])
    def test_postgresql_is_down(self, state: str) -> None:
        assert role_told("pg1", {"state": state, "role": "master"}) == NOT_PRIMARY

    def test_patroni_does_not_know(self) -> None:
        with pytest.raises(NotYet):
            role_told("pg1", {"state": "unknown", "role": "master"})


class TestLeadership:
    """An asynchronous cluster may have lost acknowledged writes only if another member took over."""

    before = Leadership("pg1", 3)

    @pytest.mark.parametrize("now", [Leadership("pg2", 4), Leadership("pg1", 5), Leadership("pg1", 6)])
    def test_another_member_took_over(self, now: Leadership) -> None:
        assert self.before.followed_by_another(now)

    @pytest.mark.parametrize("now", [Leadership("pg1", 3), Leadership("pg1", 4)])
    def test_it_went_on_in_place(self, now: Leadership) -> None:
        assert not self.before.followed_by_another(now)


class TestRefusedSwitchovers:
    def test_each_for_its_reason(self) -> None:
        require_refused_for({"the leader itself": Reply(400, "they are the same")}, {"the leader itself": "the same"})

    @pytest.mark.parametrize(
        ("reply", "complaint"),
        [
            (Reply(200, 'Successfully switched over to "pg2"'), "carried out"),
            (Reply(202, "Switchover scheduled: the same"), "carried out"),
            (Reply(412, "switchover failed"), "refused without that reason: switchover failed \\(412\\)"),
            (Reply(503, ""), "no reason given \\(503\\)"),
        ],
    )
    def test_carried_out_or_without_the_reason(self, reply: Reply, complaint: str) -> None:
        with pytest.raises(AssertionError, match=complaint):
            require_refused_for({"the leader itself": reply}, {"the leader itself": "the same"})

    @pytest.mark.parametrize("replies", [{}, {"somebody else": Reply(400, "the same")}])
    def test_no_evidence(self, replies: dict[str, Reply]) -> None:
        with pytest.raises(Inconclusive):
            require_refused_for(replies, {"the leader itself": "the same"})


class TestRouting:
    def test_all_allowed(self) -> None:
        assert all_among(["m1", "m1"], ["m1"]).holds is True

    def test_one_astray(self) -> None:
        finding = all_among(["m1"] * 49 + ["m2"], ["m1"])
        assert finding.holds is False
        assert finding.words == "of 50: 1 times m2; allowed: m1"

    def test_no_session_no_evidence(self) -> None:
        assert all_among([], ["m1"]).holds is None


@dataclass(frozen=True)
class Held:
    """What a proxy reports about a server."""

    position: str = "up"
    served: int = 0
    algorithm: str = ""


class TestEachServes:
    def test_no_session_no_evidence(self) -> None:
        assert each_serves([], ["m1"], {}).holds is None
        assert each_serves(["m1"], [], {}).holds is None

    def test_some_of_the_sessions_are_enough(self) -> None:
        assert each_serves(["m2"] * 49 + ["m3"], ["m2", "m3"], {}).holds is True

    def test_a_replica_that_serves_others_need_not_serve_ours(self) -> None:
        finding = each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held(served=100, algorithm="leastconn")})
        assert finding.holds is True
        assert "m3 is up, and the proxy has sent it 100 sessions" in finding.words

    def test_a_replica_in_maintenance_does_not_serve(self) -> None:
        finding = each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held("maint", served=100)})
        assert finding.holds is False
        assert "HAProxy reports m3 as maint" in finding.words

    @pytest.mark.parametrize("algorithm", ["roundrobin", "leastconn"])
    def test_a_replica_that_never_served_is_left_out(self, algorithm: str) -> None:
        assert each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held(algorithm=algorithm)}).holds is False

    def test_a_mere_reserve_is_left_out(self) -> None:
        assert each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held(served=9, algorithm="first")}).holds is False

    def test_one_client_on_one_server_shows_nothing(self) -> None:
        assert each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held()}).holds is None
        assert each_serves(["m2"] * 50, ["m2", "m3"], {}).holds is None

    def test_a_replica_that_the_proxy_does_not_list(self) -> None:
        finding = each_serves(["m2"] * 50, ["m2", "m3"], {"m2": Held(served=50)})
        assert finding.holds is False
        assert "m3 is not in the read backend" in finding.words

    @pytest.mark.parametrize("held", [{}, {"m2": Held(served=50, algorithm="leastconn")}])
    def test_a_server_of_the_proxy_may_be_any_member(self, held: dict[str, Held]) -> None:
        finding = each_serves(["m2"] * 50, ["m2", "m3"], held, {"srv1", "srv2"})
        assert finding.holds is None
        assert "srv1, srv2" in finding.words
        assert "HAPROXY_SERVERS" in finding.words
        assert each_serves(["m2", "m3"], ["m2", "m3"], held, {"srv1", "srv2"}).holds is True
        down = {**held, "m3": Held("down")}
        assert each_serves(["m2"] * 50, ["m2", "m3"], down, {"srv1"}).holds is False

    def test_one_client_on_several_servers_but_not_on_all(self) -> None:
        assert each_serves(["m2", "m4"] * 25, ["m2", "m3", "m4"], {"m3": Held()}).holds is False


@pytest.mark.parametrize(
    ("sessions", "ended", "holds", "words"),
    [
        (2, [1.0, 2.0], True, "2 sessions were cut, the last after 2.0 s"),
        (2, [1.0], False, "1 of 2 sessions were left hanging"),
        (2, [1.0, 9.0], False, "1 of 2 sessions were cut after 9.0 s (limit: 8 s)"),
        (2, [], False, "2 of 2 sessions were left hanging"),
        (0, [], None, "no session was held"),
        (2, [-3.0, 2.0], None, "1 of 2 sessions were closed before the fault"),
    ],
)
def test_sessions_are_closed_in_time(sessions: int, ended: list[float], holds: bool | None, words: str) -> None:
    found = sessions_closed_in_time(sessions, ended, limit=8)
    assert found.holds is holds
    assert words in found.words


NO_SPACE = 'could not extend file "base/5/16384": No space left on device HINT: Check free disk space.'


def append(client: int, begun: float, outcome: Outcome = Outcome.OK, error: str = "") -> Operation:
    return Operation(client, "append", "key", "value", outcome, begun, begun + 0.01, error)


def refused(client: int, begun: float) -> Operation:
    return append(client, begun, Outcome.FAIL, NO_SPACE)


EARLIER = append(0, 9, Outcome.UNKNOWN, "server closed the connection")
HUNG = append(0, 12, Outcome.UNKNOWN, "server closed the connection")
OTHERWISE = append(0, 12, Outcome.FAIL, "cannot execute INSERT in a read-only transaction")


@pytest.mark.parametrize(
    ("operations", "holds", "words"),
    [
        ([EARLIER, append(0, 11), refused(0, 12), refused(1, 12)], True, "2 of 3 operations were refused"),
        ([refused(0, 11), refused(1, 11), HUNG], False, "1 of 3 operations on a full disk were not refused"),
        ([refused(0, 11), refused(1, 11), OTHERWISE], False, "(fail): cannot execute INSERT"),
        ([refused(0, 11), append(1, 11)], None, "1 of 2 clients had no write refused"),
        ([], None, "2 of 2 clients had no write refused"),
    ],
)
def test_a_full_disk_refuses_writes_and_does_nothing_worse(
    operations: list[Operation], holds: bool | None, words: str
) -> None:
    found = refused_for_lack_of_space(History(operations), "append", since=10, clients=2)
    assert found.holds is holds
    assert words in found.words


def test_a_client_that_hangs_after_its_refusal_is_found() -> None:
    """Everything that is in the history is a refusal; one client then got no answer, for longer than it waits."""
    history = History([refused(0, 11), refused(1, 11)])
    found = refused_for_lack_of_space(history, "append", 10, 2, [InFlight(1, "append", "1-1", 11.6)])
    assert found.holds is False
    assert found.words == "1 operation on a full disk got no answer at all: client 1, begun 1.6 s after the fault"
    assert refused_for_lack_of_space(history, "append", 10, 2).holds is True


def test_a_member_that_was_copied_was_not_rewound() -> None:
    assert rewound_not_copied(DataDirectory("m2", 3600.0, "pg_rewind", 20.0, 40.0)).holds is True
    found = rewound_not_copied(DataDirectory("m2", 12.0, "streamed", 12.0, 40.0))
    assert found.holds is False
    assert "m2 was copied from another member or from a backup: its data directory is 12 s old, and the" in found.words


def test_a_member_that_was_restored_with_the_old_times_of_its_files_was_not_rewound() -> None:
    found = rewound_not_copied(DataDirectory("m2", 3600.0, "streamed", 1800.0, 40.0))
    assert found.holds is False
    assert "from a backup (method: streamed), and not from pg_rewind" in found.words


def test_a_rewind_is_not_concluded_from_silence() -> None:
    assert rewound_not_copied(DataDirectory("m2", 3600.0, "", 0.0, 40.0)).holds is None
    assert rewound_not_copied(DataDirectory("m2", 3600.0, "pg_rewind", 1800.0, 40.0)).holds is None


HP_01 = {
    "the leader": {"write": "up", "read": "down"},
    "a replica": {"write": "down", "read": "up"},
    "a late replica": {"write": "down", "read": "down or up"},
    "an excluded replica": {"write": "down", "read": "down"},
}


class TestServersThatAreNotThere:
    @pytest.mark.parametrize(
        ("role", "shown", "may_lead", "holds"),
        [
            ("a replica", {"write": "down", "read": "up"}, True, True),
            ("a replica", {}, False, True),  # of another site
            ("a replica", {"write": "down"}, False, True),
            ("a replica", {"write": "up"}, False, False),
            ("a replica", {}, True, False),
            ("a replica", {"read": "up"}, True, False),
            ("a replica", {"write": "down"}, True, False),
            ("a replica", {"write": "down", "read": "down"}, False, False),
            ("an excluded replica", {"write": "down"}, True, True),
            ("an excluded replica", {}, True, False),
            ("a late replica", {"write": "down"}, True, True),
            ("the leader", {"write": "up"}, True, True),
            ("the leader", {"read": "down"}, True, False),
            ("the leader", {"write": "up", "read": "backup"}, True, True),  # a backup server gets none
            ("a replica", {"write": "down", "read": "backup"}, True, True),
            ("an excluded replica", {"write": "down", "read": "backup"}, True, True),
            ("a replica", {"write": "backup", "read": "up"}, False, False),
        ],
    )
    def test_they_get_no_sessions(self, role: str, shown: dict[str, str], may_lead: bool, holds: bool) -> None:
        expected = {"m1": HP_01[role]}
        observed = {"m1": shown} if shown else {}
        finding = as_tabled(expected, with_unlisted(observed, expected, ["m1"] if may_lead else []))
        assert finding.holds is holds
        if not holds and may_lead:
            assert "observed no server" in finding.words
