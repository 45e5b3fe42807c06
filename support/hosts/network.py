"""Faults of the network between hosts: cut, slow down. Namespaces only.

    network = sandbox.network
    network.cut("member-1", "etcd-2")          # nothing gets from the one to the other; the way back is open
    network.shape("member-1", "member-2", latency=0.1, loss=0.02)
    network.mend("member-1", "etcd-2")

What is cut vanishes: the sender hears nothing, as from a dead link, and open connections stay open. Every fault
outlasts a power-off of the hosts, and lasts until it is mended, whoever made it. Each call does nothing when things
are so already. In a loopback sandbox each raises NotAvailable.
"""

from dataclasses import dataclass
from pathlib import Path

from support.hosts.rpc import call

SUITE = "suite"  # stands for the suite's own side in cut, mend and shape: the worker and what is published


@dataclass(frozen=True)
class Network:
    """The network of a sandbox. Hosts are named by their names."""

    sandbox: Path

    def cut(self, source: str, target: str, port: int | None = None) -> None:
        """Packets from `source` to `target` vanish; with `port`, only those to that TCP port of the target.

        One way: cut the other way too for a partition. Cutting one port ends all talk with that service, for its
        answers are answers to nothing.
        """
        call(self.sandbox, "cut", source=source, target=target, port=port)

    def mend(self, source: str, target: str, port: int | None = None) -> None:
        """Undo the `cut` with the same arguments."""
        call(self.sandbox, "mend", source=source, target=target, port=port)

    def shape(self, source: str, target: str, *, latency: float = 0.0, jitter: float = 0.0, loss: float = 0.0) -> None:
        """Delay packets from `source` to `target` by `latency` seconds, give or take `jitter`, and lose a share.

        `loss` is from 0 to 1. One way, and replaces what was set before; all zero ends it.
        """
        call(self.sandbox, "shape", source=source, target=target, latency=latency, jitter=jitter, loss=loss)
