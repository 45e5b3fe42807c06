"""PostgreSQL's settings on each member, wherever they were set, and those that wait for a restart.

Sources: https://github.com/patroni/patroni/issues/2654 and https://github.com/patroni/patroni/issues/3323 (a change
that one member never applied), https://github.com/patroni/patroni/issues/1442 (replicas that do not start),
https://github.com/CrunchyData/postgres-operator/issues/2952 (local values on one member)
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from support import sql
from support.failover.member_checks import Setting
from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_in_parallel
from support.target.purposes import purposes
from support.timeouts import REST

OWN = frozenset(
    {
        *("bonjour_name", "cluster_name", "listen_addresses", "port", "unix_socket_directories"),
        *("unix_socket_group", "unix_socket_permissions", "external_pid_file"),
        *("config_file", "data_directory", "hba_file", "ident_file", "stats_temp_directory", "max_stack_depth"),
        *("krb_server_keyfile", "ssl_cert_file", "ssl_key_file"),
        *("event_source", "log_directory", "log_filename", "syslog_ident"),
        *("archive_cleanup_command", "primary_conninfo", "primary_slot_name", "promote_trigger_file"),
        *("restore_command", "synchronous_standby_names"),
        "citus.local_hostname",
    }
)
"""Settings that each member has for itself: where it listens, its files, its part in the replication."""
_OWN_PREFIXES = ("recovery_", "transaction_")
OF_REPLICAS = frozenset({"hot_standby_feedback"})
"""Settings that have an effect only on a replica: Patroni sets some of them on replicas alone."""
_LISTS = frozenset({"shared_preload_libraries", "session_preload_libraries", "local_preload_libraries"})
_SETTINGS = """
    SELECT name, reset_val, coalesce(unit, ''),
           CASE WHEN source IN ('client', 'session') THEN '' ELSE source END,
           coalesce(sourcefile || ' line ' || sourceline, ''), boot_val
      FROM pg_settings
     WHERE context <> 'internal' OR name = 'data_checksums'
"""
# What the session's own role and database override is looked up in the files, as far as the role may read them.
_OVERRIDDEN = """
    SELECT DISTINCT split_part(one, '=', 1)
      FROM pg_db_role_setting, unnest(setconfig) one
     WHERE setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
       AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
_IN_FILES = """
    SELECT name, setting, sourcefile || ' line ' || sourceline FROM pg_file_settings WHERE name = ANY (%s) AND applied
"""
# Where to end a recovery matters at a start only, so nothing waits for it. A promotion takes these out of the file,
# after which PostgreSQL says that they wait; Patroni leaves them out as well.
_PENDING = "SELECT name FROM pg_settings WHERE pending_restart AND name !~ '^recovery_target'"


@dataclass(frozen=True)
class MemberSettings:
    """All that one member says of its settings."""

    in_recovery: bool
    settings: Mapping[str, Setting]


def of_each_member(cluster: Cluster) -> dict[str, MemberSettings | NoAnswer]:
    """Member -> its settings, as the superuser sees them if one is known, else those that the application may see."""
    return ask_in_parallel(cluster.members, lambda name: _settings(cluster.monitoring_of(name)))


def _settings(where: sql.Endpoint) -> MemberSettings:
    with sql.session(where, connect_timeout=REST) as session:
        recovering = bool(sql.value(session, "SELECT pg_is_in_recovery()"))
        rows = sql.rows(session, _SETTINGS)
        overridden = [name for (name,) in sql.rows(session, _OVERRIDDEN)]
        in_files = dict[str, tuple[str, str]]()
        if overridden and sql.value(session, "SELECT has_table_privilege('pg_file_settings', 'SELECT')"):
            in_files = {name: (value, place) for name, value, place in sql.rows(session, _IN_FILES, [overridden])}
            rows = [row if row[0] not in overridden else (row[0], row[5], row[2], "default", "", "") for row in rows]
    found = {name: Setting(_shown(name, value, unit), place or source) for name, value, unit, source, place, _ in rows}
    found |= {name: Setting(value, place) for name, (value, place) in in_files.items()}
    return MemberSettings(recovering, found)


def _shown(name: str, value: str | None, unit: str) -> str:
    if name in _LISTS:
        return ", ".join(sorted(one.strip() for one in (value or "").split(",")))
    return f"{value or ''} {unit}".strip()


def may_differ(
    names: Iterable[str],
    members: Mapping[str, bool],
    exempt: Collection[str],
    declared: Collection[str],
    without_feedback: Collection[str] = (),
) -> dict[str, frozenset[str]]:
    """Setting -> the members that may have a different value.

    `members` is member -> whether it is a replica. `exempt` are members that never lead: they may be set up for another
    purpose on purpose. `declared` are settings that the user says may differ. On members
    `without_feedback` Patroni does not set what it sets on the other replicas.
    """
    everyone, leading = frozenset(members), frozenset(name for name, replica in members.items() if not replica)
    found = {}
    for name in names:
        if name in OWN or name in declared or name.startswith(_OWN_PREFIXES):
            found[name] = everyone
        else:
            apart = leading.union(without_feedback) if name in OF_REPLICAS else frozenset[str]()
            found[name] = frozenset(exempt) | apart
    return found


def without_feedback(cluster: Cluster) -> frozenset[str]:
    """The replicas that send the leader no feedback, as they do not stream from it, nor from one that does."""
    return frozenset(name for name, one in purposes(cluster).items() if not one.receives_at_once)


def never_leading(cluster: Cluster) -> frozenset[str]:
    """The members whose tags bar them from leading."""
    return frozenset(name for name, one in purposes(cluster).items() if not one.may_lead)


def waiting_for_a_restart(cluster: Cluster) -> dict[str, list[str] | NoAnswer]:
    """Member -> the settings that take effect only when its PostgreSQL is restarted, by PostgreSQL and by Patroni.

    Patroni gives some of them to PostgreSQL on its command line; only Patroni knows that they wait.
    """
    return ask_in_parallel(cluster.members, partial(_waiting, cluster))


def _waiting(cluster: Cluster, member: str) -> list[str]:
    with sql.session(cluster.monitoring_of(member), connect_timeout=REST) as session:
        found = [str(name) for (name,) in sql.rows(session, _PENDING)]
    if not cluster.has_patroni:
        return found
    status = cluster.patroni(member).status()
    reasons = status.get("pending_restart_reason") or {}
    told = [
        f"{name} ({why['old_value']}, then {why['new_value']})"
        for name, why in reasons.items()
        if isinstance(why, Mapping) and {"old_value", "new_value"} <= why.keys()
    ]
    named = {one.partition(" ")[0] for one in told}
    told += [name for name in found if name not in named]
    return told or (["a setting that its Patroni does not name"] if status.get("pending_restart") else [])
