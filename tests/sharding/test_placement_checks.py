"""Where shards and rows are: each check against good, bad and empty findings."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from support.engine.checks.availability import every_client_worked
from support.engine.finding import Finding
from support.engine.history import History, Operation, Outcome
from support.sharding.placement_checks import (
    NOWHERE,
    Placement,
    as_before,
    co_located_together,
    each_has_the_indexes,
    each_holds,
    each_on_one_live_node,
    each_where_it_hashes,
    evenly_spread,
    joins_co_located,
    moved,
    none_is_unlogged,
    none_too_large,
    of_hash,
    on_several_nodes,
    together_they_hold,
)

ONE, TWO, THREE, COORDINATOR = "worker group 1", "worker group 2", "worker group 3", "the coordinator"


def table(name: str, first: int, nodes: Sequence[str]) -> list[Placement]:
    """A table with a shard on each of those nodes, in the order of the hashes, which are tens."""
    return [
        Placement(name, first + number, node, 10 * number, 10 * number + 9, colocation=1)
        for number, node in enumerate(nodes)
    ]


ENTRIES = table("entries", 100, [ONE, TWO, ONE, TWO])
PATTERNS = table("patterns", 200, [ONE, TWO, ONE, TWO])
BOTH = [*ENTRIES, *PATTERNS]
HELD = {node: {one.name for one in BOTH if one.node == node} for node in (ONE, TWO)}


def says(finding: Finding, holds: bool | None, *words: str) -> None:
    assert finding.holds is holds, finding.words
    for word in words:
        assert word in finding.words


def test_the_shard_of_a_hash_is_the_one_in_whose_range_it_is() -> None:
    assert [one.shard for hashed in (0, 9, 10, 39, 40) for one in of_hash(BOTH, "entries", hashed)] == [
        100,
        100,
        101,
        103,
    ]


def test_even_is_within_the_share_or_within_one_shard() -> None:
    says(evenly_spread(BOTH, 4, [ONE, TWO]), True, "2 tables")
    says(evenly_spread(table("entries", 1, [ONE] * 11 + [TWO] * 11 + [THREE] * 10), 32, [ONE, TWO, THREE]), True)
    says(evenly_spread(table("entries", 1, [ONE] * 17 + [TWO] * 15), 32, [ONE, TWO]), True)
    says(evenly_spread(table("entries", 1, [ONE] * 18 + [TWO] * 14), 32, [ONE, TWO]), False, "18 on worker group 1")


def test_shards_that_all_sit_on_one_worker_are_not_spread() -> None:
    says(evenly_spread(table("entries", 1, [ONE] * 4), 4, [ONE, TWO]), False, "unevenly", "0 on worker group 2")


def test_shards_on_the_coordinator_are_not_on_the_workers() -> None:
    says(evenly_spread(table("entries", 1, [ONE, TWO, "the coordinator"]), 3, [ONE, TWO]), False, "the coordinator")


def test_another_number_of_shards_is_said() -> None:
    says(evenly_spread(ENTRIES, 32, [ONE, TWO]), False, "entries has 4 shards instead of 32")


@pytest.mark.parametrize(("placements", "nodes"), [([], [ONE, TWO]), (ENTRIES, [ONE]), (ENTRIES, [])])
def test_nothing_is_spread_over_less_than_two(placements: list[Placement], nodes: list[str]) -> None:
    says(evenly_spread(placements, 4, nodes), None)


def test_each_shard_is_on_the_one_node_that_has_it() -> None:
    says(each_on_one_live_node(BOTH, HELD), True, "8 shards")
    says(each_on_one_live_node([], HELD), None)


def test_a_lost_placement_is_told_whatever_it_lost() -> None:
    first, *others = BOTH
    says(each_on_one_live_node([replace(first, active=False), *others], HELD), False, "is not active")
    says(each_on_one_live_node([replace(first, node=NOWHERE), *others], HELD), False, "entries_100 has no placement")
    says(each_on_one_live_node(BOTH, {ONE: HELD[ONE]}), False, "does not answer")
    says(each_on_one_live_node(BOTH, {**HELD, ONE: HELD[ONE] - {"entries_100"}}), False, "entries_100", "is not there")
    says(each_on_one_live_node([*BOTH, replace(first, node=TWO)], HELD), False, "entries_100 has 2 placements")
    says(each_on_one_live_node(others, HELD), False, "entries_100 is on worker group 1, where it does not belong")


def test_a_shard_that_citus_is_going_to_remove_excuses_nothing_but_itself() -> None:
    """A move has the shard on two nodes: before its end, and until Citus has cleaned up."""
    held = {**HELD, TWO: HELD[TWO] | {"entries_100"}}
    listed = {(TWO, "entries_100")}
    says(each_on_one_live_node(BOTH, held, to_be_removed=listed), None, "entries_100 on worker group 2")
    says(each_on_one_live_node(BOTH, HELD, to_be_removed=listed), True)
    says(each_on_one_live_node(BOTH, held, to_be_removed={(ONE, "entries_100")}), False, "where it does not belong")
    held[TWO] = held[TWO] | {"entries_102"}
    found = each_on_one_live_node(BOTH, held, to_be_removed=listed)
    says(found, False, "1 finding: entries_102 is on worker group 2, where it does not belong")
    held = {ONE: HELD[ONE] - {"entries_102"}, TWO: HELD[TWO] | {"entries_100"}}
    says(each_on_one_live_node(BOTH, held, to_be_removed=listed), False, "entries_102 on worker group 1 is not there")


def test_a_declared_table_without_shards_is_not_distributed() -> None:
    """Somebody forgot to distribute it: it works like any other, on one machine only."""
    declared = ("entries", "patterns")
    says(evenly_spread(BOTH, 4, [ONE, TWO], tables=declared), True, "2 tables")
    says(evenly_spread(ENTRIES, 4, [ONE, TWO], tables=declared), False, "patterns is not distributed")
    held = {node: {one.name for one in ENTRIES if one.node == node} for node in (ONE, TWO)}
    says(each_on_one_live_node(BOTH, HELD, tables=declared), True)
    says(each_on_one_live_node(ENTRIES, held, tables=declared), False, "patterns is not distributed")


def test_co_located_shards_are_on_the_same_node() -> None:
    says(co_located_together(BOTH), True)
    says(co_located_together([*ENTRIES, replace(PATTERNS[0], node=TWO)]), False, "entries_100", "patterns_200")
    says(co_located_together(ENTRIES), None)
    says(co_located_together([]), None)


def test_what_moved_is_told_from_what_stayed() -> None:
    after = [replace(ENTRIES[0], node=TWO), *ENTRIES[1:]]
    assert moved(ENTRIES, after) == [after[0]]
    says(as_before(ENTRIES, ENTRIES), True)
    says(as_before(ENTRIES, after), False, "entries_100 on worker group 2")
    says(as_before(ENTRIES, ENTRIES[1:]), False, "entries_100 is nowhere")
    says(as_before([], []), None)


def test_no_shard_is_too_large() -> None:
    says(none_too_large({1: 100, 2: 100, 3: 250}, 3), True)
    says(none_too_large({1: 10, 2: 10, 3: 10, 4: 500}, 3), False, "4, is 3.8 times")
    says(none_too_large({1: 10, 2: None}, 3), False, "not known: 2")
    says(none_too_large({}, 3), None)
    says(none_too_large({1: 0}, 3), None)


RIGHT = {"a": [(ONE, "entries_100")], "b": [(TWO, "entries_101")]}


def test_rows_are_where_they_hash_to_and_nowhere_else() -> None:
    says(each_where_it_hashes(RIGHT, RIGHT), True)
    says(each_where_it_hashes(RIGHT, {**RIGHT, "a": []}), False, "a should be in entries_100", "no shard")
    says(each_where_it_hashes(RIGHT, {**RIGHT, "a": [(TWO, "entries_101")]}), False, "is in entries_101")
    says(each_where_it_hashes(RIGHT, {**RIGHT, "a": RIGHT["a"] * 2}), False, "entries_100")
    says(each_where_it_hashes({"a": RIGHT["a"]}, RIGHT), None)
    says(each_where_it_hashes({}, {}), None)


def test_each_task_reads_two_co_located_shards() -> None:
    says(joins_co_located(BOTH, [{"entries_100", "patterns_200"}, {"entries_101", "patterns_201"}]), True, "2 tasks")
    says(joins_co_located(BOTH, [{"entries_100", "patterns_202"}]), False, "entries_100", "patterns_202")
    says(joins_co_located(BOTH, [{"entries_100"}]), False, "entries_100")
    says(joins_co_located(BOTH, []), None)


def test_each_client_worked_meanwhile_or_it_is_inconclusive() -> None:
    history = History(Operation(client, "append", "k", "v", Outcome.OK, 4.0, 5.0) for client in (0, 1))
    says(every_client_worked(history, "append", 2, (1.0, 9.0)), True, "2 operations")
    says(every_client_worked(history, "append", 3, (1.0, 9.0)), None, "the clients 2")
    says(every_client_worked(history, "append", 2, (6.0, 9.0)), None)
    says(every_client_worked(History(), "append", 0, (1.0, 9.0)), None)


class TestRowsOnNodes:
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
        assert together_they_hold("abc", {ONE: ["a"], TWO: ["b", "c"]}).holds

    @pytest.mark.parametrize(
        ("held", "words"),
        [
            ({ONE: ["a"], TWO: ["b"]}, "1 row is missing on the nodes together ('c')"),
            ({ONE: "ab", TWO: "bc"}, "1 row is there more than once on the nodes together ('b')"),
            ({ONE: "ab", TWO: "cd"}, "1 row is unexpected on the nodes together ('d')"),
            ({}, "3 rows are missing on the nodes together ('a', 'b', 'c')"),
        ],
    )
    def test_not_the_whole(self, held: dict[str, str], words: str) -> None:
        found = together_they_hold("abc", held)
        assert (found.holds, found.words) == (False, words)

    def test_nothing_expected(self) -> None:
        assert together_they_hold("", {ONE: "a"}).holds is None
        assert each_holds("", {ONE: "a"}).holds is None
        assert each_holds("a", {}).holds is None

    def test_each_holds(self) -> None:
        assert each_holds("ab", {ONE: "ab", TWO: "ba"}).holds
        found = each_holds("ab", {ONE: "ab", TWO: "a", COORDINATOR: "aab"})
        assert found.holds is False
        assert found.words == (
            "1 row is missing on worker group 2 ('b'); 1 row is there more than once on the coordinator ('a')"
        )


MEANT: dict[str, dict[str, bool]] = {"entries": {"unique btree (key)": True, "hnsw (v)": True}, "patterns": {}}
ALL = {node: {one.name: MEANT["entries"] for one in ENTRIES if one.node == node} for node in (ONE, TWO)}


class TestIndexes:
    def test_each_shard_has_them(self) -> None:
        says(each_has_the_indexes(BOTH, MEANT, ALL), True, "8 shards of 2 tables")

    def test_one_that_lacks_some_is_told(self) -> None:
        failed = {"unique btree (key)": False, "hnsw (v)": True}
        found = each_has_the_indexes(BOTH, MEANT, {**ALL, TWO: {"entries_101": failed, "entries_103": {}}})
        says(found, False, f"entries_101 on {TWO} lacks unique btree (key)", f"entries_103 on {TWO} lacks hnsw (v), ")
        says(each_has_the_indexes(ENTRIES, MEANT, {TWO: {}}), False, f"entries_101 on {TWO} lacks")

    def test_what_cannot_be_told(self) -> None:
        says(each_has_the_indexes(BOTH, MEANT, {ONE: ALL[ONE]}), None, f"the shards of {TWO} were not read")
        says(each_has_the_indexes(PATTERNS, MEANT, ALL), None, "no shard should have an index")
        says(each_has_the_indexes([], MEANT, ALL), None)

    def test_one_whose_build_failed_is_not_valid_by_the_coordinator_either(self) -> None:
        """Whether the shard has nothing of it, or has all of it because the build failed on another node."""
        meant = {**MEANT, "entries": {**MEANT["entries"], "btree (made)": False}}
        found = each_has_the_indexes(BOTH, meant, ALL)
        says(found, False, "an index of entries is not valid: btree (made)", f"entries_100 on {ONE} lacks btree (made)")
        built = {node: {name: {**of, "btree (made)": True} for name, of in one.items()} for node, one in ALL.items()}
        found = each_has_the_indexes(BOTH, meant, built)
        says(found, False, "1 finding: an index of entries is not valid: btree (made)")

    def test_one_that_is_being_built_is_left_out(self) -> None:
        meant = {**MEANT, "entries": {**MEANT["entries"], "btree (made)": False}}
        says(each_has_the_indexes(BOTH, meant, ALL, ["entries"]), True, "8 shards of 2 tables")
        says(each_has_the_indexes(BOTH, meant, ALL, ["patterns"]), False, "an index of entries is not valid")
        says(each_has_the_indexes(BOTH, MEANT, {ONE: {}, TWO: {}}, ["entries"]), False, "lacks hnsw (v)")


class TestUnlogged:
    def test_none_is(self) -> None:
        says(none_is_unlogged(BOTH, {ONE: [], TWO: []}), True, "none of 8 shards of 2 tables is unlogged")

    def test_one_that_is_is_told_whoever_is_silent(self) -> None:
        says(none_is_unlogged(BOTH, {ONE: ["entries_100", "patterns_202"]}), False, f"entries_100 on {ONE} is unlogged")
        says(none_is_unlogged(BOTH, {ONE: [], TWO: ["entries_100"]}), True)  # a copy that a move has left behind

    def test_what_cannot_be_told(self) -> None:
        says(none_is_unlogged(BOTH, {ONE: []}), None, f"the shards of {TWO} were not read")
        says(none_is_unlogged([], {ONE: [], TWO: []}), None, "there is no placement")
