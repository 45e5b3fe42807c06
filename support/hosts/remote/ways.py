"""How a host of the user's is reached that may be a container, and what its engine says about that container."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from support.errors import ProcessFailed
from support.hosts.remote.access import HostAccess, ProgramAccess
from support.hosts.remote.clients import HostUnreached, asked
from support.hosts.remote.containers import Container, is_here
from support.hosts.remote.guards import IN_TIME, heal_left
from support.hosts.remote.reach import Reach

_OF_CONTAINERS = ("/.dockerenv", "/run/.containerenv")
"""Files that only containers have."""
_NO_SHELL = ("executable file not found", 'exec: "sh"', "no such file or directory: OCI")


@dataclass(frozen=True)
class WayIn:
    """A host that answers."""

    reach: Reach
    access: HostAccess
    """What was declared, completed by how it is reached."""
    looked: str
    """What the script's `look` said."""
    container: Container | None = None

    def left_beside(self) -> Sequence[str]:
        """What an earlier run has left that is not seen from inside: where the engine's client runs, in its network."""
        beside = [Reach.beside(self.container)] if self.container else []
        ways = [*beside, *_networks(self.access, self.container)]
        return tuple(dict.fromkeys(id for way in ways for id in way.run("left").split()))

    def at_work_beside(self) -> Sequence[str]:
        """The faults, beside the container, for which a run answers at this moment: that run is still active."""
        return Reach.beside(self.container).run("at_work", variables=IN_TIME).split() if self.container else ()

    def cutters(self, found: Sequence[str]) -> tuple[str, str]:
        """By what links can be cut, nft or iptables, and the words before that command; both empty if they cannot.

        `found`: what works on the host itself.
        """
        if self.container is None:
            prefix = self.access.network
            works = self.reach.run("cutters", variables={"NET": prefix}).split() if prefix else found
            return (works[0], prefix) if works else ("", "")
        pid, beside = str(self.container.state().pid), Reach.beside(self.container)
        for prefix in [self.access.network] if self.access.network else self.container.network_prefixes():
            try:
                if works := beside.run("cutters", variables={"NET": prefix.replace("{pid}", pid)}).split():
                    return works[0], prefix
            except ProcessFailed:
                continue
        return "", ""

    def started_by_engine(self, programs: Mapping[str, ProgramAccess]) -> Mapping[str, ProgramAccess]:
        """The host's programs; the only one in a container is started with it, unless something else is known.

        None can be started in a container that must not be killed: that is what a crash would do.
        """
        if self.container is None:
            return programs
        how = f"container {self.container.name}"
        if why := self.container.state().why_not_killed:
            return {program: ProgramAccess(beside=True, how=how, unstarted=why) for program in programs}
        if len(programs) != 1:
            return programs
        ((program, known),) = programs.items()
        return {program: known if known.start else ProgramAccess(self.container.start, beside=True, how=how)}

    @property
    def guarded(self) -> str:
        """What is to be known of the guards of a container, for people; empty if there is nothing."""
        inside = any(Path(one).exists() for one in _OF_CONTAINERS) or "KUBERNETES_SERVICE_HOST" in os.environ
        if self.container is None or not inside:
            return ""
        return (
            "guards of faults from outside the container run in this job's own container, and end with it: "
            "run ./accept heal after a job that was stopped"
        )

    @property
    def why_not_cut(self) -> str:
        """Why links cannot be cut, for people; empty if it is not a container."""
        if self.container is None:
            return ""
        if not self.container.network_prefixes():
            return "links cannot be cut: the container has no network of its own"
        return (
            "links cannot be cut: run the suite as root on the machine of its engine, with nft, or have nft in its "
            'image, or name an image that has it: network = "docker run --rm -i --network container:NAME --cap-add '
            'NET_ADMIN IMAGE"'
        )


def way_in(declared: HostAccess) -> WayIn:
    """Ask a host what it is. Raises ProcessFailed, with what to do about it, if it does not answer."""
    container = Container.of(declared.reach)
    if container is None:
        reach = Reach.of(declared.reach)
        return WayIn(reach, declared, _looked(reach))
    state = container.state()
    if state.status == "paused":
        raise HostUnreached(f"the container {container.name} is paused: {container.command('unpause', container.name)}")
    if state.status != "running":
        raise HostUnreached(f"the container {container.name} is {state.status}: {_advice(container)}")
    access = replace(declared, addresses=declared.addresses or state.addresses)
    unknown = None
    for privileged in (True, False):
        reach = Reach.inside(container, declared.reach, privileged=privileged)
        try:
            return WayIn(reach, replace(access, privileged=privileged), _looked(reach), container)
        except HostUnreached as error:
            without_shell, unknown = any(sign in str(error) for sign in _NO_SHELL), error
            if not privileged and not without_shell:
                raise
            if without_shell:
                break
    if not is_here(state):
        raise HostUnreached(
            f"the container {container.name} has no sh, and its engine is on another machine"
        ) from unknown
    reach = Reach.inside(container, declared.reach, without_shell=True)
    try:
        return WayIn(reach, replace(access, without_shell=True), _looked(reach), container)
    except HostUnreached as error:
        raise HostUnreached(
            f"the container {container.name} has no sh; it can be looked at from outside only, as root on the machine "
            f"of its engine ({error})"
        ) from error


def _looked(reach: Reach) -> str:
    return reach.run("look", variables=IN_TIME)


def heal_host(declared: HostAccess, told: Callable[[str], object]) -> bool:
    """Undo every fault that is left on a host, by any run, and wherever its record is or was.

    Returns whether nothing is left. Raises ProcessFailed, with what to do about it, if the host does not answer.
    """
    container, whole = Container.of(declared.reach), True
    if container is not None:
        whole = heal_left(Reach.beside(container), told)
        if not _let_go(container, told):  # nothing inside answers before that
            return False
    for network in _networks(declared, container):
        whole = heal_left(network, told) and whole
    reach = Reach.of(declared.reach) if container is None else way_in(declared).reach
    return heal_left(reach, told) and whole


def _let_go(container: Container, told: Callable[[str], object]) -> bool:
    """Undo what was done to a container from outside. Its record may be gone with the container where the client ran.

    Without a record, only a container that may be broken is released. Returns whether it runs then.
    """
    if container.running:
        return True
    state, command = container.state(), container.let_go
    status = state.status
    if not command and state.why_not_started:
        told(f"it is {status}: {_advice(container)}")
        return False
    if not command or not container.is_marked:
        told(f"it is {status}; if a run did that: {command or container.start}")
        return False
    asked(["sh", "-c", command])
    told(f"it was {status}, and no run had a record of that here: {command}")
    return True


def _advice(container: Container) -> str:
    """What to do about a container that does not run."""
    if why := container.state().why_not_started:
        return f"{why}; name the one that runs now in [hosts]"
    return container.start


def _networks(declared: HostAccess, container: Container | None) -> Iterator[Reach]:
    """The ways to the rules that cut its links, where these are not seen from inside."""
    if container is None:
        reach = Reach.of(declared.reach)
        if declared.network:
            yield replace(reach, variables={**reach.variables, "NET": declared.network})
        return
    beside, pid = Reach.beside(container), str(container.state().pid)
    for prefix in [declared.network] if declared.network else container.network_prefixes():
        yield replace(beside, variables={**beside.variables, "NET": prefix.replace("{pid}", pid), "RULES": ""})
