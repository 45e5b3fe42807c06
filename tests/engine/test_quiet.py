"""Limits of speed on a busy machine: measured again, inconclusive if it is never quiet; a slow cluster is broken."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hamcrest import assert_that, equal_to
from other_programs import busy_machine

from support.engine import quiet
from support.engine.finding import Finding
from support.engine.quiet import Measurement, await_quiet, disturbance, excused, judged, measure, ours
from support.engine.world import World
from support.errors import Inconclusive, LimitExceeded, NotInTime
from support.hosts.processors import ProcessTime, Reading
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import eventually, pause

CORES = 2
QUIET, BUSY, OWN = "quiet", "others use everything", "we use everything"
QUOTA = "our quota is used up half of the time"
USED = {QUIET: (0.1, 0.0, 0.0), BUSY: (0.1, 1.9, 0.0), OWN: (2.0, 0.0, 0.0), QUOTA: (0.5, 0.0, 0.5)}
"""What happens on the machine -> processors that we and others use, and those that a quota withholds."""


def readings(*seconds: str, step: float = 0.25) -> list[Reading]:
    """The readings of a machine on which this happened, second by second."""
    now, mine, theirs, withheld = 100.0, 50.0, 70.0, 0.0
    found = []
    for what in [*seconds, ""]:
        for _ in range(round(1 / step) if what else 1):
            idle = CORES * now - mine - theirs
            table = {1: ProcessTime("us", 0, mine, 0)}
            found.append(Reading(now, CORES, mine + theirs, idle, 0, None, table, throttled=withheld))
            used, others, throttled = USED[what or QUIET]
            now, mine, theirs = now + step, mine + used * step, theirs + others * step
            withheld += throttled * step
    return found


class Machine:
    """Stands in for the machine: each look at it moves on by a quarter of a second of what happens there."""

    def __init__(self, *seconds: str) -> None:
        self._readings = iter(readings(*seconds))

    def __call__(self, _: object) -> Reading:
        return next(self._readings)


def world_at(host: str, folder: Path) -> World:
    topology = Topology("db", Login("app", "secret"), Address(host, 5432))
    return World(Run("run", folder, folder, 1), Cluster(topology), Evidence())


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Of a cluster on other machines."""
    return world_at("198.51.100.1", tmp_path)


@pytest.fixture
def world_here(tmp_path: Path) -> World:
    """Of a cluster on this machine."""
    return world_at("127.0.0.1", tmp_path)


class TestDisturbance:
    def test_a_quiet_machine_is_not_disturbed(self) -> None:
        assert disturbance(readings(*[QUIET] * 10)) is None

    def test_a_cluster_that_keeps_the_machine_busy_itself_is_no_disturbance(self) -> None:
        assert disturbance(readings(*[OWN] * 10)) is None

    def test_of_a_cluster_elsewhere_the_suite_that_keeps_the_machine_busy_is_one(self) -> None:
        found = disturbance(readings(*[OWN] * 10), elsewhere=True)
        assert found is not None
        assert "other virtual machines 0.0, the suite 2.0; 0.0 were idle" in str(found)

    def test_a_quota_that_is_used_up_disturbs_on_an_idle_machine(self) -> None:
        found = disturbance(readings(QUIET, QUIET, QUOTA, QUIET))
        assert found is not None
        assert "1.5 were idle; the suite's CPU quota withheld 0.5" in str(found)

    def test_the_worst_second_is_told(self) -> None:
        found = disturbance(readings(QUIET, QUIET, BUSY, QUIET))
        assert found is not None
        assert "other programs used 1.9 of 2 processors" in str(found)

    def test_a_moment_in_a_long_measurement_is_no_excuse(self) -> None:
        assert disturbance(readings(*[QUIET] * 30, BUSY, *[QUIET] * 30)) is None

    def test_a_measurement_of_less_than_a_second_is_judged_as_a_whole(self) -> None:
        assert disturbance(readings(BUSY)[:3]) is not None
        assert disturbance(readings(QUIET)[:3]) is None


