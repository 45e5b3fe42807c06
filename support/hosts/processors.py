"""Who uses this machine's processors: we (the suite and its cluster), other programs, or other virtual machines.

Only `/proc` and our cgroups are read. A process in a PID namespace does not see the others, but `/proc/stat` counts
their time, too: what was used and not by us was used by them. It does not count what a CPU quota withholds: in a
container that has used up its quota, we wait for a processor while those of the machine are idle.
"""

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from support.hosts import state
from support.hosts.kernel import NAMESPACES

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_ENOUGH_IDLE = 1 / 3
"""The share of the machine that must be idle for other programs not to matter: then there was a processor for us."""
_TAKEN = 0.15
"""The share of the machine that others must use to count as a disturbance; the kernel's figures are some % off."""
_NONE_IDLE = 0.1
"""The share of the machine that may be idle (but not a whole processor) on a machine that is saturated: the kernel's
figures are some % off."""
_LOST = 1 / 3
"""The share of the machine that others must have on a saturated machine, or the share of what we needed that a quota
must have withheld: with less, they slow us down by half at most."""
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_USAGE = re.compile(
    r"(?:in (?:the busiest )?[\d.]+ s (?:of that time )?)?"
    r"other programs used (?P<others>[\d.]+) of (?P<processors>\d+) processors, other virtual machines "
    r"(?P<stolen>[\d.]+), the suite(?P<here> and its cluster)? (?P<ours>[\d.]+); (?P<idle>[\d.]+) were idle"
    r"(?:; the suite's CPU quota withheld (?P<throttled>[\d.]+))?"
    r"(?:; in \d+% of the time some task waited for a processor)?"
)
"""The text of a `Usage`, with the time over which it was averaged if that precedes it."""

_LOCAL = re.compile(r"\|-- ([\d.]+)\n(?: +/\d+ .*\n)*? +/32 host LOCAL")
"""An address of the network itself, in the kernel's table of routes (fib_trie)."""


@dataclass(frozen=True)
class ProcessTime:
    """One process, and the processor time in seconds that it has used since it began."""

    name: str
    parent: int
    own: float
    reaped: float
    """Used by descendants that have ended."""


Selection = Callable[[Mapping[int, ProcessTime]], Collection[int]]
"""Chooses the processes that are ours from all that are visible."""


@dataclass(frozen=True)
class Reading:
    """Processor time in seconds since the machine booted, as read at one moment of the monotonic clock."""

    at: float
    processors: int
    used: float
    """By any program. Interrupts are left out: nobody can say whose they are."""
    idle: float
    stolen: float
    """Wanted by this virtual machine, and given to another one."""
    waited: float | None
    """For how long any task waited for a processor; None where the kernel does not tell."""
    ours: Mapping[int, ProcessTime]
    tells_whose: bool = True
    """Whether it was asked whose processes they are, which costs much more than the rest."""
    throttled: float = 0.0
    """Wanted by our cgroup, and withheld because its quota was used up."""


@dataclass(frozen=True)
class Usage:
    """How many processors were used on average, and by whom. All but `throttled` add up to at most `processors`."""

    seconds: float
    processors: int
    ours: float
    others: float
    stolen: float
    idle: float
    waited: float | None = None
    """The share of the time in which any task waited for a processor."""
    throttled: float = 0.0
    """Processors that we would have used if the quota of our cgroup had not been used up."""
    elsewhere: bool = False
    """The cluster is on other machines: `ours` are the suite's alone, and say nothing about the cluster."""

    @property
    def disturbed(self) -> bool:
        """Whether something other than us took processors that we may have needed.

        Other programs do so if they use a considerable share, and little is left idle. Stolen time is time in which we
        were ready to work, however much is idle; so is time that a quota withheld. If the cluster is elsewhere, the
        suite itself may take the processors that it needs to measure that cluster.
        """
        crowded = self.others >= _TAKEN * self.processors and self.idle < _ENOUGH_IDLE * self.processors
        worked = self.ours + self.others + self.stolen
        robbed = self.stolen >= max(_TAKEN * worked, 0.02 * self.processors)
        throttled = self.throttled >= max(_TAKEN * (self.ours + self.throttled), 0.02)
        return crowded or robbed or throttled or (self.elsewhere and self._none_idle)

    @property
    def quiet(self) -> bool:
        """Whether others use so little that they would not disturb us, and no quota does."""
        unused = self.others < _TAKEN * self.processors and self.stolen < 0.02 * self.processors
        return unused and self.throttled < 0.02

    @property
    def is_full(self) -> bool:
        """Whether no processor was left for us: none was idle, whoever used them, or a quota withheld them."""
        return self._none_idle or self.throttled >= _LOST

    @property
    def saturated(self) -> bool:
        """Whether others had a considerable share of the machine, and left no processor idle; or a quota took as much.

        That is more than `disturbed`: it does not just falsify a measurement, but makes everything take longer. If the
        cluster is elsewhere, it makes no difference who left no processor idle.
        """
        taken = self._none_idle and (self.elsewhere or self.others + self.stolen >= _LOST * self.processors)
        return taken or self.throttled >= _LOST * max(1.0, self.ours + self.throttled)

    @property
    def taken(self) -> float:
        """Processors that were not there for the cluster, or for measuring one that is elsewhere."""
        return self.others + self.stolen + self.throttled + (self.ours if self.elsewhere else 0.0)

    @property
    def _none_idle(self) -> bool:
        return self.idle < min(_NONE_IDLE * self.processors, 1.0)

    def __str__(self) -> str:
        waited = "" if self.waited is None else f"; in {self.waited:.0%} of the time some task waited for a processor"
        withheld = f"; the suite's CPU quota withheld {self.throttled:.1f}" if self.throttled >= 0.05 else ""
        suite = "the suite" if self.elsewhere else "the suite and its cluster"
        return (
            f"other programs used {self.others:.1f} of {self.processors} processors, other virtual machines "
            f"{self.stolen:.1f}, {suite} {self.ours:.1f}; {self.idle:.1f} were idle{withheld}{waited}"
        )


