"""Tables in scenarios: how they are read, and how what is observed is compared with them."""

from types import SimpleNamespace

import pytest

from support.engine.tables import alike, all_answer, all_answer_as_tabled, as_tabled, of_each, rows_of, transposed
from support.errors import Inconclusive
from support.target.members import NoAnswer

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


class TestAllAnswer:
    def test_the_same_everywhere(self) -> None:
        all_answer(7, {"a": 7, "b": 7}, "the system of each member").require()

    def test_another_answer_and_none(self) -> None:
        answers = {"a": 7, "b": 8, "c": NoAnswer("pg_hba.conf rejects the connection")}
        with pytest.raises(AssertionError) as told:
            all_answer(7, answers, "the system of each member").require()
        assert str(told.value) == (
            "the system of each member: expected 7, observed b: 8; c: no answer (pg_hba.conf rejects the connection)"
        )

    def test_silence_alone_is_no_other_answer(self) -> None:
        with pytest.raises(Inconclusive, match=r"expected 7, observed c: no answer \(nothing within 3 s\)"):
            all_answer(7, {"a": 7, "c": NoAnswer("nothing within 3 s")}, "the system of each member").require()

    def test_nobody_was_asked(self) -> None:
        with pytest.raises(Inconclusive, match="nobody was asked for the system"):
            all_answer(7, {}, "the system").require()


class TestAllAnswerAsTabled:
    WANTED = alike("ab", {"fsync": "on"})
    SILENT = NoAnswer("nothing within 3 s")

    def test_everybody_answers(self) -> None:
        assert all_answer_as_tabled(self.WANTED, {"a": {"fsync": "on"}, "b": {"fsync": "on"}}).holds is True

    def test_another_answer_is_told_whoever_is_silent(self) -> None:
        for other in ({"fsync": "on"}, self.SILENT):
            finding = all_answer_as_tabled(self.WANTED, {"a": {"fsync": "off"}, "b": other})
            assert finding.holds is False
            assert finding.words == "a, fsync: expected on, observed off"

    def test_one_who_was_not_asked_differs(self) -> None:
        finding = all_answer_as_tabled(self.WANTED, {"a": self.SILENT})
        assert finding.holds is False
        assert finding.words == "b: there is nothing"

    def test_silence_is_no_difference(self) -> None:
        for other in ({"fsync": "on"}, self.SILENT):
            finding = all_answer_as_tabled(self.WANTED, {"a": other, "b": self.SILENT})
            assert finding.holds is None
            assert "b: no answer (nothing within 3 s)" in finding.words
