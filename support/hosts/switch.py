"""The network of a namespace stand: this namespace is the switch, and every host hangs on it by a cable.

Routed, not bridged: a `/32` route leads to each host that is on. Who has none is behind the *sink*, a cable that
nobody reads: a packet for a host that is off vanishes, as it does on a real network, and no error tells the sender.
"""

from pathlib import Path

from pyroute2 import IPRoute

NETWORK, STAND_NUMBER = "10.77.0", 1
GATEWAY = "169.254.1.1"  # the switch's end of every cable
SINK, SINK_TABLE = "sink", 77
LINK_SCOPE = 253  # RT_SCOPE_LINK: directly at the other end of the cable
MAIN_TABLE, LOCAL_TABLE = 254, 255
LOCAL_PRIORITY = 5000  # of the rule "what is for us is for us", moved from 0 to leave room for rules of ours
LOOPBACK = 1  # its interface number in every network namespace


def address(number: int) -> str:
    """The address of the host with that number."""
    return f"{NETWORK}.{number}"


class Switch:
    """The stand's own side of the cables."""

    def __init__(self) -> None:
        self._kernel = IPRoute()
        self._kernel.link("set", index=LOOPBACK, state="up")
        self._kernel.addr("add", index=LOOPBACK, address=address(STAND_NUMBER), prefixlen=32)
        for setting, value in (("ip_forward", 1), ("conf/all/rp_filter", 0), ("conf/default/rp_filter", 0)):
            Path("/proc/sys/net/ipv4", setting).write_text(str(value))
        self._kernel.rule("add", table=LOCAL_TABLE, priority=LOCAL_PRIORITY)
        self._kernel.rule("del", table=LOCAL_TABLE, priority=0)
        self._make_sink()

    def connect(self, number: int, init: int) -> None:
        """Lay a cable to the host whose first process is `init`; call `bring_up` at its other end."""
        end = {"ifname": "eth0", "net_ns_pid": init}
        self._kernel.link("add", ifname=_cable(number), kind="veth", peer=end)
        index = self._index(_cable(number))
        self._kernel.addr("add", index=index, address=GATEWAY, prefixlen=32)
        self._kernel.link("set", index=index, state="up")
        self._kernel.route("add", dst=f"{address(number)}/32", oif=index, scope=LINK_SCOPE)

    def disconnect(self, number: int) -> None:
        """Pull the cable out and throw it away. Harmless when there is none."""
        for index in self._kernel.link_lookup(ifname=_cable(number)):
            self._kernel.link("del", index=index)

    def _make_sink(self) -> None:
        self._kernel.link("add", ifname=SINK, kind="veth", peer={"ifname": f"{SINK}-end"})
        for name in (f"{SINK}-end", SINK):
            self._kernel.link("set", index=self._index(name), state="up", arp=False)
        sink = self._index(SINK)
        self._kernel.route("add", dst=f"{NETWORK}.0/24", oif=sink, scope=LINK_SCOPE)
        self._kernel.route("add", dst="0.0.0.0/0", oif=sink, scope=LINK_SCOPE, table=SINK_TABLE)

    def _index(self, name: str) -> int:
        index: int = self._kernel.link_lookup(ifname=name)[0]
        return index


def bring_up(number: int) -> None:
    """Set up the network of a host from within its namespace: its address, and all else behind the switch."""
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
    with IPRoute() as kernel:
        kernel.link("set", index=LOOPBACK, state="up")
        cable = kernel.link_lookup(ifname="eth0")[0]
        kernel.addr("add", index=cable, address=address(number), prefixlen=32)
        kernel.link("set", index=cable, state="up")
        kernel.route("add", dst=f"{GATEWAY}/32", oif=cable, scope=LINK_SCOPE)
        kernel.route("add", dst="default", gateway=GATEWAY, oif=cable)


def _cable(number: int) -> str:
    return f"host-{number}"
