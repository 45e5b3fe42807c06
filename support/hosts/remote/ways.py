"""How a host of the user's is reached that may be a container, and what its engine says about that container."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from support.errors import ProcessFailed
from support.hosts.remote.access import HostAccess, ProgramAccess
from support.hosts.remote.clients import HostUnreached
from support.hosts.remote.containers import Container, is_here
from support.hosts.remote.reach import Reach

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
        """What an earlier run has left on the machine of the container's engine."""
        return Reach.beside(self.container).run("left").split() if self.container else ()

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
        """The same programs; the only one in a container is started with it, unless something else is known."""
        if self.container is None or len(programs) != 1:
            return programs
        ((program, known),) = programs.items()
        how = f"container {self.container.name}"
        return {program: known if known.start else ProgramAccess(self.container.start, beside=True, how=how)}

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
        return WayIn(reach, declared, reach.run("look"))
    state = container.state()
    if state.status == "paused":
        raise HostUnreached(f"the container {container.name} is paused: {container.command('unpause', container.name)}")
    if state.status != "running":
        raise HostUnreached(f"the container {container.name} is {state.status}: {container.start}")
    access = replace(declared, addresses=declared.addresses or state.addresses)
    try:
        reach = Reach.inside(container, declared.reach)
        return WayIn(reach, access, reach.run("look"), container)
    except HostUnreached as error:
        if not any(sign in str(error) for sign in _NO_SHELL):
            raise
        unknown = error
    if not is_here(state):
        raise HostUnreached(
            f"the container {container.name} has no sh, and its engine is on another machine"
        ) from unknown
    reach = Reach.inside(container, declared.reach, without_shell=True)
    try:
        return WayIn(reach, replace(access, without_shell=True), reach.run("look"), container)
    except HostUnreached as error:
        raise HostUnreached(
            f"the container {container.name} has no sh; it can be looked at from outside only, as root on the machine "
            f"of its engine ({error})"
        ) from error


def ways_to_heal(words: str) -> Iterator[Reach]:
    """Every place where faults of a host can be, in the order in which they are healed, each when its turn has come.

    A container is let go from outside first: before that, nothing answers inside. One that is down has no faults.
    """
    container = Container.of(words)
    if container is None:
        yield Reach.of(words)
        return
    yield Reach.beside(container)
    if container.running:
        yield way_in(HostAccess(words)).reach
