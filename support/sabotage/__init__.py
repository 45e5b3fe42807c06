"""Sabotages: ways to break a cluster for real, to see that the scenarios notice.

A green report is worth as much as the suite's power to be red. So each sabotage breaks promises on purpose, in the
configuration of PostgreSQL, Patroni, etcd, HAProxy or Redis, in the schema and its data, on the hosts, in the network,
in the application; it says how one sees, by other means than the scenarios', that it took effect; and it names the
promises (ids) of which a scenario must say so, in words that it states. `accept prove` holds the suite to that.

`sabotage` is what all of them are, `catalogue` all there are, the modules that it lists are the parts that they break;
`damages` and `programs` are the means.
"""
