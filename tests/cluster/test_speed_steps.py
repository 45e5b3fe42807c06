"""The verdict about a speed where nothing was answered at all."""

from types import SimpleNamespace
from typing import cast

import pytest

from steps.cluster.speed_steps import step_percentile
from support.cluster.workloads import READ
from support.engine.history import History, Operation, Outcome
from support.engine.world import Context


def test_reads_that_all_failed_have_no_percentile_and_their_error_is_told() -> None:
    failed = [Operation(0, READ, "key", None, Outcome.FAIL, number, number + 1, "no login") for number in range(200)]
    measured: list[object] = []
    world = SimpleNamespace(
        history=History(failed),
        limit=lambda stated, *_: stated,
        measure=lambda *figure: measured.append(figure),
        handover=lambda kind: SimpleNamespace(measurement=SimpleNamespace(disturbance=None)),
        cluster=SimpleNamespace(topology=SimpleNamespace(sandbox=None, write_hosts=(), members=())),
    )
    with pytest.raises(AssertionError, match="200 of 200 ended in an error, the first: no login"):
        step_percentile(cast(Context, SimpleNamespace(world=world)), 95, "reads", 10)
    assert measured == []
