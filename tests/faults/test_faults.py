"""Faults on real hosts: each takes effect, each is healed, and healing twice is harmless."""

import subprocess
import sys
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
from sandboxes import in_a_sandbox

from support.errors import Inconclusive
from support.faults.clock import PROGRAM as PATRONI_CLOCK
from support.faults.hanging_start import HangingStart
from support.faults.nemesis import Fault, Nemesis
from support.faults.network import OneWayCut, Partition, PoorLinks, require_poor
from support.faults.process import Freeze, HostCrash, Kill, PostgresHangs, PostmasterHangs
from support.hosts import Sandbox
from support.hosts.flows import measure
from support.hosts.interface import Flow, Pair, SiteHost
from support.hosts.sandbox import Network
from support.waiting import NotYet, eventually

PROCESS_FAULTS: dict[str, Callable[[Sandbox], Fault]] = {
    "crash": lambda sandbox: HostCrash(sandbox.hosts["one"]),
    "crash of all": lambda sandbox: HostCrash(sandbox.hosts["one"], sandbox.hosts["three"]),
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
        assert sandbox.hosts["one"].awake()

    assert in_a_sandbox(sandbox_of, tmp_path / "sandbox", act) == 0


HANGING: dict[str, tuple[Callable[[SiteHost], Fault], set[str]]] = {
    "all of it": (PostgresHangs, {"postmaster", "checkpointer"}),
    "the postmaster": (PostmasterHangs, {"postmaster"}),
}
"""Kind of fault -> how it is made, and which processes of PostgreSQL it suspends."""


@pytest.mark.parametrize("kind", HANGING)
def test_what_hangs_of_postgres_is_suspended_and_resumes(kind: str, tmp_path: Path) -> None:
    make, hanging = HANGING[kind]
    program = tmp_path / "postgres"
    program.symlink_to("/bin/sleep")
    script = f"{program} 600 & exec -a 'postgres: checkpointer ' {program} 600"

    def act(sandbox: Sandbox) -> None:
        host = sandbox.add_host("one", 10)
        host.add("patroni", ["bash", "-c", script]).start()
        host.add("etcd", ["sleep", "600"]).start()

        def stopped() -> set[str]:
            found = [one for one in host.running() if one.stopped]
            assert all(one.name == "postgres" for one in found)
            return {"checkpointer" if "checkpointer" in one.title else "postmaster" for one in found}

        def started() -> None:
            if len([one for one in host.running() if one.name == "postgres"]) < 2:
                raise NotYet("it starts")

        eventually(started, within=10, subject="both run")
        fault = make(host)
        with Nemesis() as nemesis:
            nemesis.inject(fault)
            assert stopped() == hanging
        fault.heal()
        assert stopped() == set()

    assert in_a_sandbox("namespaces", tmp_path / "sandbox", act) == 0


STARTS = 'for kind in walwriter walwriter startup; do (exec -a "postgres: $kind " {program} 600); done'
"""A server that starts again whenever it is killed. It has started the first two times; the third start takes long."""


@pytest.mark.parametrize("starts", [True, False])
def test_a_start_is_suspended_also_if_the_first_one_was_too_quick(starts: bool, tmp_path: Path) -> None:
    """Where nothing starts it again, it is enough that it was killed."""
    program = tmp_path / "postgres"
    program.symlink_to("/bin/sleep")

    def act(sandbox: Sandbox) -> None:
        host = sandbox.add_host("one", 10)
        host.add("patroni", ["bash", "-c", STARTS.format(program=program)]).start()

        def kinds(*, stopped: bool) -> set[str]:
            found = [one for one in host.running() if one.name == "postgres" and one.stopped is stopped]
            return {one.title.split()[1] for one in found if one.title.startswith("postgres:")}

        def started() -> None:
            if kinds(stopped=False) != {"walwriter"}:
                raise NotYet("it starts")

        eventually(started, within=10, subject="it has started")
        fault = HangingStart(host, starts)
        with Nemesis() as nemesis:
            nemesis.inject(fault)
            assert kinds(stopped=True) == ({"startup"} if starts else set())
        fault.heal()
        assert kinds(stopped=True) == set()
        assert not starts or kinds(stopped=False) == {"startup"}

    assert in_a_sandbox("namespaces", tmp_path / "sandbox", act) == 0


@pytest.mark.parametrize("wrong", [7200.0, -7200.0])
def test_a_program_reads_the_clock_that_was_set(wrong: float, tmp_path: Path) -> None:
    shift, program = tmp_path / "clock", tmp_path / "program.py"
    shift.write_text(f"{wrong:g}")
    program.write_text("import sys, time\nprint(time.time(), *sys.argv[1:])\n")
    argv = [sys.executable, "-P", PATRONI_CLOCK, shift, program, "patroni.yml"]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert abs(float(told[0]) - time.time() - wrong) < 60
    assert told[1:] == ["patroni.yml"]
    assert float(shift.with_suffix(".read").read_text()) == wrong


NETWORK_FAULTS: dict[str, Callable[[Sandbox], Fault]] = {
    "partition": lambda sandbox: Partition(sandbox, ["one"], ["two"]),
    "one way": lambda sandbox: OneWayCut(sandbox, "one", "two"),
    "the other way": lambda sandbox: OneWayCut(sandbox, "two", "one"),
}
CUT: dict[str, set[Pair]] = {
    "partition": {("one", "two"), ("two", "one")},
    "one way": {("one", "two")},
    "the other way": {("two", "one")},
}
ALL = list(permutations(("one", "two", "three"), 2))


@pytest.mark.parametrize("kind", NETWORK_FAULTS)
def test_a_network_fault_takes_effect_one_way_or_both_and_is_healed(kind: str, tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        with_hosts(sandbox)
        fault = NETWORK_FAULTS[kind](sandbox)
        with Nemesis() as nemesis:
            nemesis.inject(fault)
            assert {pair for pair, flow in measure(sandbox, ALL, 10).items() if not flow.arrived} == CUT[kind]
        fault.heal()
        assert all(flow.arrived == 10 for flow in measure(sandbox, ALL, 10).values())

    assert in_a_sandbox("namespaces", tmp_path / "sandbox", act) == 0


def test_poor_links_are_slow_and_lossy_until_healed(tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        with_hosts(sandbox)
        link = [("one", "two"), ("two", "one")]
        healthy = measure(sandbox, link, 20)
        with Nemesis() as nemesis:
            nemesis.inject(PoorLinks(sandbox, ["one", "two"], latency=0.1, loss=0.1))
            poor = measure(sandbox, link, 100, latency=0.1)
        after = measure(sandbox, link, 20)
        for flow in (*healthy.values(), *after.values()):
            assert flow.fastest is not None
            assert (flow.lost, flow.fastest < 0.1) == (0, True)
        for flow in poor.values():
            assert flow.fastest is not None
            assert 0.1 <= flow.fastest < 0.2
            assert 0 < flow.lost < 40

    assert in_a_sandbox("namespaces", tmp_path / "sandbox", act) == 0


def ignores_loss(*shaped: object, latency: float = 0.0, loss: float = 0.0) -> None:
    SHAPE(*shaped, latency=latency)


def ignores_latency(*shaped: object, latency: float = 0.0, loss: float = 0.0) -> None:
    SHAPE(*shaped, loss=loss)


def ignores_one_way(network: Network, source: str, target: str, *, latency: float = 0.0, loss: float = 0.0) -> None:
    if (source, target) != ("two", "one"):
        SHAPE(network, source, target, latency=latency, loss=loss)


def loses_everything(*shaped: object, latency: float = 0.0, loss: float = 0.0) -> None:
    SHAPE(*shaped, latency=latency, loss=0.9 if loss or latency else 0.0)


def cuts_the_other_way(network: Network, source: str, target: str, port: int | None = None) -> None:
    CUT_ONE_WAY(network, target, source, port)


def cuts_both_ways(network: Network, source: str, target: str, port: int | None = None) -> None:
    CUT_ONE_WAY(network, source, target, port)
    CUT_ONE_WAY(network, target, source, port)


def cuts_nothing(*given: object) -> None:
    pass


SHAPE: Callable[..., None] = Network.shape
CUT_ONE_WAY = Network.cut


def slow(sandbox: Sandbox) -> Fault:
    return PoorLinks(sandbox, ["one", "two", "three"], latency=0.05)


def lossy(sandbox: Sandbox) -> Fault:
    return PoorLinks(sandbox, ["one", "two", "three"], loss=0.1)


@pytest.mark.parametrize(
    ("fault_of", "method", "broken", "told"),
    [
        (lossy, "shape", ignores_loss, "none of [0-9]+ datagrams from .* is lost"),
        (lossy, "shape", ignores_one_way, "none of [0-9]+ datagrams from two to one is lost"),
        (lossy, "shape", loses_everything, "datagrams are lost|nothing gets from"),
        (slow, "shape", ignores_latency, "a datagram gets from .* in"),
        (slow, "shape", ignores_one_way, "a datagram gets from two to one in"),
        (NETWORK_FAULTS["one way"], "cut", cuts_nothing, "datagrams get from one to two"),
        (NETWORK_FAULTS["one way"], "cut", cuts_the_other_way, "datagrams get from one to two"),
        (NETWORK_FAULTS["one way"], "cut", cuts_both_ways, "nothing gets from two to one either"),
        (NETWORK_FAULTS["partition"], "cut", cuts_nothing, "datagrams get from"),
    ],
)
def test_a_network_that_does_something_else_is_no_evidence(
    fault_of: Callable[[Sandbox], Fault], method: str, broken: object, told: str, tmp_path: Path
) -> None:
    def act(sandbox: Sandbox) -> None:
        with_hosts(sandbox)
        setattr(Network, method, broken)
        with pytest.raises(Inconclusive, match=f"did not take effect: .*{told}"), Nemesis(effect_within=1) as nemesis:
            nemesis.inject(fault_of(sandbox))

    assert in_a_sandbox("namespaces", tmp_path / "sandbox", act) == 0


@pytest.mark.parametrize(
    ("flows", "told"),
    [
        ({("a", "b"): Flow(60, 60, 0.2)}, "none of 60 datagrams from a to b is lost"),
        ({("a", "b"): Flow(60, 0, None)}, "nothing gets from a to b"),
        ({("a", "b"): Flow(60, 54, 0.05)}, "from a to b in 50.0 ms"),
        ({("a", "b"): Flow(60, 20, 0.2)}, "40 of 60 datagrams are lost"),
        ({("a", "b"): Flow(600, 540, 0.2), ("b", "a"): Flow(600, 600, 0.2)}, "none of 600 datagrams from b to a"),
        ({("a", "b"): Flow(600, 595, 0.2), ("b", "a"): Flow(600, 595, 0.2)}, "10 of 1200 datagrams are lost, 0.8%"),
    ],
)
def test_loss_and_latency_are_judged_for_each_way(flows: dict[Pair, Flow], told: str) -> None:
    with pytest.raises(NotYet, match=told):
        require_poor(flows, latency=0.1, loss=0.1)


def test_what_is_measured_again_adds_up() -> None:
    found = Flow(60, 60, 0.2) + Flow(60, 50, 0.1) + Flow(60, 0, None)
    assert (found, found.lost) == (Flow(180, 110, 0.1), 70)
    require_poor({("a", "b"): Flow(120, 110, 0.1)}, latency=0.1, loss=0.1)
