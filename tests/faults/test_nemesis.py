"""The nemesis: it registers the healing before the fault, heals every fault, and rejects one without effect."""

import math
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from conftest import free_port

from support import sql
from support.errors import Inconclusive, ProcessFailed
from support.faults.naming import Names
from support.faults.nemesis import Fault, Nemesis
from support.hosts.remote import RemoteHost
from support.hosts.remote.network import RemoteNetwork
from support.target.redis import client_of
from support.target.topology import Address, RedisAddress
from support.waiting import NotYet, pause


@dataclass
class Noted(Fault):
    """A fault that records what happens to it."""

    name: str
    notes: list[str] = field(default_factory=list)
    takes_effect: bool = True
    injects: bool = True
    heals: bool = True

    def told(self, names: Names) -> str:
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


@dataclass
class SlowToHeal(Noted):
    """A fault whose healing takes its time, as on a user's host, and then says what it raises."""

    raises: Exception | None = None

    def heal(self) -> None:
        pause(0.2)
        if self.raises:
            raise self.raises


@pytest.mark.parametrize(
    ("raises", "over", "healed"),
    [(None, True, True), (Inconclusive("its guard did"), True, False), (OSError("unreached"), False, False)],
)
def test_a_fault_is_over_when_its_healing_has_ended(raises: Exception | None, over: bool, healed: bool) -> None:
    """Its target may have been resumed at any moment of the healing; where that failed, it may be suspended still."""
    nemesis = Nemesis()
    fault = nemesis.inject(SlowToHeal("one", raises=raises))
    assert math.isinf(fault.over)
    with suppress(Inconclusive, OSError):
        nemesis.heal()
    assert fault.healing is not None
    assert fault.over >= fault.healing + 0.2
    assert (math.isfinite(fault.over), fault.healed is not None) == (over, healed)


@dataclass
class OfServers(Noted):
    """A fault whose effect is what servers say; they give no answer until the last look."""

    answers_at: int = 3
    looks: int = 0

    def require_in_effect(self) -> None:
        self.looks += 1
        if self.looks < self.answers_at:
            nobody = Address("127.0.0.1", free_port())
            asked = [
                lambda: sql.value(sql.Endpoint("a member", nobody.host, nobody.port, "d", "jo", "x"), "SELECT 1"),
                lambda: requests.get(f"http://{nobody}/patroni", timeout=2),
                lambda: client_of(RedisAddress(nobody, mode="cluster")).ping(),
            ]
            asked[self.looks % len(asked)]()


@pytest.mark.parametrize("answers_at", [4, 10**9])
def test_who_gives_no_answer_is_asked_again_whether_a_fault_took_effect(answers_at: int) -> None:
    fault = OfServers("one", answers_at=answers_at)
    with Nemesis(effect_within=5 if answers_at == 4 else 0.3) as nemesis:
        if answers_at == 4:
            nemesis.inject(fault)
        else:
            with pytest.raises(Inconclusive, match="the fault did not take effect"):
                nemesis.inject(fault)
    assert fault.looks >= 4
    assert fault.notes == ["inject one", "heal one"]


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


@pytest.mark.parametrize("failing", ["pg1", "pg2"])
def test_a_part_that_had_ended_before_does_not_hide_one_that_cannot_be_healed(failing: str) -> None:
    """Of one fault on several hosts, and of several on one host."""

    def heal(part: str) -> None:
        raise ProcessFailed(f"no answer from {part}") if part == failing else Inconclusive(f"over before on {part}")

    parts: Any = {"pg1": "pg1", "pg2": "pg2"}
    hosts: Any = {name: SimpleNamespace(heal=heal) for name in parts}
    network = RemoteNetwork(hosts)
    network._cuts[frozenset({("pg1", "pg2")})] = parts
    with pytest.raises(ProcessFailed, match=f"no answer from {failing}"):
        network.reconnect_all([("pg1", "pg2")])
    host: Any = SimpleNamespace(_heal=heal)
    with pytest.raises(ProcessFailed, match=f"no answer from {failing}"):
        RemoteHost._heal_all(host, list(parts.values()))
