"""The tags of our scenarios say what the code of their steps needs."""

import ast
import re

import pytest
from program import ROOT
from step_code import scenarios_that_reach

PARTS = {"related": "related", "graph": "nodes", "reference": "reference", "json": "entries.metadata"}
"""Capability -> what statements call the optional part of the application's tables that it stands for."""


@pytest.mark.parametrize("capability", PARTS)
def test_scenarios_whose_statements_use_an_optional_part_have_its_tag(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    part = re.compile(r"\{" + re.escape(PARTS[capability]) + r"\b")

    def uses(node: ast.AST) -> bool:
        return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(part.search(node.value))

    using = scenarios_that_reach(uses)
    assert using
    assert sorted(one.name for one in using if capability not in one.tags) == []
