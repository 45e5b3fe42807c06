"""How long clients were interrupted, and that no second outage follows the first.

A fault can interrupt clients twice: a new leader that never manages to renew its lock serves them until the lock
expires. So they are watched until that can no longer happen. That is often before the lock would expire: a leader
that is seen to renew it need not be watched any longer (see support/engine/settling.py). The rest of the time is used
for what has to be done anyway: the fault is healed and members come back, while clients keep working and are watched.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from support.engine.checks.availability import (
    every_client_got_through,
    interrupted_for_less_than,
    longest_gap,
    watched_to_the_end,
)
from support.engine.finding import Finding
from support.engine.ledger import APPEND
from support.engine.settling import Settling
from support.engine.workload import Workload
from support.engine.world import Handover, World
from support.errors import NotInTime
from support.waiting import pause

_LOOK = 0.2  # seconds between two looks at clients that are watched


def _never(back: float) -> bool:
    return False


@dataclass(frozen=True)
class Interruption:
    """A limit on the time for which a workload may go without an acknowledged write, from `since` (the fault) on."""

    workload: Workload
    since: float
    limit: float

    def judged(self, until: float) -> Finding:
        """Whether the limit was kept until that moment."""
        return interrupted_for_less_than(self.limit, self.workload.history, APPEND, self.since, until)

    @property
    def exceeded(self) -> bool:
        """Whether the limit is exceeded by now: then there is nothing more to wait for."""
        gap = longest_gap(self.workload.history, APPEND, self.since, time.monotonic())
        return gap is not None and gap.seconds >= self.limit

    def await_service(self) -> None:
        """Wait until clients get through, for as long as the limit allows."""
        with suppress(NotInTime):  # the gap that is still open is judged
            self.workload.await_acknowledged(10, self.limit)

    def await_second_outage(
        self, since: float, follow_up: float, settled: Callable[[float], bool] = _never
    ) -> float | None:
        """Wait for as long as a further outage may follow from a fault in effect since then, or until the limit is
        exceeded. An outage that is longer than those before it may have one of its own, so the wait begins anew.

        It ends sooner once `settled`, which gets the moment when service came back: that moment is returned.
        """
        watched = since
        while not self.exceeded:
            gap = longest_gap(self.workload.history, APPEND, self.since, time.monotonic())
            end = watched_to_the_end(gap, since, follow_up)
            if end <= watched:
                return None
            if self._watch(end, partial(settled, end - follow_up)):
                return end - follow_up
            watched = time.monotonic()
            self.await_service()  # an outage may be under way
        return None

    def _watch(self, end: float, settled: Callable[[], bool]) -> bool:
        """Let the clients work until then. Ends sooner if their silence exceeds the limit, or, with True, if everything
        has settled while they got through."""
        while (left := end - time.monotonic()) > 0 and (silent_for := self.workload.silent_for) < self.limit:
            if silent_for < _LOOK and settled():
                return True
            pause(min(left, _LOOK))
        return False


@dataclass
class OpenWatch:
    """Clients that are to be watched for some time still, while the scenario goes on."""

    interruption: Interruption
    back: float
    """When service came back."""
    follow_up: float
    closed: bool = field(default=False)

    def close(self) -> None:
        """Watch until the time is over, and judge. Does nothing if it was closed before, or the clients have ended."""
        if not self.closed and self.interruption.workload.running:
            self.closed = True
            self.interruption.await_second_outage(self.back, self.follow_up)
            self.interruption.judged(time.monotonic()).require()


class InterruptionHandover(Handover):
    """What is judged once more when clients have stopped, and until when they have to be watched."""

    def __init__(self) -> None:
        self.interruptions: list[Interruption] = []
        self.watches: list[OpenWatch] = []


def require_interruption_under(
    world: World, limit: float, workload: Workload | None = None, who: str = "clients"
) -> None:
    """From the fault on, clients never went `limit` seconds without an acknowledged write, and every one works again.

    Watches them for as long as a second outage could follow from the same fault (Timing.second_outage), with the fault
    still in place, and until each client was acknowledged once more. Once the cluster has settled, the watch goes on
    beside the rest of the scenario (`end_watches`). `require_ledger_intact` judges the gap again when it has stopped
    them. Judges the scenario's clients, unless one of several workloads is given; `who` names its clients in the
    figure.
    """
    workload, fault, timing = workload or world.clients, world.experiment.injected_fault, world.timing
    interruption = Interruption(workload, fault.begun, limit)
    interruption.await_service()
    back = interruption.await_second_outage(fault.in_effect_since, _follow_up(world), _settled(world))
    watched = time.monotonic()
    if not interruption.exceeded:
        with suppress(NotInTime):  # the check below says which clients did not
            workload.await_each_acknowledged(within=limit + workload.gives_up_after)
    until = time.monotonic()
    gap = longest_gap(workload.history, APPEND, fault.begun, until)
    if gap is not None:
        world.measure(f"{who} were interrupted for", gap.seconds, "s", limit)
    handover = world.handover(InterruptionHandover)
    handover.interruptions.append(interruption)
    interruption.judged(until).require()
    every_client_got_through(workload.history, APPEND, workload.size, watched, until).require()
    if back is not None:
        handover.watches.append(OpenWatch(interruption, back, timing.second_outage_once_settled))
        world.cleanup.callback(end_watches, world, workload)


def end_watches(world: World, workload: Workload) -> None:
    """Heal the faults, and watch the clients until no second outage can follow. Harmless where that has been done."""
    watches = [one for one in world.handover(InterruptionHandover).watches if one.interruption.workload is workload]
    if any(not one.closed for one in watches):
        world.experiment.heal()
    for one in watches:
        one.close()


def require_interruptions_kept(world: World, workload: Workload) -> None:
    """No limit was exceeded until the clients stopped."""
    for one in world.handover(InterruptionHandover).interruptions:
        if one.workload is workload:
            one.judged(workload.stopped_at).require()


def _settled(world: World) -> Callable[[float], bool]:
    """Whether the cluster has settled since service came back, for as long as the proxy needs at least."""
    found: dict[float, Settling] = {}

    def settled(back: float) -> bool:
        settling = found.setdefault(back, Settling(world.cluster, world.experiment.silenced, back))
        return settling.reached() and time.monotonic() >= back + world.timing.second_outage_of_proxy

    return settled


def _follow_up(world: World) -> float:
    """How long after the last fault a second outage could follow. A fault of the proxy alone leaves the lock alone."""
    members = {name for group in world.cluster.groups for name in group.members}
    proxy_only = world.experiment.target_member not in members
    return world.timing.second_outage_of_proxy if proxy_only else world.timing.second_outage
