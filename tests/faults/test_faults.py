"""Faults on real hosts: each takes effect, each is healed, and healing twice is harmless."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sandboxes import in_a_sandbox

from support.faults.nemesis import Fault, Nemesis
from support.faults.network import OneWayCut, Partition, PoorLinks, round_trip
from support.faults.process import EveryHostCrashes, Freeze, HostCrash, Kill, running
from support.hosts import Sandbox

PROCESS_FAULTS: dict[str, Callable[[Sandbox], Fault]] = {
    "crash": lambda sandbox: HostCrash(sandbox.hosts["one"]),
    "crash of all": lambda sandbox: EveryHostCrashes([sandbox.hosts["one"], sandbox.hosts["three"]]),
    "freeze": lambda sandbox: Freeze(sandbox.hosts["one"]),
    "kill": lambda sandbox: Kill(sandbox.hosts["one"].processes["sleeper"]),
}


def with_hosts(sandbox: Sandbox) -> Sandbox:
    for number, name in enumerate(("one", "two", "three"), start=10):
        sandbox.add_host(name, number).add("sleeper", ["sleep", "600"]).start()
    return sandbox


@pytest.mark.parametrize("sandbox_of", ["namespaces", "loopback"])
@pytest.mark.parametrize("kind", PROCESS_FAULTS)
def test_a_process_fault_takes_effect_and_is_healed(kind: str, sandbox_of: str, tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        with_hosts(sandbox)
        sleeper = sandbox.hosts["one"].processes["sleeper"]
        fault, before = PROCESS_FAULTS[kind](sandbox), sleeper.pid
        with Nemesis() as nemesis:
            nemesis.inject(fault)
            assert (sleeper.pid is not None) == (kind == "freeze")
            assert sandbox.hosts["two"].processes["sleeper"].pid is not None
        fault.heal()
        assert sleeper.pid is not None
        assert (sleeper.pid == before) == (kind == "freeze")
        assert all(one.status() != psutil.STATUS_STOPPED for one in running(sandbox.hosts["one"]))

    assert in_a_sandbox(sandbox_of, tmp_path / "sandbox", act) == 0


NETWORK_FAULTS: dict[str, Callable[[Sandbox], Fault]] = {
    "partition": lambda sandbox: Partition(sandbox, ["one"], ["two"]),
    "one way": lambda sandbox: OneWayCut(sandbox, "one", "two"),
    "the other way": lambda sandbox: OneWayCut(sandbox, "two", "one"),
}


@pytest.mark.parametrize("kind", NETWORK_FAULTS)
def test_a_network_fault_takes_effect_and_is_healed(kind: str, tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        with_hosts(sandbox)
        fault = NETWORK_FAULTS[kind](sandbox)
        with Nemesis() as nemesis:
            nemesis.inject(fault)
            assert round_trip(sandbox, "two", "one") is None
            assert round_trip(sandbox, "two", "three") is not None
        fault.heal()
        assert round_trip(sandbox, "one", "two") is not None

    assert in_a_sandbox("namespaces", tmp_path / "sandbox", act) == 0


def test_poor_links_are_slow_until_healed(tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        with_hosts(sandbox)
        healthy = round_trip(sandbox, "one", "two", patience=2)
        with Nemesis() as nemesis:
            nemesis.inject(PoorLinks(sandbox, ["one", "two"], latency=0.1))
            slow = round_trip(sandbox, "one", "two", patience=2)
        after = round_trip(sandbox, "one", "two", patience=2)
        assert healthy is not None
        assert slow is not None
        assert after is not None
        assert max(healthy, after) < 0.1 < 0.2 <= slow

    assert in_a_sandbox("namespaces", tmp_path / "sandbox", act) == 0
