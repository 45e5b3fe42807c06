"""Isolation levels, and the anomalies that each rules out.

What is called "repeatable read" here is PostgreSQL's: snapshot isolation, which rules out more than the SQL standard's,
but allows write skew. Its snapshots are taken when a transaction begins, on a server that has all acknowledged commits:
so the real-time order counts, too (strong snapshot isolation).

Sources: A. Adya, Weak Consistency (MIT, 1999), chapters 3 and 4; A. Cerone and A. Gotsman, Analysing Snapshot Isolation
(PODC 2016); K. Kingsbury and P. Alvaro, Elle (VLDB 2020); https://www.postgresql.org/docs/16/transaction-iso.html
"""

import enum


class Anomaly(enum.StrEnum):
    """What must not be seen. The value is the name that a report uses, with the name of the literature."""

    ABORTED_READ = "aborted read (G1a)"
    """A value of a transaction that was rolled back."""
    INTERMEDIATE_READ = "intermediate read (G1b)"
    """A value that its transaction overwrote, or went on appending to, before it committed."""
    FRACTURED_STATEMENT = "half of a transaction in one statement"
    """A single query that shows some of the rows that a transaction added, and not the others."""
    DIRTY_WRITE = "dirty write (G0)"
    """Two transactions that each wrote over the other's writes."""
    CIRCULAR_INFORMATION = "circular information flow (G1c)"
    """Two transactions that each saw, or wrote over, what the other wrote."""
    INTERNAL = "a transaction that does not see its own writes (internal inconsistency)"
    INCOMPATIBLE_ORDER = "incompatible order"
    """Two reads that disagree about the order of writes to one item."""
    UNWRITTEN_VALUE = "a value that nobody wrote"
    DUPLICATE = "a value that was written once and is there twice"
    LOST_WRITE = "lost write"
    """An acknowledged write that no later read shows."""
    STALE_READ = "stale read (real-time violation)"
    """A transaction that does not see what was acknowledged before it began."""
    READ_SKEW = "read skew (G-single)"
    """A transaction that saw one write of another and missed an earlier or simultaneous one."""
    LOST_UPDATE = "lost update"
    """Two transactions that read the same version and both wrote on top of it."""
    LONG_FORK = "long fork (G-nonadjacent)"
    """Readers that disagree about which of two independent transactions came first."""
    REALTIME_WRITES = "writes against the order of time (G0-realtime)"
    REALTIME_INFORMATION = "information flow against the order of time (G1c-realtime)"
    REALTIME_SKEW = "read skew against the order of time (G-single-realtime)"
    REALTIME_FORK = "long fork against the order of time (G-nonadjacent-realtime)"
    WRITE_SKEW = "write skew (G2)"
    """Transactions that each read what another was about to change, so that no serial order explains them."""


class Level(enum.StrEnum):
    """An isolation level, as SQL names it."""

    READ_COMMITTED = "read committed"
    REPEATABLE_READ = "repeatable read"
    SERIALIZABLE = "serializable"


_READ_COMMITTED = frozenset(
    {
        Anomaly.ABORTED_READ,
        Anomaly.INTERMEDIATE_READ,
        Anomaly.FRACTURED_STATEMENT,
        Anomaly.DIRTY_WRITE,
        Anomaly.CIRCULAR_INFORMATION,
        Anomaly.INTERNAL,
        Anomaly.INCOMPATIBLE_ORDER,
        Anomaly.UNWRITTEN_VALUE,
        Anomaly.DUPLICATE,
        Anomaly.LOST_WRITE,
        Anomaly.STALE_READ,
        Anomaly.REALTIME_WRITES,
        Anomaly.REALTIME_INFORMATION,
    }
)
RULED_OUT = {
    Level.READ_COMMITTED: _READ_COMMITTED,
    Level.REPEATABLE_READ: frozenset(Anomaly) - {Anomaly.WRITE_SKEW},
    Level.SERIALIZABLE: frozenset(Anomaly),
}
"""Level -> the anomalies that must not be seen, on one server."""
NEEDS_ONE_SNAPSHOT = frozenset(
    {
        Anomaly.FRACTURED_STATEMENT,
        Anomaly.READ_SKEW,
        Anomaly.LONG_FORK,
        Anomaly.REALTIME_SKEW,
        Anomaly.REALTIME_FORK,
        Anomaly.WRITE_SKEW,
    }
)
"""What only a snapshot that spans all servers rules out. Citus has none: each worker takes its own, at its own time.

Source: https://github.com/citusdata/citus/issues/7360
"""
