"""Asks the health check of every member, all the time, whether that member is the primary: proxies send writes there.

Source: https://github.com/patroni/patroni/issues/2972 (a member that held the leader key postponed its promotion, and
answered "primary" meanwhile)
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from psycopg2 import errorcodes

from support.engine.background import Background
from support.engine.ledger import APPEND
from support.engine.world import World
from support.errors import NotInTime
from support.failover.leader_checks import Claim, called_primary_truly, longest_false_claim
from support.target.members import NO_ANSWER
from support.waiting import NotYet, eventually

_PACE = 0.1  # seconds between two questions to a member
_PATH = "/primary"
_READ_ONLY = errorcodes.READ_ONLY_SQL_TRANSACTION
"""What PostgreSQL says against a write that was sent to a replica."""


class ClaimWatch(Background):
    """Asks all members at once until it is closed; a member that gives no answer is asked again. A context manager."""

    def __init__(self, questions: dict[str, Callable[[], bool]]) -> None:
        """`questions`: member -> whether its health check calls it the primary now."""
        self.claims: list[Claim] = []
        """Every answer, or missing answer, until now."""
        super().__init__(*(partial(self._ask, name, question) for name, question in questions.items()))

    def _ask(self, member: str, question: Callable[[], bool]) -> None:
        while not self._stopping.is_set():
            begun, answer = time.monotonic(), None
            with suppress(*NO_ANSWER):
                answer = question()
            self.claims.append(Claim(member, begun, time.monotonic(), answer))
            self._stopping.wait(_PACE)


def watch_claims(world: World) -> ClaimWatch:
    """Ask the health check of every member until the scenario ends; returns once one of them is called the primary.

    Otherwise a fault that comes at once could leave it unknown who was the primary before.
    """
    cluster = world.cluster

    def question(name: str) -> Callable[[], bool]:
        return lambda: cluster.patroni(name).status_code(_PATH) == 200

    watch = world.cleanup.enter_context(ClaimWatch({name: question(name) for name in cluster.members}))

    def called() -> None:
        if not any(one.primary for one in list(watch.claims)):
            raise NotYet(f"{len(watch.claims)} answers, and no member is called the primary")

    eventually(called, within=world.timing.notice, subject="a member's health check calls it the primary")
    return watch


def require_true_claims(world: World, watch: ClaimWatch, limit: float) -> None:
    """Since the fault, no member was reported as the primary for more than `limit` seconds while it was read-only.

    It is judged once the former leader has said that it is no primary: before, its claim may not have lasted long
    enough to be a false one. If it never says so, it is judged when any claim has lasted too long.

    How many writes were refused for that reason, because the proxy believed the health check, is in the report.
    """
    experiment, history = world.experiment, world.clients.history
    _await_no_claim_of_the_former_leader(world, watch, limit + world.timing.notice)
    claims, samples, since = list(watch.claims), experiment.watch.samples, experiment.injected_fault.begun
    longest = longest_false_claim([one for one in claims if one.begun > since], samples)
    world.measure("a read-only member was reported as the primary for", longest.seconds if longest else 0.0, "s", limit)
    refused = [one for one in history.of(action=APPEND) if one.begun > since and one.code == _READ_ONLY]
    world.measure("writes refused by a read-only server", len(refused), "")
    finding = called_primary_truly(claims, samples, world.cluster.members, since, limit)
    world.evidence.attach("who was reported as the primary", finding.words)
    finding.require()


def _await_no_claim_of_the_former_leader(world: World, watch: ClaimWatch, within: float) -> None:
    """Wait until its last answer, from after the fault, was that it is no primary; no longer than `within` seconds."""
    former, fault = world.experiment.target_member, world.experiment.injected_fault
    since = fault.begun if math.isinf(fault.over) else fault.over

    def gave_it_up() -> None:
        told = [one for one in list(watch.claims) if one.member == former and one.begun > since]
        if not told or told[-1].primary is not False:
            raise NotYet(f"{former} has not said that it is no primary")

    with suppress(NotInTime):  # the claims are judged as they are
        eventually(gave_it_up, within=within, subject="the former leader says that it is no primary")
