"""Checkers of answers, contents, lag, percentiles, plans, recall and successes, against what is known to be bad."""

from dataclasses import replace

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cluster.checks import (
    CosineSpace,
    answers_are_in_order,
    clients_worked_meanwhile,
    each_finds_its_own,
    every_marker_arrived,
    longest_lag,
    recall,
    sightings,
    went_by_index,
)
from support.engine.checks.answers import contents_match, each_answer_is_its_askers, every_answer_is
from support.engine.checks.availability import every_client_succeeded, percentile_is_under
from support.engine.history import Durations, History, Operation, Outcome, durations

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN


def did(
    action: str,
    client: int = 0,
    key: str = "",
    value: object = None,
    outcome: Outcome = OK,
    at: float = 0,
    took: float = 1,
) -> Operation:
    return Operation(client, action, key, value, outcome, at, at + took, "" if outcome is OK else "an error")


class TestAnswers:
    def test_right_ones(self) -> None:
        history = History([did("ask", key="ab", value="ba"), did("ask", client=1, key="cd", value="dc")])
        assert each_answer_is_its_askers(history, lambda asked: asked[::-1]).holds

    def test_crossed_ones(self) -> None:
        history = History([did("ask", key="ab", value="dc"), did("ask", client=1, key="cd", value="ba")])
        finding = each_answer_is_its_askers(history, lambda asked: asked[::-1])
        assert finding.holds is False
        assert finding.words == (
            "2 of 2 answers are not the asker's own: client 0 asked 'ab' and was answered 'dc', not 'ba'"
        )

    def test_none(self) -> None:
        assert each_answer_is_its_askers(History([did("ask", outcome=FAIL)]), str).holds is None

    def test_every_answer_is(self) -> None:
        assert every_answer_is(True, History([did("read", value=True)]), "read").holds
        assert (
            every_answer_is(True, History([did("read", value=True), did("read", value=False)]), "read").holds is False
        )
        assert every_answer_is(True, History([did("read", value=True, outcome=FAIL)]), "read").holds is False
        assert every_answer_is(True, History([did("other", value=True)]), "read").holds is None


class TestContents:
    STORED = {"a": 1, "b": None, "c": "ü"}  # noqa: RUF012

    def test_same(self) -> None:
        assert contents_match(self.STORED, dict(self.STORED)).holds

    def test_nothing(self) -> None:
        assert contents_match({}, {}).holds is None

    @pytest.mark.parametrize(
        ("read", "words"),
        [
            ({"a": 1, "b": None}, "1 of 3 values are missing (c)"),
            ({"a": 1, "b": None, "c": "u"}, "1 of 3 values are altered (c): c was stored as 'ü' and read back as 'u'"),
            ({"a": 1, "b": None, "c": "ü", "d": 4}, "1 value was never stored (d)"),
            ({}, "3 of 3 values are missing (a, b, c)"),
        ],
    )
    def test_other(self, read: dict[str, object], words: str) -> None:
        finding = contents_match(self.STORED, read)
        assert (finding.holds, finding.words) == (False, words)


class TestLag:
    """Marks are acknowledged one second after they are begun."""

    MARKS = (did("mark", value=1, at=0), did("mark", value=2, at=2))

    @staticmethod
    def look(replica: str, value: int, at: float) -> Operation:
        return did("look", key=replica, value=value, at=at, took=0.1)

    def test_a_later_number_shows_the_earlier_marker(self) -> None:
        found = sightings(History([*self.MARKS, self.look("r", 0, 2), self.look("r", 2, 3.4)]), ["r"])
        assert [one.lag for one in found] == [pytest.approx(2.5), pytest.approx(0.5)]
        assert longest_lag(found) == pytest.approx(2.5)

    def test_one_replica_of_two_late(self) -> None:
        history = History([*self.MARKS, self.look("r", 2, 3), self.look("s", 0, 8), self.look("s", 2, 9)])
        finding = every_marker_arrived(sightings(history, ["r", "s"]), 5)
        assert finding.holds is False
        assert "2 of 4 times" in finding.words
        assert "on s; the longest took 8.1 s" in finding.words

    def test_never_seen_though_looked_for_long_enough(self) -> None:
        finding = every_marker_arrived(sightings(History([*self.MARKS, self.look("r", 1, 9)]), ["r"]), 5)
        assert finding.holds is False

    def test_never_seen_and_not_looked_for_long_enough(self) -> None:
        history = History([*self.MARKS, self.look("r", 1, 3.5), did("look", key="r", outcome=UNKNOWN, at=9)])
        assert every_marker_arrived(sightings(history, ["r"]), 5).holds is None

    def test_a_replica_that_was_never_looked_at(self) -> None:
        assert (
            every_marker_arrived(sightings(History([*self.MARKS, self.look("r", 2, 3)]), ["r", "s"]), 5).holds is None
        )

    @pytest.mark.parametrize(("marks", "replicas"), [((), ["r"]), (MARKS, [])])
    def test_nothing_to_see(self, marks: tuple[Operation, ...], replicas: list[str]) -> None:
        assert every_marker_arrived(sightings(History([*marks, self.look("r", 2, 3)]), replicas), 5).holds is None

    def test_in_time(self) -> None:
        assert every_marker_arrived(sightings(History([*self.MARKS, self.look("r", 2, 3)]), ["r"]), 5).holds

    def test_clients_worked_meanwhile(self) -> None:
        both = [did("append", client=0, at=0.5), did("append", client=1, at=1.5)]
        assert clients_worked_meanwhile(History([*self.MARKS, *both]), "append", 2).holds
        assert clients_worked_meanwhile(History([*self.MARKS, *both]), "append", 3).holds is None
        late = did("append", client=1, at=9)
        assert clients_worked_meanwhile(History([*self.MARKS, both[0], late]), "append", 2).holds is None
        assert clients_worked_meanwhile(History(both), "append", 2).holds is None


