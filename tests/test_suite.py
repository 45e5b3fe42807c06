"""The part of a feature that one process takes: some of its scenarios, also of outlines and rules."""

import pytest
from behave.parser import parse_feature

from support.suite import _part

TEXT = """
@redis
Feature: A feature

  Background:
    Given a sum

  Scenario: one
    Then it is so

  @slow
  Scenario Outline: <what> of an outline
    Then it is so

    Examples:
      | what  |
      | two   |
      | three |

  @citus
  Rule: A rule
    Scenario: four
      Then it is so

    Scenario: five
      Then it is so
"""


def line_of(words: str) -> int:
    return 1 + next(at for at, line in enumerate(TEXT.splitlines()) if words in line)


ONE, TWO, THREE = line_of("Scenario: one"), line_of("| two"), line_of("| three")
FOUR, FIVE = line_of("Scenario: four"), line_of("Scenario: five")


@pytest.mark.parametrize("lines", [{ONE}, {TWO}, {THREE, FIVE}, {ONE, TWO, THREE, FOUR, FIVE}])
def test_a_part_has_only_the_wanted_scenarios(lines: set[int]) -> None:
    whole = parse_feature(TEXT, filename="features/a.feature")
    part = _part(whole, lines)
    assert {one.line for one in part.walk_scenarios()} == lines
    assert {one.line for one in whole.walk_scenarios()} == {ONE, TWO, THREE, FOUR, FIVE}, "the whole stays as it is"
    assert all(len([*one.all_steps]) == 2 for one in part.walk_scenarios()), "the background's step, and its own"


def test_scenarios_of_a_part_inherit_the_tags_of_the_whole() -> None:
    part = _part(parse_feature(TEXT, filename="features/a.feature"), {TWO, FOUR})
    assert [sorted(one.effective_tags) for one in part.walk_scenarios()] == [["redis", "slow"], ["citus", "redis"]]


def test_two_parts_share_no_scenario() -> None:
    whole = parse_feature(TEXT, filename="features/a.feature")
    one, other = _part(whole, {TWO, FOUR}), _part(whole, {THREE, FIVE})
    assert not {*map(id, one.walk_scenarios())} & {*map(id, other.walk_scenarios())}
    assert _part(whole, {1}) is None
