"""libpq's ways to say where a database is: connection URLs, PG* variables, service files and password files.

Only libpq interprets them: URLs are parsed by it, and what PG* variables, pg_service.conf and .pgpass add is asked of a
connection that it has made (`support/target/discovery/database.py`).
"""

import json
import os
import re
import socket
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from support import setting_files
from support.errors import UsageError
from support.vocabulary import suggestion

VARIABLES = frozenset(
    "PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGPASSFILE PGREQUIREAUTH PGCHANNELBINDING PGSERVICE "
    "PGSERVICEFILE PGSYSCONFDIR PGOPTIONS PGAPPNAME PGSSLMODE PGREQUIRESSL PGSSLNEGOTIATION PGSSLCOMPRESSION PGSSLCERT "
    "PGSSLKEY PGSSLCERTMODE PGSSLROOTCERT PGSSLCRL PGSSLCRLDIR PGSSLSNI PGREQUIREPEER PGSSLMINPROTOCOLVERSION "
    "PGSSLMAXPROTOCOLVERSION PGGSSENCMODE PGKRBSRVNAME PGGSSLIB PGGSSDELEGATION PGCONNECT_TIMEOUT PGCLIENTENCODING "
    "PGTARGETSESSIONATTRS PGLOADBALANCEHOSTS PGMINPROTOCOLVERSION PGMAXPROTOCOLVERSION PGDATESTYLE PGTZ PGGEQO".split()
)
"""The environment variables that change what libpq does."""
_IRREGULAR = {"application_name": "PGAPPNAME", "connect_timeout": "PGCONNECT_TIMEOUT"}
_FILES = {f"PG{name.upper()}": name for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile")}
_FILES |= dict.fromkeys(("PGSERVICEFILE", "PGSYSCONFDIR"), "passfile")
"""Variable with the path of a file or folder -> a parameter that is written likewise."""
NAMING = ("PGSERVICE", "PGHOST", "PGHOSTADDR")
"""The environment variables that say which database is meant."""
URL = "DATABASE_URL"
"""The variable in which many platforms give an application its database; for us too, if it is PostgreSQL's."""
SET_APART = "ACCEPT_LIBPQ"
"""Where the program keeps the PG* variables that it was started with."""
OF_HOSTS = frozenset({"hostaddr", "target_session_attrs", "load_balance_hosts"})
"""Parameters that say which of an endpoint's hosts a session is opened on; they suit no other endpoint."""
_SCHEMES = re.compile(r"postgres(ql)?(\+\w+)?://")
_DEFAULTS = {
    "sslmode": "prefer",
    "sslnegotiation": "postgres",
    "sslcompression": "0",
    "sslcertmode": "allow",
    "sslsni": "1",
    "ssl_min_protocol_version": "TLSv1.2",
    "channel_binding": "prefer",
    "gssencmode": "prefer",
    "krbsrvname": "postgres",
    "gssdelegation": "0",
    "target_session_attrs": "any",
    "load_balance_hosts": "disable",
}
"""What libpq does if nothing else is said; a connection tells these parameters, too."""
KEY_PASSWORD = "sslpassword"
"""The parameter with the password of the client's own key."""
TOLD = frozenset(
    {
        *_DEFAULTS,
        *OF_HOSTS,
        *("sslrootcert", "sslcert", "sslkey", KEY_PASSWORD, "sslcrl", "sslcrldir"),
        *("ssl_max_protocol_version", "require_auth", "requirepeer", "gsslib", "options"),
    }
)
"""The parameters of a login that every session of the suite has to have, too."""
_OWN_NAMES = {
    "dbname": "ruvector_db",
    "user": "ruvector_user",
    "password": "ruvector_password",
    "sslmode": "ruvector_sslmode",
    "sslrootcert": "ruvector_sslrootcert",
    "sslcert": "ruvector_sslcert",
    "sslkey": "ruvector_sslkey",
}
"""Parameter of libpq -> the setting that says the same."""


def variable_of(parameter: str) -> str | None:
    """libpq's environment variable for this parameter; None if there is none, as for keepalives."""
    name = _IRREGULAR.get(parameter, f"PG{parameter.replace('_', '').upper()}")
    return name if name in VARIABLES else None


def is_url(text: str) -> bool:
    """Whether that is the URL of a PostgreSQL, also one with a driver's name, as SQLAlchemy writes it."""
    return _SCHEMES.match(text) is not None


def parsed(conninfo: str, called: str) -> dict[str, str]:
    """The parameters in a URL, or in keyword=value form, as libpq understands them.

    Raises UsageError, whose message names the setting as `called`, and never contains a password.
    """
    import psycopg2  # not before a URL is there: `--help` is answered at once
    from psycopg2.extensions import parse_dsn

    if _SCHEMES.match(conninfo):
        conninfo = _SCHEMES.sub("postgresql://", conninfo, count=1)
    try:
        return dict(parse_dsn(conninfo))
    except psycopg2.ProgrammingError as error:
        why = " ".join(str(error).removeprefix("invalid dsn: ").replace(conninfo, "...").split())
        if "percent-encoded" in why:  # libpq quotes what may be the password
            why = "a % that stands for itself must be written %25"
        raise UsageError(
            f"{called}: {why}; write it like postgresql://user:password@host:5432/database, with libpq's parameters "
            "after a ?, such as sslmode"
        ) from None


def require_known(parameters: Collection[str], called: str) -> None:
    """Raises UsageError, which names the setting as `called`, for a name that is no parameter of libpq."""
    if not parameters:
        return
    import psycopg2
    from psycopg2.extensions import parse_dsn

    for name in parameters:
        try:
            known = parse_dsn(f"{name}=x") == {name: "x"}
        except psycopg2.ProgrammingError:
            known = False
        if not known:
            meant = suggestion(name, TOLD, otherwise="; the parameters of a connection are in libpq's documentation")
            raise UsageError(f"{called}: {name} is not a parameter of libpq{meant}")


def settings_of(conninfo: str, called: str) -> dict[str, Any]:
    """The settings that a URL stands for. Raises UsageError, as `parsed`."""
    parameters = parsed(conninfo, called)
    found: dict[str, Any] = {_OWN_NAMES[name]: parameters[name] for name in parameters.keys() & _OWN_NAMES.keys()}
    hosts, ports = parameters.get("host", "").split(","), parameters.get("port", "").split(",")
    if len(hosts) == 1 and len(ports) == 1:
        found |= {"ruvector_host": hosts[0]} if hosts[0] else {}
        found |= {"ruvector_port": _number(ports[0], called)} if ports[0] else {}
    else:
        found["ruvector_host"] = ",".join(_pairs(hosts, ports, called))
    further = parameters.keys() - _OWN_NAMES.keys() - {"host", "port"}
    return found | ({"ruvector_options": {name: parameters[name] for name in sorted(further)}} if further else {})


def _pairs(hosts: list[str], ports: list[str], called: str) -> Iterator[str]:
    """Each host with its port, if it has one."""
    if len(ports) not in (1, len(hosts)):
        raise UsageError(f"{called}: it has {len(hosts)} hosts and {len(ports)} ports")
    for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True):
        shown = f"[{host}]" if ":" in host else host
        yield f"{shown}:{_number(port, called)}" if port else shown


