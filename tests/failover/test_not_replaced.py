"""A leader that nobody replaced leads on rightly once the fault is healed: no step about safety takes that for wrong.

They are carried out even if the takeover did not come (support/engine/safety.py).
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from steps.failover import partition_steps
from steps.failover.partition_steps import step_unreplicated_entry_is_gone
from steps.failover.recovery_steps import step_thawed_member_acknowledged_no_write
from support.engine import markers, recovery
from support.engine.history import History, Operation, Outcome, WriterSample
from support.engine.ledger import APPEND
from support.engine.workload import Workload
from support.engine.world import Context
from support.errors import Inconclusive
from support.failover.handover import DirectClients, FailoverHandover
from support.faults.nemesis import InjectedFault

FAULT, HEALING = 100.0, 120.0
Step = Callable[[Context], None]
both = pytest.mark.parametrize("step", [step_unreplicated_entry_is_gone, step_thawed_member_acknowledged_no_write])


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every member holds the entry, and nothing that pg1 acknowledged is missing."""
    monkeypatch.setattr(partition_steps, "caught_up", lambda *_: {"pg1": "there", "pg2": "there"})
    monkeypatch.setattr(markers, "is_there", lambda *_: True)
    monkeypatch.setattr(recovery, "read_back", lambda *_: None)
    monkeypatch.setattr(recovery, "measure_ledger", lambda *_: None)


def context(leaders: Sequence[str], writers: Sequence[tuple[str, float]]) -> Context:
    """A fault hit pg1, the leader, at 100, and was healed at 120; then it acknowledged a write, at 125.

    `leaders` are those that steps have seen; `writers`: who was seen to accept a write, and when.
    """
    samples = [WriterSample(member, at, at + 0.1, True) for member, at in [("pg1", 99.0), ("pg1", 130.0), *writers]]
    fault = InjectedFault("pg1 freezes", FAULT, FAULT, healing=HEALING, healed=HEALING, over=HEALING)
    experiment = SimpleNamespace(
        target_member="pg1",
        injected_fault=fault,
        healing_since=HEALING,
        over_since=HEALING,
        leaders=leaders,
        watch=SimpleNamespace(samples=samples),
    )
    acknowledged = [Operation(0, APPEND, "entry", f"0-{at}", Outcome.OK, at, at + 0.1) for at in (90, 125)]
    handover = FailoverHandover()
    handover.unreplicated = "alone"
    direct = SimpleNamespace(stop=lambda: None, history=History(acknowledged))
    handover.direct_clients = DirectClients(cast(Workload, direct), "direct")
    members = ("pg1", "pg2")
    world = SimpleNamespace(
        experiment=experiment,
        cluster=SimpleNamespace(members=members, write=None, group_with=lambda _: SimpleNamespace(members=members)),
        handover=lambda _: handover,
        timing=SimpleNamespace(visible=0.1),
        profile=None,
        measure=lambda *_: None,
        evidence=SimpleNamespace(attach=lambda *_: None),
    )
    return cast(Context, SimpleNamespace(world=world))


@both
@pytest.mark.parametrize(
    "writers", [[], [("pg2", 99.0)], [("pg2", 125.0)], [("pg9", 110.0)]], ids=["none", "before", "after", "elsewhere"]
)
def test_what_a_leader_does_that_nobody_replaced_is_no_evidence(
    step: Step, writers: Sequence[tuple[str, float]]
) -> None:
    with pytest.raises(Inconclusive, match="no other member was seen to lead in place of pg1"):
        step(context(["pg1"], writers))


@both
@pytest.mark.parametrize(
    ("leaders", "writers"),
    [(["pg1", "pg2"], []), (["pg1"], [("pg2", 110.0)])],
    ids=["seen by a step", "seen only by the watch"],
)
def test_what_it_does_after_another_one_led_is_wrong(
    step: Step, leaders: Sequence[str], writers: Sequence[tuple[str, float]]
) -> None:
    with pytest.raises(AssertionError, match=r"committed alone|1 of 1 writes were acknowledged"):
        step(context(leaders, writers))
