"""Sandboxes and their hosts: where the embedded cluster's processes live.

A *host* is a name, an address, the standard ports, and a way to run programs on it. A *sandbox* is a set of hosts
that reach one another and nobody else. It is made of Linux namespaces where they work, and of loopback addresses
where they do not. Code above this package need not know which.

    sandbox = enter(probe(), directory, publish=["write", "read"])  # first of all, before any thread exists
    host = sandbox.add_host("member-1", 11)                   # 10.77.0.11, or 127.x.y.11
    postgres = host.add("postgres", ["postgres", "-D", str(host.directory / "data")])
    postgres.start()
    sandbox.publish({"write": (host.address, 5432)})          # sandbox.published["write"] == ("127.0.0.1", 40123)
    sandbox.close()                                           # or `with enter(...) as sandbox:`

`enter` returns in a new process, the *worker*. The process that called it stays outside, waits for the worker and
exits with its status. When either of the two ends, however it ends, everything else in the sandbox ends too. Other
processes can control the same sandbox: `attach(directory)` works from anywhere, and `reentry_argv(directory, command)`
runs a command inside. `stale(directory)` tells whether a directory belongs to a dead sandbox. `sandbox.network` cuts
and slows down connections.

The *supervisor* (PID 1 of the namespaces; a subreaper on loopback) is the parent of all programs, and the only process
that knows what runs. `Sandbox`, `Host` and `Process` are handles that ask it over a socket in the sandbox's directory,
so handles in any number of processes and threads agree.
"""

from support.hosts.entering import enter
from support.hosts.fuse import why_not_fuse
from support.hosts.kernel import LOOPBACK, NAMESPACES, probe, why_not_namespaces
from support.hosts.links import SUITE
from support.hosts.sandbox import FIRST_ANNEX, Host, Process, Sandbox, attach, reentry_argv
from support.hosts.state import alive, stale

__all__ = [
    "FIRST_ANNEX",
    "LOOPBACK",
    "NAMESPACES",
    "SUITE",
    "Host",
    "Process",
    "Sandbox",
    "alive",
    "attach",
    "enter",
    "probe",
    "reentry_argv",
    "stale",
    "why_not_fuse",
    "why_not_namespaces",
]
