"""Bursts of sessions. `accept steps` lists the steps that exist already; write one only for what none of them says."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from behave import then, when
from hamcrest import assert_that, empty, less_than

from support import sql
from support.engine.world import Context, Handover


class Burst(Handover):
    """What these steps pass to one another."""

    burst_time: Annotated[float, "When 20 sessions are opened in a burst"]
    """From the first login until the last session could be used, in milliseconds."""
    refused: Annotated[list[str], "When 20 sessions are opened in a burst"]
    """The errors of the sessions that could not be used."""


@when("{count:d} sessions are opened in a burst")
def step_open_sessions_in_a_burst(context: Context, count: int) -> None:
    """Through the write endpoint, as the application, all at the same time. Each answers a query, and stays open."""
    world = context.world

    def use_one() -> None:
        session = world.cleanup.enter_context(sql.session(world.cluster.write))
        sql.value(session, "SELECT 1")

    begun = time.perf_counter()
    with ThreadPoolExecutor(count) as clients:
        # A refused login breaks the promise here; without error_of, the scenario would end as an error.
        errors = list(clients.map(sql.error_of, [use_one] * count))
    burst = world.handover(Burst)
    burst.burst_time = 1000 * (time.perf_counter() - begun)
    burst.refused = [str(error) for error in errors if error]


@then("the burst was served within {milliseconds:g} milliseconds")
def step_burst_served_within(context: Context, milliseconds: float) -> None:
    """From the first login until every session of the burst had answered. None may have been refused."""
    world = context.world
    burst, limit = world.handover(Burst), world.limit(milliseconds, "sessions")
    assert_that(burst.refused, empty(), "sessions of the burst that were refused")
    world.measure("burst of sessions", burst.burst_time, "ms", limit)
    assert_that(burst.burst_time, less_than(limit), "milliseconds until every session of the burst had answered")
