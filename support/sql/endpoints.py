"""Endpoints: a database to log in to, with a login."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from support import libpq


@dataclass(frozen=True)
class Endpoint:
    """A database to log in to, with a login. `name` is its name in messages ("the write endpoint").

    `host` may be the folder of a Unix socket.
    """

    name: str
    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    """Further libpq parameters, such as sslmode."""
    further: Sequence[tuple[str, int]] = ()
    """Further hosts and ports: libpq tries them in turn, as `target_session_attrs` says."""
    session_pooling: bool = False
    """Whether a pooler there is known to give each session its own backend, and to reset it afterwards. Behind any
    other pooler, session settings would leak to its other clients. A server needs no such mark: each login shows it."""

    def as_user(self, user: str, password: str) -> "Endpoint":
        return replace(self, user=user, password=password)

    def at(self, name: str, host: str, port: int) -> "Endpoint":
        """This login at one host, whatever state its server is in."""
        options = {name: value for name, value in self.options.items() if name not in libpq.OF_HOSTS}
        return replace(self, name=name, host=host, port=port, options=options, further=(), session_pooling=False)

    @property
    def hosts(self) -> tuple[tuple[str, int], ...]:
        """Every host and port."""
        return ((self.host, self.port), *((host, port) for host, port in self.further))

    @property
    def each(self) -> "tuple[Endpoint, ...]":
        """One endpoint for each of the hosts."""
        if not self.further:
            return (self,)
        at = self.options.get("hostaddr", "").split(",")
        addresses = at if len(at) == len(self.hosts) else [""] * len(self.hosts)
        alone = [
            (replace(self.at(self.name, *place), session_pooling=self.session_pooling), one)
            for place, one in zip(self.hosts, addresses, strict=True)
        ]
        return tuple(replace(one, options={**one.options, "hostaddr": ip} if ip else one.options) for one, ip in alone)

    @property
    def where(self) -> str:
        """Its hosts and ports, for messages."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)

    @property
    def hosts_and_ports(self) -> tuple[str, str]:
        """As libpq writes them."""
        return ",".join(host for host, _ in self.hosts), ",".join(str(port) for _, port in self.hosts)

    def __str__(self) -> str:
        return f"{self.name} ({self.where}/{self.database} as {self.user})"


def login_variables(endpoint: Endpoint, application: str) -> dict[str, str]:
    """The environment with which libpq's programs log in there; `application` is their default application_name.

    Parameters for which libpq has no variable are left out.
    """
    hosts, ports = endpoint.hosts_and_ports
    return {
        "PGHOST": hosts,
        "PGPORT": ports,
        "PGDATABASE": endpoint.database,
        "PGUSER": endpoint.user,
        "PGPASSWORD": endpoint.password,
        "PGAPPNAME": application,
        **{name: value for option, value in endpoint.options.items() if (name := libpq.variable_of(option))},
    }
