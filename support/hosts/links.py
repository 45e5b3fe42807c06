"""Faults of the links between hosts: packets that are cut off, delayed or lost.

A cut is a detour in the switch. Latency, jitter and loss work where the kernel has no netem: the switch leads the
packets concerned into a cable; a process reads them at its far end as raw frames, holds or drops them, and puts them
back, unchanged, at the same end. It is one process with one thread and one heap of held frames.
"""

import heapq
import itertools
import json
import os
import random
import select
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from support.errors import UsageError
from support.hosts import kernel
from support.hosts.backend import Backend
from support.hosts.switch import SANDBOX_NUMBER, SHAPED_TABLE, SINK_TABLE, Detour

SUITE = "suite"  # names the suite's own side in cut, reconnect and shape: the worker and what is published
ALL_IP = 0x0800  # ETH_P_IP
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
OFFLOAD_HEADER = 10  # bytes before each frame: checksums and segmentation that the kernel postponed; kept as they are
ADDRESSES = slice(OFFLOAD_HEADER + 14 + 12, OFFLOAD_HEADER + 14 + 20)  # source and target, in the IP header
LARGEST_FRAME = 1 << 17
BUFFER = 8 << 20
BATCH = 64  # frames read before the next look at the clock

Flow = tuple[str, str]
"""The addresses of source and target."""


@dataclass(frozen=True)
class Shape:
    """What happens to the packets of a flow."""

    latency: float
    """Seconds."""
    jitter: float
    """Seconds, plus or minus."""
    loss: float
    """The share that is lost, from 0 to 1."""

    def delay(self) -> float | None:
        """How long to hold the next packet, in seconds; None when it is lost."""
        if random.random() < self.loss:
            return None
        return max(0.0, self.latency + random.uniform(-self.jitter, self.jitter))


class Links:
    """The supervisor's side of `sandbox.Network`, which says what each call means."""

    def __init__(self, backend: Backend, number_of: Callable[[str], int]) -> None:
        """`number_of` gives a host's number, and raises UsageError when there is no such host."""
        self._backend, self._number_of = backend, number_of
        self._shaper = Shaper()

    def procedures(self) -> Mapping[str, Callable[..., object]]:
        """What handles may call, by name."""
        return {procedure.__name__: procedure for procedure in (self.cut, self.reconnect, self.shape)}

    def note_end(self, pid: int) -> None:
        """A child of the supervisor has ended."""
        self._shaper.note_end(pid)

    def note_power(self, number: int, on: bool) -> None:
        """The host of that number was powered on or off. What is held for it, or from it, is lost with it."""
        self._shaper.set_off(self._backend.address(number), not on)

    def cut(self, source: str, target: str, port: int | None) -> None:
        """Make packets from source to target vanish."""
        self._backend.switch().divert(self._cut(source, target, port))

    def reconnect(self, source: str, target: str, port: int | None) -> None:
        """Undo a cut."""
        self._backend.switch().restore(self._cut(source, target, port))

    def shape(self, source: str, target: str, latency: float, jitter: float, loss: float) -> None:
        """Delay packets from source to target, or lose some by chance."""
        if latency < 0 or jitter < 0 or not 0 <= loss <= 1:
            raise UsageError(f"latency {latency} and jitter {jitter} must be 0 or more, loss {loss} from 0 to 1")
        switch = self._backend.switch()
        numbers = (self._number(source), self._number(target))
        detour = Detour(SHAPED_TABLE, *numbers)
        flow = (self._backend.address(numbers[0]), self._backend.address(numbers[1]))
        if latency or jitter or loss:
            self._shaper.set(flow, Shape(latency, jitter, loss), switch.prepare_shaping())
            switch.divert(detour)
        else:
            switch.restore(detour)
            self._shaper.clear(flow)

    def _cut(self, source: str, target: str, port: int | None) -> Detour:
        return Detour(SINK_TABLE, self._number(source), self._number(target), port)

    def _number(self, host: str) -> int:
        return SANDBOX_NUMBER if host == SUITE else self._number_of(host)


