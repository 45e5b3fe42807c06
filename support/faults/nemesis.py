"""Injects faults, proves that they bit, and heals them whatever happens in between."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from support.errors import Inconclusive, NotInTime
from support.timeouts import EFFECT
from support.waiting import eventually


class Fault(Protocol):
    """One disturbance with its cure."""

    def __str__(self) -> str:
        """What happens, in the users' words: "the host of pg1 crashes"."""

    def inject(self) -> None:
        """Make it happen."""

    def require_bitten(self) -> None:
        """Raises NotYet while its effect cannot be seen."""

    def cure(self) -> None:
        """Undo it. Harmless when it is undone already, or never was injected."""


@dataclass
class Injury:
    """A fault that was injected; seconds on the monotonic clock."""

    words: str
    begun: float
    bitten: float
    healing: float | None = None
    """When its cure began; None while it lasts."""
    healed: float | None = None
    """When its cure was done."""


class Nemesis:
    """What a scenario breaks the cluster with. A context manager: leaving it heals everything."""

    def __init__(self, effect_within: float = EFFECT) -> None:
        """`effect_within`: seconds that a fault has to show its effect."""
        self._effect_within = effect_within
        self._cures = ExitStack()
        self.injuries: list[Injury] = []

    def inject(self, fault: Fault) -> Injury:
        """Inject a fault whose cure is known first. Raises Inconclusive when it does not bite."""
        begun = time.monotonic()
        injury = Injury(str(fault), begun, begun)
        self._cures.callback(self._cure, fault, injury)
        fault.inject()
        try:
            eventually(fault.require_bitten, within=self._effect_within, subject=f"{fault}", pause=0.02)
        except NotInTime as error:
            raise Inconclusive(f"the fault did not bite: {error}") from error
        injury.bitten = time.monotonic()
        self.injuries.append(injury)
        return injury

    def heal(self) -> None:
        """Cure every fault, the last one first; a cure that fails does not keep the others from being tried."""
        self._cures.close()

    def __enter__(self) -> "Nemesis":
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()

    @staticmethod
    def _cure(fault: Fault, injury: Injury) -> None:
        injury.healing = time.monotonic()
        fault.cure()
        injury.healed = time.monotonic()