def _number(port: str, called: str) -> int:
    if port.isdecimal() and 1 <= int(port) <= 65535:
        return int(port)
    raise UsageError(
        f"{called}: {port!r} is not a port number; write it like postgresql://user:password@host:5432/database"
    )


def of_login(told: Mapping[str, str]) -> dict[str, str]:
    """What every session has to say, of the parameters that a connection tells: those that are not libpq's defaults."""
    wanted = {name: value for name, value in told.items() if name in TOLD and value}
    # without GSSAPI, libpq tells that it is disabled; whether a certificate is sent, it decides by itself
    return {name: value for name, value in wanted.items() if value != _DEFAULTS.get(name) and name != "gssencmode"}


def given(environment: Mapping[str, str]) -> dict[str, str]:
    """The PG* variables that are set, also those that the program has set apart."""
    apart: dict[str, str] = json.loads(environment.get(SET_APART) or "{}")
    found = {name: environment[name] for name in sorted(VARIABLES) if environment.get(name)}
    files = {name: setting_files.parameter(_FILES[name], found[name]) for name in found.keys() & _FILES.keys()}
    return apart | found | files


def set_apart(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep the PG* variables elsewhere, so that they change no connection but the user's own.

    In the environment they would lead the logins to single members and to embedded clusters elsewhere, too.
    """
    if found := given(environment):
        environment[SET_APART] = json.dumps(found)
    for name in VARIABLES & environment.keys():
        del environment[name]


@contextmanager
def variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """PG* variables for the connections of this block; those of the environment do not count meanwhile."""
    before = {name: os.environ.pop(name) for name in VARIABLES & os.environ.keys()}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in wanted:
            os.environ.pop(name, None)
        os.environ.update(before)


def never_in_clear_text(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a login, with a require_auth that refuses a server that asks for the password itself.

    Of the methods that the user requires or rules out, the others stay as they are.
    """
    said = [one.strip() for one in parameters.get("require_auth", "").split(",") if one.strip()]
    methods = [one for one in said if one not in ("password", "!password")]
    if all(one.startswith("!") for one in methods):  # libpq allows no list with both kinds
        methods.append("!password")
    return {**parameters, "require_auth": ",".join(methods)}


def is_socket(host: str) -> bool:
    """Whether libpq takes it for the folder of a Unix socket."""
    return host.startswith(("/", "@"))


def stream_to(host: str, port: int, timeout: float) -> socket.socket:
    """A bare connection to where libpq would connect to. Raises OSError; `timeout` is in seconds."""
    if not is_socket(host):
        return socket.create_connection((host, port), timeout=timeout)
    path = f"{host}/.s.PGSQL.{port}"
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.settimeout(timeout)
        stream.connect(f"\0{path[1:]}" if host.startswith("@") else path)
    except BaseException:
        stream.close()
        raise
    return stream
