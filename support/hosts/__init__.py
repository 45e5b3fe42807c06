"""Stands and the hosts on them: where the embedded cluster's processes live.

A *host* is a name, an address, the standard ports, and a way to run processes on it. A *stand* provides hosts.
`NamespaceStand` makes them of Linux namespaces, `LoopbackStand` of loopback addresses; what is above this
package does not know which. A stand is described by a file, so that another process (behave, `accept shell`)
can attach to it and do everything that its maker can.
"""
