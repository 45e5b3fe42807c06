"""Containers as hosts: what stops one as a whole is its engine's work, the rest is done to the processes inside."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from support.errors import NotAvailable
from support.hosts.interface import Clock, Log, Running
from support.hosts.remote.access import HostAccess, ProgramAccess
from support.hosts.remote.clients import HostUnreached
from support.hosts.remote.containers import Container, EngineLog
from support.hosts.remote.guards import Guards, HostFault
from support.hosts.remote.machines import RemoteHost, identities
from support.hosts.remote.reach import Reach, Sent

_STARTS_WITHIN = 60.0  # seconds
FIRST = 1
"""The id of a container's first process, inside. The kernel spares it every signal from there."""


class ContainerHost(RemoteHost):
    """A container of the user's that is one of the cluster's hosts."""

    def __init__(
        self, name: str, access: HostAccess, guards: Guards, note: Callable[[Sent], None], container: Container
    ) -> None:
        self.container = container
        super().__init__(name, access, guards, note)

    def _way(self) -> Reach:
        access = self.access
        way = Reach.inside(self.container, access.reach, access.without_shell, access.privileged)
        return replace(way, variables={**way.variables, "NET": ""})  # that is for its engine's machine

    @cached_property
    def beside(self) -> Reach:
        """The way to the machine of its engine."""
        return self._given(Reach.beside(self.container), self.reach.note)

    @property
    def cutting(self) -> Reach:
        """See RemoteHost. The rules are in the network of the container's first process, which changes with each start.

        The engine may keep the network, with its rules, across a start. They are removed where the network is by then.
        """
        network = self.access.network
        given = {"NET": network.replace("{pid}", str(self.container.state().pid)) if "{pid}" in network else network}
        if "{pid}" in network:
            given["NET_LATER"] = network.replace("{pid}", self.container.present_pid)
        return replace(self.beside, variables={**self.beside.variables, **given})

    @property
    def probing(self) -> Reach:
        """See RemoteHost. With programs of its engine's machine, if its network can be entered from there."""
        return self.cutting if self.access.network.startswith("nsenter") else self.reach

    @property
    def addresses(self) -> Collection[str]:
        """See SiteHost. An engine may give it another address at each start."""
        now = self.container.state().addresses
        return tuple(dict.fromkeys((*now, *self.access.addresses))) if now else self.access.addresses

    def present_addresses(self) -> Collection[str]:
        """See SiteHost. The engine knows them."""
        try:
            return self.container.state().addresses
        except HostUnreached:
            return ()

    @property
    def address(self) -> str:
        return next(iter(self.addresses), "")

    # Looking

    def table(self) -> Sequence[Running]:
        """See RemoteHost. Nothing runs in a container that is down."""
        try:
            return super().table()
        except HostUnreached:
            if self.container.state().status in ("running", "paused"):
                raise
            return []

    def awake(self) -> Sequence[str]:
        """See SiteHost. What the engine has paused cannot be looked at from inside."""
        return [] if self.container.state().status == "paused" else super().awake()

    @property
    def powered(self) -> bool:
        """See SiteHost."""
        status = self.container.state().status
        return status == "paused" or (status == "running" and super().powered)

    def logs(self) -> Mapping[str, Log]:
        """See SiteHost. What its first process writes is kept by the engine."""
        of_files = {} if self.access.without_shell else super().logs()
        return {**of_files, "container": EngineLog(self.container)}

    @property
    def clock(self) -> Clock:
        """See SiteHost. An image without a shell has no time zone data either: its programs log in UTC."""
        clock = super().clock
        return replace(clock, zone=0.0) if self.access.without_shell else clock

    # Processes

    def kill(self, processes: Sequence[Running]) -> None:
        """See SiteHost."""
        first, others = _first_apart(processes)
        if first:
            self._require_startable()
        if others:
            super().kill(others)
        for one in first:
            self._do("strike", "KILL", self._from_outside(one), by=self.beside)

    def _stop(self, processes: Collection[Running], made: list[HostFault], *, may_die: bool) -> None:
        first, others = _first_apart(processes)
        for one in first:
            who, may = self._from_outside(one), "yes" if may_die else ""
            made.append(self._inject("freeze", who, by=self.beside, MAY_DIE=may))
        if others:
            super()._stop(others, made, may_die=may_die)

    def _from_outside(self, first: Running) -> str:
        pid = self.container.pid_here(first.started)
        return identities([replace(first, pid=pid)])[0]

    def freeze(self) -> None:
        """See SiteHost. The engine pauses it as a whole."""
        words = (self.container.pause, self.container.unpause, self.container.is_paused)
        self._frozen.append(self._inject("outside", *words, by=self.beside))

    # Crashes

    def power_off(self) -> None:
        """See SiteHost. First its links are cut, where that is possible, so that no peer is told that it dies."""
        self._bring_all_down(isolated=self.access.isolated)

    def bring_down(self, names: Sequence[str], *, isolated: bool) -> None:
        """See RemoteHost. A program that is what the container was made for is killed with it."""
        trees = self.trees()
        if any(self.access.programs[name].beside or _first_apart(trees.get(name, ()))[0] for name in names):
            self._bring_all_down(isolated=isolated)
        else:
            super().bring_down(names, isolated=isolated)

    def _bring_all_down(self, *, isolated: bool) -> None:
        self._require_startable()
        words = (self.container.kill, self.container.start)
        fault = self._inject("outside", *words, by=self.cutting, ISOLATED="yes" if isolated else "")
        self._down |= dict.fromkeys(self.access.programs, fault)

    def _require_startable(self) -> None:
        if why := self.container.state().why_not_killed:
            raise NotAvailable(f"the container {self.container.name} is not killed: {why}")

    def run_command(self, command: str, program: ProgramAccess) -> None:
        """See RemoteHost."""
        way = self.beside if program.beside else self.reach
        self._noted(lambda: way.run("sh", "-c", command, within=_STARTS_WITHIN), ["sh", "-c", program.shown])


def _first_apart(processes: Collection[Running]) -> tuple[list[Running], list[Running]]:
    """The first process of a container, and all others."""
    first = [one for one in processes if one.pid == FIRST]
    return first, [one for one in processes if one.pid != FIRST]
