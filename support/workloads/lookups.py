"""Clients that look up one entry again and again; they must be answered whatever becomes of the writers."""

from support import sql
from support.workloads.client import Task
from support.workloads.runner import Script, Turn

LOOKUP = "lookup"
ENTRY = "the entry that is looked up"
"""Its key, and its value."""
_READ = "SELECT value FROM memory_entries WHERE namespace = %s AND key = %s"


def lookups(namespace: str) -> Script:
    """Each client reads until it is stopped. The value recorded is what it was answered."""

    def look_up(session: sql.Session) -> str:
        found = sql.rows(session, _READ, [namespace, ENTRY])
        return str(found[0][0]) if found else "nothing"

    def script(_: Turn) -> Task:
        return Task(LOOKUP, ENTRY, None, look_up)

    return script
