"""The nemesis: it registers the healing before the fault, heals every fault, and rejects one without effect."""

from dataclasses import dataclass, field

import pytest

from support.errors import Inconclusive
from support.faults.nemesis import Nemesis
from support.waiting import NotYet


@dataclass
class Noted:
    """A fault that records what happens to it."""

    name: str
    notes: list[str] = field(default_factory=list)
    takes_effect: bool = True
    injects: bool = True
    heals: bool = True

    def __str__(self) -> str:
        return self.name

    def inject(self) -> None:
        self.notes.append(f"inject {self.name}")
        if not self.injects:
            raise OSError("no such host")

    def require_in_effect(self) -> None:
        if not self.takes_effect:
            raise NotYet("all is well")

    def heal(self) -> None:
        self.notes.append(f"heal {self.name}")
        if not self.heals:
            raise OSError("cannot be healed")


def test_the_last_fault_is_healed_first_and_times_are_kept() -> None:
    notes: list[str] = []
    with Nemesis() as nemesis:
        first = nemesis.inject(Noted("one", notes))
        nemesis.inject(Noted("two", notes))
        assert first.healed is None
    assert notes == ["inject one", "inject two", "heal two", "heal one"]
    assert first.healed is not None
    assert first.begun <= first.in_effect_since <= first.healed


def test_healing_twice_heals_once() -> None:
    fault = Noted("one")
    nemesis = Nemesis()
    nemesis.inject(fault)
    nemesis.heal()
    nemesis.heal()
    assert fault.notes == ["inject one", "heal one"]


def test_a_heal_that_ctrl_c_interrupts_is_done_all_the_same() -> None:
    @dataclass
    class Interrupted(Noted):
        def heal(self) -> None:
            super().heal()
            if self.notes.count(f"heal {self.name}") == 1:
                raise KeyboardInterrupt

    notes: list[str] = []
    nemesis = Nemesis()
    nemesis.inject(Noted("one", notes))
    nemesis.inject(Interrupted("two", notes))
    with pytest.raises(KeyboardInterrupt):
        nemesis.heal()
    assert notes == ["inject one", "inject two", "heal two", "heal two", "heal one"]


def test_a_fault_that_half_happened_is_healed() -> None:
    fault = Noted("one", injects=False)
    with pytest.raises(OSError, match="no such host"), Nemesis() as nemesis:
        nemesis.inject(fault)
    assert fault.notes == ["inject one", "heal one"]


def test_a_fault_without_effect_is_inconclusive() -> None:
    fault = Noted("one", takes_effect=False)
    with pytest.raises(Inconclusive, match=r"did not take effect: one: .*all is well"), Nemesis(0.05) as nemesis:
        nemesis.inject(fault)
    assert fault.notes[-1] == "heal one"


def test_a_healing_that_fails_does_not_prevent_the_others() -> None:
    notes: list[str] = []
    nemesis = Nemesis()
    nemesis.inject(Noted("one", notes))
    nemesis.inject(Noted("two", notes, heals=False))
    with pytest.raises(OSError, match="cannot be healed"):
        nemesis.heal()
    assert notes[-2:] == ["heal two", "heal one"]
