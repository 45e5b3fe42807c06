"""The worst that can happen to hosts: their data is destroyed, or all of them are gone at once."""

import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.faults.process import PostgresKilled
from support.hosts import Host
from support.waiting import NotYet

DATA = "data"
"""The data directory of a member's PostgreSQL, within the directory of its host."""


class DataDestroyed:
    """A member's PostgreSQL is killed and its data directory is gone; its Patroni lives on beside it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._data: Path = host.directory / DATA
        self._remains = self._data.with_name(f"{DATA}.destroyed")
        self._killed = PostgresKilled(host)

    def __str__(self) -> str:
        return f"the data directory of {self.host.name} is destroyed"

    def inject(self) -> None:
        self._data.rename(self._remains)  # all at once: Patroni can start nothing from it
        self._killed.inject()

    def require_bitten(self) -> None:
        self._killed.require_bitten()

    def cure(self) -> None:
        """Patroni makes a new copy by itself, that is the promise under test; what is left of the old one goes."""
        shutil.rmtree(self._remains, ignore_errors=True)


class EveryHostCrashes:
    """All hosts lose their power at once; their disks are as that left them."""

    def __init__(self, hosts: Collection[Host]) -> None:
        self._hosts = hosts

    def __str__(self) -> str:
        return f"the hosts {', '.join(host.name for host in self._hosts)} crash at once"

    def inject(self) -> None:
        with ThreadPoolExecutor(len(self._hosts)) as each:
            list(each.map(Host.power_off, self._hosts))

    def require_bitten(self) -> None:
        if on := [host.name for host in self._hosts if host.powered]:
            raise NotYet(f"on are {', '.join(on)}")

    def cure(self) -> None:
        for host in self._hosts:
            host.power_on()
