"""What an embedded cluster consists of: which hosts there are, what each one is for, which number it has."""

from dataclasses import dataclass
from enum import StrEnum

from support.errors import UsageError

HAPROXY, REDIS = 2, 3
FIRST_ETCD, MOST_ETCD = 11, 9
FIRST_MEMBER, MOST_MEMBERS = 21, 9  # of group 0; each further group takes the next ten numbers


class Role(StrEnum):
    """What a host is there for."""

    ETCD = "etcd"
    MEMBER = "member"
    HAPROXY = "haproxy"
    REDIS = "redis"


@dataclass(frozen=True)
class PlannedHost:
    """A host that the cluster needs. `number` is the last part of its address, `group` its Citus group."""

    name: str
    number: int
    role: Role
    group: int = 0


@dataclass(frozen=True)
class Layout:
    """How large a cluster is wanted, and how it replicates. Raises UsageError for a size that cannot be."""

    members: int = 3
    """Patroni + PostgreSQL pairs."""
    etcd: int = 3
    synchronous: bool = True
    """A commit waits for a standby, as long as there is one."""
    scope: str = "accept"
    """Patroni's name of the cluster."""

    def __post_init__(self) -> None:
        for what, count, most in (("members", self.members, MOST_MEMBERS), ("etcd nodes", self.etcd, MOST_ETCD)):
            if not 1 <= count <= most:
                raise UsageError(f"an embedded cluster can have 1 to {most} {what}, not {count}")

    def hosts(self, role: Role | None = None) -> tuple[PlannedHost, ...]:
        """Every host, or those of one role, in the order in which they are started."""
        return tuple(host for host in self._all() if role in (None, host.role))

    def _all(self) -> tuple[PlannedHost, ...]:
        etcd = (PlannedHost(f"etcd{n + 1}", FIRST_ETCD + n, Role.ETCD) for n in range(self.etcd))
        members = (PlannedHost(f"pg{n + 1}", FIRST_MEMBER + n, Role.MEMBER) for n in range(self.members))
        haproxy = PlannedHost("haproxy", HAPROXY, Role.HAPROXY)
        redis = PlannedHost("redis", REDIS, Role.REDIS)
        return (*etcd, *members, haproxy, redis)
