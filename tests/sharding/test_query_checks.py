"""Checks of answers and of query plans, against findings that are known to be bad; and what is read from Citus."""

import random
import re

import pytest

from support.engine.tables import as_tabled
from support.sharding import setup
from support.sharding.checks import Compared, all_agree, each_search_by_index, each_shard_by_index, nothing_moves
from support.sharding.plans import Task, parsed
from support.sharding.random_queries import RandomQueries
from support.sharding.shards import Sharding


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
            ([(1,)], "1 row is missing ((2,))"),
            ([(1,), (2,), (2,)], "1 row is wrong ((2,))"),
            ([(1,), (3,)], "1 row is missing ((2,)), 1 row is wrong ((3,))"),
            ("refused: no", "refused: no"),
        ],
    )
    def test_wrong(self, given: list[tuple[int]] | str, words: str) -> None:
        found = all_agree([self.RIGHT, Compared("which?", [(1,), (2,)], given)])
        assert (found.holds, found.words) == (False, f"1 of 2 questions are not answered correctly: which?: {words}")

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
            ({"t_1": {"i_2"}, "t_2": {"pk_2"}}, {"i"}, "2 of 2 shards are not read by i: t_1 by i_2, and likewise t_2"),
            ({"t_1": {"i_1"}, "t_2": {"i_2"}}, set(), "there is no valid HNSW index for this metric"),
        ],
    )
    def test_not_by_index(self, used: dict[str, set[str]], meant: set[str], words: str) -> None:
        found = each_shard_by_index(used, {"t_1", "t_2"}, meant)
        assert (found.holds, found.words) == (False, words)

    def test_each_search_is_judged(self) -> None:
        by, not_by = {"t_1": {"i_1"}}, {"t_1": {"pk_1"}}
        assert each_search_by_index([by, by], {"t_1"}, {"i"}).holds
        found = each_search_by_index([by, not_by, by], {"t_1"}, {"i"})
        assert (found.holds, found.words) == (
            False,
            "search 2 of 3: 1 of 1 shards are not read by i: t_1 by pk_1",
        )
        assert each_search_by_index([], {"t_1"}, {"i"}).holds is None
        assert each_search_by_index([by], set(), {"i"}).holds is None

    def test_parsed(self) -> None:
        scan = {"Node Type": "Index Scan", "Index Name": "i_1", "Relation Name": "t_1"}
        task = {"Node": "host=10.0.0.1 port=5432 dbname=d", "Remote Plan": [[{"Plan": {"Plans": [scan]}}]]}
        job = {"Task Count": 2, "Tasks": [task]}
        plan = parsed([{"Plan": {"Plans": [{"Distributed Query": {"Job": job}}]}}])
        assert (plan.count, plan.moves) == (2, ())
        assert plan.tasks == (Task("10.0.0.1:5432", frozenset({"t_1"}), frozenset({"i_1"})),)

    @pytest.mark.parametrize(
        ("node", "address"),
        [
            ("host=fd00::1 port=5432 dbname=d", "[fd00::1]:5432"),
            ("host=db.example.org port=9700 dbname=my app = yours", "db.example.org:9700"),
        ],
    )
    def test_a_node_is_known_by_its_address_whatever_the_database_is_called(self, node: str, address: str) -> None:
        job = {"Task Count": 1, "Tasks": [{"Node": node, "Remote Plan": [[{"Plan": {"Relation Name": "t_1"}}]]}]}
        (task,) = parsed([{"Plan": {"Distributed Query": {"Job": job}}}]).tasks
        assert task.node == address

    def test_what_moves(self) -> None:
        job = {"Task Count": 4, "Dependent Jobs": [{"Map Task Count": 32, "Merge Task Count": 4}]}
        plan = parsed([{"Plan": {"Distributed Query": {"Subplans": [{}], "Job": job}}}])
        assert plan.moves == ("1 subplans", "32 tasks that repartition")

    def test_no_tasks(self) -> None:
        with pytest.raises(LookupError, match="no part of the plan runs as tasks"):
            parsed([{"Plan": {"Node Type": "Seq Scan"}}])


def test_random_queries_are_the_same_for_the_same_seed() -> None:
    one, same, other = (RandomQueries(random.Random(seed), ["a", "it's"]) for seed in (1, 1, 2))
    asked = [one.query() for _ in range(50)]
    assert asked == [same.query() for _ in range(50)] != [other.query() for _ in range(50)]
    assert len({query.text for query in asked}) > 40


def test_random_queries_leave_no_condition_to_be_known_in_advance() -> None:
    """Since version 17, PostgreSQL knows whether a column is NULL that cannot be, and Citus refuses what is left."""
    asked = [query.text for query in RandomQueries(random.Random(7), ["a", "b"]).some(500)]
    conditions = [found for text in asked for found in re.findall(r"(\S+ \S+) IS (?:NOT )?NULL", text)]
    assert conditions
    assert all(one.endswith(", '')") for one in conditions), conditions


def test_a_table_that_is_missing_is_told_as_that() -> None:
    """It is neither local nor distributed by nothing."""
    row = {"kind": "distributed", "distributed by": "namespace", "co-located with": "entries"}
    wanted = {"entries": row, "gone": row, "left_local": row}
    found = {
        "entries": Sharding("distributed", "namespace", 1),
        "gone": Sharding("missing"),
        "left_local": Sharding("local"),
    }
    told = as_tabled(wanted, setup.described(found, wanted)).words
    assert told.startswith("gone: there is no such table; left_local, kind: expected distributed, observed local; ")


def test_only_co_location_that_is_wanted_is_judged() -> None:
    """Citus co-locates by default what has a distribution column of the same type; the order of its answer is its own.

    A chain is co-located as well: notes with pages, which are co-located with orders.
    """
    row = {"kind": "distributed", "distributed by": "tenant"}
    wanted = {
        "pages": {**row, "co-located with": "orders"},
        "notes": {**row, "co-located with": "pages"},
        "orders": row,
    }
    for order in (["notes", "orders", "pages"], ["pages", "notes", "orders"]):
        found = {table: Sharding("distributed", "tenant", 4) for table in order}
        assert as_tabled(wanted, setup.described(found, wanted)).holds
    apart = {**found, "notes": Sharding("distributed", "tenant", 5)}
    told = as_tabled(wanted, setup.described(apart, wanted)).words
    assert told == "notes, co-located with: expected pages, observed none of these tables"
    apart["others"] = Sharding("distributed", "tenant", 5)
    assert "expected pages, observed others" in as_tabled(wanted, setup.described(apart, wanted)).words
