"""Whether one host reaches another: how a fault of the network is seen to have bitten."""

import sys

from support.errors import ProcessFailed
from support.hosts import Sandbox
from support.waiting import NotYet

CLOSED_PORT = 9  # nobody listens there: who gets through is refused at once
PATIENCE = 0.4  # seconds without an answer that mean "cut"; a first retransmission would come after 1 s

_PROBE = f"""
import socket, sys, time
begun = time.monotonic()
try:
    socket.create_connection((sys.argv[1], {CLOSED_PORT}), float(sys.argv[2])).close()
except ConnectionRefusedError:
    pass
except OSError as error:
    sys.exit(f"no answer: {{error}}")
print(time.monotonic() - begun)
"""


def round_trip(sandbox: Sandbox, source: str, target: str, patience: float = PATIENCE) -> float | None:
    """Seconds that a packet takes there and back; None when nothing comes back."""
    hosts = sandbox.hosts
    probe = [sys.executable, "-S", "-c", _PROBE, hosts[target].address, str(patience)]
    try:
        return float(hosts[source].run(probe).stdout)
    except ProcessFailed as error:
        if "no answer" in str(error):
            return None
        raise


def require_unreachable(sandbox: Sandbox, source: str, target: str) -> None:
    """Raises NotYet while packets get from the one to the other and back."""
    took = round_trip(sandbox, source, target)
    if took is not None:
        raise NotYet(f"{source} reaches {target} in {took * 1000:.1f} ms")
