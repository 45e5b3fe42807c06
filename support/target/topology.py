"""The topology: what the cluster under test consists of, and where each part is reached. Plain facts, kept as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from support.example_app.known_profiles import EXAMPLE
from support.example_app.profile import Profile
from support.expectations import AcceptedLoss, Expectations
from support.files import write_private
from support.hosts.remote import HostAccess
from support.libpq import KEY_PASSWORD
from support.sql import Endpoint
from support.target.timing import Timing


@dataclass(frozen=True)
class Login:
    """A name and its password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Address:
    """A host and port where something listens; for a Unix socket of PostgreSQL, `host` is its folder."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class WebAccess:
    """How a component is asked by HTTP, with TLS or without."""

    scheme: Literal["http", "https"] = "http"
    authority: str = ""
    """The file of the authority that signed its certificate; empty for those that the system trusts."""
    certificate: str = ""
    key: str = ""
    """The files of the client's own certificate and its key, if it needs one."""

    @property
    def options(self) -> dict[str, Any]:
        """The access as arguments of a request."""
        return {"verify": self.authority or True, "cert": (self.certificate, self.key) if self.certificate else None}


PLAIN = WebAccess()


@dataclass(frozen=True)
class MemberAddress:
    """One member (Patroni + PostgreSQL), at the addresses where it is reached from here.

    `group` is its Citus group; 0 is the coordinator's, or the only one.
    """

    name: str
    postgres: Address
    rest: Address | None = None
    group: int = 0
    unreached: str = ""
    """Why its PostgreSQL cannot be reached from here; empty if it can, at `postgres`."""


@dataclass(frozen=True)
class StatisticsPage:
    """HAProxy's statistics page, and the backends behind each endpoint; empty without that endpoint."""

    url: str
    login: Login | None = None
    write_backends: tuple[str, ...] = ("write",)
    read_backends: tuple[str, ...] = ("read",)
    servers: Mapping[str, str] = field(default_factory=dict)
    """HAProxy's name of a server -> its member, if Patroni's name for that member differs. The key is `backend/server`
    if a server name means different members in different backends."""
    authority: str = ""
    """The file of the authority that signed the page's certificate, if the system does not trust it."""

    def member(self, backend: str, server: str) -> str:
        """The member behind a server; the server's own name if no other name is known for it."""
        return self.servers.get(f"{backend}/{server}", self.servers.get(server, server))


@dataclass(frozen=True)
class RedisTls:
    """TLS with Redis; each is a file in PEM form. Without `authorities`, those that the system trusts are."""

    authorities: str | None = None
    certificate: str | None = None
    key: str | None = None
    any_host: bool = False
    """Whether the certificate may be another host's: a relay's clients connect to the relay."""


