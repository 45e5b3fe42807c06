"""A logical consumer, as change data capture has it: a slot that Patroni maintains on every member, and who reads it.

Its changes are logical messages, each committed by a transaction of its own, so that no table is needed.

Sources: https://github.com/patroni/patroni/issues/1749 (a consumer that skipped rows after a failover),
https://patroni.readthedocs.io/en/latest/dynamic_configuration.html (slots)
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from support import sql
from support.engine.background import Background
from support.engine.history import Outcome
from support.engine.workload import Task, Turn, Workload
from support.engine.world import World
from support.errors import NotInTime
from support.failover.consumer_checks import CHANGE, Received, no_change_missing, repeats
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.run import new_id, note_left
from support.target import slots
from support.target.cluster import Cluster
from support.target.health import await_all
from support.target.members import NO_ANSWER
from support.target.purposes import purposes
from support.target.temporary_configuration import TemporaryConfiguration
from support.timeouts import CLIENT, RECOVERY, STATEMENT
from support.waiting import NotYet, describe, eventually, precondition

_PACE, _READS = 0.01, 0.1  # seconds between two changes of a client, and between two reads of the consumer
_ENOUGH = 200  # changes before the fault, and again after it
_EMIT = "SELECT pg_logical_emit_message(true, %s, %s)"
_READ = """
    SELECT data FROM pg_logical_slot_get_binary_changes(
        %s, NULL, NULL, 'proto_version', '1', 'publication_names', %s, 'messages', 'true')
