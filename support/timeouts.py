"""Named durations in seconds, so that a step never carries a bare number; one multiplier for slow machines.

A duration that is itself the promise ("within 30 seconds") stands in the scenario, not here.
"""

CONNECT = 5.0
"""A login."""
STATEMENT = 30.0
"""One SQL statement."""
REST = 3.0
"""One call of a REST API or of the statistics page."""
START = 60.0
"""The embedded cluster, from nothing to ready."""
VISIBLE = 5.0
"""A change that nothing hinders becomes visible everywhere: a replica replays, a proxy notices."""
NOTICE = 15.0
"""The cluster notices that something is wrong, or right again, by its periodic checks."""
EFFECT = 10.0
"""A fault shows its effect; more would mean that it is none."""
REJOIN = 60.0
"""A member that was away is a streaming replica again."""
RECOVERY = 120.0
"""A cluster that was hurt is whole again: a new leader, and every member back and streaming."""