RedisMode = Literal["standalone", "sentinel", "cluster"]


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is, and how it is run; `user` is None for the default user, who needs a password only."""

    address: Address
    """The server; with Sentinel, the first Sentinel; of a Redis Cluster, the first node to ask for the others."""
    password: str | None = field(default=None, repr=False)
    user: str | None = None
    database: int = 0
    tls: RedisTls | None = None
    mode: RedisMode = "standalone"
    further: tuple[Address, ...] = ()
    """The other Sentinels, or nodes."""
    service: str = ""
    """The name by which the Sentinels know the master."""
    sentinel_login: Login | None = None

    @property
    def addresses(self) -> tuple[Address, ...]:
        return (self.address, *self.further)


@dataclass(frozen=True)
class Topology:
    """The whole cluster, as its clients see it."""

    database: str
    application: Login
    """The application's role: it owns the schema, and is not a superuser."""
    write: Address
    """The write endpoint: leads to the leader. Without a proxy, the database itself."""
    read: Address | None = None
    """The read endpoint: leads to the replicas."""
    further_write: tuple[Address, ...] = ()
    """Further hosts of the write endpoint, if it is not a proxy: libpq finds the leader among them."""
    further_read: tuple[Address, ...] = ()
    write_options: Mapping[str, str] = field(default_factory=dict)
    """libpq's parameters that choose among the hosts of the write endpoint, such as target_session_attrs."""
    read_options: Mapping[str, str] = field(default_factory=dict)
    session_pooling: tuple[Literal["write", "read"], ...] = ()
    """The endpoints behind a pooler that is known to give each session a backend of its own, and to reset it."""
    administrator: Login | None = None
    """A superuser, where one is known: for inspection only, never for clients."""
    members: tuple[MemberAddress, ...] = ()
    absent: tuple[MemberAddress, ...] = ()
    """Further members that were declared, and did not answer when the run began: expected, and missing."""
    advertised: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Member -> the hosts by which the other members reach its PostgreSQL and its REST API, as names or addresses."""
    nodes: Mapping[str, Address] = field(default_factory=dict)
    """Citus node, as "host:port" in pg_dist_node -> where it is reached from here, where that is another address."""
    dcs: tuple[Address, ...] = ()
    """etcd's client addresses, where the DCS is etcd."""
    dcs_access: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The section of the DCS in Patroni's configuration, by its name; empty for etcd that needs only its addresses."""
    dcs_namespace: str = "/service"
    """The prefix of the keys in which Patroni keeps this cluster, without a slash at the end."""
    scope: str = ""
    """Patroni's name of the cluster."""
    patroni_login: Login | None = None
    """The login with which Patroni's REST API accepts commands; None where it asks for none."""
    patroni_access: WebAccess = PLAIN
    """How the members' REST APIs are asked."""
    statistics: StatisticsPage | None = None
    redis: RedisAddress | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Further libpq parameters of every login, such as sslmode."""
    further_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Passwords that no client uses (for replication, pg_rewind): they must not appear in reports, either."""
    profile: Profile = EXAMPLE
    """Which of the application's tables plays which part."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Missing capability (see capabilities.py) -> the reason. Decided once, before anything is judged: losing one
    later is a broken promise, not a missing capability."""
    expectations: Expectations = field(default_factory=Expectations)
    """What the user declares the cluster to be."""
    timing: Timing = field(default_factory=Timing)
    """How long its own reactions may take."""
    accepted_loss: Mapping[int, AcceptedLoss] = field(default_factory=dict)
    """Group -> how many acknowledged writes its failover may lose; a group that must not lose any is left out."""
    delays: Mapping[str, str] = field(default_factory=dict)
    """Member -> by how long it replays late on purpose (recovery_min_apply_delay), such as "1h"; only such members."""
    hosts: Mapping[str, HostAccess] = field(default_factory=dict)
    """A user's hosts by name, if any were given; members' hosts have the members' names."""
    sandbox: Path | None = None
    """The directory of the sandbox in which the cluster runs, if it is the embedded one."""
    annex: bool = False
    """Whether it is a second, smaller cluster in that sandbox."""
    tls_bindir: Path | None = None
    """The programs of a PostgreSQL with OpenSSL, where the embedded cluster's own was built without it: scenarios about
    TLS run on a cluster of that one (see support/embedded/encrypted.py)."""

    @property
    def write_hosts(self) -> tuple[Address, ...]:
        """Every host of the write endpoint; one, if it is a proxy."""
        return (self.write, *self.further_write)

    @property
    def read_hosts(self) -> tuple[Address, ...]:
        """Every host of the read endpoint; none, if there is none."""
        return (self.read, *self.further_read) if self.read else ()

    @property
    def called(self) -> str:
        """The write endpoint's hosts and ports, by which users and files know the target."""
        return ",".join(map(str, self.write_hosts))

    def endpoint(self, which: Literal["write", "read"], login: Login) -> Endpoint:
        """The write or the read endpoint. Raises LookupError if there is no read endpoint."""
        hosts, options = (
            (self.write_hosts, self.write_options) if which == "write" else (self.read_hosts, self.read_options)
        )
        if not hosts:
            raise LookupError("the target has no read endpoint")
        alone = self.endpoint_at(f"the {which} endpoint", hosts[0], login)
        further = tuple((one.host, one.port) for one in hosts[1:])
        pooling = which in self.session_pooling
        return replace(alone, options={**self.options, **options}, further=further, session_pooling=pooling)

    def endpoint_at(self, name: str, address: Address, login: Login) -> Endpoint:
        """A login at one address."""
        return Endpoint(name, address.host, address.port, self.database, login.user, login.password, self.options)

    @property
    def embedded(self) -> bool:
        return self.sandbox is not None

    @property
    def reaches_hosts(self) -> bool:
        """Whether the suite reaches into any host of the cluster."""
        return self.embedded or bool(self.hosts)

    @property
    def groups(self) -> tuple[int, ...]:
        """The numbers of its Citus groups, the coordinator's 0 first; (0,) where nothing is sharded."""
        return tuple(sorted({0, *(member.group for member in self.members)}))

    @property
    def secrets(self) -> list[str]:
        """Every password that the suite knows; none of them may appear in a report.

        A password that is also a name (user admin with password admin) is left out: redaction would hide the name, too.
        """
        dcs = [login.password for login in _logins_within(self.dcs_access)]
        keys = [one.get(KEY_PASSWORD, "") for one in (self.options, self.write_options, self.read_options)]
        passwords = (*(login.password for login in self._logins), *dcs, *keys, *self.further_secrets)
        return [password for password in passwords if password and password not in self.public_names]

    @property
    def public_names(self) -> set[str]:
        """The names of the database, of Patroni's scope, and of every user that the suite logs in as."""
        logins = (*self._logins, *_logins_within(self.dcs_access))
        return {self.database, self.scope, *(login.user for login in logins)}

    @property
    def _logins(self) -> list[Login]:
        """All but those to the DCS."""
        page = self.statistics.login if self.statistics else None
        found = [self.application, self.administrator, self.patroni_login, page]
        if self.redis:
            found += [Login(self.redis.user or "default", self.redis.password or ""), self.redis.sentinel_login]
        return [login for login in found if login]

    def save(self, path: Path) -> None:
        """Write it in one step, as JSON that only its owner can read: it holds passwords. Raises OSError."""
        write_private(path, _ADAPTER.dump_json(self, indent=2))

    @staticmethod
    def load(path: Path) -> "Topology":
        return _ADAPTER.validate_json(path.read_bytes())


def _logins_within(section: Mapping[str, Any]) -> Iterator[Login]:
    """The user names, passwords and tokens in a section of Patroni's configuration; what has no other half alone."""
    for name, value in section.items():
        if name == "auth_data" and isinstance(value, Mapping):  # ZooKeeper's: scheme -> login
            for login in value.values():
                user, _, password = str(login).rpartition(":")
                yield Login(user, password)
        elif isinstance(value, Mapping):
            yield from _logins_within(value)
        elif name == "username":
            yield Login(str(value), "")
        elif name in ("password", "token", "key_password"):
            yield Login("", str(value))
        elif name in ("url", "proxy"):
            url = urlsplit(str(value))
            yield Login(url.username or "", url.password or "")


_ADAPTER = TypeAdapter(Topology)
