"""What a step does to hosts, declared beside it: `accept run --plan --commands` shows it before anything is done.

    @when("the host of {role:Role} crashes")
    @disturbs(crash)
    def step_host_crashes(context: Context, role: str) -> None:
        fault = crash(context.world.cluster, role)

The step and the plan call the same function, so that they cannot differ.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class OnHosts(Protocol):
    """A fault, as far as it does something to hosts."""

    def __str__(self) -> str:
        """See Fault."""

    def on_hosts(self) -> object:
        """Do to the hosts what `inject` does to them, and change nothing elsewhere: it is rehearsed."""


Made = OnHosts | Sequence[OnHosts] | None
"""What a function makes that is declared; None where a step with these arguments does nothing to hosts."""


@dataclass(frozen=True)
class Declared:
    """How a step makes what it does to hosts."""

    make: Callable[..., Made]
    known: Mapping[str, "Callable[..., object] | str"]
    chosen: str
    """How the step chooses, where its sentence alone does not say it; empty if it does."""

    def now(self, given: Mapping[str, object]) -> Sequence[OnHosts]:
        """What the step would do if it ran now. `given`: "cluster", "choose", and what its sentence says, by name.

        Raises what its functions raise: Inconclusive, say, if nobody has the role.
        """
        made = self._called(self.make, given)
        if made is None:
            return ()
        return made if isinstance(made, Sequence) else (made,)

    def _called(self, function: Callable[..., T], given: Mapping[str, object]) -> T:
        names = inspect.signature(function).parameters
        return function(**{name: self._value(name, given) for name in names})

    def _value(self, name: str, given: Mapping[str, object]) -> object:
        if name not in self.known and name not in given:
            raise LookupError(f"{self.make.__name__} needs the {name}, which neither the sentence nor @disturbs says")
        if name not in self.known:
            return given[name]
        known = self.known[name]
        return known if isinstance(known, str) else self._called(known, given)


def disturbs(make: Callable[..., Made], chosen: str = "", **known: "Callable[..., object] | str") -> Callable[[F], F]:
    """Declare what a step does to hosts, below the decorator with the step's text; once for each thing that it does.

    `make` is what the step itself calls to make the fault. Its parameters have the names of the step's parameters, or
    of the columns of its table: then it is called for each row. `cluster` is the cluster under test. `choose` picks one
    of several names: at random in a run, the first in a plan. For any other parameter, `known` has its value or a
    function of the same kind, which the step calls as well. `chosen` says how the step chooses, if its sentence alone
    does not.
    """

    def declared(step: F) -> F:
        before = getattr(step, "disturbances", ())
        step.disturbances = (Declared(make, known, chosen), *before)  # type: ignore[attr-defined]
        return step

    return declared


def leaves_hosts(why: str) -> Callable[[F], F]:
    """Declare that a step gets hold of hosts and has nothing to be shown beforehand, below the decorator with its text.

    `why`: "it reads their logs".
    """
    assert why

    def declared(step: F) -> F:
        step.disturbances = ()  # type: ignore[attr-defined]
        return step

    return declared


def disturbances_of(step: Callable[..., Any]) -> tuple[Declared, ...] | None:
    """What a step function does to hosts, in its order; None if it does not declare it."""
    found: tuple[Declared, ...] | None = getattr(step, "disturbances", None)
    return found
