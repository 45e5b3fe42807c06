"""Promises about speed: measured while it is watched what else uses the machine, and again when it was disturbed.

A limit of speed that is exceeded says something about the cluster only if the cluster had the processors. So the
machine is watched during each measurement. If the limit was exceeded and something other than the suite and its cluster
used the processors, the measurement is repeated when the machine is quiet. If it never is, the promise is not judged. A
promise that is kept in spite of the disturbance is kept, and a cluster that keeps the processors busy itself is slow.

If the cluster runs on other machines, only the suite's own machine is watched. There the suite itself may disturb the
measurement: it then says nothing about the cluster that the suite keeps the processors busy.
"""

import os
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from time import monotonic
from typing import Annotated, Any

import psutil

from support import libpq, sql
from support.engine.finding import Finding
from support.engine.world import Handover, World
from support.errors import Inconclusive, LimitExceeded, NotInTime
from support.hosts.processors import Reading, Selection, Usage, in_networks_of, of_sandbox, read, trees, usage
from support.target.topology import Topology
from support.waiting import NotYet, eventually

_EVERY = 0.25  # seconds between two readings
_COST = 0.03  # the share of a processor that readings may use: there are fewer on a machine with many processes
_WINDOW = 1.0  # seconds over which the usage is averaged: over less, the kernel's figures are too coarse
_MATTERS = 0.05  # the share of a measurement that must be disturbed for its result not to count

ATTEMPTS = 3
"""How often at most a disturbed measurement is repeated."""
QUIET_WITHIN = 60.0
"""Seconds that a scenario waits in all for a quiet machine."""
PROGRAMS = frozenset({"postgres", "patroni", "etcd", "haproxy", "pgbouncer", "redis-server", "valkey-server"})
"""Programs of a cluster that runs on the suite's own machine without being the embedded one."""


class LoadWatch:
    """Watches who uses the processors until it is closed. A context manager."""

    def __init__(self, ours: Selection, elsewhere: bool = False) -> None:
        """`elsewhere`: the cluster is on other machines."""
        self._ours, self._elsewhere = ours, elsewhere
        self._readings: list[Reading] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "LoadWatch":
        self._readings.append(read(self._ours))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._readings.append(read(self._ours))

    @property
    def disturbance(self) -> Usage | None:
        """The most disturbed second; None if the machine was not disturbed for a considerable share of the time."""
        return disturbance(self._readings, self._elsewhere)

    def _watch(self) -> None:
        cost = 0.0
        while not self._over.wait(max(_EVERY, cost / _COST)):
            begun = monotonic()
            self._readings.append(read(self._ours))
            cost = monotonic() - begun


def disturbance(readings: Sequence[Reading], elsewhere: bool = False) -> Usage | None:
    """What `LoadWatch.disturbance` says, from its readings."""
    windows = list(_windows(readings, elsewhere))
    disturbed = [one for one in windows if one.disturbed]
    if not disturbed or len(disturbed) < _MATTERS * len(windows):
        return None
    return max(disturbed, key=lambda one: one.taken)


def _windows(readings: Sequence[Reading], elsewhere: bool = False) -> Iterator[Usage]:
    """The usage in each window that ends with one of the readings; in all the time if that is shorter."""
    first = 0
    for last, reading in enumerate(readings):
        while first + 1 < last and reading.at - readings[first + 1].at >= _WINDOW:
            first += 1
        if reading.at - readings[first].at >= _WINDOW:
            yield usage(readings[first], reading, elsewhere)
    if readings and readings[-1].at - readings[0].at < _WINDOW:
        yield usage(readings[0], readings[-1], elsewhere)


def ours(topology: Topology) -> Selection:
    """The processes of the suite and, where they are on this machine, of the cluster."""
    if topology.sandbox is not None:
        return of_sandbox(topology.sandbox)
    hosts = {*(one.host for one in topology.write_hosts), *(member.postgres.host for member in topology.members)}
    return trees({os.getpid()}, PROGRAMS if _are_here(hosts) else ())


def _are_here(hosts: Collection[str]) -> bool:
    """Whether any of these is this machine, or a container on it.

    If a container here has the private address of a cluster elsewhere, its programs are taken for the cluster's, and no
    longer explain that a limit is exceeded. The opposite error would be worse: a cluster whose own processes count as
    other programs' keeps the machine busy itself, and is never found to be slow.
    """
    if any(map(libpq.is_socket, hosts)):
        return True
    found = {address[0]: (family, address) for host in hosts for family, address in _resolved(host)}
    return any(_is_own(*one) for one in found.values()) or in_networks_of(PROGRAMS, found)


