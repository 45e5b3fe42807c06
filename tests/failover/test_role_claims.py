"""Claims to be the primary are judged once it is known how long they last."""

import math
import time
from types import SimpleNamespace
from typing import cast

import pytest

from support.engine.history import History, WriterSample
from support.engine.world import World
from support.errors import LimitExceeded
from support.failover.role_claims import ClaimWatch, require_true_claims

LIMIT, NOTICE = 1.0, 0.5


def judged(lasts: float) -> None:
    """pg1 has just handed over to pg2, and its health check calls it the primary for so many seconds more."""
    begun = time.monotonic()
    with ClaimWatch({"pg1": lambda: time.monotonic() < begun + lasts, "pg2": lambda: True}) as watch:
        always = [
            WriterSample(name, begun + at / 10, begun + at / 10, name == "pg2")
            for at in range(1, 100)
            for name in ("pg1", "pg2")
        ]
        experiment = SimpleNamespace(
            watch=SimpleNamespace(samples=always),
            injected_fault=SimpleNamespace(begun=begun, over=math.inf),
            target_member="pg1",
        )
        world = SimpleNamespace(
            experiment=experiment,
            clients=SimpleNamespace(history=History()),
            cluster=SimpleNamespace(members=["pg1", "pg2"]),
            timing=SimpleNamespace(notice=NOTICE),
            measure=lambda *_: None,
            evidence=SimpleNamespace(attach=lambda *_: None),
        )
        require_true_claims(cast(World, world), watch, LIMIT)


@pytest.mark.parametrize("lasts", [LIMIT + 0.8, math.inf], ids=["for seconds", "for good"])
def test_a_former_leader_that_clings_to_its_role(lasts: float) -> None:
    with pytest.raises(LimitExceeded, match="pg1 was reported as the primary by its health check for 1"):
        judged(lasts)


def test_a_former_leader_that_gives_it_up() -> None:
    begun = time.monotonic()
    judged(0.3)
    assert time.monotonic() - begun < LIMIT
