"""Settings of PostgreSQL that Patroni's dynamic configuration does not decide, so that a change of it has no effect.

Sources: https://patroni.readthedocs.io/en/latest/patroni_configuration.html (a member's own file overrules what all
share; ALTER SYSTEM overrules both), patroni/postgresql/config.py (`postgresql.conf` is what Patroni writes; it includes
the original file, which it overrules)
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from support import sql
from support.errors import AcceptError
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.patroni_configuration import parameters_of, shared_configuration, size_of

WAL_KEPT = ("wal_keep_size", "max_slot_wal_keep_size", "min_wal_size", "max_wal_size")
"""How much WAL a leader keeps."""
ARCHIVING = ("archive_command",)
_BY_PATRONI, _BY_ALTER_SYSTEM = "postgresql.conf", "postgresql.auto.conf"
_OF_NO_USE = "(disabled)"
"""What PostgreSQL shows as the archive_command while archive_mode is off."""
_SHOWN = "SELECT name, setting, coalesce(unit, ''), coalesce(sourcefile, '') FROM pg_settings WHERE name = ANY(%s)"


def overruled(cluster: Cluster, names: Collection[str]) -> str:
    """Which of these settings have a value on a member that all do not share, and by what; empty if none has.

    Also empty for what is not known: without a superuser's login, or where a member does not answer.
    """
    found = list[str]()
    if cluster.topology.administrator is None or "patroni" in cluster.topology.lacks:
        return ""
    for group in cluster.groups:
        with suppress(AcceptError, *NO_ANSWER):
            shared = parameters_of(shared_configuration(group))
            for member in group.members:
                with suppress(AcceptError, *NO_ANSWER):
                    found += [
                        f"{one} on {member}" for one in overruled_on(group.administration_of(member), shared, names)
                    ]
    return f"a change of Patroni's dynamic configuration would have no effect: {'; '.join(found)}" if found else ""


def overruled_on(server: sql.Endpoint, shared: Mapping[str, Any], names: Collection[str]) -> list[str]:
    """Which of these settings have a value on this server that the members do not share, and by what.

    Asked by a superuser. `shared`: the parameters that all members share.
    """
    found = []
    for name, value, unit, file in sql.rows(server, _SHOWN, [list(names)]):
        where = PurePosixPath(file).name
        if where == _BY_ALTER_SYSTEM:
            found.append(f"{name} is set by ALTER SYSTEM")
        elif where == _BY_PATRONI and value != _OF_NO_USE and not _same(shared.get(name), value, unit):
            found.append(f"{name} is set in the member's own configuration of Patroni")
    return found


def _same(shared: object, value: str, unit: str) -> bool:
    """Whether a configured value is the one in force, which PostgreSQL shows as a number of its unit."""
    if shared is None:
        return False
    sizes = (size_of(shared, unit), size_of(value, unit)) if unit else (None, None)
    return str(shared).strip() == value.strip() or (None not in sizes and sizes[0] == sizes[1])
