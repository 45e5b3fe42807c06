"""Injects faults, makes sure that they are in effect, and heals them whatever happens in between."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from support.errors import Inconclusive
from support.faults.naming import BY_NAME, Names
from support.target.members import NO_ANSWER
from support.target.redis import ERRORS
from support.timeouts import EFFECT
from support.waiting import eventually, precondition


class Fault(ABC):
    """One disturbance, how to heal it, and what it means for checks that judge the cluster meanwhile."""

    planned = False
    """Whether the leader shuts down cleanly, after everything that it acknowledged has reached its successor."""
    unaware = False
    """Whether the affected member cannot know that another one leads, until shortly after the fault is healed."""
    builds_up = False
    """Whether the fault takes time to build up, and so does not exist from the moment that it begins."""
    takes_effect_within = 0.0
    """Seconds within which it is in effect, if it takes longer than others do; 0 if it does not."""

    @property
    def target_member(self) -> str:
        """The member or host that it hits, of several the first; empty if only whoever injects it knows."""
        return ""

    @property
    def silences(self) -> Collection[str]:
        """The hosts about whose writes nothing can be concluded while the fault lasts: most are silent and idle."""
        return ()

    @property
    def whole_hosts(self) -> Collection[str]:
        """The hosts of which it hits everything, also the programs that it is not meant for."""
        return ()

    @abstractmethod
    def told(self, names: Names) -> str:
        """What happens, in the users' words: "the host pg1 crashes". `names` says what it calls members and hosts."""

    def __str__(self) -> str:
        return self.told(BY_NAME)

    def prepare(self) -> None:  # noqa: B027 - most faults need no preparation
        """Whatever has to be done first and disturbs nobody: this time does not count against the cluster."""

    @abstractmethod
    def inject(self) -> None:
        """Begin the disturbance."""

    @abstractmethod
    def require_in_effect(self) -> None:
        """Raises NotYet while the effect cannot be observed."""

    @abstractmethod
    def heal(self) -> None:
        """Undo it. Harmless if it was already undone or never injected."""


class FaultOnHosts(Fault):
    """A fault of hosts, which a plan can rehearse; see support/faults/declared.py."""

    @abstractmethod
    def on_hosts(self) -> None:
        """See OnHosts. `inject` does this; what it does elsewhere, if anything, is in an `inject` of its own."""

    def inject(self) -> None:
        self.on_hosts()


@dataclass
class InjectedFault:
    """What became of a fault, and when; seconds on the monotonic clock.

    It exists before the fault begins, because a fault whose injection fails halfway has disturbed the cluster, too.
    """

    words: str
    begun: float
    took_effect: float | None = None
    """When it was first seen in effect; None if it never was."""
    healing: float | None = None
    """When its healing began; None while it lasts."""
    healed: float | None = None
    """When its healing was complete."""
    over: float = math.inf
    """When it was over at the latest: on a user's host, a healing takes its time, and may end the fault early or late
    in it. Infinite while it lasts, and if it could not be healed."""
    builds_up: bool = False
    """See Fault."""
    target_member: str = ""
    """See Fault; empty where nobody needs to know it."""
    kind: str = ""
    """The fault in words without names, by what members were before it: "the host of the leader crashes"."""
    preparation: bool = False
    """Whether it only brings the cluster into the state in which a fault is to hit it, and is not under test itself."""
    unaware: str = ""
    """The member that meanwhile cannot know that another one leads; empty if there is none."""
    silences: Collection[str] = ()
    """See Fault."""
    whole_hosts: Collection[str] = ()
    """See Fault."""

    @property
    def in_effect_since(self) -> float:
        """When it was first seen in effect. Raises Inconclusive if it never was."""
        if self.took_effect is None:
            raise Inconclusive(f"{self.words}: never seen in effect")
        return self.took_effect

    @property
    def counts_from(self) -> float:
        """The start of the time within which the cluster had to react: it cannot react to what does not exist yet."""
        return self.in_effect_since if self.builds_up else self.begun


def without_preparations(injected_faults: Iterable[InjectedFault]) -> list[InjectedFault]:
    """The faults under test, without preparations."""
    return [one for one in injected_faults if not one.preparation]


class Nemesis:
    """Injects the faults of a scenario. A context manager: leaving it heals everything."""

    def __init__(self, effect_within: float = EFFECT) -> None:
        """`effect_within`: seconds within which a fault must be in effect, for faults without `takes_effect_within`."""
        self._effect_within = effect_within
        self._heals = ExitStack()
        self.injected_faults: list[InjectedFault] = []

    def inject(
        self, fault: Fault, target_member: str = "", *, kind: str = "", preparation: bool = False
    ) -> InjectedFault:
        """Note the fault, register how it is healed, then inject it. Raises Inconclusive if it does not take effect.

        `target_member` is the member or host that it hits, if any. For `kind` see InjectedFault.
        """
        fault.prepare()
        injected_fault = InjectedFault(
            str(fault),
            time.monotonic(),
            builds_up=fault.builds_up,
            target_member=target_member,
            kind=kind,
            preparation=preparation,
            unaware=target_member if fault.unaware else "",
            silences=tuple(fault.silences),
            whole_hosts=tuple(fault.whole_hosts),
        )
        self.injected_faults.append(injected_fault)
        self._heals.callback(self._heal, fault, injected_fault)
        fault.inject()
        with precondition("the fault did not take effect"):
            eventually(
                fault.require_in_effect,
                within=max(self._effect_within, fault.takes_effect_within),
                subject=f"{fault}",
                retry_on=(*NO_ANSWER, *ERRORS),
                pause=0.02,
            )
        injected_fault.took_effect = time.monotonic()
        return injected_fault

    def heal(self) -> None:
        """Heal every fault, the last one first; if one cannot be healed, the others are still tried."""
        self._heals.close()

    def __enter__(self) -> "Nemesis":
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()

    @staticmethod
    def _heal(fault: Fault, injected_fault: InjectedFault) -> None:
        injected_fault.healing = time.monotonic()
        try:
            fault.heal()
        except Inconclusive:  # something else had ended it before
            injected_fault.over = time.monotonic()
            raise
        except KeyboardInterrupt:  # it stops the run, and must not leave the fault
            fault.heal()
            raise
        injected_fault.healed = injected_fault.over = time.monotonic()
