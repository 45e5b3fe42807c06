"""Checkers of availability and security against what is right, what is wrong, and what is no evidence."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.engine.tables import alike, as_tabled, of_each, rows_of, transposed
from support.errors import Inconclusive
from support.failover.checks import all_among, could_lose, each_serves, one_leader, someone_may_lead

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

    def test_who_is_silent_may_lead_as_well(self) -> None:
        finding = one_leader({"SQL": {"m1"}}, {"SQL": "m3: no answer"})
        assert finding.holds is None
        assert "m3: no answer" in finding.words

    def test_silence_excuses_no_second_primary(self) -> None:
        assert one_leader({"SQL": {"m1", "m2"}}, {"SQL": "m3: no answer"}).holds is False

    def test_nobody_was_asked(self) -> None:
        assert one_leader({}, {}).holds is None

    @given(st.dictionaries(st.text(min_size=1), st.sets(NAMES), min_size=1))
    def test_holds_only_where_every_witness_names_one_and_the_same(self, seen: dict[str, set[str]]) -> None:
        same = len(set(map(frozenset, seen.values()))) == 1 and len(next(iter(seen.values()))) == 1
        assert one_leader(seen, {}).holds is same


TABLE = SimpleNamespace(
    headings=["member", "role", "state"],
    rows=[SimpleNamespace(cells=["a", "leader", "up"]), SimpleNamespace(cells=["b", "replica", "up or idle"])],
)
ROWS = {"a": {"role": "leader", "state": "up"}, "b": {"role": "replica", "state": "up or idle"}}


class TestTable:
    def test_rows(self) -> None:
        assert rows_of(TABLE) == ROWS

    def test_transposed(self) -> None:
        assert transposed(ROWS) == {
            "role": {"a": "leader", "b": "replica"},
            "state": {"a": "up", "b": "up or idle"},
        }
        assert transposed(transposed(ROWS)) == ROWS

    def test_as_expected(self) -> None:
        observed = {"a": {"role": "leader", "state": "up"}, "b": {"role": "replica", "state": "idle"}}
        assert as_tabled(ROWS, observed).holds is True

    @pytest.mark.parametrize(
        ("observed", "words"),
        [
            ({"a": {"role": "replica", "state": "up"}}, "a, role: expected leader, observed replica"),
            ({"a": {"role": "leader"}}, "a, state: expected up, observed nothing"),
            ({}, "a: there is nothing"),
            ({"a": {"answer": "no answer (it is frozen)"}}, "a: no answer (it is frozen)"),
            ({"a": {"role": "leader", "state": "up", "lag": "9"}}, "a, lag: expected nothing, observed 9"),
            (
                {"a": {"role": "leader", "state": "up"}, "z": {"role": "leader"}},
                "z, role: expected nothing, observed leader",
            ),
        ],
    )
    def test_each_difference_is_told(self, observed: dict[str, dict[str, str]], words: str) -> None:
        finding = as_tabled({"a": ROWS["a"]}, observed)
        assert finding.holds is False
        assert finding.words == words

    def test_an_empty_table_proves_nothing(self) -> None:
        assert as_tabled({}, {}).holds is None
        assert as_tabled({"a": {}}, {}).holds is None

    def test_of_each_kind(self) -> None:
        assert of_each({"m1": "a", "m2": "a"}, ROWS) == alike(["m1", "m2"], ROWS["a"])

    def test_a_kind_without_a_row_proves_nothing(self) -> None:
        with pytest.raises(Inconclusive, match="m1 is a observer"):
            of_each({"m1": "a observer"}, ROWS)


class TestSomeoneMayLead:
    def test_one_is_fit(self) -> None:
        assert someone_may_lead({"m2": ["it does not stream"], "m3": []}).holds is True

    def test_none_is_fit(self) -> None:
        finding = someone_may_lead({"m2": ["it does not stream", "it is barred"]})
        assert finding.holds is False
        assert "m2: it does not stream, it is barred" in finding.words

    def test_there_is_none(self) -> None:
        assert someone_may_lead({}).holds is False


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
    """How a proxy holds a server."""

    position: str = "up"
    served: int = 0
    algorithm: str = ""


class TestEachServes:
    def test_no_session_no_evidence(self) -> None:
        assert each_serves([], ["m1"], {}).holds is None
        assert each_serves(["m1"], [], {}).holds is None

    def test_some_of_the_sessions_are_enough(self) -> None:
        assert each_serves(["m2"] * 49 + ["m3"], ["m2", "m3"], {}).holds is True

    def test_who_is_busy_with_others_need_not_serve_ours(self) -> None:
        finding = each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held(served=100, algorithm="leastconn")})
        assert finding.holds is True
        assert "m3 is up, and the proxy has sent it 100 sessions" in finding.words

    def test_who_is_kept_out_does_not_serve(self) -> None:
        finding = each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held("maint", served=100)})
        assert finding.holds is False
        assert "the proxy holds m3 maint" in finding.words

    @pytest.mark.parametrize("algorithm", ["roundrobin", "leastconn"])
    def test_who_never_served_is_left_out(self, algorithm: str) -> None:
        assert each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held(algorithm=algorithm)}).holds is False

    def test_who_is_but_a_reserve_is_left_out(self) -> None:
        assert each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held(served=9, algorithm="first")}).holds is False

    def test_one_client_on_one_server_shows_nothing(self) -> None:
        assert each_serves(["m2"] * 50, ["m2", "m3"], {"m3": Held()}).holds is None
        assert each_serves(["m2"] * 50, ["m2", "m3"], {}).holds is None

    def test_one_client_on_several_servers_but_not_on_all(self) -> None:
        assert each_serves(["m2", "m4"] * 25, ["m2", "m3", "m4"], {"m3": Held()}).holds is False


@dataclass(frozen=True)
class Voters:
    """What is known of a DCS."""

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
        assert finding.words.endswith("not so: c: it is down: 0 could be lost, and 1 should be")

    def test_what_is_not_known_is_not_held_against_it(self) -> None:
        finding = could_lose(Voters(3, frozenset("a"), unjudged=frozenset("bc")), 1)
        assert finding.holds is None
        assert "nothing is known of b, c: add to ETCD_HOSTS" in finding.words

    def test_enough_is_known(self) -> None:
        assert could_lose(Voters(5, frozenset("abcd"), unjudged=frozenset("e")), 1).holds is True
        assert could_lose(Voters(5, frozenset("a"), {"b": "down", "c": "down"}, frozenset("de")), 1).holds is False
