"""Replication slots: whose they are, and whether a consumer could lose WAL through which it has to catch up.

Source: patroni/dcs/__init__.py (`slot_name_from_member_name`)
"""

import re
from collections.abc import Iterable

from support import sql

_NOT_IN_NAMES = re.compile(r"[^a-z0-9_]")
_LOGICAL = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical' ORDER BY 1"
_AWAY = """
    SELECT slot_name FROM pg_replication_slots
     WHERE slot_type = 'physical' AND NOT active AND NOT temporary AND restart_lsn IS NOT NULL AND slot_name <> ALL (%s)
     ORDER BY 1
"""
"""A slot without a restart_lsn keeps no WAL: it was never used, or is lost already."""


def slot_name(member: str) -> str:
    """The name of the slot that Patroni creates for a member."""
    replaced = member.lower().replace("-", "_").replace(".", "_")
    return _NOT_IN_NAMES.sub(lambda one: f"u{ord(one[0]):04d}", replaced)[:63]


def at_risk(leader: sql.Endpoint | sql.Session, members: Iterable[str]) -> str:
    """Whose consumer could lose something for good while the leader keeps little WAL; empty if nobody's.

    A logical slot's may be behind at any time. A physical slot that is in use is no risk: its consumer is waited for.
    Slots of the members are left out: they can be rebuilt.
    """
    if logical := [name for (name,) in sql.rows(leader, _LOGICAL)]:
        return f"a consumer of a logical slot ({', '.join(logical)}) could lose changes while little WAL is kept"
    if away := [name for (name,) in sql.rows(leader, _AWAY, [[slot_name(one) for one in members]])]:
        return f"a consumer that is away ({', '.join(away)}: a physical slot) could lose WAL while little is kept"
    return ""
