"""Whether a member whose timeline diverged is rewound: what pg_rewind needs, and whether Patroni uses it.

Source: https://patroni.readthedocs.io/en/latest/yaml_configuration.html (a member's own file overrides what all share)
"""

from collections.abc import Mapping

from support.errors import Inconclusive
from support.target.cluster import Cluster
from support.target.member_files import files_of
from support.target.members import NoAnswer, heard_and_silent, settings
from support.target.patroni_configuration import configuration_of, flag_of

_NEEDED = ("wal_log_hints", "data_checksums")


def not_rewindable(cluster: Cluster) -> list[str]:
    """The members whose WAL lacks the hint bits that pg_rewind needs (wal_log_hints or data checksums).

    Raises Inconclusive where a member gives no answer, unless another is known to lack them.
    """
    return without_hint_bits(settings(cluster, _NEEDED))


def without_hint_bits(shown: Mapping[str, Mapping[str, str] | NoAnswer]) -> list[str]:
    """The members whose WAL lacks the hint bits that pg_rewind needs, as their settings show.

    `shown`: member -> what it shows (setting -> value), or the reason for its silence. Raises Inconclusive for a silent
    one, unless another is known to lack them.
    """
    told, silent = heard_and_silent(shown)
    found = [
        f"{member}: {', '.join(f'{name} is {value}' for name, value in values.items())}"
        for member, values in told.items()
        if "on" not in values.values()
    ]
    if silent and not found:
        reasons = [f"{member}: no answer ({why})" for member, why in sorted(silent.items())]
        raise Inconclusive(f"not every member shows its settings: {'; '.join(reasons)}")
    return found


def not_configured(cluster: Cluster) -> list[str]:
    """The members whose Patroni does not use pg_rewind.

    A member's own file is read where the suite reaches its host; elsewhere the shared configuration has to say it,
    which the capability "rewind" ensures before the run.
    """
    shared = configuration_of(cluster).rewind
    found = []
    for member in cluster.members:
        own = own_setting(cluster, member)
        if not (shared if own is None else own):
            where = "the configuration that all members share" if own is None else "its own configuration file"
            found.append(f"{member}: use_pg_rewind is {'not in' if own is shared is None else 'off in'} {where}")
    return found


def own_setting(cluster: Cluster, member: str) -> bool | None:
    """use_pg_rewind in a member's own configuration file; None if it is not there, or if the file cannot be read."""
    if "member_files" in cluster.topology.lacks:
        return None
    configured = files_of(cluster.site.hosts[member]).configuration()
    return flag_of((configured.get("postgresql") or {}).get("use_pg_rewind"))
