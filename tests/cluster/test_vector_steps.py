"""What is said of distances where servers give another answer, or none."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from steps.cluster.vector_steps import step_distance_is
from support.engine.world import Context
from support.errors import Inconclusive
from support.target.members import NoAnswer

SILENT = NoAnswer("pg_hba.conf rejects the connection")


def judge(distances: Mapping[str, float | NoAnswer]) -> None:
    world = SimpleNamespace(handover=lambda kind: SimpleNamespace(distances=distances))
    step_distance_is(cast(Context, SimpleNamespace(world=world)), 0.5)


def test_everybody_computes_the_distance() -> None:
    judge({"m1": 0.5, "m2": 0.5 + 1e-7})


@pytest.mark.parametrize("other", [0.5, SILENT])
def test_another_distance_is_told_whoever_is_silent(other: float | NoAnswer) -> None:
    with pytest.raises(AssertionError, match=r"distances computed: \{'m1': 0\.4"):
        judge({"m1": 0.4, "m2": other})


@pytest.mark.parametrize("other", [0.5, SILENT])
def test_silence_is_no_distance(other: float | NoAnswer) -> None:
    with pytest.raises(Inconclusive, match=r"m2: no answer \(pg_hba\.conf"):
        judge({"m1": other, "m2": SILENT})


def test_nobody_was_asked() -> None:
    with pytest.raises(Inconclusive, match="nobody was asked"):
        judge({})