class Shaper:
    """The supervisor's control over the process that shapes, which exists from the first flow on."""

    def __init__(self) -> None:
        self._flows: dict[Flow, Shape] = {}
        self._off: set[str] = set()
        self._pid: int | None = None
        self._commands: int | None = None
        self._device = ""

    def set(self, flow: Flow, shape: Shape, device: str) -> None:
        """Shape a flow whose packets the switch leads to `device`."""
        self._flows[flow] = shape
        self._device = device
        if self._pid is None:
            self._begin()
        self._send_state()

    def clear(self, flow: Flow) -> None:
        """Stop shaping it; packets that are held are still sent when they are due."""
        if self._flows.pop(flow, None):
            self._send_state()

    def set_off(self, address: str, off: bool) -> None:
        """Lose what is held from or to an address while it is off, as what waits in a host's own queue is lost."""
        if off != (address in self._off):
            (self._off.add if off else self._off.discard)(address)
            self._send_state()

    def note_end(self, pid: int) -> None:
        """A child of the supervisor has ended; if it was the shaping process, start another."""
        if pid == self._pid and self._commands is not None:
            os.close(self._commands)
            self._begin()
            self._send_state()

    def _begin(self) -> None:
        commands, self._commands = os.pipe()
        self._pid = kernel.fork(lambda: self._run(commands))
        os.close(commands)

    def _send_state(self) -> None:
        if self._commands is not None:
            flows = [[*flow, asdict(shape)] for flow, shape in self._flows.items()]
            state = {"flows": flows, "off": sorted(self._off)}
            os.write(self._commands, json.dumps(state).encode() + b"\n")

    def _run(self, commands: int) -> None:
        kernel.stand_alone("accept-shaper", keep=[commands])
        shape_packets(self._device, commands)


def shape_packets(device: str, commands: int) -> None:
    """Shape what arrives at `device`. Each line read from `commands` holds all flows, and the addresses that are off;
    the end of the file ends this.
    """
    tap = _tap(device)
    flows: Mapping[bytes, Shape] = {}
    off: Collection[bytes] = ()
    held: list[tuple[float, int, bytes]] = []
    serial = itertools.count()  # keeps frames that are due at once in order
    with open(commands, "rb", buffering=0) as lines:
        while True:
            _send_due(tap, held)
            wait = max(0.0, held[0][0] - time.monotonic()) if held else None
            ready, _, _ = select.select([tap.fileno(), commands], [], [], wait)
            if commands in ready:
                line = lines.readline()
                if not line:
                    return
                state = json.loads(line)
                flows, off = _flows(state["flows"]), [socket.inet_aton(address) for address in state["off"]]
                held = [one for one in held if not _concerns(one[2], off)]
                heapq.heapify(held)
            if tap.fileno() in ready:
                for frame in _arrived(tap):
                    delay = flows[frame[ADDRESSES]].delay() if frame[ADDRESSES] in flows else 0.0
                    if delay is not None and not _concerns(frame, off):
                        heapq.heappush(held, (time.monotonic() + delay, next(serial), frame))


def _tap(device: str) -> socket.socket:
    """Raw access to a device. Frames come with the header that says what the kernel has postponed."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    tap.bind((device, ALL_IP))
    tap.setblocking(False)
    return tap


def _arrived(tap: socket.socket) -> Iterator[bytes]:
    for _ in range(BATCH):
        try:
            frame, (_, _, kind, *_) = tap.recvfrom(LARGEST_FRAME)
        except BlockingIOError:
            return
        if kind != PACKET_OUTGOING:  # else it is a frame that we put back
            yield frame


def _send_due(tap: socket.socket, held: list[tuple[float, int, bytes]]) -> None:
    now = time.monotonic()
    while held and held[0][0] <= now:
        _, _, frame = heapq.heappop(held)
        with suppress(OSError):  # no room: the frame is lost, as on a real link
            tap.send(frame)


def _concerns(frame: bytes, addresses: Collection[bytes]) -> bool:
    pair = frame[ADDRESSES]
    return pair[:4] in addresses or pair[4:] in addresses


def _flows(flows: Iterable[tuple[str, str, Mapping[str, float]]]) -> Mapping[bytes, Shape]:
    return {socket.inet_aton(source) + socket.inet_aton(target): Shape(**shape) for source, target, shape in flows}
