"""A clock that jumps, as after a wrong `date`, a correction by NTP, or the resumption of a virtual machine.

Namespaces shift no wall clock, and that of a whole machine is not ours to set. So the Patroni of one member is started
with a wall clock of its own. PostgreSQL and the DCS keep the true time.

Source: https://github.com/patroni/patroni/issues/3560 (the leader's clock jumped back by two hours)
"""

from collections.abc import Mapping
from pathlib import Path

import psutil

from support.errors import Inconclusive
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.files import replace_file
from support.hosts import Host
from support.target.cluster import Cluster
from support.vocabulary import Kind
from support.waiting import NotYet

PROGRAM = Path(__file__).with_name("patroni_clock.py")
JUMPS: Mapping[str, float] = {"two hours ahead": 7200.0, "two hours back": -7200.0}
"""How a clock jumps -> seconds."""
JUMP = Kind("jump of a clock", tuple(JUMPS))
_NEEDED = ("PGPASSFILE",)
"""Environment variables that a member's Patroni may need beside the usual ones."""


class OwnClock(Fault):
    """A fault, because it changes the cluster for a while: the Patroni of a member has a clock that can be set.

    Patroni is exchanged; its PostgreSQL keeps running meanwhile.
    """

    def __init__(self, cluster: Cluster, member: str) -> None:
        self._cluster, self.member = cluster, member
        self._host: Host = cluster.sandbox.hosts[member]
        self._shift = self._host.directory / "clock"
        self._usual: tuple[list[str], dict[str, str]] | None = None

    def told(self, names: Names) -> str:
        return f"the Patroni of {names.member(self.member)} has a clock that can be set"

    @property
    def wrong_by(self) -> float:
        """By how many seconds its clock was wrong when Patroni last read it. Raises NotYet if it has not read it."""
        try:
            return float(self._shift.with_suffix(".read").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError) as error:
            raise NotYet(f"the Patroni of {self.member} has not read its clock") from error

    def set(self, seconds: float) -> None:
        """Let it be wrong by so many seconds from now on."""
        replace_file(self._shift, f"{seconds:g}")  # so that Patroni never reads half of it

    def inject(self) -> None:
        pid = self._host.processes["patroni"].pid
        if pid is None:
            raise Inconclusive(f"no Patroni runs on {self.member}")
        running = psutil.Process(pid)
        argv, environment = running.cmdline(), running.environ()
        self._usual = argv, {name: environment[name] for name in _NEEDED if name in environment}
        self.set(0)
        program = next(number for number, word in enumerate(argv) if number and not word.startswith("-"))
        self._exchange([argv[0], "-P", str(PROGRAM), str(self._shift), *argv[program:]])

    def require_in_effect(self) -> None:
        """The other Patroni runs, and answers."""
        pid = self._host.processes["patroni"].pid
        if pid is None or str(PROGRAM) not in psutil.Process(pid).cmdline():
            raise NotYet("it has not been exchanged")
        _ = self.wrong_by

    def heal(self) -> None:
        if self._usual is not None:
            self._exchange(self._usual[0])  # the one that reads the files is gone then
            for file in (self._shift, self._shift.with_suffix(".read")):
                file.unlink(missing_ok=True)
            self._usual = None

    def _exchange(self, argv: list[str]) -> None:
        assert self._usual is not None
        program = self._host.add("patroni", argv, self._usual[1])
        if (pid := program.pid) is not None:
            running = psutil.Process(pid)
            running.kill()  # it alone: `Process.kill` would kill PostgreSQL as well
            running.wait(10)
        program.start()


class ClockJumps(Fault):
    """The clock of a member's Patroni is wrong from one moment to the next."""

    def __init__(self, clock: OwnClock, jump: str) -> None:
        self._clock, self._jump = clock, jump
        self.unaware = JUMPS[jump] < 0  # the host's Patroni may sleep for as long as the clock was set back

    @property
    def target_member(self) -> str:
        """See Fault."""
        return self._clock.member

    def told(self, names: Names) -> str:
        return f"the clock of the Patroni of {names.member(self._clock.member)} jumps {self._jump}"

    def inject(self) -> None:
        self._clock.set(JUMPS[self._jump])

    def require_in_effect(self) -> None:
        """Patroni has read it since then."""
        if (wrong := self._clock.wrong_by) != JUMPS[self._jump]:
            raise NotYet(f"when Patroni last read it, it was wrong by {wrong:.0f} s")

    def heal(self) -> None:
        """The right time alone wakes no Patroni that sleeps: it is started again, as the usual one."""
        self._clock.heal()
