"""Whether a member that went its own way after a failover can be brought back by pg_rewind."""

from support.cluster.cluster import Cluster
from support.cluster.rollcall import configuration, settings
from support.errors import Inconclusive

_NEEDED = ("wal_log_hints", "data_checksums")
_ON = frozenset({"on", "true", "yes", "1"})


def unprepared(cluster: Cluster) -> list[str]:
    """The members whose WAL lacks what a rewind needs: hint bits, by wal_log_hints or by data checksums."""
    return [
        f"{member}: {values}" for member, values in settings(cluster, _NEEDED).items() if "on" not in values.values()
    ]


def configured(cluster: Cluster) -> bool:
    """Whether Patroni rewinds. Raises Inconclusive where the configuration in the DCS does not say so."""
    patroni = configuration(cluster).get("postgresql", {})
    if "use_pg_rewind" not in patroni:
        raise Inconclusive("use_pg_rewind is not in the configuration that the DCS holds (patronictl edit-config)")
    return str(patroni["use_pg_rewind"]).lower() in _ON