def is_elsewhere(topology: Topology) -> bool:
    """Whether the cluster is certainly on other machines: none of its addresses is in a network of this machine.

    Containers and virtual machines here are in such a network, and their processes may be invisible.
    """
    places = [*topology.write_hosts, *topology.dcs, *(member.postgres for member in topology.members)]
    places += [] if topology.redis is None else [topology.redis.address]
    hosts = {place.host for place in places}
    if topology.sandbox is not None or any(map(libpq.is_socket, hosts)):
        return False
    found = [[ip_address(address[0].partition("%")[0]) for _, address in _resolved(host)] for host in hosts]
    networks = [*_own_networks()]
    return all(found) and not any(one in network for some in found for one in some for network in networks)


def _own_networks() -> Iterator[IPv4Network | IPv6Network]:
    """The networks of which this machine has an address."""
    for one in (address for addresses in psutil.net_if_addrs().values() for address in addresses):
        if one.family in (socket.AF_INET, socket.AF_INET6) and one.netmask:
            length = int(ip_address(one.netmask)).bit_count()
            yield ip_network(f"{one.address.partition('%')[0]}/{length}", strict=False)


def _resolved(host: str) -> Iterator[tuple[int, Any]]:
    """The family and the socket address of each address; none of a name that nobody knows."""
    with suppress(OSError):
        for family, _, _, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            yield family, address


def _is_own(family: int, address: Any) -> bool:
    """Whether this machine has that address."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True


@dataclass
class Measurement:
    """What was measured last, and how to measure it again."""

    work: Callable[[], object]
    confirm: Callable[[], Finding] | None = None
    repeatable: bool = True
    disturbance: Usage | None = None

    def take(self, topology: Topology) -> None:
        """Measure, and watch the machine meanwhile. Raises Inconclusive if the work itself was late because of that."""
        with _watched(topology) as watch:
            self.work()
        self.disturbance = watch.disturbance


class SpeedHandover(Handover):
    """The measurement that later steps judge."""

    measurement: Annotated[Measurement, "When it is read 200 times by its key"]


def measure(
    world: World,
    work: Callable[[], object],
    confirm: Callable[[], Finding] | None = None,
    *,
    repeatable: bool = True,
) -> None:
    """Do `work`, which leaves what it measured on the world, for `judged` to judge.

    The results of a repetition are checked by `confirm`; those of the first time by the scenario's own steps.
    """
    measurement = world.handover(SpeedHandover).measurement = Measurement(work, confirm, repeatable)
    measurement.take(world.cluster.topology)


def judged(world: World, judge: Callable[[], Finding]) -> Finding:
    """The finding about what was measured; measured again if it was too slow on a disturbed machine.

    Unknown if the machine was disturbed each time. Raises what `confirm` finds wrong with the results of a repetition.
    """
    measurement, topology = world.handover(SpeedHandover).measurement, world.cluster.topology
    finding, patience = judge(), QUIET_WITHIN
    for attempt in range(ATTEMPTS + 1):
        if finding.holds is not False or not finding.only_limit:
            return finding
        if measurement.disturbance is None:
            return replace(finding, undisturbed=True)
        words = f"{finding.words}, {_but(measurement.disturbance)}"
        world.evidence.attach("measured on a busy machine", words)
        begun = monotonic()
        if attempt == ATTEMPTS or not measurement.repeatable or not await_quiet(ours(topology), patience):
            break
        patience = max(0.0, patience - (monotonic() - begun))
        measurement.take(topology)
        if measurement.confirm:
            measurement.confirm().require()
        finding = judge()
    times = f"measured {attempt + 1} times, never on a quiet machine: " if attempt else ""
    return Finding.unknown(f"{times}{words}")


def await_quiet(selection: Selection, within: float) -> bool:
    """Wait until others leave the machine to us; returns whether they do."""
    readings = [read(selection)]

    def quiet() -> None:
        readings.append(read(selection))
        recent = list(_windows(readings))[-1:]
        if not recent or recent[0].seconds < _WINDOW or not recent[0].quiet:
            raise NotYet(str(*recent))

    try:
        eventually(quiet, within=within, subject="other programs leave the processors to the cluster", pause=_EVERY)
    except NotInTime:
        return False
    return True


@contextmanager
def excused(world: World) -> Iterator[None]:
    """For what is not repeated: raises Inconclusive instead of LimitExceeded if the machine was disturbed meanwhile.

    A login that was refused is not a matter of time: then the LimitExceeded stays.
    """
    with _watched(world.cluster.topology):
        yield


@contextmanager
def _watched(topology: Topology) -> Iterator[LoadWatch]:
    watch = LoadWatch(ours(topology), is_elsewhere(topology))
    try:
        with watch:
            yield watch
    except LimitExceeded as late:
        late.facts = replace(late.facts, undisturbed=(found := watch.disturbance) is None)
        if found is None or sql.tells_of_refusal(str(late)):
            raise
        raise Inconclusive(f"{late}, {_but(found)}") from late


def _but(busiest: Usage) -> str:
    """Why an exceeded limit proves nothing: what used the processors in the busiest second of the measured time."""
    return f"but in the busiest {busiest.seconds:.1f} s of that time {busiest}"