def busy_machine(words: str) -> str:
    """The short form of a `Usage` that is quoted in this text; empty if there is none."""
    found = _USAGE.search(words)
    return _in_short(found) if found else ""


def shortened(words: str) -> str:
    """This text, with each quoted `Usage` shortened."""
    return _USAGE.sub(_in_short, words)


def _in_short(told: re.Match[str]) -> str:
    """Who took most. Where enough was idle, no program took anything."""
    processors, throttled = int(told["processors"]), float(told["throttled"] or 0)
    used = {"other programs": float(told["others"]), "other virtual machines": float(told["stolen"])}
    if not told["here"]:
        used["the suite itself"] = float(told["ours"])
    crowded = float(told["idle"]) < _ENOUGH_IDLE * processors
    took = {who: figure if crowded or who == "other virtual machines" else 0.0 for who, figure in used.items()}
    who = max(took, key=lambda one: took[one])
    if throttled and throttled >= took[who]:
        return f"the suite's CPU quota withheld {throttled:.1f} processors"
    return f"{who} used {100 * used[who] / processors:.0f} % of the test machine's processors"


def read(ours: Selection | None) -> Reading:
    """Read the processor time used until now; `ours` says which processes count as the suite and its cluster.

    Without it, the time is read without telling whose it is.
    """
    usable = os.sched_getaffinity(0)
    used = idle = stolen = 0.0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in usable:
            user, nice, system, free, disk, _, _, taken = (float(count) * _TICK for count in counts[:8])
            used, idle, stolen = used + user + nice + system, idle + free + disk, stolen + taken
    machine = Reading(time.monotonic(), len(usable), used, idle, stolen, _waited(), {}, False, _throttled())
    if ours is None:
        return machine
    table = _processes()
    return replace(machine, ours={pid: table[pid] for pid in ours(table)}, tells_whose=True)


def usage(before: Reading, after: Reading, elsewhere: bool = False) -> Usage:
    """What was used between two readings; all of it by others, unless both tell whose it is.

    `elsewhere`: the cluster is on other machines.
    """
    seconds = max(after.at - before.at, _TICK)
    stolen, idle = (after.stolen - before.stolen) / seconds, (after.idle - before.idle) / seconds
    told = before.tells_whose and after.tells_whose
    ours = _used_by(before.ours, after.ours) / seconds if told else 0.0
    others = max(0.0, (after.used - before.used) / seconds - ours)
    waited = None
    if before.waited is not None and after.waited is not None:
        waited = min(1.0, (after.waited - before.waited) / seconds)
    throttled = max(0.0, after.throttled - before.throttled) / seconds
    processors, stolen, idle = after.processors, max(0.0, stolen), max(0.0, idle)
    return Usage(seconds, processors, ours, others, stolen, idle, waited, throttled, elsewhere)


def together(usages: Sequence[Usage]) -> Usage:
    """The average of these, which need not follow one another; at least one."""
    seconds = sum(one.seconds for one in usages)

    def average(figure: Callable[[Usage], float]) -> float:
        return sum(figure(one) * one.seconds for one in usages) / seconds

    known = all(one.waited is not None for one in usages)
    return Usage(
        seconds,
        usages[0].processors,
        ours=average(lambda one: one.ours),
        others=average(lambda one: one.others),
        stolen=average(lambda one: one.stolen),
        idle=average(lambda one: one.idle),
        waited=average(lambda one: one.waited or 0.0) if known else None,
        throttled=average(lambda one: one.throttled),
        elsewhere=usages[0].elsewhere,
    )


