"""Bursts of sessions. `accept steps` lists the steps that exist already; write one only for what none of them says."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from behave import then, when
from hamcrest import assert_that, less_than

from support import sql
from support.engine.world import Context, Handover


class Burst(Handover):
    """What these steps hand to one another."""

    burst_time: Annotated[float, "When 20 sessions are opened in a burst"]
    """From the first login until the last session could be used, in milliseconds."""


@when("{count:d} sessions are opened in a burst")
def step_open_sessions_in_a_burst(context: Context, count: int) -> None:
    """Through the write endpoint, as the application, all at the same time. Each answers one query."""

    def use_one(_: int) -> None:
        with sql.session(context.world.cluster.write) as session:
            sql.value(session, "SELECT 1")

    begun = time.perf_counter()
    with ThreadPoolExecutor(count) as clients:
        list(clients.map(use_one, range(count)))
    context.world.handover(Burst).burst_time = 1000 * (time.perf_counter() - begun)


@then("the burst was served within {milliseconds:g} milliseconds")
def step_burst_served_within(context: Context, milliseconds: float) -> None:
    """From the first login until every session of the burst had answered."""
    world = context.world
    taken, limit = world.handover(Burst).burst_time, world.limit(milliseconds, "sessions")
    world.measure("burst of sessions", taken, "ms", limit)
    assert_that(taken, less_than(limit), "milliseconds until every session of the burst had answered")
