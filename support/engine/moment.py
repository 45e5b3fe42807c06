"""What a scenario does right now, for the view of the run: read from what its threads record."""

import time

from support.engine.history import History, Outcome
from support.engine.world import World
from support.reporting.live import Moment

_MOST = 20_000
"""The most operations that are looked at: more than clients complete in a second."""


def moment_of(world: World) -> Moment | None:
    """What the scenario of this world does; None if it neither injects faults nor has clients."""
    experiment = world.experiment_or_none
    history = world.workload.history if world.workload is not None else world.recorded
    if experiment is None and history is None:
        return None
    lasting = [one for one in experiment.faults if one.healed is None] if experiment else []
    return Moment(
        members=experiment.watch.latest if experiment else {},
        writes=acknowledged_lately(history) if history is not None else None,
        fault=lasting[-1].words if lasting else "",
        fault_since=time.monotonic() - lasting[-1].begun if lasting else 0.0,
    )


def acknowledged_lately(history: History, seconds: float = 1.0) -> float:
    """Acknowledged operations a second, over the last seconds."""
    since = time.monotonic() - seconds
    return sum(one.outcome is Outcome.OK and one.ended >= since for one in history.last(_MOST)) / seconds