class TestJudged:
    """The limit is exceeded the first `slow` times; `happens` on the machine meanwhile."""

    def finding(self, world: World, monkeypatch: pytest.MonkeyPatch, happens: list[str], slow: int) -> Finding:
        monkeypatch.setattr(quiet, "read", Machine(*happens, *[QUIET] * 1000))
        monkeypatch.setattr(quiet, "_EVERY", 0.01)
        turns = count(1)

        def work() -> None:
            self.times = next(turns)
            pause(0.1)

        measure(world, work)
        return judged(world, lambda: Finding.within_limit(self.times > slow, f"time {self.times}"))

    def test_too_slow_on_a_quiet_machine_is_broken(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        finding = self.finding(world, monkeypatch, [], slow=9)
        assert (finding.holds, finding.only_limit, finding.undisturbed, self.times) == (False, True, True, 1)

    def test_too_slow_because_of_itself_is_broken(self, world_here: World, monkeypatch: pytest.MonkeyPatch) -> None:
        finding = self.finding(world_here, monkeypatch, [OWN] * 1000, slow=9)
        assert (finding.holds, self.times) == (False, 1)

    @pytest.mark.parametrize("happens", [OWN, QUOTA])
    def test_a_cluster_elsewhere_is_not_slow_because_of_the_suite(
        self, world: World, monkeypatch: pytest.MonkeyPatch, happens: str
    ) -> None:
        monkeypatch.setattr(quiet, "QUIET_WITHIN", 0.5)
        finding = self.finding(world, monkeypatch, [happens] * 1000, slow=9)
        assert (finding.holds, finding.undisturbed) == (None, False)

    def test_it_is_measured_again_when_it_is_quiet(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        finding = self.finding(world, monkeypatch, [BUSY] * 10, slow=1)
        assert (finding.holds, self.times) == (True, 2)

    def test_too_slow_again_when_it_is_quiet_is_broken(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        finding = self.finding(world, monkeypatch, [BUSY] * 10, slow=9)
        assert (finding.holds, self.times) == (False, 2)

    def test_never_quiet_is_inconclusive(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quiet, "QUIET_WITHIN", 0.5)
        finding = self.finding(world, monkeypatch, [BUSY] * 1000, slow=9)
        assert (finding.holds, self.times) == (None, 1)
        assert "time 1, but in the busiest 1.0 s of that time other programs used 1.9 of 2 processors" in finding.words

    def test_kept_on_a_busy_machine_is_kept(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        finding = self.finding(world, monkeypatch, [BUSY] * 1000, slow=0)
        assert (finding.holds, self.times) == (True, 1)

    def test_a_wrong_result_is_final_however_busy_the_machine(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quiet, "read", Machine(*[BUSY] * 1000))
        measure(world, lambda: None)
        assert judged(world, lambda: Finding.false("another answer")).holds is False

    def test_a_wrong_result_of_a_repetition_is_told(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quiet, "read", Machine(*[BUSY] * 3, *[QUIET] * 1000))
        measure(world, lambda: None, lambda: Finding.false("another answer"))
        world.handover(quiet.SpeedHandover).measurement.disturbance = disturbance(readings(BUSY, BUSY))
        with pytest.raises(AssertionError, match="another answer"):
            judged(world, lambda: Finding.too_late("slow"))


@pytest.mark.long
class TestReally:
    """With real processes that use all processors."""

    def test_a_measurement_beside_them_is_disturbed(
        self, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(quiet, "QUIET_WITHIN", 1.5)
        with busy_machine(tmp_path):
            measure(world, lambda: sum(range(10**7)))
            finding = judged(world, lambda: Finding.too_late("353 of 1000 a second"))
        assert finding.holds is None
        assert finding.words.startswith("353 of 1000 a second, but in ")

    def test_what_is_not_repeated_is_inconclusive(self, world: World, tmp_path: Path) -> None:
        def late() -> None:
            with excused(world):
                sum(range(10**7))
                raise LimitExceeded("too late")

        with busy_machine(tmp_path), pytest.raises(Inconclusive, match=r"too late, but in .* other programs used"):
            late()

    def test_a_refused_login_is_no_matter_of_time(self, world: World, tmp_path: Path) -> None:
        words = 'pg2: no login after 0.0 s: FATAL:  password authentication failed for user "app"'

        def late() -> None:
            with excused(world):
                sum(range(10**7))
                raise NotInTime("the entry is on every replica", words, 5.1, 5)

        with busy_machine(tmp_path), pytest.raises(LimitExceeded, match="password authentication failed"):
            late()

    def test_it_is_not_quiet_beside_them(self, world: World, tmp_path: Path) -> None:
        with busy_machine(tmp_path):
            assert not await_quiet(ours(world.cluster.topology), within=2)

    def test_what_our_own_processes_use_is_not_held_against_others(self, world: World) -> None:
        burn = "import time\nwhile time.process_time() < 1: pass"
        measurement = Measurement(lambda: subprocess.run([sys.executable, "-c", burn], check=True))
        with quiet.LoadWatch(ours(world.cluster.topology)) as watch:
            measurement.work()
        used = quiet.usage(watch._readings[0], watch._readings[-1])
        assert used.ours * used.seconds > 0.9


_IN_A_NETWORK = """
ip link set lo up && ip addr add 198.51.100.7/32 dev lo && ip addr add 2001:db8::7/128 dev lo nodad || exit 77
echo up && exec "$0" 60
"""


@pytest.fixture(scope="module")
def in_a_container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The id of a process named postgres whose network is its own, such as that of a container."""
    program = tmp_path_factory.mktemp("container") / "postgres"
    shutil.copy(shutil.which("sleep") or "", program)
    words = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", _IN_A_NETWORK, str(program)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "up\n":
            pytest.skip("no network of its own can be made here")
        name = Path(f"/proc/{process.pid}/comm")
        eventually(lambda: assert_that(name.read_text(), equal_to("postgres\n")), within=10, subject="it runs")
        yield process.pid
        process.kill()


@pytest.mark.parametrize(
    ("address", "here"),
    [("198.51.100.7", True), ("2001:db8::7", True), ("198.51.100.8", False), ("2001:db8::8", False)],
)
def test_a_cluster_in_containers_on_this_machine_is_reached_by_their_addresses(
    address: str, here: bool, in_a_container: int
) -> None:
    table = {os.getpid(): ProcessTime("python", 1, 0, 0), in_a_container: ProcessTime("postgres", 1, 0, 0)}
    member = MemberAddress("pg1", Address(address, 5432), None)
    found = ours(Topology("db", Login("app", "secret"), Address("203.0.113.1", 5432), members=(member,)))(table)
    assert (in_a_container in found) is here


def test_of_a_cluster_on_this_machine_its_programs_are_ours() -> None:
    login, here = Login("app", "secret"), Address("127.0.0.1", 5432)
    away = Address("192.0.2.1", 5432)
    table = {os.getpid(): ProcessTime("python", 1, 0, 0), 7: ProcessTime("postgres", 1, 0, 0)}
    assert set(ours(Topology("db", login, here))(table)) == {os.getpid(), 7}
    assert set(ours(Topology("db", login, away))(table)) == {os.getpid()}
    beside = Topology("db", login, away, members=(MemberAddress("pg1", here, None),))
    assert set(ours(beside)(table)) == {os.getpid(), 7}
