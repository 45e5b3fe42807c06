"""The database as libpq finds it: its hosts, the login and the parameters, from our settings and libpq's own.

What our settings leave open is left to libpq, as in every program that uses it: to PG* variables, pg_service.conf and
.pgpass. A connection then tells what libpq made of all that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from support import libpq, setting_files, sql
from support.errors import ConnectFailed, TargetUnreachable, UsageError
from support.settings import Settings
from support.target.discovery.addresses import POSTGRES, parsed
from support.target.topology import Address, Login

# What libpq says -> what the user should check. The first match counts.
_ADVICE = {
    "requested a cleartext password": (
        "it asks for the password in clear text (as with LDAP and PAM), which is sent only to a port that you name: "
        "give host:port, best with RUVECTOR_SSLMODE=verify-full"
    ),
    "authentication failed": "the password or the role is wrong: check RUVECTOR_USER and RUVECTOR_PASSWORD",
    "no password supplied": "the server asks for a password: set RUVECTOR_PASSWORD",
    "session is read-only": "none of the hosts takes writes: name the leader's host, too",
    "server is in hot standby": "none of the hosts takes writes: name the leader's host, too",
    "definition of service": "check PGSERVICE, and the service file (PGSERVICEFILE, ~/.pg_service.conf)",
    "service file": "check PGSERVICEFILE",
    "admin console": "name the application's database in RUVECTOR_DB",
    "unsupported startup parameter": "PgBouncer refuses it: leave it out of the options, or have PgBouncer pass it on",
    "no such database": "PgBouncer has no database of that name: check RUVECTOR_DB, and PgBouncer's [databases]",
    "does not exist": "check RUVECTOR_DB and RUVECTOR_USER",
    "could not translate host name": "that host name cannot be resolved here: check RUVECTOR_HOST",
    "connection refused": "nothing listens there: check RUVECTOR_HOST and RUVECTOR_PORT (or HAPROXY_PRIMARY_PORT)",
    "no such file or directory": "there is no such socket: check RUVECTOR_HOST and RUVECTOR_PORT",
    "timeout expired": "it does not answer: check RUVECTOR_HOST, RUVECTOR_PORT and the firewalls in between",
    "no pg_hba.conf entry": "the server's pg_hba.conf refuses this login: check RUVECTOR_USER and RUVECTOR_SSLMODE",
    "does not support ssl": "the server offers no TLS: check RUVECTOR_SSLMODE",
    "certificate": "the certificate was rejected: check RUVECTOR_SSLMODE and RUVECTOR_SSLROOTCERT",
}
_WRITES = ("read-write", "primary")
_READ_URL = "RUVECTOR_READ_URL"
_SERVICE_FILES = frozenset({"PGSERVICEFILE", "PGSYSCONFDIR", "PGPASSFILE"})
"""The variables that say where services and passwords are looked up, for either endpoint."""
LOCAL = "localhost"


@dataclass(frozen=True)
class Database:
    """The endpoints, and the login for all of them."""

    name: str
    login: Login
    options: Mapping[str, str]
    """The parameters of every session, such as sslmode."""
    write: tuple[Address, ...]
    write_options: Mapping[str, str]
    read: tuple[Address, ...] = ()
    read_options: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = (LOCAL,)
    """Where the parts may be that the user gave no address of."""


def find(settings: Settings) -> Database:
    """Log in through the write endpoint, and see where that was.

    Raises TargetUnreachable where the login is refused, UsageError where the settings contradict one another.
    """
    said = _said(settings)
    defaults = {"PGUSER": settings.ruvector_user, "PGDATABASE": settings.ruvector_db}
    if "PGHOSTADDR" not in settings.accept_libpq and not said.get("hostaddr"):
        defaults["PGHOST"] = LOCAL
    try:
        with libpq.variables({**defaults, **settings.accept_libpq}):
            told, password = sql.effective(f"the write endpoint ({_where(said, settings)})", said)
    except ConnectFailed as error:
        raise TargetUnreachable(f"{error}: {advice(str(error))}") from None
    write = _addresses(told)
    options, login = libpq.of_login(told), Login(told["user"], password)
    of_hosts = {name: options.pop(name) for name in libpq.OF_HOSTS & options.keys()}
    if len(write) > 1 and of_hosts.get("target_session_attrs") not in _WRITES:
        raise UsageError(
            f"the write endpoint has {len(write)} hosts, and target_session_attrs="
            f"{of_hosts.get('target_session_attrs', 'any')} may lead to a replica; add target_session_attrs=read-write "
            "to the URL, or to RUVECTOR_OPTIONS"
        )
    read, read_options = _read(settings, write, login, told["dbname"], options)
    own = [one.host for one in (_direct(settings) or write) if not libpq.is_socket(one.host)]
    return Database(told["dbname"], login, options, write, of_hosts, read, read_options, tuple(own) or (LOCAL,))


def hosts_given(settings: Settings) -> list[str]:
    """The hosts of the database by the settings alone: without a login, and so perhaps not all that libpq knows."""
    told = _said(settings).get("host") or settings.accept_libpq.get("PGHOST") or LOCAL
    given = [one.host for one in _direct(settings)] or told.split(",")
    return [one for one in given if not libpq.is_socket(one)]


def advice(message: str) -> str:
    """What the user should check when a login fails with that message."""
    said = message.lower()
    return next((advice for sign, advice in _ADVICE.items() if sign in said), "check the RUVECTOR_* settings")


def _where(said: Mapping[str, str], settings: Settings) -> str:
    """The endpoint as far as it is known before libpq has logged in, for messages."""
    known = {name.removeprefix("PG").lower(): value for name, value in settings.accept_libpq.items()}
    if service := said.get("service", known.get("service", "")):
        return f"service {service}"
    hosts = (said.get("host") or known.get("host") or LOCAL).split(",")
    ports = (said.get("port") or known.get("port") or str(POSTGRES)).split(",")
    each = ports * len(hosts) if len(ports) == 1 else [*ports, *[""] * len(hosts)]
    where = ",".join(f"{host}:{port or POSTGRES}" for host, port in zip(hosts, each, strict=False))
    name = said.get("dbname") or known.get("database") or settings.ruvector_db
    return f"{where}/{name} as {said.get('user') or known.get('user') or settings.ruvector_user}"


def _said(settings: Settings) -> dict[str, str]:
    """The parameters that our settings give; not those that have the defaults."""
    named = settings.model_fields_set
    given: dict[str, str | SecretStr | None] = {
        "dbname": settings.ruvector_db if "ruvector_db" in named else None,
        "user": settings.ruvector_user if "ruvector_user" in named else None,
        "password": settings.ruvector_password,
        "sslmode": settings.ruvector_sslmode,
        "sslrootcert": settings.ruvector_sslrootcert,
        "sslcert": settings.ruvector_sslcert,
        "sslkey": settings.ruvector_sslkey,
    }
    found = dict(settings.ruvector_options)
    for name, value in given.items():
        if value is not None:
            found[name] = value.get_secret_value() if isinstance(value, SecretStr) else value
    if places := _write_places(settings):
        found = {"hostaddr": "", **found, "host": ",".join(host for host, _ in places)}
        if any(port for _, port in places):
            found["port"] = ",".join(str(port or "") for _, port in places)
    elif port := settings.haproxy_primary_port or (settings.ruvector_port if "ruvector_port" in named else None):
        found["port"] = str(port)
    return found


def _write_places(settings: Settings) -> list[tuple[str, int]]:
    """Host and port of the write endpoint, as far as they are given; the port may be 0, the host may not."""
    if (settings.haproxy_host or settings.haproxy_replica_host) and not (
        settings.haproxy_primary_port or settings.haproxy_replica_port
    ):
        said = "HAPROXY_HOST" if settings.haproxy_host else "HAPROXY_REPLICA_HOST"
        raise UsageError(
            f"{said} says on which host HAProxy listens; give its ports, too: HAPROXY_PRIMARY_PORT, "
            "HAPROXY_REPLICA_PORT"
        )
    direct = _direct(settings)
    if settings.haproxy_primary_port:
        host = _plain(settings.haproxy_host) or (direct[0].host if direct else "")
        return [(host, settings.haproxy_primary_port)] if host else []
    return [(one.host, one.port) for one in direct]


def _direct(settings: Settings) -> list[Address]:
    """The database's own hosts, as they are given; port 0 where none is."""
    port = settings.ruvector_port if "ruvector_port" in settings.model_fields_set else 0
    told = settings.citus_coordinator or settings.ruvector_host or ""
    return [parsed(one.strip(), port) for one in told.split(",") if one.strip()]


