"""A user's cluster surveyed from a single address: what `accept init` writes into a target file.

Everything is found by asking: ports by trying them, members by Patroni, nodes by Citus. `support.target.discovery` then
examines what was found, as it does for any target file.
"""
