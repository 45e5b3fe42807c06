"""Clients that look up one entry again and again; they must be answered whatever becomes of the writers."""

from support import sql
from support.application.profile import Profile
from support.workloads.client import Task
from support.workloads.runner import Script, Turn

LOOKUP = "lookup"
ENTRY = "the entry that is looked up"
"""Its key, and its value."""
_READ = "SELECT {entries.value} FROM {entries} WHERE {entries.namespace} = %s AND {entries.key} = %s"


def lookups(profile: Profile, namespace: str) -> Script:
    """Each client reads until it is stopped. The value recorded is what it was answered."""

    def look_up(session: sql.Session) -> str:
        found = sql.rows(session, profile.sql(_READ), [namespace, ENTRY])
        return str(found[0][0]) if found else "nothing"

    def script(_: Turn) -> Task:
        return Task(LOOKUP, ENTRY, None, look_up)

    return script
