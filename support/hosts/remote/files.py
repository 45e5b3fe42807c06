"""The files of a member on a user's host: Patroni's configuration and PostgreSQL's data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from support.errors import NotAvailable, ProcessFailed
from support.hosts.interface import Running
from support.hosts.remote.clients import HostFailed, HostRefused
from support.hosts.remote.guards import HostFault
from support.hosts.remote.processes import first_process, servers
from support.waiting import NotYet, eventually

if TYPE_CHECKING:
    from support.hosts.remote.machines import RemoteHost

_COPIED_WITHIN = 240.0
"""Seconds until a member has copied all data anew; a little less than a fault may last."""
_READS_WITHIN = 60.0
_MEASURED_WITHIN = 600.0
"""Seconds to measure a data directory, which may have very many files, none of them in memory."""
_UNREADY = "does not stream yet"  # words of the script


class RemoteFiles:
    """The files of one member. A change to them is a fault: it is undone whatever becomes of the suite."""

    def __init__(self, host: "RemoteHost") -> None:
        self._host = host
        self._edited: HostFault | None = None
        self._destroyed: HostFault | None = None

    def configuration(self) -> str:
        """The text of the configuration file of Patroni. Raises NotAvailable if it is not known."""
        return self._host.reach.run("cat", self._file)

    def read(self, file: str) -> str:
        """The text of a file, by its whole path; empty if there is none that may be read."""
        return self._host.reach.run("sh", "-c", 'if [ -r "$1" ]; then cat "$1"; fi', "sh", file)

    def environment(self) -> dict[str, str]:
        """The variables with which Patroni was started; they overrule its file. Raises NotAvailable."""
        patroni = self._patroni
        try:
            said = self._host.reach.run("sh", "-c", f"tr '\\0' '\\n' < /proc/{patroni.pid}/environ") if patroni else ""
        except HostFailed as error:
            raise NotAvailable(f"the variables of Patroni on {self._host.name} cannot be read: {error}") from error
        return {name: value for name, sign, value in (line.partition("=") for line in said.splitlines()) if sign}

    def edit(self, text: str) -> None:
        """Replace the contents of Patroni's file, without a reload, until `restore`."""
        patroni = self._patroni
        if patroni is None:
            raise NotAvailable(f"no Patroni runs on {self._host.name}")
        who = f"{patroni.pid}:{patroni.started}"
        self._edited = self._host.inject("edit", self._file, who, text, shown=["edit", self._file])

    def restore(self) -> None:
        """Undo `edit`; Patroni reads the old contents. Harmless if there was none."""
        if self._edited is not None:
            self._host.heal(self._edited)

    def destroy_data(self) -> Sequence[Running]:
        """Take the data directory away and kill PostgreSQL; returns what was killed.

        On the host it is kept aside until another one works. Raises HostRefused if there is no room for that.
        """
        if why := self._host.reach.run("cramped", self._data, within=_MEASURED_WITHIN).strip():
            raise HostRefused(f"{self._host.reach.told}: {why}")
        first = servers(self._host.running(), self._host.access.scope)
        killed = [one for one in self._host.running() if one.pid in {root.pid for root in first}]
        where = [f"{one.pid}:{one.started}" for one in killed]
        self._destroyed = self._host.inject("destroy", self._data, *where)
        return killed

    def discard_destroyed(self) -> None:
        """Remove what was kept of the old data, as soon as the member streams from a new copy.

        Harmless if there is none. Raises ProcessFailed, which says where it is, if the member does not.
        """
        fault = self._destroyed
        if fault is None:
            return

        def heal() -> None:
            try:
                self._host.heal(fault)
            except ProcessFailed as error:
                if _UNREADY not in str(error):
                    raise
                raise NotYet(str(error)) from error

        try:
            eventually(heal, within=_COPIED_WITHIN, subject="the member works with a new copy of the data", pause=1.0)
        except AssertionError as error:
            raise ProcessFailed(str(error)) from error

    def run(self, program: str, *arguments: str, passwords: Sequence[str] = ()) -> str:
        """Run one of PostgreSQL's programs there, with lines of a password file; returns what it said.

        It finds what Patroni's finds by HOME and by variables of libpq: certificates, a key, a password file.

        Raises ProcessFailed, NotAvailable if the program is not there.
        """
        binaries = self._host.access.binaries
        words = (f"{binaries}/{program}" if binaries else program, *arguments)
        try:
            self._host.reach.run("command", "-v", words[0])
        except HostRefused:
            raise NotAvailable(f"there is no {words[0]} on {self._host.name}") from None
        lines = "".join(f"{line}\n" for line in passwords)
        like = {"LIKE": str(patroni.pid)} if (patroni := self._patroni) else {}
        return self._host.reach.run("with_passwords", lines, *words, within=_READS_WITHIN, variables=like)

    @property
    def _patroni(self) -> Running | None:
        return first_process("patroni", self._host.trees().get("patroni", ()))

    @property
    def _file(self) -> str:
        return self._known(self._host.access.configuration, "the configuration file of Patroni")

    @property
    def _data(self) -> str:
        return self._known(self._host.access.data, "the data directory")

    def _known(self, place: str, what: str) -> str:
        if not place:
            raise NotAvailable(f"{what} of {self._host.name} is not known, or cannot be changed")
        return place
