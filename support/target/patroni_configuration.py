"""Patroni's dynamic configuration: what a group of members is configured for. Absent keys have Patroni's defaults.

Source: https://patroni.readthedocs.io/en/latest/dynamic_configuration.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from support.errors import AcceptError
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, NoAnswer, ask_in_parallel
from support.waiting import NotYet, eventually

MAXIMUM_LAG = 1048576
"""Bytes: the default of Patroni's maximum_lag_on_failover."""
_ON = ("on", "true", "yes", "1")
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
_SECONDS = {"us": 1e-6, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


@dataclass(frozen=True)
class PatroniConfiguration:
    """The configuration that the members of one group share. Times are in seconds."""

    ttl: float = 30.0
    loop_wait: float = 10.0
    retry_timeout: float = 10.0
    start_timeout: float = 300.0
    """How long the PostgreSQL of a leader may take to start after a crash, before another member takes over; with 0,
    one takes over at once."""
    maximum_lag: int = MAXIMUM_LAG
    """Bytes of WAL by which a replica may lag and still become the leader."""
    maximum_lag_set: bool = False
    """Whether that was configured; else it is the default."""
    synchronous: bool = False
    """A commit waits for a standby, or for a quorum of them."""
    strict: bool = False
    """A commit waits even when there is no standby: then nothing can be written."""
    standbys: int = 1
    """The number of standbys that it waits for, if it does."""
    standby_names: str = ""
    """PostgreSQL's own synchronous_standby_names, if it is among the parameters that the members share."""
    failsafe: bool = False
    """A leader goes on without the DCS as long as all members answer it."""
    slots: bool = True
    """Members stream through replication slots."""
    rewind: bool | None = None
    """A diverged member is rewound by pg_rewind; None if only the members' own configuration files can say it."""
    replication_timeout: float = 60.0
    """The longer of wal_sender_timeout and wal_receiver_timeout. If one is off, its default counts: TCP ends the
    connection then."""


def parsed(answer: Mapping[str, Any]) -> PatroniConfiguration:
    """Patroni's answer to GET /config. Like Patroni, ignores a value that cannot be understood."""
    default = PatroniConfiguration()
    mode = str(answer.get("synchronous_mode")).lower()
    postgresql, parameters = answer.get("postgresql"), parameters_of(answer)
    timeouts = (
        _quantity(parameters.get(name), _SECONDS, "ms") for name in ("wal_sender_timeout", "wal_receiver_timeout")
    )
    lag = _quantity(answer.get("maximum_lag_on_failover"), _BYTES, "B")
    start = answer.get("primary_start_timeout", answer.get("master_start_timeout"))
    start_timeout = _quantity(start, {}, "")
    return PatroniConfiguration(
        ttl=_seconds(answer, "ttl", default.ttl),
        loop_wait=_seconds(answer, "loop_wait", default.loop_wait),
        retry_timeout=_seconds(answer, "retry_timeout", default.retry_timeout),
        start_timeout=default.start_timeout if start_timeout is None else start_timeout,
        maximum_lag=default.maximum_lag if lag is None else int(lag),
        maximum_lag_set=lag is not None,
        synchronous=mode == "quorum" or _flag(mode),
        strict=_flag(answer.get("synchronous_mode_strict")),
        standbys=max(int(_quantity(answer.get("synchronous_node_count"), {}, "") or 0), 1),
        standby_names=str(parameters.get("synchronous_standby_names") or ""),
        failsafe=_flag(answer.get("failsafe_mode")),
        slots=flag_of(postgresql.get("use_slots")) is not False if isinstance(postgresql, Mapping) else True,
        rewind=flag_of(postgresql.get("use_pg_rewind")) if isinstance(postgresql, Mapping) else None,
        replication_timeout=max(one or default.replication_timeout for one in timeouts),
    )


def parameters_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """PostgreSQL's settings in Patroni's answer to GET /config."""
    postgresql = answer.get("postgresql")
    parameters = postgresql.get("parameters") if isinstance(postgresql, Mapping) else None
    return parameters if isinstance(parameters, Mapping) else {}


def shared_configuration(cluster: Cluster) -> Mapping[str, Any]:
    """Patroni's answer to GET /config, from any member that answers. Raises NotYet if none does."""
    answers = ask_in_parallel(cluster.members, lambda name: cluster.patroni(name).configuration())
    for answer in answers.values():
        if not isinstance(answer, NoAnswer):
            return answer
    raise NotYet(
        "no member answers with Patroni's configuration: "
        f"{', '.join(f'{name}: {why}' for name, why in answers.items())}"
    )


def configuration_of(cluster: Cluster) -> PatroniConfiguration:
    """The configuration of one group now, from any member that answers. Raises NotYet if none does."""
    return parsed(shared_configuration(cluster))


def await_configuration(cluster: Cluster) -> PatroniConfiguration:
    """The configuration of one group, once a member answers."""
    return parsed(await_shared_configuration(cluster))


def await_shared_configuration(cluster: Cluster) -> Mapping[str, Any]:
    """Patroni's answer to GET /config, once a member gives it."""
    within = cluster.topology.timing.visible
    subject = "a member answers with Patroni's configuration"
    return eventually(lambda: shared_configuration(cluster), within=within, subject=subject, retry_on=NO_ANSWER)


def configurations_by_group(cluster: Cluster) -> dict[int, PatroniConfiguration]:
    """Group -> its configuration, of the groups where a Patroni answers. Never raises."""
    found = {}
    for group in cluster.groups if "patroni" not in cluster.topology.lacks else ():
        try:
            found[group.group] = configuration_of(group)
        except (AcceptError, *NO_ANSWER):
            continue
    return found


def flag_of(value: object) -> bool | None:
    """A setting that is on or off; None if it is not set."""
    return None if value is None else _flag(value)


def _flag(value: object) -> bool:
    return str(value).lower() in _ON


def _seconds(answer: Mapping[str, Any], name: str, default: float) -> float:
    return _quantity(answer.get(name), _SECONDS, "s") or default


def size_of(value: object, default_unit: str) -> float | None:
    """Bytes, of a size with or without a unit; None if it is none."""
    return _quantity(value, _BYTES, default_unit)


def _quantity(value: object, units: Mapping[str, float], default_unit: str) -> float | None:
    """A number with or without a unit; None if it is not a number."""
    if isinstance(value, bool) or value is None:
        return None
    match = _NUMBER.fullmatch(str(value))
    if match is None or (match[2] and match[2] not in units):
        return None
    return float(match[1]) * units.get(match[2] or default_unit, 1)
