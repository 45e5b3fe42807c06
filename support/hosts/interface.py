"""What faults need from hosts, be it our own sandbox or a user's machines and containers.

A *site* is a set of hosts and the network between them. `Sandbox` is one; `remote.RemoteSite` is another. Faults,
checks and evidence use only what is here, so every scenario is written once.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from support.errors import Inconclusive

Pair = tuple[str, str]
"""The names of the hosts that send and receive."""
LogName = tuple[str, str]
"""The host that a log is on, and its name there."""


@dataclass(frozen=True)
class Running:
    """A process on a host when it was looked at. Its id and start time together never name another process."""

    pid: int
    started: int
    """In clock ticks since the host's boot, as in /proc/PID/stat."""
    state: str
    """One letter, as in /proc/PID/stat: R, S, D, T, Z, ..."""
    name: str
    """Its short name, such as "postgres"."""
    title: str
    """Its arguments, or what it has put in their place: "postgres: walreceiver streaming 0/4000148"."""
    parent: int = 0
    service: str = ""
    """The last part of its control group, such as "patroni.service"; all of it, after "container:", if it runs in a
    container on the host."""

    @property
    def contained(self) -> bool:
        """Whether it runs in a container on the host. Seen from inside the container, no process does."""
        return self.service.startswith("container:")

    @property
    def identity(self) -> tuple[int, int]:
        return self.pid, self.started

    @property
    def stopped(self) -> bool:
        return self.state in "Tt"

    @property
    def over(self) -> bool:
        """Whether it has ended, and only its parent has not taken note of that."""
        return self.state in "ZX"


@dataclass(frozen=True)
class Flow:
    """Datagrams, or packets, from one host to another."""

    sent: int
    arrived: int
    fastest: float | None
    """The shortest time that one took, in seconds; None if none arrived."""

    @property
    def lost(self) -> int:
        return self.sent - self.arrived

    def __add__(self, other: "Flow") -> "Flow":
        times = [one.fastest for one in (self, other) if one.fastest is not None]
        return Flow(self.sent + other.sent, self.arrived + other.arrived, min(times, default=None))


@dataclass(frozen=True)
class Clock:
    """What a host's clock shows, compared with the clock of the machine that runs the suite."""

    zone: float | None = None
    """Seconds east of UTC; None: the time zone of that machine."""
    ahead: float = 0.0
    """How many seconds it is ahead."""


class Log(Protocol):
    """What a program has logged."""

    def end(self) -> str:
        """A mark of its present end."""

    def since(self, mark: str) -> str:
        """What was logged since that mark; everything if it is empty."""

    def last(self, most: int) -> str:
        """The last bytes of it, this many. Raises OSError if it cannot be read."""

    def portions(self) -> Iterator[bytes]:
        """Everything that `since` tells without a mark, in portions: it may be more than there is memory for.

        Raises OSError, or ProcessFailed for a host that does not answer, perhaps after some portions.
        """


T = TypeVar("T")
AnyHost = TypeVar("AnyHost", bound="SiteHost")


