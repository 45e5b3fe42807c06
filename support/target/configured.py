"""What a cluster is configured for, as Patroni tells it; what is not configured has Patroni's defaults.

Source: https://patroni.readthedocs.io/en/latest/dynamic_configuration.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from support.errors import AcceptError
from support.target.cluster import Cluster
from support.target.members import SILENCE, configuration
from support.waiting import eventually

MAXIMUM_LAG = 1048576
"""Bytes: Patroni's maximum_lag_on_failover, unless it is configured otherwise."""
_ON = ("on", "true", "yes", "1")
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
_SECONDS = {"us": 1e-6, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


@dataclass(frozen=True)
class Configured:
    """The configuration that the members of one group share. Times are in seconds."""

    ttl: float = 30.0
    loop_wait: float = 10.0
    retry_timeout: float = 10.0
    maximum_lag: int = MAXIMUM_LAG
    """Bytes of WAL that a replica may be behind and still become the leader."""
    maximum_lag_set: bool = False
    """Whether that was configured, or is the default."""
    synchronous: bool = False
    """A commit waits for a standby, or for a quorum of them."""
    strict: bool = False
    """It does so also when there is no standby: nothing is written then."""
    standbys: int = 1
    """For how many it waits, if it does."""
    failsafe: bool = False
    """A leader goes on without the DCS as long as all members answer it."""
    replication_timeout: float = 60.0
    """The longer of wal_sender_timeout and wal_receiver_timeout. One that is off counts as its default: what is noticed
    then is noticed by TCP."""


def parsed(answer: Mapping[str, Any]) -> Configured:
    """Patroni's answer to GET /config. A value that Patroni does not understand counts as not configured, as there."""
    own = Configured()
    mode = str(answer.get("synchronous_mode")).lower()
    strict = _flag(answer.get("synchronous_mode_strict"))
    postgresql = answer.get("postgresql")
    parameters = postgresql.get("parameters") if isinstance(postgresql, Mapping) else None
    parameters = parameters if isinstance(parameters, Mapping) else {}
    timeouts = (
        _quantity(parameters.get(name), _SECONDS, "ms") for name in ("wal_sender_timeout", "wal_receiver_timeout")
    )
    lag = _quantity(answer.get("maximum_lag_on_failover"), _BYTES, "B")
    return Configured(
        ttl=_seconds(answer, "ttl", own.ttl),
        loop_wait=_seconds(answer, "loop_wait", own.loop_wait),
        retry_timeout=_seconds(answer, "retry_timeout", own.retry_timeout),
        maximum_lag=own.maximum_lag if lag is None else int(lag),
        maximum_lag_set=lag is not None,
        synchronous=mode == "quorum" or _flag(mode),
        strict=strict,
        standbys=max(int(_quantity(answer.get("synchronous_node_count"), {}, "") or 0), 1),
        failsafe=_flag(answer.get("failsafe_mode")),
        replication_timeout=max(one or own.replication_timeout for one in timeouts),
    )


def configured(cluster: Cluster) -> Configured:
    """That of one group now, from any member that answers. Raises NotYet if none does."""
    return parsed(configuration(cluster))


def await_configured(cluster: Cluster) -> Configured:
    """The same, once a member answers."""
    within = cluster.topology.timing.visible
    subject = "a member tells Patroni's configuration"
    return eventually(lambda: configured(cluster), within=within, subject=subject, retry_on=SILENCE)


def of_each_group(cluster: Cluster) -> dict[int, Configured]:
    """Group -> its configuration, of the groups that have a Patroni which answers. Never raises."""
    found = {}
    for group in cluster.groups if "patroni" not in cluster.topology.lacks else ():
        try:
            found[group.group] = configured(group)
        except (AcceptError, *SILENCE):
            continue
    return found


def _flag(value: object) -> bool:
    return str(value).lower() in _ON


def _seconds(answer: Mapping[str, Any], name: str, default: float) -> float:
    return _quantity(answer.get(name), _SECONDS, "s") or default


def _quantity(value: object, units: Mapping[str, float], without: str) -> float | None:
    """A number with or without its unit; None for what is none."""
    if isinstance(value, bool) or value is None:
        return None
    match = _NUMBER.fullmatch(str(value))
    if match is None or (match[2] and match[2] not in units):
        return None
    return float(match[1]) * units.get(match[2] or without, 1)
