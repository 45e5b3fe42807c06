"""How a run is spread over clusters: what needs worker groups, what runs alone, and how many clusters are worth it.

Most of a failover is waiting, so a processor carries more than one cluster. Each cluster is the smallest that will do:
it has worker groups only for scenarios about shards.
"""

import os
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import psutil

from support.cli.behave_process import Planned
from support.reporting.scenario import from_features
from support.target.capabilities import SHARDS, TLS
from support.vocabulary import counted
from support.work import Unit

CLUSTERS_PER_CORE = 2
"""With more of them the processors are busy anyway, and time limits begin to fail."""
SECONDS_PER_CLUSTER = 40.0
"""The work that makes it worthwhile to boot one more cluster."""
MEMORY = {False: 500e6, True: 900e6}
"""Bytes that a cluster and the scenarios on it need at most, by whether it has worker groups."""
_SPARE = 500e6  # bytes that are left to others

_OF_SPEED = "PF-"
"""The prefix of the ids of promises about speed."""
_COSTS = {"destructive": 20.0, "slow": 8.0}
"""Tag -> the rough duration of a scenario with it, in seconds, unless its last one is known."""
_USUAL = 0.7  # seconds of any other
_ENCRYPTED = 12.0  # seconds to boot the cluster with TLS, once for each process that needs it
_BY_ITSELF = 5.0  # seconds from which a scenario is a unit of work by itself
_V1 = "/sys/fs/cgroup/memory"


def measures_speed(scenario: Planned) -> bool:
    """Whether it promises a speed, and so needs the machine for itself."""
    return any(id.startswith(_OF_SPEED) for id in scenario.ids)


@dataclass(frozen=True)
class Machine:
    """What this machine can carry."""

    cores: int
    memory: float
    """Bytes that are available."""


@dataclass(frozen=True)
class Spread:
    """The work of a run, and the clusters for it."""

    units: tuple[Unit, ...]
    clusters: tuple[bool | None, ...]
    """For each cluster whether it has worker groups; None: as the settings say."""
    boots_at_once: int = field(default=1, compare=False)

    def __str__(self) -> str:
        sharded = self.clusters.count(True)
        many = counted(max(1, len(self.clusters)), "cluster")
        return f"{many}, {sharded} of them with worker groups" if sharded else many


def spread(units: Sequence[Unit], kinds: bool, machine: Machine, asked: int | None = None) -> Spread:
    """The clusters for these units: as many as asked for, or as many as the machine can handle and the work is worth.

    `kinds`: clusters with and without worker groups can be told apart; otherwise all are alike.
    """
    sharded = kinds and any(one.sharded for one in units)
    plain = any(not one.sharded for one in units)
    most = len([one for one in units if not one.alone]) or 1
    number = min(asked, most) if asked else min(most, _affordable(units, machine, sharded))
    boots_at_once = max(1, machine.cores // 2)
    if not kinds:
        return Spread(tuple(units), (None,) * number, boots_at_once)
    with_workers = 0
    if sharded:
        seconds = sum(one.seconds for one in units)
        share = sum(one.seconds for one in units if one.sharded) / seconds if seconds else 1.0
        with_workers = min(max(1, round(number * share)), number - 1 if plain and number > 1 else number)
    return Spread(tuple(units), (True,) * with_workers + (False,) * (number - with_workers), boots_at_once)


def _affordable(units: Sequence[Unit], machine: Machine, sharded: bool) -> int:
    worth = round(sum(one.seconds for one in units if not one.alone) / SECONDS_PER_CLUSTER)
    beside = machine.memory - _SPARE - (MEMORY[True] if sharded else MEMORY[False])
    return max(1, min(worth, machine.cores * CLUSTERS_PER_CORE, 1 + int(beside // MEMORY[False])))


def units_of(
    scenarios: Iterable[Planned], known: Mapping[tuple[str, str], float] | None = None, kinds: bool = True
) -> tuple[Unit, ...]:
    """The scenarios as units of work, the longest first.

    A long scenario is a unit by itself, so that no cluster is left with a long tail; the short ones of a feature are
    one unit. `known` has durations of earlier runs, by path and title. Without `kinds` no unit asks for worker groups.
    """
    found = dict[tuple[str, bool, bool, str], dict[int, float]]()
    encrypted = set[tuple[str, bool, bool, str]]()
    for one in dict.fromkeys(scenarios):
        feature, _, line = one.location.rpartition(":")
        usual = next((cost for tag, cost in _COSTS.items() if tag in one.tags), _USUAL)
        seconds = (known or {}).get((from_features(PurePath(feature)), one.name), usual)
        alone = measures_speed(one)
        sharded = kinds and needs_workers(one)
        apart = line if not alone and max(seconds, usual) >= _BY_ITSELF and not one.tags & TLS else ""
        unit = feature, sharded, alone, apart
        found.setdefault(unit, {})[int(line)] = seconds
        if one.tags & TLS:
            encrypted.add(unit)
    made = [
        Unit(feature, tuple(sorted(lines)), sum(lines.values()) + _ENCRYPTED * (unit in encrypted), sharded, alone)
        for unit, lines in found.items()
        for feature, sharded, alone, _ in (unit,)
    ]
    return tuple(sorted(made, key=lambda one: -one.seconds))


def needs_workers(scenario: Planned) -> bool:
    """Whether it needs worker groups: it is tagged with a capability that only a cluster with shards has."""
    return bool(scenario.tags & SHARDS)


def shuffled(units: Sequence[Unit], seed: int) -> tuple[Unit, ...]:
    """The units in a random order."""
    return tuple(random.Random(seed).sample(units, len(units)))


def this_machine() -> Machine:
    """The processors and the memory that this process may use; limits of a container count."""
    cores = float(len(os.sched_getaffinity(0)))
    quota = _numbers("/sys/fs/cgroup/cpu.max") or [
        *_numbers("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
        *_numbers("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ]
    if len(quota) == 2 and min(quota) > 0:
        cores = min(cores, quota[0] / quota[1])
    memory = float(psutil.virtual_memory().available)
    for limit, used, stat in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
        (f"{_V1}/memory.limit_in_bytes", f"{_V1}/memory.usage_in_bytes", f"{_V1}/memory.stat"),
    ):
        if (most := _numbers(limit)) and (now := _numbers(used)):
            memory = min(memory, most[0] - now[0] + _file_cache(stat))
    return Machine(max(1, round(cores)), memory)


def _file_cache(stat: str) -> float:
    """The bytes of the page cache in a cgroup: they count as used, and are free for the asking."""
    with suppress(OSError, ValueError):
        lines = dict(line.split() for line in Path(stat).read_text().splitlines())
        return float(lines.get("total_inactive_file", lines.get("inactive_file", 0)))
    return 0.0


def _numbers(file: str) -> list[float]:
    """The numbers in a file of the kernel's; none where there is no such file, or no limit ("max")."""
    with suppress(OSError, ValueError):
        return [float(word) for word in Path(file).read_text().split()]
    return []
