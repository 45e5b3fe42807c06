"""How each host is reached and its programs are started: what the user says, completed by what was found there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LOCAL = "local:"
"""The way to the machine on which the suite runs."""
NEVER_DIRECT = "none"
"""`line` of a host whose commands do not come over its network, such as those of docker exec."""


def told(reach: str) -> str:
    """A way to reach a host, for messages and reports: of a command, which may contain a password, its first word."""
    return f"{program_of(reach)} {{}}" if "{}" in reach else reach


def program_of(command: str) -> str:
    """The first word of a command that is no assignment to a variable: "sshpass ..."."""
    words = command.split()
    first = next((one for one in words if "=" not in one), "a command")
    return first if len(words) == 1 else f"{first} ..."


UNIT = "systemd unit "
"""How what systemd starts is told, before the name of the unit."""


@dataclass(frozen=True)
class ProgramAccess:
    """One of the cluster's programs on a host."""

    start: str = ""
    """The command that starts it; empty where that is not known, and nothing that would stay down is done to it."""
    hold: str = ""
    """The command that keeps it down after it was killed, if anything there would start it again."""
    release: str = ""
    """The command that undoes `hold`."""
    beside: bool = False
    """The container that the host is starts it: the commands are for the machine of its engine."""
    how: str = ""
    """By what it is started, for people: "systemd unit patroni.service"."""
    service: str = ""
    """The unit of systemd in which it runs, if it is alone there: what another unit has started is another's."""
    unstarted: str = ""
    """Why `start` is empty although it is known what has started it, for people."""

    @property
    def unit(self) -> str:
        """The unit of systemd that starts it; empty if that is not how it is started."""
        return self.how.removeprefix(UNIT) if self.how.startswith(UNIT) else ""

    @property
    def shown(self) -> str:
        """The command that starts it, for reports; of one of the user's own, which may contain a password, less."""
        return self.start if self.hold or self.beside else self.how or "the command that starts it"


@dataclass(frozen=True)
class HostAccess:
    """One host of the user's."""

    reach: str
    """A URL (ssh://, docker://, podman://, local:) or a command with {} in it."""
    addresses: tuple[str, ...] = ()
    """Every address at which the others reach it."""
    programs: Mapping[str, ProgramAccess] = field(default_factory=dict)
    """Program (patroni, etcd, haproxy, redis) -> how it is started."""
    scope: str = ""
    """What its mark has to say."""
    line: str = ""
    """Whence the host sees our commands come, if it cannot tell: an address, or NEVER_DIRECT."""
    cutter: str = ""
    """nft or iptables, whichever works there; empty if neither does."""
    behind_network: str = ""
    """Its storage that is lost with the network, such as "iSCSI"; a crash leaves its links alone then."""
    links_needed: str = ""
    """Why our own connections need its links, besides the one to it; a crash leaves them alone then."""
    python: str = ""
    """The Python of its Patroni, if it has one."""
    ports: tuple[int, ...] = ()
    """TCP ports at which its programs answer."""
    network: str = ""
    """The words before a command that changes the rules of its network; empty if none are needed."""
    configuration: str = ""
    """The configuration file of its Patroni; empty if there is none that can be changed."""
    data: str = ""
    """The data directory of its PostgreSQL; empty if it cannot be put aside."""
    binaries: str = ""
    """Where PostgreSQL's programs are."""
    as_root: bool = False
    """Commands run as root there, perhaps by sudo: if that is refused later, there is no answer."""
    privileged: bool = False
    """A container whose engine lets us in with every right that there is inside."""
    without_shell: bool = False
    """A container that has no sh: its processes are looked at from its engine's machine."""
    left_out: tuple[str, ...] = ()
    """The programs there that are not the cluster's, as the user says."""

    @property
    def isolated(self) -> bool:
        """Whether a crash first cuts its links, so that no peer is told that it dies."""
        return bool(self.cutter) and not self.behind_network and not self.links_needed
