"""What a step does to hosts, declared beside it: `accept run --plan --commands` shows it before anything is done.

    @when("the host of {role:Role} crashes")
    @disturbs(crash)
    def step_host_crashes(context: Context, role: str) -> None:
        context.world.experiment.inject(crash(context.world.cluster, role))

The step and the plan call the same function, so they cannot diverge.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class OnHosts(Protocol):
    """The part of a fault that changes hosts."""

    def __str__(self) -> str:
        """See Fault."""

    def on_hosts(self) -> object:
        """Do to the hosts what `inject` does, but change nothing elsewhere. The plan rehearses this."""


Made = OnHosts | Sequence[OnHosts] | None
"""What a declared function returns; None if the step does nothing to hosts with these arguments."""


@dataclass(frozen=True)
class Declared:
    """How a step makes its faults on hosts."""

    make: Callable[..., Made]
    known: Mapping[str, "Callable[..., object] | str"]
    chosen: str
    """How the step chooses its target, if its sentence does not say so; otherwise empty."""

    def now(self, given: Mapping[str, object]) -> Sequence[OnHosts]:
        """What the step would do if it ran now. `given`: "cluster", "choose", and its sentence's arguments, by name.

        Raises whatever its functions raise, such as Inconclusive if no member has the role.
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
            raise LookupError(f"{self.make.__name__} needs the {name}, which neither the sentence nor @disturbs gives")
        if name not in self.known:
            return given[name]
        known = self.known[name]
        return known if isinstance(known, str) else self._called(known, given)


def disturbs(make: Callable[..., Made], chosen: str = "", **known: "Callable[..., object] | str") -> Callable[[F], F]:
    """Declare one thing that a step does to hosts. Goes below the decorator with the step's text; can be repeated.

    `make` is the function that the step itself calls to make the fault. Its parameters are named like the step's
    parameters, or like the columns of its table; in the latter case it is called once per row. `cluster` is the cluster
    under test. `choose` picks one of several names: at random in a run, the first one in a plan. For any other
    parameter, `known` gives the value, or a function of the same kind, which the step calls as well. `chosen` says how
    the step chooses its target, if its sentence does not.
    """

    def declared(step: F) -> F:
        before = getattr(step, "disturbances", ())
        step.disturbances = (Declared(make, known, chosen), *before)  # type: ignore[attr-defined]
        return step

    return declared


def leaves_hosts(why: str) -> Callable[[F], F]:
    """Declare that a step uses hosts, but does nothing that a plan should show. Goes below the decorator with its text.

    `why`, for example: "it reads their logs".
    """
    assert why

    def declared(step: F) -> F:
        step.disturbances = ()  # type: ignore[attr-defined]
        return step

    return declared


def disturbances_of(step: Callable[..., Any]) -> tuple[Declared, ...] | None:
    """What a step function does to hosts, in order; None if it declares nothing."""
    found: tuple[Declared, ...] | None = getattr(step, "disturbances", None)
    return found