def _read(
    settings: Settings, write: Sequence[Address], login: Login, database: str, options: Mapping[str, str]
) -> tuple[tuple[Address, ...], Mapping[str, str]]:
    """The hosts of the read endpoint, and the parameters that choose among them. `options` are those of every login."""
    port, host = settings.haproxy_replica_port, _plain(settings.haproxy_replica_host) or _plain(settings.haproxy_host)
    if settings.ruvector_read_url is None:
        direct = _direct(settings)
        return ((Address(host or (direct[0].host if direct else write[0].host), port),) if port else ()), {}
    if port:
        raise UsageError(f"{_READ_URL} and HAPROXY_REPLICA_PORT both say where the read endpoint is: give one of them")
    said = setting_files.of_libpq(libpq.parsed(settings.ruvector_read_url.get_secret_value(), _READ_URL))
    if "service" in said:
        known = sql.Endpoint("", LOCAL, POSTGRES, database, login.user, login.password, options)
        said = _with_service(said, known, settings.accept_libpq)
    for what, given, other in (("user", said.get("user"), login.user), ("dbname", said.get("dbname"), database)):
        if given not in (None, other):
            raise UsageError(
                f"{_READ_URL} has the {what} {given}, and the write endpoint {other}: the suite uses one login for both"
            )
    if said.get("password", login.password) != login.password:
        raise UsageError(f"{_READ_URL} has a different password: the suite uses one login for both")
    chosen = {name: said[name] for name in said.keys() - {"user", "dbname", "password", "host", "port"}}
    return _addresses({"host": LOCAL, **said}), chosen


