"""The DCS: what Patroni keeps there about a cluster, read by Patroni's own package, whichever DCS it is.

What only etcd can say, such as the health of its members, is in etcd.py. Nothing is written.
"""

import atexit
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from support.places import ROOT
from support.target import dcs_reader
from support.target.topology import Topology
from support.waiting import NotYet

KINDS: Mapping[str, str] = {
    "etcd3": "etcd",
    "etcd": "etcd (v2 API)",
    "zookeeper": "ZooKeeper",
    "exhibitor": "ZooKeeper, by Exhibitor",
    "consul": "Consul",
    "kubernetes": "Kubernetes",
    "raft": "Patroni's own Raft",
}
"""Section of Patroni's configuration -> the DCS that it is for."""
PROGRAMS = ("etcd", "zookeeper", "consul")
"""The programs that are DCSs, as they are called on their hosts."""
TO_INSTALL = f"{sys.executable} -m pip install --require-hashes -r {ROOT / 'requirements' / 'dcs.lock'}"
"""Installs the drivers that Patroni needs for some of them."""
_READER = Path(dcs_reader.__file__)
_START = 30.0  # seconds for the process that reads to start; its answers come within dcs_reader.ANSWER


class Unreadable(NotYet):
    """Patroni's client could not read the DCS. `missing` is the Python module that it lacks, if it is that."""

    def __init__(self, words: str, missing: str = "") -> None:
        super().__init__(words)
        self.missing = missing


@dataclass(frozen=True)
class GroupState:
    """What Patroni keeps about one group."""

    system: str = ""
    """PostgreSQL's system identifier; empty where there is no such cluster."""
    leader: str = ""
    """Who holds the leader key; empty where nobody does."""
    standbys: frozenset[str] = frozenset()
    """The members for which commits wait."""
    position: int = 0
    """The leader's WAL position when it last renewed its lock, in bytes."""
    failover: Mapping[str, str] = field(default_factory=dict)
    """A switchover or failover that was requested, and not carried out yet; else empty."""
    retained: frozenset[str] = frozenset()
    """The slots that Patroni (4.0 or newer) keeps for members, for a while even after a member has gone."""


def state(topology: Topology, group: int = 0) -> GroupState:
    """What Patroni keeps about a group now; etcd answers with all of it at one and the same revision.

    Raises Unreadable if the DCS gives no answer.
    """
    answer = _ask(json.dumps(configuration(topology), sort_keys=True), group)
    if "error" in answer:
        raise Unreadable(f"{kind(topology)} gave no answer: {answer['error']}", answer.get("missing", ""))
    if answer.get("empty"):
        return GroupState()
    return GroupState(
        answer["system"],
        answer["leader"],
        frozenset(answer["standbys"]),
        answer["position"],
        answer["failover"],
        frozenset(answer["retained"]),
    )


def configuration(topology: Topology) -> dict[str, Any]:
    """What Patroni's configuration says about its DCS, as far as this cluster is concerned."""
    return {"scope": topology.scope, "namespace": topology.dcs_namespace, **sections(topology)}


def sections(topology: Topology) -> Mapping[str, Any]:
    """The section of the DCS in Patroni's configuration; of etcd, if nothing but its addresses is known."""
    return topology.dcs_access or {"etcd3": {"hosts": [str(one) for one in topology.dcs]}}


def section_of_etcd(topology: Topology) -> Mapping[str, Any]:
    """The section of etcd, of either API, in Patroni's configuration; empty where the DCS is another one."""
    given = sections(topology)
    section: Mapping[str, Any] = given.get("etcd3", given.get("etcd", {}))
    return section


def kind(topology: Topology) -> str:
    """Which DCS it is, in words."""
    return next((words for name, words in KINDS.items() if name in sections(topology)), "the DCS")


def program(topology: Topology) -> str:
    """The program that is the DCS, one of PROGRAMS; empty where it is none that runs on hosts of its own."""
    kinds = sections(topology)
    return next((name for name in PROGRAMS if any(kind.startswith(name) for kind in kinds)), "")


def nodes(topology: Topology) -> int:
    """At least how many members the DCS has, by the addresses given; 0 if it is behind a single address."""
    (section,) = list(sections(topology).values())[:1] or [{}]
    hosts = section.get("hosts") or () if isinstance(section, Mapping) else ()
    return len(hosts.split(",") if isinstance(hosts, str) else hosts)


class _Reader:
    """A process that reads one cluster's state (dcs_reader.py). It ends with the process that started it."""

    def __init__(self, configured: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(_READER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._say(configured)

    def ask(self, group: int) -> dict[str, Any]:
        """Its answer. Raises OSError if it gives none."""
        self._say(str(group))
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], dcs_reader.ANSWER + _START)[0]:
            raise TimeoutError("the process that reads the DCS does not answer")
        answer: dict[str, Any] = json.loads(self.process.stdout.readline() or "{}")
        if not answer:
            raise ConnectionError("the process that reads the DCS has ended")
        return answer

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def end(self) -> None:
        """Idempotent."""
        self.process.kill()
        self.process.communicate()


_readers: dict[tuple[int, str], _Reader] = {}
"""The readers of this process; a fork has to start its own."""
_asking = Lock()


def _ask(configured: str, group: int) -> dict[str, Any]:
    own = (os.getpid(), configured)
    with _asking:
        try:
            if own not in _readers:
                _readers[own] = _Reader(configured)
            answer = _readers[own].ask(group)
        except (OSError, ValueError) as error:
            answer = {"error": str(error), "over": True}
        if answer.get("over") and own in _readers:
            _readers.pop(own).end()
        return answer


@atexit.register
def _end_readers() -> None:
    for (process, _), reader in _readers.items():
        if process == os.getpid():
            reader.end()
