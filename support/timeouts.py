"""Named durations in seconds, so that no step has a bare number.

A duration that is itself the promise ("within 30 seconds") is in the scenario, not here. Waits that depend on the
cluster's configuration are in target/timing.py.
"""

CONNECT = 5.0
"""A login."""
STATEMENT = 30.0
"""One SQL statement."""
CLIENT = 3.0
"""An answer to a client that works while a fault lasts, before it gives up and connects again."""
REST = 3.0
"""One request to a REST API or to the statistics page."""
SCAN = 10.0
"""The search for our keys among all keys of a Redis."""
SEARCH = 5.0
"""The search of one table, of whatever size, for what runs on other machines left there."""
START = 60.0
"""A start without progress: of the embedded cluster, step by step, or of a statement that makes a whole schema."""
VISIBLE = 5.0
"""For an unhindered change to become visible everywhere: a replica replays it, a proxy notices it."""
NOTICE = 15.0
"""For the cluster to notice, by its periodic checks, that something failed, or recovered."""
EFFECT = 10.0
"""For a fault to take effect."""
REJOIN = 60.0
"""For a member that was away to become a streaming replica again."""
RECOVERY = 120.0
"""For a cluster to become healthy after a fault: a new leader, and every member back and streaming."""
