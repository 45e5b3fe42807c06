"""Faults on real hosts: each bites, each is cured, and curing twice is harmless. They act from inside the stand."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from stands import on_a_stand

from support.faults.disaster import EveryHostCrashes
from support.faults.nemesis import Fault, Nemesis
from support.faults.network import OneWayCut, Partition, PoorLinks
from support.faults.process import Freeze, HostCrash, Kill, running
from support.faults.reaching import round_trip
from support.hosts import Stand

PROCESS_FAULTS: dict[str, Callable[[Stand], Fault]] = {
    "crash": lambda stand: HostCrash(stand.hosts["one"]),
    "crash of all": lambda stand: EveryHostCrashes([stand.hosts["one"], stand.hosts["three"]]),
    "freeze": lambda stand: Freeze(stand.hosts["one"]),
    "kill": lambda stand: Kill(stand.hosts["one"].processes["sleeper"]),
}


def with_hosts(stand: Stand) -> Stand:
    for number, name in enumerate(("one", "two", "three"), start=10):
        stand.add_host(name, number).add("sleeper", ["sleep", "600"]).start()
    return stand


@pytest.mark.parametrize("stand_of", ["namespaces", "loopback"])
@pytest.mark.parametrize("kind", PROCESS_FAULTS)
def test_a_process_fault_bites_and_is_cured(kind: str, stand_of: str, tmp_path: Path) -> None:
    def act(stand: Stand) -> None:
        with_hosts(stand)
        sleeper = stand.hosts["one"].processes["sleeper"]
        fault, before = PROCESS_FAULTS[kind](stand), sleeper.pid
        with Nemesis() as nemesis:
            nemesis.inject(fault)
            assert (sleeper.pid is not None) == (kind == "freeze")
            assert stand.hosts["two"].processes["sleeper"].pid is not None
        fault.cure()
        assert sleeper.pid is not None
        assert (sleeper.pid == before) == (kind == "freeze")
        assert all(one.status() != psutil.STATUS_STOPPED for one in running(stand.hosts["one"]))

    assert on_a_stand(stand_of, tmp_path / "stand", act) == 0


NETWORK_FAULTS: dict[str, Callable[[Stand], Fault]] = {
    "partition": lambda stand: Partition(stand, ["one"], ["two"]),
    "one way": lambda stand: OneWayCut(stand, "one", "two"),
    "the other way": lambda stand: OneWayCut(stand, "two", "one"),
}


@pytest.mark.parametrize("kind", NETWORK_FAULTS)
def test_a_network_fault_bites_and_is_cured(kind: str, tmp_path: Path) -> None:
    def act(stand: Stand) -> None:
        with_hosts(stand)
        fault = NETWORK_FAULTS[kind](stand)
        with Nemesis() as nemesis:
            nemesis.inject(fault)
            assert round_trip(stand, "two", "one") is None
            assert round_trip(stand, "two", "three") is not None
        fault.cure()
        assert round_trip(stand, "one", "two") is not None

    assert on_a_stand("namespaces", tmp_path / "stand", act) == 0


def test_poor_links_are_slow_until_cured(tmp_path: Path) -> None:
    def act(stand: Stand) -> None:
        with_hosts(stand)
        healthy = round_trip(stand, "one", "two")
        with Nemesis() as nemesis:
            nemesis.inject(PoorLinks(stand, ["one", "two"], latency=0.1))
            slow = round_trip(stand, "one", "two", patience=2)
        after = round_trip(stand, "one", "two")
        assert healthy is not None
        assert slow is not None
        assert after is not None
        assert max(healthy, after) < 0.1 < 0.2 <= slow

    assert on_a_stand("namespaces", tmp_path / "stand", act) == 0