class TestPercentiles:
    @staticmethod
    def taking(*milliseconds: float) -> History:
        return History([did("read", took=one / 1000) for one in milliseconds])

    def test_six_in_a_hundred_are_too_many_and_five_are_not(self) -> None:
        assert percentile_is_under(self.taking(*[10] * 95, *[500] * 5), "read", 95, 100).holds
        finding = percentile_is_under(self.taking(*[10] * 94, *[500] * 6), "read", 95, 100)
        assert finding.holds is False
        assert "the 95th percentile of 100 is 500.0 ms (limit: 100 ms; median 10.0 ms" in finding.words

    def test_an_error_is_no_fast_answer(self) -> None:
        history = History([*self.taking(*[1] * 200), did("read", outcome=FAIL)])
        assert percentile_is_under(history, "read", 95, 100).holds is False

    def test_what_could_not_be_tried_is_no_evidence(self) -> None:
        history = History([*self.taking(*[1] * 200), replace(did("read", outcome=FAIL), tried=False)])
        assert percentile_is_under(history, "read", 95, 100).holds is None

    @pytest.mark.parametrize("count", [0, 1, 99])
    def test_few_samples_are_no_evidence(self, count: int) -> None:
        assert percentile_is_under(self.taking(*[1] * count), "read", 95, 100).holds is None

    def test_the_limit_itself_is_not_under_it(self) -> None:
        assert percentile_is_under(History([did("read", took=0.125)] * 100), "read", 95, 125).holds is False

    def test_no_percentile_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="no operations"):
            durations(History(), "read").percentile(95)

    @given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
    def test_so_many_do_not_exceed_it(self, values: list[float], share: int) -> None:
        found = Durations(tuple(sorted(values)))
        limit = found.percentile(share)
        assert sum(value <= limit for value in values) >= len(values) * share / 100
        assert limit in values


class TestPlans:
    @pytest.mark.parametrize(
        ("used", "holds"),
        [
            ([{"by_cosine"}, {"by_cosine"}], True),
            ([{"by_cosine_102008"}], True),
            ([{"by_cosine"}, set()], False),
            ([{"primary_key"}], False),
            ([{"by_cosine", "primary_key"}], False),
            ([{"by_cosine_old"}], False),
            ([], None),
        ],
    )
    def test_indexes(self, used: list[set[str]], holds: bool | None) -> None:
        assert went_by_index(used, {"by_cosine"}).holds is holds

    def test_no_index_for_the_metric(self) -> None:
        assert went_by_index([{"by_euclid"}], set()).holds is False