def _with_service(said: Mapping[str, str], known: sql.Endpoint, variables: Mapping[str, str]) -> dict[str, str]:
    """The parameters in a URL, completed by those of the service that it names: a login tells what libpq made of it.

    What neither says is as in the `known` login. Raises TargetUnreachable where there is no such service, or the login
    is refused.
    """
    files = {name: value for name, value in variables.items() if name in _SERVICE_FILES}
    try:
        with libpq.variables({**sql.login_variables(known, "accept"), **files}):
            told, password = sql.effective(f"{_READ_URL} (service {said['service']})", said)
    except ConnectFailed as error:
        raise TargetUnreachable(f"{error}: {advice(str(error))}") from None
    place: dict[str, str] = {name: told[name] for name in ("user", "dbname", "host", "port") if name in told}
    return {**place, "password": password, **libpq.of_login(told)}


def _addresses(told: Mapping[str, str]) -> tuple[Address, ...]:
    """The hosts and ports in libpq's parameters."""
    hosts = (told.get("host") or told.get("hostaddr") or LOCAL).split(",")
    ports = told.get("port", "").split(",")
    if len(ports) not in (1, len(hosts)):
        raise UsageError(f"{_READ_URL} has {len(hosts)} hosts and {len(ports)} ports")
    each = ports * len(hosts) if len(ports) == 1 else ports
    if wrong := [port for port in each if port and not (port.isdecimal() and 1 <= int(port) <= 65535)]:
        raise UsageError(f"{_READ_URL}: {wrong[0]!r} is not a port number")
    return tuple(Address(host, int(port or POSTGRES)) for host, port in zip(hosts, each, strict=True))


def _plain(host: str | None) -> str:
    """A host without the brackets of an IPv6 address."""
    return (host or "").strip("[]")
