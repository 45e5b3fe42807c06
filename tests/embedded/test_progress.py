"""Whether a boot makes progress: on a machine that is idle, or busy with others, or with the boot itself."""

from collections.abc import Callable

import pytest

from support.embedded import progress
from support.embedded.progress import Progress, Stalled
from support.hosts.processors import ProcessTime, Reading, Selection

ALLOWED = 10.0
IDLE, OTHERS, OURS = (0.0, 0.0), (0.0, 2.0), (2.0, 0.0)
"""Processors of two that the boot and others use."""


class Machine:
    """Stands in for the machine: each look is a second after the one before, and finds what `used` says."""

    def __init__(self) -> None:
        self.used = IDLE
        self.throttled = 0.0
        self.writes = 0
        self.written = 0
        self._at = self._ours = self._others = self._withheld = 0.0

    def read(self, _: Selection) -> Reading:
        ours, others = self.used
        self._at, self._ours, self._others = self._at + 1, self._ours + ours, self._others + others
        self.written += self.writes
        self._withheld += self.throttled
        idle = 2 * self._at - self._ours - self._others
        table = {7: ProcessTime("postgres", 1, self._ours, 0)}
        return Reading(self._at, 2, self._ours + self._others, idle, 0, None, table, throttled=self._withheld)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(progress, "read", found.read)
    monkeypatch.setattr(progress, "_written_by", lambda pid: found.written)
    return found


def lasts(boot: Progress, seconds: int, meanwhile: Callable[[int], None] = lambda second: None) -> int:
    """For how many seconds of these it was not given up."""
    for second in range(seconds):
        meanwhile(second)
        try:
            boot.require("etcd has a quorum", "0 of 3 nodes are healthy")
        except Stalled:
            return second
    return seconds


def test_a_boot_that_a_quota_stops_is_not_given_up(machine: Machine) -> None:
    boot = Progress(lambda table: table, ALLOWED)
    machine.throttled = 1.5
    assert lasts(boot, 30) == 30
    machine.throttled = 0.5
    assert lasts(boot, 30) == 19, "it could go on half of the time"


def test_a_boot_that_does_nothing_on_an_idle_machine_is_given_up_and_says_what_was_seen(machine: Machine) -> None:
    boot = Progress(lambda table: table, ALLOWED)
    boot.reached("starting etcd1")
    assert lasts(boot, 9) == 9
    with pytest.raises(Stalled) as caught:
        boot.require("etcd has a quorum", "0 of 3 nodes are healthy")
    words = "etcd has a quorum: no progress while processors were idle for 10 s (limit: 10 s"
    assert str(caught.value).startswith(words)
    assert str(caught.value).endswith("last step: starting etcd1; last observed: 0 of 3 nodes are healthy")


@pytest.mark.parametrize("used", [OTHERS, OURS])
def test_a_boot_that_waits_for_a_processor_or_uses_them_all_is_not(machine: Machine, used: tuple[float, float]) -> None:
    machine.used = used
    assert lasts(Progress(lambda table: table, ALLOWED), 300) == 300


def test_a_boot_that_copies_data_is_not(machine: Machine) -> None:
    machine.writes = 1 << 20
    assert lasts(Progress(lambda table: table, ALLOWED), 300) == 300


def test_each_step_begins_anew(machine: Machine) -> None:
    boot = Progress(lambda table: table, ALLOWED)
    assert lasts(boot, 40, lambda second: boot.reached("one more") if second % 8 == 0 else None) == 40
    assert lasts(boot, 40) < 12


def test_a_boot_that_keeps_the_machine_busy_ends_as_well(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Progress(lambda table: table, ALLOWED)
    assert 0 < boot.left <= progress.LONGEST
    monkeypatch.setattr(boot, "_begun", boot._begun - 2 * progress.LONGEST)
    assert boot.left == 0
