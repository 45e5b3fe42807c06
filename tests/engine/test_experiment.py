"""The course of an experiment: preparations, faults that fail halfway, and what is healed when."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import free_port

from support.engine import experiment as experiment_module
from support.engine.checks.writers import THAW_GRACE
from support.engine.experiment import Experiment
from support.engine.history import WriterSample
from support.engine.watch import Watch
from support.engine.world import World
from support.errors import AcceptError, Inconclusive, MissingStep, NotInTime, ProcessFailed, PromiseBroken
from support.faults.naming import Names
from support.faults.nemesis import Fault, InjectedFault
from support.hosts.remote import HostAccess, ProgramAccess
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.timing import Span, Timing
from support.target.topology import Address, Login, Topology


@dataclass
class Noted(Fault):
    """A fault that records what happens to it; its target is unaware of who leads, and silent."""

    name: str
    notes: list[str] = field(default_factory=list)
    fails: bool = False
    whole_hosts: Collection[str] = ()
    unaware = True
    silences = ("pg1",)

    def told(self, names: Names) -> str:
        return self.name

    def inject(self) -> None:
        self.notes.append(f"inject {self.name}")
        if self.fails:
            raise OSError("half of it is frozen")

    def require_in_effect(self) -> None: ...

    def heal(self) -> None:
        self.notes.append(f"heal {self.name}")


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """An experiment on a cluster with nothing up."""
    cluster = Cluster(Topology("d", Login("jo", "x"), Address("127.0.0.1", free_port())))
    world = World(Run("run", tmp_path, tmp_path, 1), cluster, Evidence())
    vars(cluster)["groups"] = ()  # nobody leads, so no fault needs clients on a leader
    return Experiment(world, 0.0, "pg1", Watch({}), {})


@pytest.mark.parametrize(("hit", "more"), [(["pg1"], 15), (["dcs1"], 15), (["worker1"], 0), ([], 0)])
def test_the_limit_of_a_failover_allows_for_an_election_of_the_dcs_only_if_its_host_is_hit(
    tmp_path: Path, hit: list[str], more: float
) -> None:
    """If PostgreSQL alone is killed, or a worker group is on other machines, the DCS keeps its leader."""
    patroni, etcd = {"patroni": ProgramAccess()}, {"etcd": ProgramAccess()}
    hosts = {
        "pg1": HostAccess("ssh://pg1", programs=patroni | etcd),
        "dcs1": HostAccess("ssh://dcs1", programs=etcd),
        "worker1": HostAccess("ssh://worker1", programs=patroni),
    }
    at, timing = Address("127.0.0.1", free_port()), Timing(ttl=30, dcs_election=15)
    cluster = Cluster(Topology("d", Login("jo", "x"), at, dcs=(at,), hosts=hosts, timing=timing))
    vars(cluster)["groups"] = ()
    world = World(Run("run", tmp_path, tmp_path, 1), cluster, Evidence())
    world.experiment = Experiment(world, 0.0, "pg1", Watch({}), {})
    world.experiment.inject(Noted("it", whole_hosts=hit), "pg1")
    for span in (Span.FAILOVER, Span.BLACKOUT):
        assert world.limit(30, "leader", span) == timing.total(span) - 15 + more


def test_a_preparation_is_no_fault_and_is_healed_with_the_faults(experiment: Experiment) -> None:
    notes: list[str] = []
    prepared = experiment.prepare(Noted("cut", notes))
    with pytest.raises(MissingStep, match="a fault"):
        _ = experiment.injected_fault
    assert experiment.coverage is None
    crash = experiment.inject(Noted("crash", notes), "pg1")
    assert (experiment.injected_fault, list(experiment.faults)) == (crash, [crash])
    assert list(experiment.injected_faults) == [prepared, crash]
    assert experiment.coverage is not None
    assert experiment.coverage.begun == crash.begun
    experiment.heal()
    experiment.heal()
    assert notes == ["inject cut", "inject crash", "heal crash", "heal cut"]


def test_a_preparation_can_last_until_the_end_or_for_a_block(experiment: Experiment) -> None:
    notes: list[str] = []
    disk = experiment.prepare(Noted("disk", notes), until_end=True)
    with experiment.prepared(Noted("hold", notes)):
        experiment.inject(Noted("crash", notes), "pg1")
    experiment.heal()
    assert notes == ["inject disk", "inject hold", "inject crash", "heal hold", "heal crash"]
    assert [one.preparation for one in experiment.injected_faults] == [True, True, False]
    assert disk.healed is None
    experiment._recovery = 0.1
    with pytest.raises(NotInTime):
        experiment.conclude()
    assert notes[-1] == "heal disk"


def test_a_fault_that_fails_halfway_is_there_and_excuses_its_target(experiment: Experiment) -> None:
    with pytest.raises(OSError, match="half of it"):
        experiment.inject(Noted("freeze", fails=True), "pg1")
    ((member, freeze),) = experiment.frozen
    assert (member, freeze.words, freeze.healing) == ("pg1", "freeze", None)
    assert experiment.silenced == {"pg1"}
    with pytest.raises(Inconclusive, match="never seen in effect"):
        _ = freeze.in_effect_since
    experiment.heal()
    assert freeze.healing is not None
    assert experiment.coverage is not None
    assert {one.member for one in experiment.coverage.excused} == {"pg1"}


@dataclass
class Aimed(Noted):
    target_member: str = "pg1"


@pytest.mark.parametrize(("said", "expected"), [("", "pg1"), ("pg2", "pg2")])
def test_a_fault_hits_what_it_tells_unless_something_else_is_said(
    experiment: Experiment, said: str, expected: str
) -> None:
    freeze = experiment.inject(Aimed("freeze"), said)
    assert (experiment.target_member, freeze.unaware) == (expected, expected)


@dataclass
class Crash(Noted):
    unaware = False

    def told(self, names: Names) -> str:
        return f"the {names.host(self.name)} crashes"


@pytest.mark.parametrize(
    ("hit", "kind"),
    [
        ("pg1", "the host of a replica crashes"),
        ("pg2", "the host of the leader crashes"),
        ("w1", "the host of the leader of a worker group crashes"),
        ("cache", "the host cache crashes"),
    ],
)
def test_the_kind_of_a_fault_is_what_its_target_was_before_it(experiment: Experiment, hit: str, kind: str) -> None:
    """pg2 was the last one that was seen to accept writes; that its latest answer is missing does not matter."""
    seen: dict[str, list[bool | None]] = {
        "pg1": [True, False, False],
        "pg2": [False, True, None],
        "w1": [True, True, True],
        "w2": [False] * 3,
    }
    samples = [
        WriterSample(name, at, at + 0.1, writable)
        for name, answers in seen.items()
        for at, writable in enumerate(answers)
    ]
    vars(experiment)["watch"] = SimpleNamespace(samples=samples)
    groups = (SimpleNamespace(members=("pg1", "pg2")), SimpleNamespace(members=("w1", "w2")))
    vars(experiment.cluster)["groups"] = groups
    crash = experiment.inject(Crash(hit), hit)
    assert (crash.words, crash.kind, crash.target_member) == (f"the host {hit} crashes", kind, hit)


def test_a_fault_without_a_target_member_is_not_injected(experiment: Experiment) -> None:
    notes: list[str] = []
    with pytest.raises(ValueError, match="crash: whoever injects it has to say which member or host it hits"):
        experiment.inject(Noted("crash", notes))
    assert notes == []


@pytest.mark.parametrize(("target", "unaware", "expected"), [("pg1", True, 1), ("pg1", False, 0), ("pg2", True, 0)])
def test_a_leader_that_freezes_gets_clients_of_its_own_whoever_injects_it(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, target: str, unaware: bool, expected: int
) -> None:
    begun, judged = list[str](), list[InjectedFault]()

    def start_clients(world: World, leader: str) -> Callable[[InjectedFault], None]:
        begun.append(leader)
        return judged.append

    monkeypatch.setattr(experiment_module, "start_clients", start_clients)
    vars(experiment.cluster)["groups"] = (SimpleNamespace(leader=lambda: "pg1", members=("pg1", "pg2")),)
    fault = Noted("freeze")
    monkeypatch.setattr(Noted, "unaware", unaware)
    injected = experiment.inject(fault, target)
    assert (begun, judged) == ([target] * expected, [injected] * expected)


@pytest.mark.parametrize(
    ("ttl", "multiplier", "longest"),
    [(20, 1, 5), (30, 1, 5), (30, 2, 10), (30, 10, 15), (6, 1, 5), (6, 10, 5)],
    ids=str,
)
def test_no_slow_machine_lets_a_member_be_unseen_for_as_long_as_it_could_have_led(
    experiment: Experiment, ttl: float, multiplier: float, longest: float
) -> None:
    timing = Timing(ttl=ttl, multiplier=multiplier)
    vars(experiment.cluster)["topology"] = replace(experiment.cluster.topology, timing=timing)
    experiment.inject(Noted("crash"), "pg1")
    assert experiment.coverage is not None
    assert experiment.coverage.longest == longest


@dataclass
class NotHealed(Noted):
    """A fault whose healing says that it was over before, or fails."""

    raises: Exception = field(default_factory=lambda: Inconclusive("the guard on the host undid it before its time"))

    def heal(self) -> None:
        super().heal()
        raise self.raises


def test_a_cluster_recovers_from_a_fault_that_had_ended_before_it_was_healed(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scenario proves nothing, but the cluster is fit for the next one."""
    monkeypatch.setattr(experiment_module, "await_all", lambda *_: 1.0)
    experiment.inject(NotHealed("freeze"), "pg1")
    with pytest.raises(Inconclusive, match="before its time"):
        experiment.conclude()
    assert experiment.recovered_in == 1.0
    assert experiment.redundant_at is not None


