"""A leader whose disk is full: how a member gets a small disk that can be filled, and what clients experience."""

import shutil
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from support import sql
from support.engine.checks.availability import longest_gap
from support.engine.history import Outcome
from support.engine.ledger import APPEND
from support.engine.recovery import require_within
from support.engine.world import World
from support.errors import Inconclusive, NotInTime, ProcessFailed
from support.failover.checks import NO_SPACE, refused_for_lack_of_space
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.faults.patroni import Switchover, Tagged
from support.faults.roles import host_of, in_sandbox, member_by_role
from support.hosts import Host, Process
from support.target.leadership import await_other_leader, await_streaming
from support.target.member_files import DATA
from support.target.members import NO_ANSWER
from support.waiting import NotYet, eventually, pause

ROOM = 48
"""Free space on the small disk at first, in megabytes."""

_DISK, _WAL, _ASIDE, _BALLAST = "disk", "wal", "data.aside", "ballast"
_COPY = f"""
import shutil, sys
without = shutil.ignore_patterns("pg_wal", "{_BALLAST}")
shutil.copytree(sys.argv[1], sys.argv[2], symlinks=True, dirs_exist_ok=True, ignore=without)
"""
_FULL = "No space left on device"


class SmallDisk(Fault):
    """A member's data is on a small disk of its own, with little free space; its WAL stays on the original disk.

    Servers are commonly built like this, because a PostgreSQL that cannot write its WAL has to stop at once.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        here = host.directory
        self._data, self._aside, self._disk, self._wal = here / DATA, here / _ASIDE, here / _DISK, here / _WAL

    def told(self, names: Names) -> str:
        return f"the data of {names.member(self.host.name)} is on a small disk of its own"

    def inject(self) -> None:
        used = self.host.run(["du", "-sm", "--exclude=pg_wal", str(self._data)]).stdout
        self._disk.mkdir()
        self.host.give_disk(self._disk, int(used.split()[0]) + ROOM)
        self._member.stop(within=60.0)
        self._copy(self._data, self._disk)
        self.host.run(["ln", "--symbolic", str(self._wal), str(self._disk / "pg_wal")])
        (self._data / "pg_wal").rename(self._wal)
        self._data.rename(self._aside)
        self._data.symlink_to(self._disk)
        self._member.start()

    def require_in_effect(self) -> None:
        if self._member.pid is None or not self._data.is_symlink():
            raise NotYet(f"{self.host.name} does not run on it")

    def heal(self) -> None:
        """Move the member's data back to its original place; the disk vanishes when the host is powered off."""
        if not self._disk.exists():
            return
        DiskFull(self.host).heal()
        self._member.stop(within=60.0)  # a leader hands over
        if self._data.is_symlink():
            shutil.rmtree(self._aside)
            self._copy(self._disk, self._aside)
            self._data.unlink()
        if self._aside.exists():
            self._aside.rename(self._data)
        if self._wal.exists():
            self._wal.rename(self._data / "pg_wal")
        self.host.power_off()
        self._disk.rmdir()
        self.host.power_on()
        self._member.start()

    @property
    def _member(self) -> Process:
        return self.host.processes["patroni"]

    def _copy(self, source: Path, target: Path) -> None:
        """Copy on the host itself: the disk is visible there only."""
        self.host.run([sys.executable, "-S", "-c", _COPY, str(source), str(target)])


