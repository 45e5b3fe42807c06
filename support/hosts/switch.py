"""The network of a namespace sandbox: this namespace is the switch, and every host hangs on it by a cable.

Routed, not bridged: a `/32` route leads to each host that is on. Who has none is behind the *sink*, a cable that
nobody reads: a packet for a host that is off vanishes, as it does on a real network, and no error tells the sender.
Network faults are *detours*: rules that lead some packets into the sink, or through the shaper. They are about
addresses, so they outlast the power-off of a host.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from socket import if_nameindex, if_nametoindex
from typing import Any

NETWORK, STAND_NUMBER = "10.77.0", 1
GATEWAY = "169.254.1.1"  # the switch's end of every cable
LINK_SCOPE = 253  # RT_SCOPE_LINK: directly at the other end of the cable
LOOPBACK = 1  # its interface number in every network namespace
TCP = 6
MAIN_TABLE, LOCAL_TABLE = 254, 255  # in a lookup the local one must come first
SINK, SINK_TABLE, SINK_PRIORITY = "sink", 77, 1000
SHAPED, SHAPED_TABLE, SHAPED_PRIORITY = "shaped", 78, 3000
BACK_PRIORITY = 2500  # (less the table's number) of what comes back from the shaper: on, unless that is cut
LOCAL_PRIORITY = 5000  # of the rule "what is for us is for us", moved from 0 to make room for detours
HOST_SETTINGS = {
    "ip_unprivileged_port_start": 0,
    # A peer that is gone without a word is given up after seconds, as on any host of a cluster that is to fail over:
    # by default a server waits 2 minutes for an answer to a connect and 15 for one to what it has sent, and cannot be
    # interrupted in it. Source: https://docs.kernel.org/networking/ip-sysctl.html
    "tcp_syn_retries": 2,
    "tcp_retries2": 5,
}
"""Of each host's own network."""
SETTINGS = {
    "ip_forward": 1,
    "ip_early_demux": 0,  # what it has claimed for one of the suite's sockets cannot be led through the shaper
    "conf/all/rp_filter": 0,
    "conf/default/rp_filter": 0,
}


@dataclass(frozen=True)
class Detour:
    """Packets that are led astray. None stands for any."""

    table: int
    source: int | None = None
    """The number of the host that sent them, STAND_NUMBER for the suite itself."""
    target: int | None = None
    port: int | None = None
    """Of the target; TCP only."""

    def rule(self) -> dict[str, object]:
        """The kernel's words for it."""
        priority = SINK_PRIORITY if self.table == SINK_TABLE else SHAPED_PRIORITY
        rule: dict[str, object] = {"table": self.table, "priority": priority}
        if self.source is not None:
            rule |= {"src": address(self.source), "src_len": 32}
        if self.target is not None:
            rule |= {"dst": address(self.target), "dst_len": 32}
        if self.port is not None:
            rule |= {"ip_proto": TCP, "dport_range": f"{self.port}:{self.port}"}
        return rule


class Switch:
    """The sandbox's own side of the cables."""

    def __init__(self) -> None:
        self._here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._kernel = kernel_routes()
        self._detours: set[Detour] = set()
        self._kernel.link("set", index=LOOPBACK, state="up")
        self._kernel.addr("add", index=LOOPBACK, address=address(STAND_NUMBER), prefixlen=32)
        for setting, value in SETTINGS.items():
            _set(setting, value)
        self._kernel.rule("add", table=LOCAL_TABLE, priority=LOCAL_PRIORITY)
        self._kernel.rule("del", table=LOCAL_TABLE, priority=0)
        self._lay_stub(SINK, SINK_TABLE)
        sink = if_nametoindex(SINK)
        self._kernel.route("add", dst=f"{NETWORK}.0/24", oif=sink, scope=LINK_SCOPE)

    def lay_cable(self, number: int) -> None:
        """Connect this process, alone on a host of its own, with the switch, and set up the host's network."""
        far_end = {"ifname": _cable(number), "net_ns_fd": self._here}
        with kernel_routes() as kernel:
            kernel.link("add", ifname="eth0", kind="veth", peer=far_end)
            kernel.link("set", index=LOOPBACK, state="up")
            cable = if_nametoindex("eth0")
            kernel.addr("add", index=cable, address=address(number), prefixlen=32)
            kernel.link("set", index=cable, state="up")
            kernel.route("add", dst=f"{GATEWAY}/32", oif=cable, scope=LINK_SCOPE)
            kernel.route("add", dst="default", gateway=GATEWAY, oif=cable)
        for setting, value in HOST_SETTINGS.items():
            _set(setting, value)

    def connect(self, number: int) -> None:
        """Plug the cable in on this side: packets for the host go there from now on."""
        index = if_nametoindex(_cable(number))
        self._kernel.addr("add", index=index, address=GATEWAY, prefixlen=32)
        self._kernel.link("set", index=index, state="up")
        self._kernel.route(
            "add", dst=f"{address(number)}/32", oif=index, scope=LINK_SCOPE, prefsrc=address(STAND_NUMBER)
        )

    def disconnect(self, number: int) -> None:
        """Pull the cable out and throw it away. Harmless when there is none."""
        if _is_there(_cable(number)):
            self._kernel.link("del", index=if_nametoindex(_cable(number)))

    def divert(self, detour: Detour) -> None:
        """Lead these packets astray. Harmless when they are."""
        if detour not in self._detours:
            self._kernel.rule("add", **detour.rule())
            self._detours.add(detour)

    def restore(self, detour: Detour) -> None:
        """Let these packets go their way again. Harmless when they do."""
        if detour in self._detours:
            self._kernel.rule("del", **detour.rule())
            self._detours.remove(detour)

    def prepare_shaping(self) -> str:
        """Make the way by the shaper; returns the device at which it reads packets and puts them back."""
        if not _is_there(SHAPED):
            self._lay_stub(SHAPED, SHAPED_TABLE)
            for table in (MAIN_TABLE, LOCAL_TABLE):
                self._kernel.rule("add", iifname=SHAPED, table=table, priority=BACK_PRIORITY - table)
            _set(f"conf/{SHAPED}/accept_local", 1)  # the suite's own packets come back this way, too
        return _far_end(SHAPED)

    def _lay_stub(self, name: str, table: int) -> None:
        """A cable into nowhere, and a routing table that leads everything there. Nobody is asked for by ARP."""
        self._kernel.link("add", ifname=name, kind="veth", peer={"ifname": _far_end(name)})
        for end in (_far_end(name), name):
            self._kernel.link("set", index=if_nametoindex(end), state="up", arp=False)
        self._kernel.route("add", dst="0.0.0.0/0", oif=if_nametoindex(name), scope=LINK_SCOPE, table=table)


def kernel_routes() -> Any:
    """An IPRoute: a line to the kernel about this network namespace.

    Its package takes a tenth of a second to import; who makes no sandbox does not wait for it.
    """
    from pyroute2 import IPRoute

    return IPRoute()


def address(number: int) -> str:
    """The address of the host with that number."""
    return f"{NETWORK}.{number}"


def _cable(number: int) -> str:
    return f"host-{number}"


def _is_there(device: str) -> bool:
    return any(name == device for _, name in if_nameindex())


def _far_end(name: str) -> str:
    return f"{name}-end"


def _set(setting: str, value: int) -> None:
    Path("/proc/sys/net/ipv4", setting).write_text(str(value))
