"""Checkers of rows on nodes, answers, plans of tasks and deadlocks, against what is known to be bad."""

import random

import pytest

from support.engine.tables import as_tabled
from support.sharding import setup
from support.sharding.checks import Compared, all_agree, each_shard_by_index, nothing_moves, one_victim
from support.sharding.placement_checks import each_holds, on_several_nodes, together_they_are
from support.sharding.random_queries import RandomQueries
from support.sharding.shards import Sharding
from support.sharding.task_plans import Task, parsed

ONE, TWO, COORDINATOR = "worker group 1", "worker group 2", "the coordinator"


class TestWhereabouts:
    def test_on_several_nodes(self) -> None:
        found = on_several_nodes({COORDINATOR: [], ONE: ["a"], TWO: ["b", "c"]})
        assert (found.holds, found.words) == (True, "1 on worker group 1, 2 on worker group 2")

    def test_on_one_node(self) -> None:
        found = on_several_nodes({COORDINATOR: [], ONE: ["a", "b"], TWO: []})
        assert (found.holds, found.words) == (False, "all rows are on one node: 2 on worker group 1")

    @pytest.mark.parametrize("held", [{}, {ONE: [], TWO: []}])
    def test_on_no_node(self, held: dict[str, list[str]]) -> None:
        assert on_several_nodes(held).holds is None

    def test_together_the_whole(self) -> None:
        assert together_they_are("abc", {ONE: ["a"], TWO: ["b", "c"]}).holds

    @pytest.mark.parametrize(
        ("held", "words"),
        [
            ({ONE: ["a"], TWO: ["b"]}, "1 rows are missing on the nodes together ('c')"),
            ({ONE: "ab", TWO: "bc"}, "1 rows are there more than once on the nodes together ('b')"),
            ({ONE: "ab", TWO: "cd"}, "1 rows are not as they should be on the nodes together ('d')"),
            ({}, "3 rows are missing on the nodes together ('a', 'b', 'c')"),
        ],
    )
    def test_not_the_whole(self, held: dict[str, str], words: str) -> None:
        found = together_they_are("abc", held)
        assert (found.holds, found.words) == (False, words)

    def test_nothing_expected(self) -> None:
        assert together_they_are("", {ONE: "a"}).holds is None
        assert each_holds("", {ONE: "a"}).holds is None
        assert each_holds("a", {}).holds is None

    def test_each_holds(self) -> None:
        assert each_holds("ab", {ONE: "ab", TWO: "ba"}).holds
        found = each_holds("ab", {ONE: "ab", TWO: "a", COORDINATOR: "aab"})
        assert found.holds is False
        assert found.words == (
            "1 rows are missing on worker group 2 ('b'); 1 rows are there more than once on the coordinator ('a')"
        )


class TestAgreement:
    RIGHT = Compared("who?", [(1, ["x"]), (2, [])], [(2, []), (1, ["x"])])

    def test_right(self) -> None:
        assert all_agree([self.RIGHT]).holds

    def test_in_another_order(self) -> None:
        found = all_agree([Compared("in order?", [(1,), (2,)], [(2,), (1,)], ordered=True)])
        assert found.holds is False
        assert found.words.endswith("in order?: the rows are in another order")

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ([(1,)], "1 rows are missing ((2,))"),
            ([(1,), (2,), (2,)], "1 rows are wrong ((2,))"),
            ([(1,), (3,)], "1 rows are missing ((2,)), 1 rows are wrong ((3,))"),
            ("refused: no", "refused: no"),
        ],
    )
    def test_wrong(self, given: list[tuple[int]] | str, words: str) -> None:
        found = all_agree([self.RIGHT, Compared("which?", [(1,), (2,)], given)])
        assert (found.holds, found.words) == (False, f"1 of 2 questions are not answered right: which?: {words}")

    def test_nothing_to_tell_by(self) -> None:
        assert all_agree([]).holds is None
        assert all_agree([self.RIGHT, Compared("a", [], []), Compared("b", [], [])]).holds is None


