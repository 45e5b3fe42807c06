"""The network of a namespace sandbox: the supervisor's namespace is the switch, with a cable to every host.

It routes and does not bridge: a `/32` route leads to each host that is on. Every other address leads into the *sink*,
a cable that nobody reads. So a packet for a host that is off vanishes without an error, as on a real network. Network
faults are *detours*: rules that lead some packets into the sink or through the shaper (see `links`). Rules name
addresses, so they outlast the power-off of a host.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from socket import if_nameindex, if_nametoindex

from support.hosts import kernel

NETWORK, SANDBOX_NUMBER = "10.77.0", 1
GATEWAY = "169.254.1.1"  # the switch's end of every cable
LINK_SCOPE = 253  # RT_SCOPE_LINK: directly at the other end of the cable
LOOPBACK = 1  # the interface number of `lo` in every network namespace
TCP = 6
MAIN_TABLE, LOCAL_TABLE = 254, 255  # lookups must try the local table first
SINK, SINK_TABLE, SINK_PRIORITY = "sink", 77, 1000
SHAPED, SHAPED_TABLE, SHAPED_PRIORITY = "shaped", 78, 3000
BACK_PRIORITY = 2500  # (less the table's number) of packets back from the shaper: they go on, unless cut
LOCAL_PRIORITY = 5000  # of the rule for our own addresses, moved from 0 to make room for detours
HOST_SETTINGS = {
    "ip_unprivileged_port_start": 0,
    # A peer that vanishes is given up after seconds, as hosts of a failover cluster should be configured. By default
    # a connect waits 2 minutes for an answer and sent data 15 minutes, and a server cannot be interrupted meanwhile.
    # Source: https://docs.kernel.org/networking/ip-sysctl.html
    "tcp_syn_retries": 2,
    "tcp_retries2": 5,
}
"""Network settings of each host."""
SETTINGS = {
    "ip_forward": 1,
    "ip_early_demux": 0,  # packets that it assigns to a socket of the suite early cannot go through the shaper
    "conf/all/rp_filter": 0,
    "conf/default/rp_filter": 0,
}


@dataclass(frozen=True)
class Detour:
    """Packets that are diverted. None means any."""

    table: int
    source: int | None = None
    """The number of the sending host; SANDBOX_NUMBER for the suite itself."""
    target: int | None = None
    port: int | None = None
    """The port of the target; TCP only."""

    def rule(self) -> dict[str, object]:
        """The routing rule, in the kernel's terms."""
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
    """The sandbox's end of all cables."""

    def __init__(self) -> None:
        self._here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._kernel = kernel.netlink()
        self._detours: set[Detour] = set()
        self._kernel.link("set", index=LOOPBACK, state="up")
        self._kernel.addr("add", index=LOOPBACK, address=address(SANDBOX_NUMBER), prefixlen=32)
        for setting, value in SETTINGS.items():
            _set(setting, value)
        self._kernel.rule("add", table=LOCAL_TABLE, priority=LOCAL_PRIORITY)
        self._kernel.rule("del", table=LOCAL_TABLE, priority=0)
        self._lay_stub(SINK, SINK_TABLE)
        sink = if_nametoindex(SINK)
        self._kernel.route("add", dst=f"{NETWORK}.0/24", oif=sink, scope=LINK_SCOPE)

    def lay_cable(self, number: int) -> None:
        """Called in a new host: connect it with the switch, and set up its network."""
        far_end = {"ifname": _cable(number), "net_ns_fd": self._here}
        with kernel.netlink() as own:
            own.link("add", ifname="eth0", kind="veth", peer=far_end)
            own.link("set", index=LOOPBACK, state="up")
            cable = if_nametoindex("eth0")
            own.addr("add", index=cable, address=address(number), prefixlen=32)
            own.link("set", index=cable, state="up")
            own.route("add", dst=f"{GATEWAY}/32", oif=cable, scope=LINK_SCOPE)
            own.route("add", dst="default", gateway=GATEWAY, oif=cable)
        for setting, value in HOST_SETTINGS.items():
            _set(setting, value)

    def connect(self, number: int) -> None:
        """Plug in the switch's end of the cable: from now on, packets for the host go there."""
        index = if_nametoindex(_cable(number))
        self._kernel.addr("add", index=index, address=GATEWAY, prefixlen=32)
        self._kernel.link("set", index=index, state="up")
        self._kernel.route(
            "add", dst=f"{address(number)}/32", oif=index, scope=LINK_SCOPE, prefsrc=address(SANDBOX_NUMBER)
        )

    def disconnect(self, number: int) -> None:
        """Remove the cable. Harmless when there is none."""
        if _is_there(_cable(number)):
            self._kernel.link("del", index=if_nametoindex(_cable(number)))

    def divert(self, detour: Detour) -> None:
        """Divert these packets. Harmless when they are diverted already."""
        if detour not in self._detours:
            self._kernel.rule("add", **detour.rule())
            self._detours.add(detour)

    def restore(self, detour: Detour) -> None:
        """Let these packets pass again. Harmless when they do."""
        if detour in self._detours:
            self._kernel.rule("del", **detour.rule())
            self._detours.remove(detour)

    def prepare_shaping(self) -> str:
        """Set up the detour through the shaper; returns the device where it reads packets and puts them back."""
        if not _is_there(SHAPED):
            self._lay_stub(SHAPED, SHAPED_TABLE)
            for table in (MAIN_TABLE, LOCAL_TABLE):
                self._kernel.rule("add", iifname=SHAPED, table=table, priority=BACK_PRIORITY - table)
            _set(f"conf/{SHAPED}/accept_local", 1)  # the suite's own packets come back this way too
        return _far_end(SHAPED)

    def _lay_stub(self, name: str, table: int) -> None:
        """A cable that leads nowhere, without ARP, and a routing table that leads everything into it."""
        self._kernel.link("add", ifname=name, kind="veth", peer={"ifname": _far_end(name)})
        for end in (_far_end(name), name):
            self._kernel.link("set", index=if_nametoindex(end), state="up", arp=False)
        self._kernel.route("add", dst="0.0.0.0/0", oif=if_nametoindex(name), scope=LINK_SCOPE, table=table)


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