"""


class MaintainedSlot(Fault):
    """A fault, because it changes the cluster for a while: Patroni is to keep a logical slot through a failover."""

    def __init__(self, cluster: Cluster, run: str, tell: Callable[[str], None]) -> None:
        """`run` is the id of the run, by which the next one finds what is left. `tell` is told if Patroni leaves it."""
        self.name = f"accept_{run}_slot_{new_id()}"
        self._cluster, self._run, self._tell = cluster, run, tell
        slot = {"type": "logical", "database": cluster.topology.database, "plugin": "pgoutput"}
        self._configuration = TemporaryConfiguration(cluster, str(self), {"slots": {self.name: slot}})

    def told(self, names: Names) -> str:
        return f"Patroni maintains the logical slot {self.name}"

    def inject(self) -> None:
        leader = self._cluster.administration_of(self._cluster.leader())
        sql.execute(leader, f"CREATE PUBLICATION {self.name}")
        self._configuration.begin()

    def require_in_effect(self) -> None:
        if not self._is_on(self._cluster.leader()):
            raise NotYet("the leader has no such slot")

    def heal(self) -> None:
        """Patroni drops the slot on every member. Where it does not, the suite does, and that is told.

        If it stays all the same, the next run on this machine drops it, however soon it begins.
        """
        try:
            self._undo()
        except BaseException:
            note_left(self._run)
            raise

    def _undo(self) -> None:
        def drop_publication() -> None:
            leader = self._cluster.administration_of(self._cluster.leader())
            sql.execute(leader, f"DROP PUBLICATION IF EXISTS {self.name}")

        self._configuration.end()
        try:  # first the slot: while Patroni fails on one, it maintains none for the members that are to return
            left = slots.drop(self._cluster, self._cluster.members, self.name, RECOVERY)
        finally:
            subject = f"the publication {self.name} is dropped"
            eventually(drop_publication, within=RECOVERY, subject=subject, retry_on=NO_ANSWER)
        if left:  # without the members' names: the report tells it once, however often it is seen
            self._tell(
                "a logical slot that was removed from Patroni's `slots` was not dropped by Patroni within "
                f"{self._cluster.topology.timing.effect:g} s, and would have kept WAL until somebody drops it, as the "
                "suite did; usual causes: `ignore_slots` names it, Patroni is paused, or Patroni fails on it "
                "(KeyError: 'name' in the log of a leader with Citus) and maintains no slots there"
            )

    def missing_on(self) -> list[str]:
        """The members that do not have it yet. Patroni keeps none on those that never lead, or read the archive."""
        known = purposes(self._cluster)
        kept = [name for name in self._cluster.members if known[name].may_lead and known[name].receives_at_once]
        return [name for name in kept if not self._is_on(name)]

    def _is_on(self, member: str) -> bool:
        return slots.is_on(self._cluster, member, self.name)


class Consumer(Background):
    """Reads the slot on the current leader until it is closed; each read confirms what it got.

    A context manager. It never makes a slot of its own: what had been committed until then would be missing.
    """

    def __init__(self, cluster: Cluster, slot: str, mark: str) -> None:
        """`mark` is the prefix of the changes that are meant for it."""
        self._cluster, self._slot = cluster, slot
        self._change = re.compile(re.escape(mark.encode()) + rb"\0.{4}(\d+)/(\d+)", re.DOTALL)
        self.received: list[Received] = []
        self.said = ""
        """The last error, while it cannot read."""
        super().__init__(self._work)

    def _work(self) -> None:
        while not self._stopping.wait(_READS):
            try:
                self._read_on()
            except NO_ANSWER as error:
                self.said = describe(error)

    def _read_on(self) -> None:
        """Read from the leader, in one session, until that fails or the consumer is closed."""
        with sql.session(self._cluster.administration_of(self._cluster.leader())) as session:
            while not self._stopping.wait(_READS):
                changes = sql.rows(session, _READ, [self._slot, self._slot])
                now, self.said = time.monotonic(), ""
                found = (self._change.search(bytes(data)) for (data,) in changes)
                self.received += [Received(int(one[1]), int(one[2]), now) for one in found if one]


def start_consumer(world: World, slot: MaintainedSlot) -> Consumer:
    """Begin to read the slot until the scenario ends. Every member should have it first; it is not waited for long.

    Patroni restarts a replica to give it a slot, so the cluster has to be healthy again.
    """
    with suppress(NotInTime):  # then a failover shows what comes of it

        def everywhere() -> None:
            if missing := slot.missing_on():
                raise NotYet(f"{' and '.join(missing)} do not have it")

        within = world.timing.wait(STATEMENT)
        eventually(everywhere, within=within, subject="every member has the slot", retry_on=NO_ANSWER)
    with precondition("the cluster is no longer healthy since it has the slot"):
        await_all(world.cluster, world.timing.recovery)
    return world.cleanup.enter_context(Consumer(world.cluster, slot.name, world.namespace))


def start_changes(world: World, clients: int) -> None:
    """Let clients commit changes, each numbered, through the write endpoint until the scenario ends."""
    mark = world.namespace

    def script(turn: Turn) -> Task:
        values = [mark, f"{turn.client}/{turn.number}"]
        return Task(CHANGE, str(turn.client), turn.number, lambda session: _nothing(sql.value(session, _EMIT, values)))

    workload = Workload(world.cluster.write, script, clients=clients, pace=_PACE, patience=CLIENT)
    world.start(workload, acknowledged=_ENOUGH)


def _nothing(_: object) -> None:
    """A client records the number of the change, not its place in the WAL."""


def require_no_gap(world: World, consumer: Consumer, limit: float) -> None:
    """Clients change things again after the fault; within `limit` seconds the consumer has all that was acknowledged.

    How many changes it got again is a known limit: Patroni advances the slots of replicas once in a loop only.
    """
    workload, fault = world.clients, world.experiment.injected_fault
    try:
        workload.await_acknowledged(_ENOUGH, within=world.timing.recovery)
        begun = time.monotonic()
        _await_new_change(workload, consumer, limit)
    finally:
        workload.stop()
    acknowledged = {(one.client, int(one.value)) for one in workload.history.of(action=CHANGE, outcome=Outcome.OK)}

    def caught_up() -> None:
        if missing := acknowledged - {(one.client, one.number) for one in list(consumer.received)}:
            raise NotYet(f"{len(missing)} changes are missing; {consumer.said or 'it can read'}")

    with suppress(NotInTime):  # judged below
        eventually(caught_up, within=limit, subject="the consumer has caught up", since=begun)
    during = ((begun, time.monotonic()),)
    received = list(consumer.received)
    again = repeats(received)
    world.measure("changes that reached the consumer", len(received), "")
    world.measure("of them, again", again, "")
    if again:
        world.known_limit(
            f"after a failover a logical consumer receives some changes again ({again} were seen) and has to "
            f"recognise them"
        )
    finding = no_change_missing(workload.history, received, fault.begun, reads=not consumer.said)
    finding = replace(finding, during=during, limit=limit)
    said = f"; the consumer: {consumer.said}" if consumer.said else ""
    world.evidence.attach("what the consumer got", f"{finding.words}{said}")
    finding.require()


def _await_new_change(workload: Workload, consumer: Consumer, within: float) -> None:
    """Let the clients go on until one of their next changes reaches the consumer, or the time is over.

    What is missing then is lost. If nothing more came, it could also be late.
    """
    acknowledged = workload.history.of(action=CHANGE, outcome=Outcome.OK)
    latest = {one.client: int(one.value) for one in sorted(acknowledged, key=lambda one: int(one.value))}

    def there() -> None:
        if not any(one.number > latest.get(one.client, -1) for one in list(consumer.received)):
            raise NotYet(consumer.said or "it reads, and gets nothing")

    with suppress(NotInTime):  # the changes are judged as they are
        eventually(there, within=within, subject="a new change reaches the consumer")