class TestTaskPlans:
    def test_nothing_moves(self) -> None:
        assert nothing_moves(32, (), 32).holds
        assert nothing_moves(1, (), 32).holds is False
        assert nothing_moves(32, ("1 subplans",), 32).holds is False
        assert nothing_moves(0, (), 0).holds is None

    def test_each_shard_by_index(self) -> None:
        by = {"t_1": {"i_1"}, "t_2": {"i_2", "other_2"}}
        assert each_shard_by_index(by, {"t_1", "t_2"}, {"i"}).holds
        assert each_shard_by_index(by, set(), {"i"}).holds is None

    @pytest.mark.parametrize(
        ("used", "meant", "words"),
        [
            ({"t_1": {"i_1"}}, {"i"}, "1 of 2 shards are not read: t_2"),
            ({"t_1": {"i_1"}, "t_2": set()}, {"i"}, "1 of 2 shards are not read by i: t_2 by no index"),
            ({"t_1": {"i_2"}, "t_2": {"pk_2"}}, {"i"}, "2 of 2 shards are not read by i: t_1 by i_2, so t_2"),
            ({"t_1": {"i_1"}, "t_2": {"i_2"}}, set(), "there is no valid HNSW index for this metric"),
        ],
    )
    def test_not_by_index(self, used: dict[str, set[str]], meant: set[str], words: str) -> None:
        found = each_shard_by_index(used, {"t_1", "t_2"}, meant)
        assert (found.holds, found.words) == (False, words)

    def test_parsed(self) -> None:
        scan = {"Node Type": "Index Scan", "Index Name": "i_1", "Relation Name": "t_1"}
        task = {"Node": "host=10.0.0.1 port=5432 dbname=d", "Remote Plan": [[{"Plan": {"Plans": [scan]}}]]}
        job = {"Task Count": 2, "Tasks": [task]}
        plan = parsed([{"Plan": {"Plans": [{"Distributed Query": {"Job": job}}]}}])
        assert (plan.count, plan.moves) == (2, ())
        assert plan.tasks == (Task("10.0.0.1:5432", frozenset({"t_1"}), frozenset({"i_1"})),)

    def test_what_moves(self) -> None:
        job = {"Task Count": 4, "Dependent Jobs": [{"Map Task Count": 32, "Merge Task Count": 4}]}
        plan = parsed([{"Plan": {"Distributed Query": {"Subplans": [{}], "Job": job}}}])
        assert plan.moves == ("1 subplans", "32 tasks that repartition")

    def test_no_tasks(self) -> None:
        with pytest.raises(LookupError, match="nothing in the plan is done by tasks"):
            parsed([{"Plan": {"Node Type": "Seq Scan"}}])


class TestDeadlock:
    @pytest.mark.parametrize(
        ("conditions", "holds"),
        [
            (["deadlock detected", ""], True),
            (["", "deadlock detected"], True),
            (["deadlock detected", "deadlock detected"], False),
            (["query canceled", ""], False),
            (["deadlock detected", "query canceled"], False),
            (["", ""], None),
            (["deadlock detected"], None),
            ([], None),
        ],
    )
    def test_one_victim(self, conditions: list[str], holds: bool | None) -> None:
        assert one_victim(conditions).holds is holds


def test_random_queries_are_the_same_for_the_same_seed() -> None:
    one, same, other = (RandomQueries(random.Random(seed), ["a", "it's"]) for seed in (1, 1, 2))
    asked = [one.query() for _ in range(50)]
    assert asked == [same.query() for _ in range(50)] != [other.query() for _ in range(50)]
    assert len({query.text for query in asked}) > 40


def test_a_table_that_is_missing_is_told_as_that() -> None:
    """It is neither local nor distributed by nothing."""
    row = {"kind": "distributed", "distributed by": "namespace", "lies with": "entries"}
    wanted = {"entries": row, "gone": row, "left_local": row}
    found = {
        "entries": Sharding("distributed", "namespace", 1),
        "gone": Sharding("missing"),
        "left_local": Sharding("local"),
    }
    told = as_tabled(wanted, setup.described(found, wanted)).words
    assert told.startswith("gone: there is no such table; left_local, kind: expected distributed, observed local; ")