class DiskFull(Fault):
    """All the free space on the small disk of a member is used up."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._disk = host.directory / _DISK

    @property
    def target_member(self) -> str:
        """See Fault."""
        return self.host.name

    def told(self, names: Names) -> str:
        return f"the disk of {names.member(self.host.name)} is full"

    def inject(self) -> None:
        try:
            self.host.run(["dd", "if=/dev/zero", f"of={self._disk / _BALLAST}", "bs=4k"])
        except ProcessFailed as error:
            if _FULL not in str(error):
                raise

    def require_in_effect(self) -> None:
        free = int(self.host.run(["stat", "--file-system", "--format=%a", str(self._disk)]).stdout)
        if free:
            raise NotYet(f"{free} blocks are free on the disk of {self.host.name}")

    def heal(self) -> None:
        with suppress(ProcessFailed):  # the disk may be gone
            self.host.run(["rm", "--force", str(self._disk / _BALLAST)])


_SUCCESSOR = "a replica that may lead"
_DOWN_FOR = 3.0
"""Seconds that PostgreSQL, stopped by a full disk, stays down."""


def lead_from_small_disk(world: World) -> None:
    """Give a replica that may lead a small disk until the scenario ends, and switch over to it."""
    cluster, host = world.cluster, in_sandbox(host_of(world.cluster, _SUCCESSOR))
    prepare = partial(world.experiment.prepare, until_end=True)
    for other in set(cluster.followers()) - {host.name}:
        prepare(Tagged(cluster, other, {"nosync": True}))  # so that it becomes the standby again afterwards
    _leave_little_to_replay(world, host.name)
    prepare(SmallDisk(host))
    await_streaming(cluster, host.name, world.timing.rejoin)

    def may_lead() -> None:
        if (standby := member_by_role(cluster, _SUCCESSOR)) != host.name:
            raise NotYet(f"that is {standby}")

    # Inconclusive is raised while no replica may lead, for a moment.
    eventually(may_lead, within=world.timing.notice, subject=f"{host.name} may lead", retry_on=(Inconclusive,))
    switchover = Switchover(cluster, host.name)
    prepare(switchover)
    await_other_leader(cluster, switchover.leader, world.timing.notice)
    # When it chooses a standby, Patroni writes the configuration of PostgreSQL, which is on that disk, once more.
    chosen = partial(member_by_role, cluster, _SUCCESSOR)
    eventually(chosen, within=world.timing.notice, subject="a standby is chosen", retry_on=(Inconclusive,))
    _checkpoint(world)  # every promotion causes one; after it, the next is due in minutes


def fill_disk(world: World) -> None:
    """Not a block is free on the disk of the leader from now on."""
    world.experiment.inject(DiskFull(in_sandbox(host_of(world.cluster, "the leader"))))


def keep_disk_full(world: World) -> None:
    """Let clients try to write for longer than any of them waits for an answer: one that hangs has then given up.

    At full speed, so that soon none of them finds room that is left in a page.
    """
    with world.clients_at_full_speed():
        pause(world.clients.gives_up_after + 1)


def fill_disk_until_checkpoint(world: World) -> None:
    """Fill the disk of the leader, and cause a checkpoint, which PostgreSQL does not survive."""
    fill_disk(world)
    world.experiment.expected_alarms += NO_SPACE
    died = sql.error_of(lambda: _checkpoint(world))
    if died is None:
        raise Inconclusive("a checkpoint succeeded on a full disk")
    pause(_DOWN_FOR)


def require_refused_for_space(world: World) -> None:
    """Since the disk is full, every client was refused for lack of space, and nothing worse happened to any of them.

    What clients tried until now is awaited to its end, with the disk still full: an operation that hangs ends when its
    client gives up.
    """
    workload, since = world.clients, world.experiment.injected_fault.in_effect_since
    until = time.monotonic()
    with suppress(NotInTime):  # what is in flight is judged
        workload.await_none_begun_before(until, within=workload.gives_up_after + 1)
    hanging = [one for one in workload.in_flight if one.begun < until]  # before the history: one may end in between
    found = refused_for_lack_of_space(workload.history, APPEND, since, workload.size, hanging)
    world.evidence.attach("writes on a full disk", found.words)
    found.require()


def require_accepted_after_space(world: World, limit: float) -> None:
    """Free the space; clients get through within `limit` seconds of that."""
    experiment = world.experiment
    experiment.heal()
    world.clients.await_acknowledged(10, within=limit)
    history = world.clients.history
    taken = [one.ended for one in history.of(action=APPEND, outcome=Outcome.OK) if one.begun > experiment.healing_since]
    first = min(taken)
    require_within(world, "writes were accepted again after", first - experiment.healing_since, limit, first)
    if gap := longest_gap(history, APPEND, experiment.injected_fault.begun):
        world.measure("clients were interrupted for", gap.seconds, "s")


def _leave_little_to_replay(world: World, member: str) -> None:
    """Checkpoint the leader and then the replica, so that the replica's next start replays almost no WAL.

    Recovery replays the WAL since the last checkpoint and temporarily recreates relations that were dropped since then.
    They may not fit on a small disk.
    """
    cluster = world.cluster
    _checkpoint(world)
    written = sql.value(cluster.of_member(cluster.leader()), "SELECT pg_current_wal_lsn()")

    def replayed() -> None:
        if not sql.value(cluster.of_member(member), "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written]):
            raise NotYet(f"it has not replayed {written}")

    eventually(replayed, within=world.timing.notice, subject=f"{member} has replayed a checkpoint", retry_on=NO_ANSWER)
    sql.execute(cluster.administration_of(member), "CHECKPOINT")


def _checkpoint(world: World) -> None:
    cluster = world.cluster
    sql.execute(cluster.administration_of(cluster.leader()), "CHECKPOINT")
