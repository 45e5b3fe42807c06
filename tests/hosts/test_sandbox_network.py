"""The network of a sandbox: which hosts reach one another, and what can be cut and slowed down."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from echoing import echo, require_ready
from sandboxes import living_sandbox

from support.errors import NotAvailable, UsageError
from support.hosts import SUITE, Host, Sandbox, reentry_argv
from support.waiting import eventually, pause

PORT, OTHER_PORT = 7000, 7001
TIMES = 20  # round trips: the quickest of them hardly waited for a processor
# Prints the seconds of each round trip over one connection.
TALK = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as peer:
    for _ in range(int(sys.argv[4])):
        begun = time.monotonic()
        peer.sendall(b"x")
        assert peer.recv(1) == b"x"
        print(time.monotonic() - begun)
"""
LISTEN = """
import select, socket, sys
ear = socket.socket(type=socket.SOCK_DGRAM)
ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
ear.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
sys.stdin.read()
heard = 0
while select.select([ear], [], [], 0.1)[0]:
    heard += bool(ear.recv(10))
print(heard)
"""
SHOUT = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as mouth:
    for _ in range(int(sys.argv[3])):
        mouth.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
"""
PATIENCE = "0.4"  # seconds; an answer takes a millisecond


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with living_sandbox("namespaces", tmp_path / "sandbox") as living:
        yield living


@pytest.fixture
def hosts(sandbox: Sandbox) -> list[Host]:
    """Three hosts that echo on two ports."""
    hosts = [sandbox.add_host(name, number) for name, number in (("one", 11), ("two", 12), ("three", 13))]
    for host in hosts:
        echo(host, PORT, OTHER_PORT)
    return hosts


def test_hosts_reach_one_another_by_name_and_the_suite_reaches_all(sandbox: Sandbox, hosts: list[Host]) -> None:
    assert _reaches(hosts[0], "two")
    assert _reaches(hosts[1], "one")
    assert _suite_reaches(sandbox, hosts[2])


def test_a_cut_works_one_way_until_it_is_undone(sandbox: Sandbox, hosts: list[Host]) -> None:
    one, two, _ = hosts
    sandbox.network.cut("one", "two")
    sandbox.network.cut("one", "two")
    assert not _reaches(one, "two")
    assert not _reaches(two, "one"), "the answers of one do not arrive"
    assert (_heard(two, one), _heard(one, two)) == (3, 0), "single packets pass one way"
    assert _reaches(one, "three")
    sandbox.network.reconnect("one", "two")
    sandbox.network.reconnect("one", "two")
    assert _reaches(one, "two")


def test_a_single_port_can_be_cut(sandbox: Sandbox, hosts: list[Host]) -> None:
    one, two, _ = hosts
    sandbox.network.cut("one", "two", PORT)
    assert not _reaches(one, "two", PORT)
    assert _reaches(one, "two", OTHER_PORT)
    assert _reaches(two, "one", PORT)


def test_only_the_suite_can_be_cut_off(sandbox: Sandbox, hosts: list[Host]) -> None:
    sandbox.network.cut(SUITE, "one")
    assert not _suite_reaches(sandbox, hosts[0])
    assert _suite_reaches(sandbox, hosts[1])
    assert _reaches(hosts[1], "one")


def test_a_cut_lasts_until_it_is_undone_even_over_a_power_cycle(sandbox: Sandbox, hosts: list[Host]) -> None:
    one, two, _ = hosts
    for other in ("two", SUITE):
        sandbox.network.cut(other, "one")
    for _ in range(2):
        assert not _reaches(one, "two")
        assert not _reaches(two, "one")
        assert not _suite_reaches(sandbox, one)
        assert _reaches(two, "three")
        one.power_off()
        one.power_on()
        eventually(lambda: require_ready(one, 2), within=5, subject="it echoes again")
    for other in ("two", SUITE):
        sandbox.network.reconnect(other, "one")
    assert _reaches(one, "two")
    assert _suite_reaches(sandbox, one)


def test_another_process_can_mend_faults(sandbox: Sandbox, hosts: list[Host]) -> None:
    sandbox.network.cut("one", "two")
    sandbox.network.shape("two", "one", latency=5)
    script = (
        "import sys, pathlib, support.hosts as h; network = h.attach(pathlib.Path(sys.argv[1])).network; "
        "network.reconnect('one', 'two'); network.shape('two', 'one')"
    )
    command = [sys.executable, "-c", script, str(sandbox.directory)]
    subprocess.run(reentry_argv(sandbox.directory, command), check=True)
    assert _reaches(hosts[0], "two")


def test_a_host_that_loses_power_falls_silent(sandbox: Sandbox, hosts: list[Host]) -> None:
    one, two, _ = hosts
    talk = subprocess.Popen(
        one.argv([sys.executable, "-c", TALK, "two", str(PORT), "1", "1000000"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert talk.stdout
    assert talk.stdout.readline()
    two.power_off()
    _, error = talk.communicate(timeout=10)
    assert error.strip().endswith("TimeoutError: timed out"), "neither a reset nor an end: silence"
    two.power_on()
    eventually(lambda: require_ready(two, 2), within=5, subject="it echoes again")
    assert _reaches(one, "two")


def test_latency_works_one_way_until_it_is_removed(sandbox: Sandbox, hosts: list[Host]) -> None:
    sandbox.network.shape("one", "two", latency=0.1)
    assert 0.1 <= min(_round_trips(hosts[0], "two", TIMES)) < 0.12
    assert 0.1 <= min(_round_trips(hosts[1], "one", TIMES)) < 0.12
    assert min(_round_trips(hosts[0], "three", TIMES)) < 0.02
    sandbox.network.shape("two", "one", latency=0.05)
    assert 0.15 <= min(_round_trips(hosts[0], "two", TIMES)) < 0.18
    sandbox.network.shape("one", "two")
    sandbox.network.shape("two", "one")
    assert min(_round_trips(hosts[0], "two", TIMES)) < 0.02


@pytest.mark.parametrize(("crashes", "heard"), [(False, 50), (True, 0)], ids=["it lives", "it crashes"])
def test_what_a_link_holds_is_lost_with_its_host(
    sandbox: Sandbox, hosts: list[Host], crashes: bool, heard: int
) -> None:
    one, two, _ = hosts
    sandbox.network.shape("one", "two", latency=1)

    def afterwards() -> None:
        if crashes:
            one.power_off()
        pause(1.5)  # what the link holds is due after 1 s

    assert _heard(one, two, 50, afterwards) == heard


def test_latency_can_be_added_for_the_suite(sandbox: Sandbox, hosts: list[Host]) -> None:
    sandbox.network.shape(SUITE, "one", latency=0.03)
    sandbox.network.shape("one", SUITE, latency=0.03)
    command = [sys.executable, "-c", TALK, hosts[0].address, str(PORT), "2", str(TIMES)]
    talk = subprocess.run(reentry_argv(sandbox.directory, command), capture_output=True, text=True, check=True)
    assert 0.06 <= min(map(float, talk.stdout.split())) < 0.08


def test_loss_drops_its_share_of_packets(sandbox: Sandbox, hosts: list[Host]) -> None:
    sandbox.network.shape("one", "two", loss=0.5)
    assert 120 < _heard(hosts[0], hosts[1], times=400) < 280


def test_an_unknown_host_or_impossible_loss_is_refused(sandbox: Sandbox, hosts: list[Host]) -> None:
    with pytest.raises(UsageError, match="no host named four"):
        sandbox.network.cut("one", "four")
    with pytest.raises(UsageError, match="loss 2"):
        sandbox.network.shape("one", "two", loss=2)


def test_a_loopback_sandbox_has_no_network_faults(tmp_path: Path) -> None:
    with living_sandbox("loopback", tmp_path) as sandbox:
        sandbox.add_host("one", 11)
        for attempt in (
            lambda: sandbox.network.cut("one", SUITE),
            lambda: sandbox.network.shape("one", SUITE, loss=0.1),
            lambda: sandbox.network.reconnect("one", SUITE),
        ):
            with pytest.raises(NotAvailable, match="a loopback sandbox cannot"):
                attempt()


@pytest.mark.parametrize("kind", ["namespaces", "loopback"])
def test_two_sandboxes_are_isolated_from_each_other(kind: str, tmp_path: Path) -> None:
    with living_sandbox(kind, tmp_path / "a") as one, living_sandbox(kind, tmp_path / "b") as other:
        ours, theirs = one.add_host("ours", 11), other.add_host("theirs", 12)
        echo(theirs, PORT)
        echo(ours, OTHER_PORT)
        assert list(one.hosts) == ["ours"]
        assert _reaches(ours, ours.address, OTHER_PORT)
        neighbour = f"{ours.address.rpartition('.')[0]}.12"
        assert not _reaches(ours, neighbour)
        one.close()
        assert theirs.processes["echo"].pid is not None


def _reaches(host: Host, target: str, port: int = PORT) -> bool:
    return bool(_talk(host.argv([sys.executable, "-c", TALK, target, str(port), PATIENCE, "1"])))


def _suite_reaches(sandbox: Sandbox, host: Host) -> bool:
    command = [sys.executable, "-c", TALK, host.address, str(PORT), PATIENCE, "1"]
    return bool(_talk(reentry_argv(sandbox.directory, command)))


def _round_trips(host: Host, target: str, times: int) -> list[float]:
    return _talk(host.argv([sys.executable, "-c", TALK, target, str(PORT), "5", str(times)]))


def _talk(argv: list[str]) -> list[float]:
    """The seconds of each round trip; empty when the target was not reached."""
    talk = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert talk.returncode == 0 or "timed out" in talk.stderr or "refused" in talk.stderr, talk.stderr
    return [float(line) for line in talk.stdout.split()]


def _heard(source: Host, target: Host, times: int = 3, afterwards: Callable[[], None] = lambda: None) -> int:
    """How many of `times` single packets arrive, of those that are on their way when `afterwards` is called."""
    command = target.argv([sys.executable, "-c", LISTEN, target.address, str(PORT)])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout
        assert listener.stdout.readline() == "ready\n"
        source.run([sys.executable, "-c", SHOUT, target.address, str(PORT), str(times)])
        afterwards()
        heard, _ = listener.communicate("", timeout=10)
    return int(heard)
