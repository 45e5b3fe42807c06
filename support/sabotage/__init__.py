"""Sabotages: ways to break a cluster for real, to see that the scenarios notice.

A passing scenario means little if it cannot fail. Each sabotage breaks promises on purpose: in the configuration of
PostgreSQL, Patroni, etcd, HAProxy or Redis, in the schema and its data, on the hosts, in the network, or in the
application. It checks, by other means than the scenarios', that it took effect. It names the promises (ids) that a
scenario must find broken, and words of the message. `accept prove` runs all that.

`sabotage` defines what a sabotage is, and `catalogue` lists all of them. There is a module for each part of the cluster
that they break; `damage` and `programs` are what they use to break it.
"""
