"""Expectations: what the user declares the cluster to be, in [expect] of accept.toml or of a target file.

If the cluster differs from a declaration, a promise is broken. What is not declared is read from the cluster's own
configuration, and what that does not promise is reported as a known limit.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from support.errors import UsageError
from support.vocabulary import suggestion

_SIZE = re.compile(r"(\d+)\s*(B|kB|MB|GB)?")
_SETTING = re.compile(r"\w+(\.\w+)?")
_BYTES = {None: 1, "B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30}


@dataclass(frozen=True)
class Expectations:
    """The declarations; None means "as configured"."""

    members: int | tuple[str, ...] | None = None
    """The number of members, those of worker groups included, or their names."""
    workers: int | None = None
    """The number of Citus' worker groups."""
    synchronous: bool | None = None
    """Whether a commit waits for a standby."""
    synchronous_standbys: int | None = None
    """The number of standbys for which a commit waits."""
    accepted_loss: int | None = None
    """Bytes of acknowledged writes (namespaces, keys and values) that may be lost in a failover."""
    distributed_snapshots: bool | None = None
    """Whether a transaction over several worker groups has one snapshot. Stock Citus gives it none."""
    delayed_replicas: tuple[str, ...] | None = None
    """The names of the replicas that replay late on purpose (recovery_min_apply_delay)."""
    replication_slots: bool | None = None
    """Whether members stream through replication slots."""
    bounded_slots: bool | None = None
    """Whether the WAL that replication slots can keep is limited (max_slot_wal_keep_size)."""
    autovacuum: bool | None = None
    """Whether every member vacuums by itself."""
    member_settings: tuple[str, ...] | None = None
    """PostgreSQL's settings of which each member may have its own value."""
    data_checksums: bool | None = None
    """Whether every member notices damaged pages."""
    leader_serves_reads: bool | None = None
    """Whether the read endpoint leads to the leader, too."""
    failsafe: bool | None = None
    """Whether a leader goes on without the DCS as long as all members answer it."""
    dcs_spare: int | None = None
    """The number of members that the DCS can lose without losing its quorum."""
    login_failover: bool | None = None
    """Whether a leader is replaced on which nobody can log in any more, while the sessions that are open go on."""
    clock_jumps: bool | None = None
    """Whether a leader keeps its lock when its clock jumps back."""
    recovery_time: float | None = None
    """Seconds within which clients can write again after the leader is lost."""
    proxy_detection: float | None = None
    """Seconds within which HAProxy notices that a server is down, or up again: (fall + 1) x inter."""
    proxy_lists_members: bool | None = None
    """Whether the proxy has a server for writes for each member that may lead, whoever leads."""
    read_lag: int | None = None
    """Bytes of WAL by which a replica may lag and still serve reads, as in the proxy's health check."""
    redis_mode: str | None = None
    """standalone, cluster or sentinel."""
    redis_eviction: str | None = None
    """The eviction policy, such as allkeys-lru."""

    @classmethod
    def parse(cls, declared: Mapping[str, Any]) -> "Expectations":
        """From the table as it is written. Raises UsageError with one line for each wrong key."""
        complaints, found = [], dict[str, Any]()
        for key, value in declared.items():
            if key not in _READERS:
                complaints.append(_unknown(key))
                continue
            try:
                found[key] = _READERS[key](value)
            except ValueError as error:
                complaints.append(f"[expect] {key} = {value!r}: {error}")
        complaints += _contradictions(found)
        if complaints:
            raise UsageError("\n".join(complaints))
        return cls(**found)

    def unless_declared(self, usual: "Expectations") -> "Expectations":
        """These expectations, with what `usual` says of everything that is not declared."""
        undeclared = {name: getattr(usual, name) for name in KEYS if getattr(self, name) is None}
        return replace(self, **undeclared)

    @property
    def wants_synchronous(self) -> bool | None:
        """Whether synchronous replication is declared, by either key; None if it is not mentioned."""
        return True if self.synchronous_standbys else self.synchronous

    @property
    def member_count(self) -> int | None:
        """The declared number of members."""
        return len(self.members) if isinstance(self.members, tuple) else self.members


