"""What a user's host says of itself when it is asked, before anything is concluded from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from support.hosts.interface import Running
from support.hosts.remote.processes import parsed_table
from support.hosts.remote.ways import WayIn

_SHOWN = 60  # characters of a command


@dataclass(frozen=True)
class HostAnswer:
    """Everything that can be asked without knowing what runs there."""

    way: WayIn
    facts: Mapping[str, Sequence[str]]
    """Key -> its values, as the script's `look` says them."""
    table: Sequence[Running]
    """Every process there."""
    sockets: str
    """/proc/net/tcp and /proc/net/tcp6."""
    left: Sequence[str]
    """The faults that runs have left there."""
    cutter: str
    """By what links can be cut, nft or iptables; empty if neither works."""
    network: str
    """The words before a command that changes the rules of its network; empty if none are needed."""


def ask(way: WayIn) -> HostAnswer:
    """Raises ProcessFailed, with what to do about it, if the host does not answer."""
    facts = _facts(way.looked)
    table = parsed_table(way.reach.run("table"))
    sockets = way.reach.run("sh", "-c", "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null; :")
    left = [*facts.get("left", []), *way.left_beside()]
    facts["busy"] = [*facts.get("busy", []), *way.at_work_beside()]
    cutter, network = way.cutters(facts.get("cutter", []))
    return HostAnswer(way, facts, table, sockets, left, cutter, network)


def _facts(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, tab, value = line.partition("\t")
        if tab:
            found.setdefault(key, []).append(value)
    return found


def shortened(title: str) -> str:
    """A command, for messages."""
    return title if len(title) <= _SHOWN else f"{title[:_SHOWN]}..."
