"""The facts of the baseline: what was read of the configuration of the cluster's parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from support.target.patroni_configuration import PatroniConfiguration
from support.target.purposes import Purpose
from support.target.reads import NOWHERE, Reads
from support.target.redis import RedisFacts
from support.target.standby_names import StandbyNames


@dataclass(frozen=True)
class Baseline:
    """What was read of the cluster. A component that did not answer is missing from it."""

    groups: Mapping[int, PatroniConfiguration] = field(default_factory=dict)
    """Group -> its Patroni's configuration; 0 is the coordinator's group, or the only one."""
    members: Mapping[int, int] = field(default_factory=dict)
    """Group -> its number of members."""
    voters: int | None = None
    """The number of voting members of etcd."""
    redis: RedisFacts | None = None
    unbounded_slots: bool = False
    """Replication slots may keep any amount of WAL on every member that answered."""
    not_logical: str = ""
    """Why there is no logical replication whose messages could be followed."""
    archives_nothing: bool = False
    """archive_mode is off on every member that answered."""
    archiving_overruled: str = ""
    """Why a test cannot change what archives WAL; empty if it can, or if that is not known."""
    no_checksums: bool = False
    """data_checksums is off on every member that answered."""
    no_autovacuum: bool = False
    """autovacuum is off on every member that answered."""
    leader_serves_reads: bool = False
    """The read endpoint leads to the leader as well as to replicas."""
    delays: Mapping[str, str] = field(default_factory=dict)
    """Member -> its recovery_min_apply_delay, if it has one."""
    purposes: Mapping[int, Mapping[str, Purpose]] = field(default_factory=dict)
    """Group -> member -> what it is for; of the groups where a Patroni answered."""
    with_other_leaders: Mapping[int, tuple[Mapping[str, Purpose], ...]] = field(default_factory=dict)
    """Group -> the same with each other leader that there can be."""
    reads: Reads = NOWHERE
    not_copyable: str = ""
    """Why a test should not copy a member; empty if that costs little, or if the cost is not known."""
    wal_not_expendable: str = ""
    """Why a test should not remove WAL before every consumer has read it, or cannot; empty if it may, or not known."""
    own_standbys: Mapping[int, StandbyNames] = field(default_factory=dict)
    """Group -> the standbys for which its PostgreSQL itself makes commits wait, with Patroni's synchronous mode off."""
