"""Time between two faults of a sequence."""

from behave import when

from support.engine.world import Context
from support.waiting import pause


@when("{seconds:g} seconds pass")
def step_time_passes(context: Context, seconds: float) -> None:
    """Nothing else is done; clients go on, and faults stay in place."""
    pause(seconds)