@dataclass(frozen=True)
class AcceptedLoss:
    """How many acknowledged writes may be lost in a failover of one group, and why; none by default."""

    bytes: int = 0
    """Bytes of the namespaces, keys and values written."""
    recent: float = 0.0
    """Seconds before the loss of the leader whose writes may be lost in addition: Patroni measures the lag of a replica
    by the position that the leader published last, once in loop_wait."""
    why: str = ""
    group: int = 0
    """The Citus group whose failover it is; 0 is the coordinator's, or the only one."""

    def __bool__(self) -> bool:
        return bool(self.bytes or self.recent)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it should be true or false")
    return value


def _count(least: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"it should be a whole number, {least} or more")
        return value

    return read


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError("it should be a number of seconds, more than 0")
    return float(value)


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _BYTES[match[2]]
    raise ValueError('it should be a number of bytes, or a size such as "64kB" or "1MB"')


def _members(value: object) -> int | tuple[str, ...]:
    if isinstance(value, list | tuple) and value and all(isinstance(one, str) and one.strip() for one in value):
        if twice := sorted({one for one in value if value.count(one) > 1}):
            raise ValueError(f"{', '.join(twice)} is listed more than once")
        return tuple(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ValueError('it should be a whole number, 1 or more, or a list of names such as ["pg1", "pg2"]')


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(one, str) and one.strip() for one in value):
        return tuple(value)
    raise ValueError('it should be a list of names such as ["pg5"], or [] for none')


def _settings(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(one, str) and _SETTING.fullmatch(one) for one in value):
        return tuple(value)
    raise ValueError('it should be a list of names of PostgreSQL\'s settings such as ["work_mem", "shared_buffers"]')


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"it should be one of {', '.join(words)}")
        return str(value)

    return read


_POLICIES = ("lru", "lfu", "random")
_READERS: Mapping[str, Callable[[object], object]] = {
    "members": _members,
    "workers": _count(0),
    "distributed_snapshots": _flag,
    "synchronous": _flag,
    "synchronous_standbys": _count(1),
    "accepted_loss": _size,
    "delayed_replicas": _names,
    "replication_slots": _flag,
    "bounded_slots": _flag,
    "autovacuum": _flag,
    "data_checksums": _flag,
    "leader_serves_reads": _flag,
    "member_settings": _settings,
    "failsafe": _flag,
    "dcs_spare": _count(0),
    "login_failover": _flag,
    "clock_jumps": _flag,
    "recovery_time": _seconds,
    "proxy_detection": _seconds,
    "proxy_lists_members": _flag,
    "read_lag": _size,
    "redis_mode": _one_of("standalone", "cluster", "sentinel"),
    "redis_eviction": _one_of(
        "noeviction", "volatile-ttl", *(f"{which}-{how}" for which in ("allkeys", "volatile") for how in _POLICIES)
    ),
}
KEYS = tuple(one.name for one in fields(Expectations))


def _unknown(key: str) -> str:
    return f"[expect] {key} is not known{suggestion(key, KEYS)} (known: {', '.join(KEYS)})"


def _contradictions(found: Mapping[str, Any]) -> list[str]:
    synchronous = True if found.get("synchronous_standbys") else found.get("synchronous")
    complaints = []
    if found.get("synchronous") is False and found.get("synchronous_standbys"):
        complaints.append("[expect] synchronous = false and synchronous_standbys contradict each other: leave one out")
    elif synchronous and found.get("accepted_loss"):
        complaints.append(
            "[expect] accepted_loss is for asynchronous replication: synchronous replication loses no acknowledged "
            "write; leave one of them out"
        )
    return complaints