class SiteProgram(Protocol):
    """A program of a host: Patroni with its PostgreSQL, etcd, HAProxy or Redis."""

    @property
    def name(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def pid(self) -> int | None:
        """The id of its first process; None while it does not run."""

    def start(self) -> None:
        """Start it, and let its usual supervisor restart it again; does nothing if it runs."""

    def kill(self) -> None:
        """Kill it and all that it started at once (kill -9); nobody starts it again before `start`."""

    def reload(self) -> None:
        """Tell its first process to read its configuration again, as HAProxy's master process does (SIGUSR2)."""


class SiteHost(Protocol):
    """One host."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def addresses(self) -> Collection[str]:
        """Every address at which others reach it."""

    def present_addresses(self) -> Collection[str]:
        """The addresses that the host itself reports now: a virtual address moves. Empty if it does not report any."""

    @property
    def processes(self) -> Mapping[str, SiteProgram]:
        """The cluster's programs on it, by name: patroni, etcd, haproxy, redis."""

    def running(self) -> Sequence[Running]:
        """Every process of its programs, including those that left their parent, as PostgreSQL does."""

    def alive(self, processes: Collection[Running]) -> Sequence[Running]:
        """The given processes that are still there, zombies apart, as they are now."""

    def kill(self, processes: Sequence[Running]) -> None:
        """Kill these processes (kill -9) in this order; those that are gone are skipped."""

    def suspend(self, processes: Collection[Running], *, may_die: bool = True) -> None:
        """Suspend these processes until `resume`; those that are gone are skipped.

        `may_die`: the cluster itself may kill them meanwhile, which proves nothing against the fault.
        """

    def resume(self, processes: Collection[Running]) -> None:
        """Resume them. Harmless if they run, or are gone.

        On a user's host, it raises Inconclusive if somebody else has resumed them before, or killed what may not die.
        """

    def freeze(self) -> None:
        """Suspend all of its programs, until `thaw`."""

    def thaw(self) -> None:
        """Undo `freeze`. Harmless if nothing is frozen. On a user's host, it raises Inconclusive like `resume`."""

    def awake(self) -> Sequence[str]:
        """What of its programs is not suspended, a description each."""

    @property
    def powered(self) -> bool:
        """Whether anything of its programs may run."""

    def power_off(self) -> None:
        """Let it crash: all its programs are killed at once, and stay down until `power_on`."""

    def power_on(self) -> None:
        """Bring it back, with the programs that ran. Harmless if it is on."""

    def listed(self) -> Sequence[Running]:
        """Every process that any user of the host can list; in a sandbox, those of its programs."""

    def run_decoy(self, word: str, seconds: int) -> Callable[[], object]:
        """Run a program with that word as an argument, for this many seconds; returns a function that ends it
        sooner."""

    def logs(self) -> Mapping[str, Log]:
        """The logs of its programs that can be read, by name."""

    @property
    def clock(self) -> Clock:
        """The clock by which its logs are dated; the suite's own machine's if the host cannot be asked."""


class SiteNetwork(Protocol):
    """The network between the hosts, which are given by name. Packets that are cut vanish without an error."""

    def prepare(self, pairs: Collection[Pair]) -> None:
        """Find out, before a fault begins, what has to be known of these links to cut them."""

    def cut_all(self, pairs: Collection[Pair]) -> None:
        """Let no packet get from the first to the second host of any pair."""

    def reconnect_all(self, pairs: Collection[Pair]) -> None:
        """Undo it. Harmless if nothing is cut."""

    def require_cut(self, pairs: Collection[Pair], open_pairs: Collection[Pair] = ()) -> None:
        """Raises NotYet while anything gets through a pair, or nothing does through one of `open_pairs`."""

    def degrade(self, hosts: Collection[str], latency: float, loss: float) -> None:
        """Delay every packet between any two of these hosts by seconds, each way, and lose a share of them (0 to 1).

        Raises NotAvailable where that cannot be done.
        """

    def restore(self, hosts: Collection[str]) -> None:
        """Undo it. Harmless if nothing was degraded."""

    def measure(self, pairs: Collection[Pair], packets: int, latency: float = 0.0) -> Mapping[Pair, Flow]:
        """Send about this many packets from the first to the second host of each pair, and see what arrives.

        `latency`: how long one is expected to take, in seconds.
        """


class Site(Protocol):
    """A set of hosts."""

    @property
    def kind(self) -> str:
        """How the hosts are reached, in a word or two."""

    @property
    def hosts(self) -> Mapping[str, SiteHost]: ...

    @property
    def network(self) -> SiteNetwork: ...


def of_each_log(
    site: Site, read: Callable[[LogName, Log], T], skip: tuple[type[Exception], ...] = ()
) -> dict[LogName, T]:
    """Log -> what `read` finds in it; all hosts at once. A host that raises one of `skip` is left out."""

    def of_host(host: SiteHost) -> dict[LogName, T]:
        try:
            return {(host.name, name): read((host.name, name), log) for name, log in sorted(host.logs().items())}
        except skip:
            return {}

    hosts = list(site.hosts.values())
    with ThreadPoolExecutor(max(1, len(hosts))) as each:
        return {key: found for one in each.map(of_host, hosts) for key, found in one.items()}


def on_each(hosts: Collection[AnyHost], act: Callable[[AnyHost], object]) -> None:
    """Do something to all of these hosts at once, and to each of them whatever it raises for another.

    Then one of the errors is raised, see `raise_one_of`.
    """
    with ThreadPoolExecutor(max(1, len(hosts))) as each:
        done = [each.submit(act, host) for host in hosts]
    raise_one_of([error for one in done if (error := one.exception()) is not None])


def raise_one_of(errors: Collection[BaseException]) -> None:
    """Raise one of these errors, if there are any; a failure takes precedence over Inconclusive."""
    for error in sorted(errors, key=lambda error: isinstance(error, Inconclusive)):
        raise error
