"""What the cluster under test consists of and where each part answers: plain facts, kept as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from support.example_app.known_profiles import EXAMPLE
from support.example_app.profile import Profile
from support.expectations import AcceptedLoss, Expectations
from support.target.timing import Timing


@dataclass(frozen=True)
class Login:
    """A name and its password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Address:
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class MemberAddress:
    """One Patroni + PostgreSQL pair, at the addresses where it is reached from here.

    `group` is its Citus group; 0 is the coordinator's, or the only one.
    """

    name: str
    postgres: Address
    rest: Address | None = None
    group: int = 0
    unreached: str = ""
    """Why no address of its PostgreSQL is known that is reachable from here; empty where `postgres` is one."""


@dataclass(frozen=True)
class StatisticsPage:
    """HAProxy's statistics page, and the backends in it to which the endpoints lead, each at least one."""

    url: str
    login: Login | None = None
    write_backends: tuple[str, ...] = ("write",)
    read_backends: tuple[str, ...] = ("read",)
    servers: Mapping[str, str] = field(default_factory=dict)
    """HAProxy's name of a server -> the member that it is, where it is not called as Patroni calls the member."""


@dataclass(frozen=True)
class RedisAddress:
    """A Redis server; `user` is None where the password alone lets in, as that of the default user."""

    address: Address
    password: str | None = field(default=None, repr=False)
    user: str | None = None


@dataclass(frozen=True)
class Topology:
    """The whole cluster, as its clients see it."""

    database: str
    application: Login
    """The application's role: it owns the schema, and is no superuser."""
    write: Address
    """The write endpoint: leads to the leader. Without a proxy, the database itself."""
    read: Address | None = None
    """The read endpoint: leads to the replicas."""
    administrator: Login | None = None
    """A superuser, where we have one: it looks and never leads clients."""
    members: tuple[MemberAddress, ...] = ()
    absent: tuple[MemberAddress, ...] = ()
    """Further members that were declared, and gave no sign of life when the run began: expected, and not there."""
    nodes: Mapping[str, Address] = field(default_factory=dict)
    """Citus node, as "host:port" in pg_dist_node -> where it is reached from here, where that is another address."""
    dcs: tuple[Address, ...] = ()
    """etcd's client addresses."""
    dcs_namespace: str = "/service"
    """Under which Patroni keeps the keys of this cluster, without a slash at the end."""
    scope: str = ""
    """Patroni's name of the cluster."""
    patroni_login: Login | None = None
    """With which Patroni's REST API takes orders; without one where it asks for none."""
    statistics: StatisticsPage | None = None
    redis: RedisAddress | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Further libpq parameters of every login, such as sslmode."""
    further_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Passwords that no client uses (of replication, of rewinding): they must not appear anywhere either."""
    profile: Profile = EXAMPLE
    """Which of the application's tables plays which part."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """What it has not, by capability (see capabilities.py), each with the reason. Settled once, before anything is
    judged: what a cluster has and then loses is a broken promise, not a missing capability."""
    expectations: Expectations = field(default_factory=Expectations)
    """What the user declares it to be."""
    timing: Timing = field(default_factory=Timing)
    """How long it may take for what it does by itself."""
    accepted_loss: AcceptedLoss = field(default_factory=AcceptedLoss)
    """How much of what was acknowledged may be lost in a failover."""
    sandbox: Path | None = None
    """The directory of the sandbox that the cluster lives on, when it is the embedded one."""

    @property
    def embedded(self) -> bool:
        return self.sandbox is not None

    @property
    def groups(self) -> tuple[int, ...]:
        """The numbers of its Citus groups, the coordinator's 0 first; (0,) where nothing is sharded."""
        return tuple(sorted({0, *(member.group for member in self.members)}))

    def save(self, path: Path) -> None:
        """Write it as JSON that only its owner can read: it holds passwords."""
        path.touch(mode=0o600)
        path.write_bytes(_ADAPTER.dump_json(self, indent=2))

    @staticmethod
    def load(path: Path) -> "Topology":
        return _ADAPTER.validate_json(path.read_bytes())


_ADAPTER = TypeAdapter(Topology)
