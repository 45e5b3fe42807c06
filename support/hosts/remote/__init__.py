"""A user's own hosts: machines and containers, reached by the vendors' own clients (ssh, docker, podman, any command).

    access = HostAccess("ssh://root@10.0.0.1")            # as it stands in [hosts] of a target file
    answer = Reach.of(access.reach).run("look")           # one shell script over standard input; nothing is installed

A fault that lasts is a *host fault*: its undo is on the host before it is done, with a guard that undoes it when nobody
who answers for it has been heard of for a while. `RemoteSite` implements `support.hosts.interface.Site` with that.
"""

from support.hosts.remote.access import HostAccess, ProgramAccess
from support.hosts.remote.clients import HostRefused, HostUnreached
from support.hosts.remote.guards import GRACE, LONGEST, Guards
from support.hosts.remote.machines import RemoteHost
from support.hosts.remote.reach import Reach, Sent
from support.hosts.remote.site import RemoteSite

__all__ = [
    "GRACE",
    "LONGEST",
    "Guards",
    "HostAccess",
    "HostRefused",
    "HostUnreached",
    "ProgramAccess",
    "Reach",
    "RemoteHost",
    "RemoteSite",
    "Sent",
]
