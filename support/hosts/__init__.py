"""Sandboxes and the hosts on them: where the embedded cluster's processes live.

A *host* is a name, an address, the standard ports, and a way to run programs on it. A *sandbox* is a set of hosts
that reach one another and nobody else. It is made of Linux namespaces where they work, of loopback addresses
where they do not; what is above this package does not need to know which.

    sandbox = enter(probe(), directory, publish=["write", "read"])  # first of all, before any thread exists
    host = sandbox.add_host("member-1", 11)                 # 10.77.0.11, or 127.x.y.11
    postgres = host.add("postgres", ["postgres", "-D", str(host.directory / "data")])
    postgres.start()
    sandbox.publish({"write": (host.address, 5432)})        # sandbox.published["write"] == ("127.0.0.1", 40123)
    sandbox.close()                                         # or `with enter(...) as sandbox:`

`enter` returns in a new process, the *worker*; the process that called it stays outside, waits for the worker
and ends with its exit status. All else of the sandbox dies with any of the two, whatever killed it. Other processes
control the same sandbox: `attach(directory)` from anywhere, `reentry_argv(directory, command)` to run a command
inside it. `stale(directory)` tells a directory whose sandbox is dead. `sandbox.network` cuts and slows down.

Who does what: the *supervisor* (PID 1 of the namespaces; a subreaper on loopback) is the parent of all programs and
the one place that knows what runs; `Sandbox`, `Host` and `Process` are handles that ask it over a socket in the
sandbox's directory, so that handles in any number of processes and threads agree.
"""

from support.hosts.entering import enter
from support.hosts.probing import probe, why_not_namespaces
from support.hosts.process import Process
from support.hosts.sandbox import Host, Sandbox, attach, reentry_argv
from support.hosts.state import stale

__all__ = [
    "Host",
    "Process",
    "Sandbox",
    "attach",
    "enter",
    "probe",
    "reentry_argv",
    "stale",
    "why_not_namespaces",
]
