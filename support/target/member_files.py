"""The files of a member on its host, ours or a user's: Patroni's configuration, PostgreSQL's data and programs."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import yaml

from support.errors import NotAvailable
from support.files import write_private
from support.hosts import Host
from support.hosts.interface import Running, SiteHost
from support.hosts.processes import first_of
from support.hosts.remote import RemoteHost
from support.hosts.remote.files import RemoteFiles

DATA = "data"
"""The data directory of a member's PostgreSQL, in the directory of its host; of an embedded cluster."""
CONFIGURATION = "patroni.yml"
"""The configuration file of a member's Patroni there."""
_PASSWORDS = "accept.pgpass"
_LOGINS = ("superuser", "replication", "rewind")
_LOGIN_KEYS = (
    *("username", "password", "sslmode", "sslkey", "sslpassword", "sslcert", "sslrootcert", "sslcrl", "sslcrldir"),
    *("gssencmode", "channel_binding", "sslnegotiation"),
)
"""The keys of a login in Patroni's configuration (patroni/config.py, _AUTH_ALLOWED_PARAMETERS)."""
_CERTIFICATES = {"etcd3": "cert", "etcd": "cert", "consul": "cert", "zookeeper": "cert", "ctl": "certfile"}
"""Section of Patroni's configuration -> its key for the certificate that Patroni presents as a client."""


class MemberFiles(Protocol):
    """The files of one member."""

    def configuration(self) -> Mapping[str, Any]:
        """What Patroni was configured with: its own file, overruled by the variables with which it was started."""

    def read(self, file: str) -> bytes:
        """What is in a file on the host, by its whole path; nothing if there is none that may be read."""

    def change_configuration(self, changes: Mapping[str, Any]) -> None:
        """Change top-level keys of Patroni's own file, without a reload, until `restore_configuration`."""

    def restore_configuration(self) -> None:
        """Undo it. Harmless if nothing was changed."""

    def destroy_data(self) -> Sequence[Running]:
        """Take the data directory away at once and kill PostgreSQL; returns the processes that were killed."""

    def discard_destroyed(self) -> None:
        """Remove what is left of the old data. Harmless if there is nothing."""

    def run(self, program: str, *arguments: str, passwords: Sequence[str] = ()) -> None:
        """Run one of PostgreSQL's programs on the host, with lines of a password file. Raises ProcessFailed."""


def files_of(host: SiteHost) -> MemberFiles:
    """The files of the member on that host. Raises NotAvailable if the suite cannot reach them."""
    if isinstance(host, Host):
        return _EmbeddedFiles(host)
    if isinstance(host, RemoteHost):
        return _UsersFiles(host.files)
    raise NotAvailable(f"the files of {host.name} cannot be reached")


class _EmbeddedFiles:
    """In the host's directory."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._file, self._data = host.directory / CONFIGURATION, host.directory / DATA
        self._remains = host.directory / f"{DATA}.destroyed"
        self._before = ""

    def configuration(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = yaml.safe_load(self._file.read_text())
        return found

    def read(self, file: str) -> bytes:
        return Path(file).read_bytes() if Path(file).is_file() else b""

    def change_configuration(self, changes: Mapping[str, Any]) -> None:
        self._before = self._file.read_text()
        self._file.write_text(yaml.safe_dump({**yaml.safe_load(self._before), **changes}))

    def restore_configuration(self) -> None:
        if self._before:
            self._file.write_text(self._before)

    def destroy_data(self) -> Sequence[Running]:
        self._data.rename(self._remains)  # all at once: Patroni can start nothing from it
        killed = first_of(self._host.running(), "postgres")
        self._host.kill(killed)
        return killed

    def discard_destroyed(self) -> None:
        shutil.rmtree(self._remains, ignore_errors=True)

    def run(self, program: str, *arguments: str, passwords: Sequence[str] = ()) -> None:
        words = [str(Path(self.configuration()["postgresql"]["bin_dir"]) / program), *arguments]
        file = self._host.directory / _PASSWORDS
        try:
            if passwords:
                write_private(file, "".join(f"{line}\n" for line in passwords))
                words = ["env", f"PGPASSFILE={file}", *words]
            self._host.run(words)
        finally:
            file.unlink(missing_ok=True)


class _UsersFiles:
    """On a machine or in a container of the user's."""

    def __init__(self, files: RemoteFiles) -> None:
        self._files = files

    def configuration(self) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        with suppress(NotAvailable):
            found = yaml.safe_load(self._files.configuration()) or {}
        return overruled(found, self._files.environment())

    def read(self, file: str) -> bytes:
        return self._files.read(file).encode()

    def change_configuration(self, changes: Mapping[str, Any]) -> None:
        before = yaml.safe_load(self._files.configuration()) or {}
        self._files.edit(yaml.safe_dump({**before, **changes}, allow_unicode=True))

    def restore_configuration(self) -> None:
        self._files.restore()

    def destroy_data(self) -> Sequence[Running]:
        return self._files.destroy_data()

    def discard_destroyed(self) -> None:
        self._files.discard_destroyed()

    def run(self, program: str, *arguments: str, passwords: Sequence[str] = ()) -> None:
        self._files.run(program, *arguments, passwords=passwords)


def overruled(configured: Mapping[str, Any], variables: Mapping[str, str]) -> Mapping[str, Any]:
    """What a Patroni is configured with whose file says `configured` and that was started with these variables.

    Only what is asked for here: the logins of members to one another, and the certificates of Patroni as a client.
    """
    postgresql = dict(configured.get("postgresql") or {})
    logins = {name: dict(said or {}) for name, said in (postgresql.get("authentication") or {}).items()}
    for login in _LOGINS:
        for key in _LOGIN_KEYS:
            if value := variables.get(f"PATRONI_{login}_{key}".upper()):
                logins.setdefault(login, {})[key] = value
    certificates = {
        section: {**(configured.get(section) or {}), key: value}
        for section, key in _CERTIFICATES.items()
        if (value := variables.get(f"PATRONI_{section}_{key}".upper()))
    }
    return {**configured, **certificates, "postgresql": {**postgresql, "authentication": logins}}


def certificate_files(configured: Mapping[str, Any]) -> tuple[str, ...]:
    """The files of the certificates with which a member logs in to the DCS and to other members, each once.

    Only whole paths: what others are relative to is not known.
    """
    sections = {name: configured.get(name) or {} for name in _CERTIFICATES}
    logins = (configured.get("postgresql") or {}).get("authentication") or {}
    named = [
        *(sections[name].get(key) for name, key in _CERTIFICATES.items()),
        *((logins.get(login) or {}).get("sslcert") for login in _LOGINS),
    ]
    return tuple(dict.fromkeys(str(file) for file in named if file and str(file).startswith("/")))
