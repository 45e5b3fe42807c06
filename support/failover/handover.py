"""What the steps about failover hand to one another within a scenario."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from support.engine.workload import Workload
from support.engine.world import Handover
from support.failover.checks import Look
from support.failover.joint_loss import Lost
from support.failover.logical_consumer import Consumer
from support.failover.member_checks import StreamedAgain
from support.failover.partition import LockBefore
from support.failover.role_claims import ClaimWatch
from support.failover.routing import ClosingWatch, ReadLag
from support.failover.succession import UnequalReplicas
from support.faults.clock import OwnClock
from support.target.leadership import Lease
from support.target.patroni_commands import Reply


@dataclass(frozen=True)
class DirectClients:
    """Clients that are connected to a member itself, past the proxy, and the namespace in which they append."""

    workload: Workload
    namespace: str


class FailoverHandover(Handover):
    """Facts of before a fault, clients that only some scenarios have, and answers that a later step judges."""

    lease: Annotated[Lease, "When a majority of the DCS crashes"]
    """How long the leader's lock lasts, read before the fault."""
    lock_before_the_fault: Annotated[LockBefore, "When the leader is cut off from the DCS"]
    """The leader's lock right before the fault, with its last renewal if the DCS tells it."""
    state_before_the_fault: Annotated[Look, "When a majority of the DCS crashes"]
    closings: Annotated[ClosingWatch, "Given 20 idle sessions through the write endpoint"]
    closings_of_readers: Annotated[Mapping[str, ClosingWatch], "Given 20 idle sessions through the read endpoint"]
    """Member -> the watch of the sessions that are on it."""
    read_lag: ReadLag | None = None
    """How far a replica may lag and still serve reads, in scenarios that make it lag further."""
    least_replayed: int | None = None
    """The position in the WAL that a replica must have replayed to serve reads again, where that is known."""
    direct_clients: Annotated[DirectClients, "Given 4 clients appending through direct sessions on the leader"]
    unequal_replicas: Annotated[UnequalReplicas, "Given one replica lacks WAL that the others have received"]
    requested_candidate: Annotated[str, "When a switchover to a replica that may lead is requested"]
    """None if any replica was welcome."""
    claims: Annotated[ClaimWatch, "Given every member is asked continuously whether it is the primary"]
    consumer: Annotated[Consumer, "Given a logical consumer of a slot that Patroni maintains"]
    clock: Annotated[OwnClock, "Given the Patroni of the leader has a clock that can be set"]
    away: Annotated[str, "Given the host of a replica that no commit waits for is down"]
    lost: Annotated[Lost, "When the hosts of the leader and its synchronous standby crash at once"]
    replies: Annotated[Mapping[str, Reply], "When switchovers to members that cannot lead are requested"]
    """Candidate -> Patroni's reply."""
    streamed_again: Annotated[Sequence[StreamedAgain], "When the stream of each replica is ended, one after another"]
    unreplicated: Annotated[str, "When the leader commits an entry that no other host can receive"]
    """The namespace of the entry."""
