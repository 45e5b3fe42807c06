"""Who used the processors: real processes that burn a known amount of processor time."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support.hosts import processors
from support.hosts.processors import ProcessTime, Reading, Usage, busy_machine, shortened, together, trees, usage

BURNT = 0.6  # seconds of processor time, whatever the machine does besides
BURN = f"import time\nwhile time.process_time() < {BURNT}: pass"
TICKS = 0.1  # seconds by which the kernel's figures may be off


def burn() -> None:
    subprocess.run([sys.executable, "-c", BURN], check=True)


def test_what_a_child_used_is_ours_even_if_it_has_ended() -> None:
    ours = trees({os.getpid()})
    before = processors.read(ours)
    burn()
    used = usage(before, processors.read(ours))
    assert used.ours * used.seconds >= BURNT - TICKS


def test_what_any_other_process_used_is_the_others() -> None:
    nothing = trees(())
    before = processors.read(nothing)
    burn()
    used = usage(before, processors.read(nothing))
    assert used.ours == 0
    assert used.others * used.seconds >= BURNT - 2 * TICKS


def test_all_processes_of_a_program_and_their_descendants_are_chosen() -> None:
    table = {
        1: ProcessTime("init", 0, 0, 0),
        7: ProcessTime("postgres", 1, 0, 0),
        8: ProcessTime("worker", 7, 0, 0),
        9: ProcessTime("cc1", 1, 0, 0),
    }
    assert set(trees((), {"postgres"})(table)) == {7, 8}
    assert set(trees({9})(table)) == {9}


def test_the_time_of_a_process_that_ended_is_counted_once() -> None:
    def at(now: float, *ours: tuple[int, float, float]) -> Reading:
        table = {pid: ProcessTime("postgres", 1, own, reaped) for pid, own, reaped in ours}
        return Reading(now, 2, 100 + now, 50, 0, None, table)

    lives, dies = (1, 5.0, 0.0), (2, 30.0, 0.0)
    assert usage(at(0, lives, dies), at(2, (1, 5.5, 30.5))).ours == pytest.approx(0.5)
    assert usage(at(0, lives, dies), at(2, (1, 5.5, 0.0))).ours == pytest.approx(0.25), "nobody reaped it"


MACHINE = Usage(seconds=1, processors=4, ours=1, others=0, stolen=0, idle=3)


@pytest.mark.parametrize(
    ("changed", "disturbed"),
    [
        ({}, False),
        ({"ours": 4, "idle": 0}, False),  # a cluster that keeps the machine busy itself is slow
        ({"others": 2, "idle": 1}, True),
        ({"others": 1, "idle": 2}, False),  # there was a processor for us all the time
        ({"others": 0.4, "idle": 0, "ours": 3.6}, False),  # what every machine does besides
        ({"stolen": 0.5, "idle": 2.5}, True),
        ({"stolen": 0.02, "ours": 0.05}, False),
        ({"throttled": 0.3}, True),
        ({"throttled": 0.1}, False),  # a moment of each second
        ({"throttled": 0.01, "ours": 0.01}, False),
        ({"ours": 4, "idle": 0, "elsewhere": True}, True),  # that is not the cluster
        ({"ours": 3, "idle": 1, "elsewhere": True}, False),
    ],
)
def test_a_machine_is_disturbed_if_others_took_what_we_may_have_needed(
    changed: dict[str, float], disturbed: bool
) -> None:
    assert replace(MACHINE, **changed).disturbed is disturbed


@pytest.mark.parametrize(
    ("changed", "saturated"),
    [
        ({"others": 3, "idle": 0}, True),
        ({"ours": 0.5, "others": 0.5, "stolen": 3, "idle": 0}, True),
        ({"others": 2.5, "idle": 0.5}, False),  # there was a processor for us most of the time
        ({"ours": 3, "others": 1, "idle": 0}, False),  # a cluster that keeps the machine busy itself is slow
        ({"throttled": 0.6}, True),
        ({"throttled": 0.5, "ours": 2}, False),  # it had most of what it needed
        ({"throttled": 0.1, "ours": 0.1}, False),  # nine tenths of the time it was not stopped
        ({"ours": 4, "idle": 0, "elsewhere": True}, True),
    ],
)
def test_a_machine_is_saturated_if_others_left_us_no_processor(changed: dict[str, float], saturated: bool) -> None:
    assert replace(MACHINE, **changed).saturated is saturated


@pytest.mark.parametrize("processors", [2, 64])
def test_what_a_quota_withholds_counts_however_idle_the_machine_is(processors: int) -> None:
    """In a container that may use half a processor, and needs a whole one."""

    def at(now: float) -> Reading:
        table = {1: ProcessTime("python", 0, now / 2, 0)}
        return Reading(now, processors, now / 2, (processors - 0.5) * now, 0, None, table, throttled=now / 2)

    found = usage(at(0), at(10))
    assert (found.disturbed, found.saturated, found.is_full, found.quiet) == (True, True, True, False)
    assert str(found).endswith(f"; {processors - 0.5:.1f} were idle; the suite's CPU quota withheld 0.5")
    assert busy_machine(str(found)) == "the suite's CPU quota withheld 0.5 processors"
    assert together([found, replace(found, throttled=0.1)]).throttled == pytest.approx(0.3)


V2 = "usage_usec 900\nnr_periods 20\nnr_throttled 7\nthrottled_usec {}\n"
V1 = "nr_periods 20\nnr_throttled 7\nthrottled_time {}\n"


@pytest.mark.parametrize(
    ("own", "files", "seconds"),
    [
        ("0::/", {"cpu.stat": V2.format(1_500_000)}, 1.5),  # in a container
        ("0::/a/b", {"a/b/cpu.stat": V2.format(500_000), "a/cpu.stat": V2.format(250_000)}, 0.75),
        ("0::/\n4:cpu,cpuacct:/docker/ab\n1:cpuset:/docker/ab", {"cpu/cpu.stat": V1.format(2_000_000_000)}, 2.0),
        ("0::/", {"cpu.stat": "usage_usec 900\n"}, 0.0),  # the root of a machine
        ("0::/", {"cpu.stat": "garbled"}, 0.0),
        ("0::/", {}, 0.0),
    ],
)
def test_what_a_quota_withheld_is_in_the_cgroup_and_in_those_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], seconds: float
) -> None:
    for name, text in {"self": f"{own}\n", **{f"fs/{name}": text for name, text in files.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(processors, "_CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(processors, "_OWN_CGROUPS", tmp_path / "self")
    assert processors.read(None).throttled == pytest.approx(seconds)


def test_of_many_processors_a_whole_one_that_is_idle_is_enough() -> None:
    assert not Usage(seconds=1, processors=64, ours=1, others=61, stolen=0, idle=2).saturated
    assert Usage(seconds=1, processors=64, ours=1, others=62.5, stolen=0, idle=0.5).saturated


def test_usages_are_averaged_by_their_time() -> None:
    short, long = replace(MACHINE, others=3, waited=1.0), replace(MACHINE, seconds=3, others=1, waited=0.2)
    found = together([short, long])
    assert (found.seconds, found.others, found.ours, found.waited) == (4, 1.5, 1, pytest.approx(0.4))
    assert together([short, replace(long, waited=None)]).waited is None


def test_time_that_nobody_was_asked_about_is_not_ours() -> None:
    before = processors.read(None)
    burn()
    after = processors.read(trees({os.getpid()}))
    assert (before.tells_whose, after.tells_whose) == (False, True)
    assert usage(before, after).ours == 0
    assert usage(before, after).others * usage(before, after).seconds >= BURNT - 2 * TICKS


def test_a_usage_is_found_in_words_and_told_in_short() -> None:
    busy = Usage(2.1, 2, ours=0.2, others=1.8, stolen=0.0, idle=0.0, waited=0.99)
    robbed = Usage(2.1, 4, ours=0.2, others=0.1, stolen=2.0, idle=0.0)
    words = f"the 95th percentile is 56 ms, but {busy}; measured twice"
    told = "other programs used 90 % of the test machine's processors"
    assert busy_machine(words) == told
    assert shortened(words) == f"the 95th percentile is 56 ms, but {told}; measured twice"
    for before in ("in 2.1 s", "in the busiest 2.1 s of that time"):
        assert shortened(f"it is 56 ms, but {before} {busy}") == f"it is 56 ms, but {told}"
    assert busy_machine(str(robbed)) == "other virtual machines used 50 % of the test machine's processors"
    full = Usage(2.1, 2, ours=1.9, others=0.1, stolen=0.0, idle=0.0, elsewhere=True)
    assert busy_machine(str(full)) == "the suite itself used 95 % of the test machine's processors"
    withheld = Usage(2.1, 4, ours=0.5, others=1.0, stolen=0.0, idle=2.5, waited=0.5, throttled=0.5)
    words = f"it is 56 ms, but {withheld}"
    assert shortened(words) == "it is 56 ms, but the suite's CPU quota withheld 0.5 processors", "enough was idle"
    assert (busy_machine("2 writes lost"), shortened("2 writes lost")) == ("", "2 writes lost")