def test_a_cluster_that_stays_unhealthy_after_a_fault_that_had_ended_before_has_not_recovered(
    experiment: Experiment,
) -> None:
    experiment.inject(NotHealed("freeze"), "pg1")
    experiment._recovery = 0.1
    with pytest.raises(NotInTime):
        experiment.conclude()
    assert experiment.recovered_in is None


def test_a_fault_that_had_ended_before_hides_none_that_could_not_be_healed(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_module, "await_all", lambda *_: 1.0)
    experiment.inject(NotHealed("freeze"), "pg1")
    experiment.inject(NotHealed("cut", raises=ProcessFailed("no answer")), "pg1")
    with pytest.raises(Inconclusive, match="before its time"):
        experiment.conclude()
    assert experiment.recovered_in is None


def hangs() -> None:
    raise AcceptError("1 clients of pg1: some did not stop")


def test_a_watch_that_does_not_end_hides_no_two_writers(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [WriterSample(name, at, at + 0.5, True) for at in range(10) for name in ("pg1", "pg2")]
    vars(experiment)["watch"] = SimpleNamespace(samples=both)
    vars(experiment.cluster)["groups"] = (SimpleNamespace(members=("pg1", "pg2")),)
    monkeypatch.setattr(experiment_module, "await_all", lambda *_: 1.0)

    experiment._running.callback(hangs)
    with pytest.raises(PromiseBroken, match="two members accepted writes"):
        experiment.conclude()


def test_a_watch_that_does_not_end_is_an_error(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_module, "await_all", lambda *_: 1.0)

    experiment._running.callback(hangs)
    with pytest.raises(AcceptError, match="did not stop"):
        experiment.conclude()


@pytest.mark.parametrize(("until", "split"), [(47.5, False), (49.0, True)])
def test_a_thawed_leader_has_its_time_from_the_end_of_the_healing(
    experiment: Experiment, until: float, split: bool
) -> None:
    """The healing began at 40; the leader was resumed at some moment until 43, when it was complete."""
    freeze = InjectedFault("pg1 freezes", 10.0, 10.5, healing=40.0, healed=43.0, over=43.0, unaware="pg1")
    experiment._nemesis.injected_faults.append(freeze)
    own = [WriterSample("pg1", at / 10, at / 10 + 0.05, True) for at in (*range(100), *range(420, round(10 * until)))]
    other = [WriterSample("pg2", at / 10, at / 10 + 0.05, at > 300) for at in range(600)]
    vars(experiment)["watch"] = SimpleNamespace(samples=[*own, *other])
    vars(experiment.cluster)["groups"] = (SimpleNamespace(members=("pg1", "pg2")),)
    if split:
        with pytest.raises(PromiseBroken, match="two members accepted writes"):
            experiment._require_one_writer()
    else:
        experiment._require_one_writer()
    assert experiment.coverage is not None
    assert experiment.coverage.excused[0].ended == 43.0 + THAW_GRACE
    assert experiment.over_since == 43.0