def _used_by(before: Mapping[int, ProcessTime], after: Mapping[int, ProcessTime]) -> float:
    """Seconds that processes used between two readings, including those that have begun or ended meanwhile.

    What a process has used passes to its parent when it ends, so the difference of the sums is what was used. It is too
    small where time got lost, because a parent did not ask for it: then what the living ones used is closer.
    """
    total = sum(one.own + one.reaped for one in after.values()) - sum(one.own + one.reaped for one in before.values())
    living = sum(one.own - (before[pid].own if pid in before else 0.0) for pid, one in after.items())
    return max(total, living, 0.0)


def _waited() -> float | None:
    """Seconds in which some task of the machine waited for a processor; the kernel updates it every two seconds."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/pressure/cpu").read_text().split("total=")[1].split()[0]) / 1e6
    return None


def _throttled() -> float:
    """Processor time in seconds that the quotas of our cgroup, and of those around it, have withheld."""
    found = 0.0
    for file in _statistics_of_cgroups():
        with suppress(OSError, ValueError):
            counts = dict(line.split() for line in file.read_text().splitlines())
            found += int(counts.get("throttled_usec", 0)) / 1e6  # version 2
            found += int(counts.get("throttled_time", 0)) / 1e9  # version 1
    return found


def _statistics_of_cgroups() -> Iterator[Path]:
    """The statistics of our cgroup and of those around it. In a container, only the inner ones are there."""
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            root = _CGROUPS / "cpu" if controllers else _CGROUPS  # version 2 has no controllers here
            own = root / path.lstrip("/")
            yield from (one / "cpu.stat" for one in (own, *own.parents) if one.is_relative_to(root))


def _processes() -> dict[int, ProcessTime]:
    return {pid: one for name in os.listdir("/proc") if name.isdigit() and (one := _process(pid := int(name)))}


def _process(pid: int) -> ProcessTime | None:
    """A process and its time on processors until now; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            before, _, behind = file.read().rpartition(")")
    except OSError:
        return None
    facts = behind.split()
    if len(facts) < 15:
        return None
    user, system, reaped_user, reaped_system = (int(fact) * _TICK for fact in facts[11:15])
    return ProcessTime(before.partition("(")[2], int(facts[1]), user + system, reaped_user + reaped_system)


# Whose processes they are


def trees(roots: Collection[int], names: Collection[str] = ()) -> Selection:
    """These processes, those with one of these names, and all their descendants."""

    def select(table: Mapping[int, ProcessTime]) -> Collection[int]:
        children: dict[int, list[int]] = defaultdict(list)
        for pid, one in table.items():
            children[one.parent].append(pid)
        found: set[int] = set()
        left = [pid for pid, one in table.items() if pid in roots or one.name in names]
        while left:
            if (pid := left.pop()) not in found:
                found.add(pid)
                left += children[pid]
        return found

    return select


def in_networks_of(names: Collection[str], addresses: Collection[str]) -> bool:
    """Whether one of these addresses is one of the network, such as a container's, of a process with one of the names.

    The process must be visible; any user may read the addresses of its network.
    """
    wanted = {ip_address(address) for address in addresses if "%" not in address}
    table = _processes()
    for pid, one in table.items():
        above = table.get(one.parent)
        if one.name in names and not (above and above.name == one.name):  # a server's processes are all in its network
            with suppress(OSError):
                if not wanted.isdisjoint(_addresses_of(pid)):
                    return True
    return False


def _addresses_of(pid: int) -> Iterator[IPv4Address | IPv6Address]:
    """The addresses of the network of a process. Raises OSError if it is gone."""
    network = Path(f"/proc/{pid}/net")
    yield from (IPv4Address(found[1]) for found in _LOCAL.finditer((network / "fib_trie").read_text()))
    if (known := network / "if_inet6").exists():  # not in a kernel without IPv6
        yield from (IPv6Address(bytes.fromhex(line.split()[0])) for line in known.read_text().splitlines())


def of_sandbox(directory: Path) -> Selection:
    """Every process of the sandbox that lives in `directory`, and this process with its descendants."""
    facts = state.read(directory)
    if facts.kind == NAMESPACES and facts.pid_namespace == state.own_pid_namespace():
        return lambda table: table.keys()  # inside a PID namespace only its own processes are visible
    return trees({facts.supervisor, os.getpid()})
