"""What gets through between hosts, one way: numbered datagrams that are counted and timed where they arrive.

An echo would not do: it does not show which of the two directions is cut or slow, and retransmission hides loss.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from support.errors import ProcessFailed
from support.hosts.interface import Flow, Pair
from support.waiting import NotYet

if TYPE_CHECKING:
    from support.hosts.sandbox import Sandbox

CUT_SHOWN_BY = 15
"""Datagrams of a flow, none of which must arrive if it is cut."""
PORT = 20_009  # UDP, on every host; nothing else listens there, and the kernel gives it to nobody
PACE = 0.02  # seconds between two datagrams of a flow: at this pace the sandbox's shaper keeps up with 200 flows
LATE = 0.4  # seconds until a datagram that has not arrived counts as lost, beyond the latency that is expected
_ENDS = 20.0  # seconds for a probe to start, or to end when it should have ended

# The clock is the machine's, which all hosts share. The probe sends to itself, too: that shows that it works.
_PROBE = """
import json, select, socket, struct, sys, time
own, port, count, pace, late, targets = json.loads(sys.argv[1])
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
line.bind((own, port))
line.setblocking(False)
arrived = {}
def receive(until):
    while (left := until - time.monotonic()) > 0:
        if not select.select([line], [], [], left)[0]:
            return
        payload, (source, _) = line.recvfrom(64)
        took = time.monotonic() - struct.unpack("!d", payload)[0]
        times, fastest = arrived.get(source, (0, took))
        arrived[source] = (times + 1, min(fastest, took))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(count):
    due = time.monotonic() + pace
    for target in (own, *targets):
        line.sendto(struct.pack("!d", time.monotonic()), (target, port))
    receive(due)
receive(time.monotonic() + late)
print(json.dumps(arrived))
"""


def require_cut(sandbox: "Sandbox", pairs: Collection[Pair], open_pairs: Collection[Pair] = ()) -> None:
    """Raises NotYet while anything gets from the first to the second host of a pair, or nothing does in `open_pairs`.

    Both ways of a link are different pairs.
    """
    found = measure(sandbox, [*pairs, *open_pairs], CUT_SHOWN_BY)
    for source, target in pairs:
        if arrived := found[source, target].arrived:
            raise NotYet(f"{arrived} of {CUT_SHOWN_BY} datagrams get from {source} to {target}")
    for source, target in open_pairs:
        if not found[source, target].arrived:
            raise NotYet(f"nothing gets from {source} to {target} either")


def measure(sandbox: "Sandbox", pairs: Collection[Pair], datagrams: int, latency: float = 0.0) -> dict[Pair, Flow]:
    """Send this many datagrams from the first host of each pair to the second, all pairs at once.

    `latency` is how long a datagram is expected to take, in seconds. Raises ProcessFailed if a host cannot send or
    receive at all.
    """
    known = sandbox.hosts
    addresses = {name: known[name].address for pair in pairs for name in pair}
    targets: dict[str, list[str]] = defaultdict(list)
    for source, target in pairs:
        targets[source].append(addresses[target])
    late = latency + LATE
    with ExitStack() as probing:
        probes = {
            name: probing.enter_context(
                _probe(sandbox, name, [address, PORT, datagrams, PACE, late, targets.get(name, [])])
            )
            for name, address in addresses.items()
        }
        for name, probe in probes.items():
            if _output(probe).readline().strip() != "ready":
                raise _failed(name, probe)
        for probe in probes.values():
            assert probe.stdin is not None
            probe.stdin.write("go\n")
            probe.stdin.flush()
        found = {name: _arrived(name, probe) for name, probe in probes.items()}
    if deaf := [name for name, address in addresses.items() if address not in found[name]]:
        raise ProcessFailed(f"hosts that do not receive their own datagrams: {', '.join(deaf)}")
    nothing = (0, None)
    return {
        (source, target): Flow(datagrams, *found[target].get(addresses[source], nothing)) for source, target in pairs
    }


@contextmanager
def _probe(sandbox: "Sandbox", host: str, words: list[object]) -> Iterator["subprocess.Popen[str]"]:
    command = sandbox.hosts[host].argv([sys.executable, "-S", "-c", _PROBE, json.dumps(words)])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as probe:
        try:
            yield probe
        finally:
            probe.kill()


def _arrived(host: str, probe: "subprocess.Popen[str]") -> Mapping[str, tuple[int, float | None]]:
    """Address of the sender -> how many of its datagrams arrived, and the time of the fastest."""
    try:
        said, _ = probe.communicate(timeout=_ENDS)
        return {source: (times, fastest) for source, (times, fastest) in json.loads(said).items()}
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise _failed(host, probe) from error


def _output(probe: "subprocess.Popen[str]") -> IO[str]:
    assert probe.stdout is not None
    return probe.stdout


def _failed(host: str, probe: "subprocess.Popen[str]") -> ProcessFailed:
    probe.kill()
    said = " ".join(_output(probe).read().split()[-20:]) if not _output(probe).closed else ""
    return ProcessFailed(f"what gets through to {host} cannot be measured: {said or 'the probe gave no answer'}")
