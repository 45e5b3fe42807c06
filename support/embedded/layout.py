"""What an embedded cluster consists of: which hosts there are, what each one is for, which number it has."""

from dataclasses import dataclass
from enum import StrEnum
from string import ascii_lowercase

from support.embedded.shape import Shape
from support.embedded.shapes import OWN
from support.errors import UsageError

HAPROXY, REDIS, POOLER = 2, 3, 4
FIRST_ETCD, MOST_ETCD = 11, 9
FIRST_MEMBER, MOST_MEMBERS = 21, 9  # of group 0; each further group takes the next ten numbers
MOST_WORKERS = 20


class Role(StrEnum):
    """What a host is there for."""

    ETCD = "etcd"
    MEMBER = "member"
    HAPROXY = "haproxy"
    REDIS = "redis"
    POOLER = "pooler"


@dataclass(frozen=True)
class PlannedHost:
    """A host that the cluster needs. `number` is the last part of its address, `group` its Citus group."""

    name: str
    number: int
    role: Role
    group: int = 0


@dataclass(frozen=True)
class Layout:
    """How large a cluster is wanted, and of which shape. Raises UsageError for a size that cannot be."""

    members: int = 3
    """PostgreSQL servers that clients reach; with workers, the coordinator's group."""
    workers: int = 0
    """Citus worker groups; without one nothing is sharded."""
    worker_members: int = 2
    """PostgreSQL servers of each worker group."""
    etcd: int = 3
    """Not counted where there is no Patroni, which alone needs it."""
    shape: Shape = OWN

    def __post_init__(self) -> None:
        for what, count, least, most in (
            ("members", self.members, 1, MOST_MEMBERS),
            ("etcd nodes", self.etcd, 1, MOST_ETCD),
            ("worker groups", self.workers, 0, MOST_WORKERS),
            ("members in a worker group", self.worker_members, 1, MOST_MEMBERS),
        ):
            if not least <= count <= most:
                raise UsageError(f"an embedded cluster can have {least} to {most} {what}, not {count}")
        if not self.shape.patroni and (self.members > 1 or (self.workers and self.worker_members > 1)):
            raise UsageError(f"a cluster like {self.shape.name} has no replicas: each of its servers is alone")

    def hosts(self, role: Role | None = None) -> tuple[PlannedHost, ...]:
        """Every host, or those of one role, in the order in which they are started."""
        return tuple(host for host in self._all() if role in (None, host.role))

    @property
    def groups(self) -> range:
        """The numbers of its groups: 0, and one for each group of workers."""
        return range(self.workers + 1)

    def members_of(self, group: int) -> tuple[PlannedHost, ...]:
        """The members of one group: pg1, pg2, ... of the first, worker1a, worker1b, ... of a group of workers."""
        pattern, count = (self.shape.worker, self.worker_members) if group else (self.shape.member, self.members)
        names = [pattern.format(group=group, number=n + 1, letter=ascii_lowercase[n]) for n in range(count)]
        first = FIRST_MEMBER + 10 * group
        return tuple(PlannedHost(name, first + n, Role.MEMBER, group) for n, name in enumerate(names))

    def _all(self) -> tuple[PlannedHost, ...]:
        shape = self.shape
        etcd = (
            PlannedHost(shape.etcd_node.format(number=n + 1), FIRST_ETCD + n, Role.ETCD)
            for n in range(self.etcd if shape.patroni else 0)
        )
        members = (host for group in self.groups for host in self.members_of(group))
        haproxy = (PlannedHost("haproxy", HAPROXY, Role.HAPROXY),) if shape.proxy else ()
        redis = PlannedHost("redis", REDIS, Role.REDIS)
        pooler = (PlannedHost("pgbouncer", POOLER, Role.POOLER),) if shape.pooler else ()
        return (*etcd, *members, *haproxy, redis, *pooler)