class TestRecall:
    """Vectors at 0, 10, 20, ... degrees; the one at 0 is sought."""

    STORED = {  # noqa: RUF012
        f"at {angle}": (float(numpy.cos(numpy.radians(angle))), float(numpy.sin(numpy.radians(angle))))
        for angle in range(0, 180, 10)
    }
    SOUGHT = (2.0, 0.0)

    def answer(self, *angles: int, off: float = 0.0) -> list[tuple[str, float]]:
        return [(f"at {angle}", 1 - float(numpy.cos(numpy.radians(angle))) + off) for angle in angles]

    def test_the_nearest_by_hand(self) -> None:
        space = CosineSpace(self.STORED)
        assert space.nearest(self.SOUGHT, 3) == ["at 0", "at 10", "at 20"]
        assert space.distances(self.SOUGHT)[9] == pytest.approx(1)

    def test_the_share_that_was_found(self) -> None:
        assert recall(self.STORED, [(self.SOUGHT, self.answer(0, 10, 20))], 3) == 1
        assert recall(self.STORED, [(self.SOUGHT, self.answer(0, 10, 30))], 3) == pytest.approx(2 / 3)
        assert recall(self.STORED, [(self.SOUGHT, self.answer(0, 10, 20)), (self.SOUGHT, [])], 3) == 0.5

    def test_no_recall_of_no_searches(self) -> None:
        with pytest.raises(ValueError, match="no searches"):
            recall(self.STORED, [], 3)

    def test_in_order(self) -> None:
        assert answers_are_in_order(self.STORED, [(self.SOUGHT, self.answer(0, 10, 30))], 3, 1e-5).holds
        assert answers_are_in_order(self.STORED, [], 3, 1e-5).holds is None

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (lambda self: self.answer(0, 20, 10), "the entry at place 3 is nearer than the one before it"),
            (lambda self: self.answer(0, 10), "3 different entries were asked for, 2 came back, 2 of them different"),
            (lambda self: self.answer(0, 0, 10), "3 came back, 2 of them different"),
            (lambda self: [*self.answer(0, 10), ("at 15", 0.03)], "at 15 came back, but was never stored"),
            (lambda self: self.answer(0, 10, 20, off=0.1), "the distance of at "),
        ],
    )
    def test_out_of_order(self, answer, words: str) -> None:  # type: ignore[no-untyped-def]
        finding = answers_are_in_order(self.STORED, [(self.SOUGHT, answer(self))], 3, 1e-5)
        assert finding.holds is False
        assert words in finding.words


class TestOwnNamespace:
    def test_its_own(self) -> None:
        assert each_finds_its_own([{"mine": 3}, {"mine": 3}], "mine", 3).holds
        assert each_finds_its_own([], "mine", 3).holds is None

    @pytest.mark.parametrize(
        ("origins", "words"),
        [
            ([{"mine": 3}, {"mine": 2}, {}], "of 3 searches 2 did not find 3 entries of their own namespace, but 2, 0"),
            ([{"mine": 3, "theirs": 1}], "of 1 searches 1 found entries of another namespace"),
            (
                [{"theirs": 3}],
                "of 1 searches 1 found entries of another namespace and 1 did not find 3 entries of their own "
                "namespace, but 0",
            ),
        ],
    )
    def test_too_few_or_strangers(self, origins: list[dict[str, int]], words: str) -> None:
        finding = each_finds_its_own(origins, "mine", 3)
        assert (finding.holds, finding.words) == (False, words)


class TestSuccesses:
    @staticmethod
    def each(clients: int, times: int, apart: float = 0) -> list[Operation]:
        return [did("try", client, at=turn + apart * client) for client in range(clients) for turn in range(times)]

    def test_all(self) -> None:
        assert every_client_succeeded(History(self.each(3, 2)), "try", 3, 2).holds

    def test_one_refused(self) -> None:
        history = History([*self.each(3, 2), did("try", 1, outcome=UNKNOWN)])
        finding = every_client_succeeded(history, "try", 3, 2)
        assert (finding.holds, finding.words) == (
            False,
            "1 of 7 operations (try) did not succeed, the first: an error",
        )

    def test_what_the_clients_could_not_try_is_no_evidence(self) -> None:
        untried = replace(did("try", 1, outcome=FAIL), tried=False)
        finding = every_client_succeeded(History([*self.each(3, 2), untried]), "try", 3, 2)
        assert (finding.holds, finding.words) == (
            None,
            "1 of 7 operations could not be tried, the first: an error",
        )
        history = History([*self.each(3, 2), untried, did("try", 2, outcome=FAIL)])
        assert every_client_succeeded(history, "try", 3, 2).holds is False, "another was refused"

    def test_one_short(self) -> None:
        finding = every_client_succeeded(History(self.each(3, 2)[:-1]), "try", 3, 2)
        assert (finding.holds, finding.words) == (False, "each client should have done 2 operations (try): client 2: 1")

    def test_one_after_the_other_is_no_evidence(self) -> None:
        assert every_client_succeeded(History(self.each(3, 2, apart=10)), "try", 3, 2).holds is None

    def test_none(self) -> None:
        assert every_client_succeeded(History(), "try", 3, 2).holds is False
