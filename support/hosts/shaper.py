"""Latency, jitter and loss where the kernel has no netem.

The switch leads the packets concerned into a cable; a process reads them at its far end as raw frames, holds or
drops them, and puts them back, unchanged, at the same end. One process, one thread, one heap of what is held.
"""

import heapq
import itertools
import json
import os
import random
import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from support.hosts import kernel

ALL_IP = 0x0800  # ETH_P_IP
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
OFFLOAD_HEADER = 10  # bytes before each frame: checksum and segmentation that the kernel has put off, kept as is
ADDRESSES = slice(OFFLOAD_HEADER + 14 + 12, OFFLOAD_HEADER + 14 + 20)  # source and target, in the IP header
LARGEST_FRAME = 1 << 17
BUFFER = 8 << 20
BATCH = 64  # frames read before one looks at the clock again

Flow = tuple[str, str]
"""The addresses of source and target."""


@dataclass(frozen=True)
class Shape:
    """What befalls the packets of a flow."""

    latency: float
    """Seconds."""
    jitter: float
    """Seconds, more or less."""
    loss: float
    """The share that is lost, from 0 to 1."""

    def delay(self) -> float | None:
        """How long to hold the next packet; None when it is lost."""
        if random.random() < self.loss:
            return None
        return max(0.0, self.latency + random.uniform(-self.jitter, self.jitter))


class Shaper:
    """The supervisor's hold on the process that shapes. It exists from the first flow on."""

    def __init__(self) -> None:
        self._flows: dict[Flow, Shape] = {}
        self._pid: int | None = None
        self._orders: int | None = None
        self._device = ""

    def set(self, flow: Flow, shape: Shape, device: str) -> None:
        """Shape a flow; its packets are led to `device`."""
        self._flows[flow] = shape
        self._device = device
        if self._pid is None:
            self._begin()
        self._order()

    def clear(self, flow: Flow) -> None:
        """Shape it no more; what is held of it is still sent in its time."""
        if self._flows.pop(flow, None):
            self._order()

    def note_end(self, pid: int) -> None:
        """A child of the supervisor has ended; when it was the one that shapes, another takes over."""
        if pid == self._pid and self._orders is not None:
            os.close(self._orders)
            self._begin()
            self._order()

    def _begin(self) -> None:
        hear, self._orders = os.pipe()
        self._pid = kernel.fork(lambda: self._shape(hear))
        os.close(hear)

    def _order(self) -> None:
        if self._orders is not None:
            flows = [[*flow, asdict(shape)] for flow, shape in self._flows.items()]
            os.write(self._orders, json.dumps(flows).encode() + b"\n")

    def _shape(self, orders: int) -> None:
        kernel.stand_alone("accept-shaper", keep=[orders])
        shape(self._device, orders)


def shape(device: str, orders: int) -> None:
    """Shape what arrives at `device` as told by `orders`, a file of lines, until its end."""
    wire = _tap(device)
    flows: Mapping[bytes, Shape] = {}
    held: list[tuple[float, int, bytes]] = []
    serial = itertools.count()  # keeps the order of frames that are due at once
    with open(orders, "rb", buffering=0) as lines:
        while True:
            _send_due(wire, held)
            wait = max(0.0, held[0][0] - time.monotonic()) if held else None
            ready, _, _ = select.select([wire.fileno(), orders], [], [], wait)
            if orders in ready:
                line = lines.readline()
                if not line:
                    return
                flows = _flows(line)
            if wire.fileno() in ready:
                for frame in _arrived(wire):
                    delay = flows[frame[ADDRESSES]].delay() if frame[ADDRESSES] in flows else 0.0
                    if delay is not None:
                        heapq.heappush(held, (time.monotonic() + delay, next(serial), frame))


def _tap(device: str) -> socket.socket:
    """Raw access to a device, frames with the header that says what the kernel has put off."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    wire.bind((device, ALL_IP))
    wire.setblocking(False)
    return wire


def _arrived(wire: socket.socket) -> Iterator[bytes]:
    for _ in range(BATCH):
        try:
            frame, (_, _, kind, *_) = wire.recvfrom(LARGEST_FRAME)
        except BlockingIOError:
            return
        if kind != PACKET_OUTGOING:  # what we put back ourselves
            yield frame


def _send_due(wire: socket.socket, held: list[tuple[float, int, bytes]]) -> None:
    now = time.monotonic()
    while held and held[0][0] <= now:
        _, _, frame = heapq.heappop(held)
        with suppress(OSError):  # no room: lost, as on a real wire
            wire.send(frame)


def _flows(line: bytes) -> Mapping[bytes, Shape]:
    return {
        socket.inet_aton(source) + socket.inet_aton(target): Shape(**shape)
        for source, target, shape in json.loads(line)
    }
