"""The plan of a run shows exactly what the hosts' shells get when the steps run, on real machines."""

import importlib
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from patronis import Member, patroni
from remote_hosts import Machine, ssh_hosts

from support import sql
from support.cli.behave_process import PlannedStep
from support.cli.host_commands import _Rehearsed, acts_of
from support.hosts.remote import Reach, RemoteSite
from support.hosts.remote.guards import heal_left
from support.hosts.remote.rehearsal import Rehearsal, Unkept
from support.settings import Settings
from support.target.discovery import user_cluster
from support.target.topology import Topology
from support.waiting import NotYet, eventually

NAMES = ("a", "b", "c")
PROGRAMS = {"a": ("patroni", "postgres"), "b": ("patroni", "postgres", "etcd"), "c": ("patroni", "postgres", "haproxy")}
"""Host -> the programs on it: each only sleeps, and is known by its name."""
STREAMS = {"b": "sync", "c": "async"}
"""Replica -> whether commits wait for it."""
LOOKS = frozenset("look addresses table where size tail tail_of cat date probe counted left beat heal".split())
"""Calls that change nothing beyond what a fault declares, or that undo it."""
REHEARSED = "said instead of done"
"""Words of the script that only says what it would do."""
Calls = set[tuple[str, str]]
"""Host, and the call of the script there without each fault's own name; repeated calls only once."""


_END = " </dev/null\n"


def _whole(file: Path) -> str:
    """A host's guards are told that we are still there by a thread of its own, at any time."""
    text = file.read_text()
    if not text.endswith(_END):
        raise NotYet(text[-100:])
    return text


@dataclass
class Recorder:
    """Everything that the hosts' shells get: their ssh is tapped."""

    folder: Path

    def take(self) -> Mapping[bool, Calls]:
        """The calls that changed something since the last call: rehearsed ones, and real ones."""
        found = {True: Calls(), False: Calls()}
        for file in self.folder.iterdir():
            text = eventually(lambda file=file: _whole(file), within=10, subject="a call has been written down")
            file.unlink()
            call = text.rpartition("; main ")[2].removesuffix(_END)
            host = re.search(r" -- (\S+) ", text.partition("\n")[0])
            verb, *arguments = shlex.split(call)
            if host and verb not in LOOKS and not (verb == "sh" and "/proc/" in arguments[-1]):
                found[REHEARSED in text].add((host[1], _without_id(verb, arguments)))
        return found


def _without_id(verb: str, arguments: list[str]) -> str:
    words = shlex.join([verb, *arguments])
    return words if verb == "strike" else words.replace(arguments[0], "ID")


@dataclass
class Rig:
    """Three members as reported by Patroni, on machines whose programs just sleep."""

    machines: Mapping[str, Machine]
    topology: Topology
    recorder: Recorder
    folder: Path

    def cluster(self, site: RemoteSite) -> _Rehearsed:
        return _Rehearsed(self.topology, site)

    def start_all(self) -> None:
        _spawn(self.machines, self.folder)
        eventually(self._all_run, within=10, subject="all run")

    def _all_run(self) -> None:
        site = RemoteSite(self.topology.hosts, Unkept())
        found = {name: {one.name for one in host.running()} for name, host in site.machines.items()}
        if found != {name: {*programs} for name, programs in PROGRAMS.items()}:
            raise NotYet(str(found))

    def end_all(self) -> None:
        for name, machine in self.machines.items():
            heal_left(Reach.of(machine.url))
            for program in PROGRAMS[name]:
                machine.call("sh", "-c", f"pkill -KILL -x {program} || :")


def _spawn(machines: Mapping[str, Machine], folder: Path) -> None:
    for name, machine in machines.items():
        for program in PROGRAMS[name]:
            machine.spawn(str(folder / program), "700")


class Enough(BaseException):
    """The step has made all faults that its plan shows; what follows would need a real cluster."""


@dataclass
class Experiment:
    """Injects the faults that a step makes, for real, and ends the step after this many."""

    most: int
    made: list[Any] = field(default_factory=list)

    @property
    def nemesis(self) -> "Experiment":
        return self

    def inject(self, fault: Any, target_member: str = "") -> None:
        getattr(fault, "prepare", lambda: None)()
        fault.inject()
        self.made.append(fault)
        if len(self.made) == self.most:
            raise Enough

    prepare = inject


@pytest.fixture(scope="module")
def rig(postgres: sql.Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("planned")
    recorded = folder / "recorded"
    recorded.mkdir()
    with ssh_hosts(folder, *NAMES) as machines, ExitStack() as stack:
        for program in ("patroni", "postgres", "etcd", "haproxy"):
            shutil.copy(str(shutil.which("sleep")), folder / program)
        tap = f'f=$(mktemp {recorded}/XXXXXX); echo "# $*" > $f; tee -a $f | '
        tapped = (folder / "bin/ssh").read_text().replace("exec ", tap)
        (folder / "bin/ssh").write_text(tapped)
        for machine in machines.values():
            machine.mark("test")
        here = f"127.0.0.1:{postgres.port}"
        members = [
            Member(name, "replica" if number else "leader", here, "127.0.0.1:1", None if number else postgres)
            for number, name in enumerate(NAMES)
        ]
        streams = [
            {"application_name": name, "state": "streaming", "sync_state": kind} for name, kind in STREAMS.items()
        ]
        members[0].extra |= {"xlog": {"location": 1}, "replication": streams}
        apis = [f"127.0.0.1:{stack.enter_context(patroni(one, members))}" for one in members]
        hosts = {
            name: {
                "reach": one.url,
                "address": one.address,
                "programs": {program: "true" for program in PROGRAMS[name] if program != "postgres"},
            }
            for name, one in machines.items()
        }
        settings = {
            "ruvector_host": "127.0.0.1",
            "ruvector_port": postgres.port,
            "ruvector_password": postgres.password,
            "patroni_hosts": apis,
            "hosts": hosts,
            "accept_destructive": "postgres",
        }
        _spawn(machines, folder)
        found = Rig(machines, user_cluster.discover(_loaded(settings, folder)), Recorder(recorded), folder)
        found.end_all()
        yield found


def _loaded(settings: Mapping[str, object], folder: Path) -> Settings:
    """Only these, regardless of the developer's environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        return Settings.load(dict(settings))


Case = tuple[str, dict[str, object], tuple[tuple[str, ...], ...]]
"""A step function, its arguments and its table."""
CASES: tuple[Case, ...] = (
    ("failover.fault_steps.step_host_crashes", {"role": "the leader"}, ()),
    ("failover.fault_steps.step_down_until_replaced", {"role": "a replica"}, ()),
    ("failover.fault_steps.step_host_freezes", {"role": "a replica"}, ()),
    ("failover.fault_steps.step_patroni_frozen_until_replaced", {"role": "a replica"}, ()),
    ("failover.fault_steps.step_postgres_hangs", {"role": "a replica"}, ()),
    ("failover.fault_steps.step_postmaster_hangs", {"role": "the leader"}, ()),
    ("failover.fault_steps.step_postgres_killed", {"role": "the leader"}, ()),
    ("failover.fault_steps.step_start_hangs", {"role": "the leader"}, ()),
    ("sharding.worker_failure_steps.step_killed_in_turn", {}, (("who",), ("the leader",))),
    ("failover.fault_steps.step_replicas_crash", {}, ()),
    ("failover.fault_steps.step_every_host_crashes", {}, ()),
    ("failover.fault_steps.step_proxy_restarts", {}, ()),
    ("failover.joint_loss_steps.step_replica_away", {}, ()),
    ("failover.joint_loss_steps.step_lost_together", {}, ()),
    ("failover.degradation_steps.step_answers_lost", {}, ()),
    ("failover.partition_steps.step_commits_unreplicated", {}, ()),
    ("failover.succession_steps.step_one_is_behind", {}, ()),
)
"""Step functions that need nothing but hosts before they disturb them, with arguments and tables."""
MADE_ALONE: tuple[Case, ...] = (
    ("failover.partition_steps.step_leader_cut_off", {"others": "every other host"}, ()),
    ("failover.partition_steps.step_dcs_crashes", {"part": "a majority"}, ()),
    ("failover.partition_steps.step_links_degrade", {"degradation": "loses one packet in ten"}, ()),
    ("failover.routing_steps.step_reloaded", {}, ()),
)
"""Steps that need more: their declared faults are injected without running the step."""
UNDONE_AT_ONCE = ("failover.fault_steps.step_proxy_restarts",)
"""These leave nothing on the host that could be compared."""


CHOSEN: tuple[Case, ...] = (
    ("failover.joint_loss_steps.step_replica_away", {}, ()),
    ("failover.joint_loss_steps.step_lost_together", {}, ()),
    ("failover.succession_steps.step_one_is_behind", {}, ()),
    ("failover.succession_steps.step_lose_leaders", {}, (("how",), ("its host crashes",), ("its host freezes",))),
    ("failover.routing_steps.step_loses_stream", {}, ()),
)


def _function(name: str) -> Callable[..., object]:
    where, _, function = name.rpartition(".")
    found: Callable[..., object] = getattr(importlib.import_module(f"steps.{where}"), function)
    return found


def _step(name: str, arguments: Mapping[str, object], table: tuple[tuple[str, ...], ...]) -> PlannedStep:
    code = _function(name).__code__  # type: ignore[attr-defined]
    return PlannedStep("", f"{code.co_filename}:{code.co_firstlineno}", arguments, name, table)


def _run(name: str, arguments: Mapping[str, object], table: tuple[tuple[str, ...], ...], rig: Rig, most: int) -> None:
    """The step itself, until it has made this many faults."""
    cluster = rig.cluster(RemoteSite(rig.topology.hosts))
    world = SimpleNamespace(
        cluster=cluster,
        experiment=Experiment(most),
        timing=cluster.topology.timing,
        random=SimpleNamespace(choice=lambda names: names[0]),  # what a plan shows of what a run chooses at random
        another_namespace=lambda name: name,
        handover=lambda kind: kind,
    )
    rows = [dict(zip(table[0], row, strict=True)) for row in table[1:]]
    with pytest.raises(Enough):
        _function(name)(SimpleNamespace(world=world, table=SimpleNamespace(rows=rows)), **arguments)


@pytest.mark.parametrize("case", [*CASES, *MADE_ALONE], ids=lambda case: case[0].rpartition(".")[2])
def test_the_hosts_get_what_the_plan_has_shown(rig: Rig, case: Case) -> None:
    rig.start_all()
    try:
        name, arguments, table = case
        rig.recorder.take()
        cluster = rig.cluster(RemoteSite(rig.topology.hosts, Unkept()))
        acts = list(acts_of(_step(*case), cluster))
        with Rehearsal() as rehearsal:
            for act in acts:
                assert act.does is not None, act.words
                act.does.on_hosts()
        planned = rig.recorder.take()
        assert planned[False] == Calls(), "a plan changes nothing"
        if case in MADE_ALONE:
            real = rig.cluster(RemoteSite(rig.topology.hosts))
            for act in acts_of(_step(*case), real):
                assert act.does is not None
                act.does.on_hosts()
        else:
            _run(name, arguments, table, rig, most=len(acts))
        done = rig.recorder.take()
        assert done[True] == Calls()
        assert planned[True]
        assert done[False] == planned[True]
        for machine in rig.machines.values():
            heard = [one for one in rehearsal.heard if one.reach == machine.url]
            _require_done(machine, [text for one in heard for text in one.does])
            if name not in UNDONE_AT_ONCE:
                _require_undo(machine, [text for one in heard for text in one.undone_by])
    finally:
        rig.end_all()


def test_a_plan_shows_the_members_that_a_step_chooses_and_how(rig: Rig) -> None:
    rig.start_all()
    try:
        cluster = rig.cluster(RemoteSite(rig.topology.hosts, Unkept()))
        shown = {
            name: [act.words for act in acts_of(_step(name, said, table), cluster)] for name, said, table in CHOSEN
        }
    finally:
        rig.end_all()
    assert shown == {
        "failover.joint_loss_steps.step_replica_away": ["the host c crashes"],  # commits wait for b
        "failover.joint_loss_steps.step_lost_together": ["the hosts a and b crash at once"],
        "failover.succession_steps.step_one_is_behind": ["nothing gets from a to b (a replica chosen at random)"],
        "failover.succession_steps.step_lose_leaders": [
            "the host a crashes (the member that leads by then)",
            "the host a freezes (the member that leads by then)",
        ],
        "failover.routing_steps.step_loses_stream": [
            "not known beforehand: the target has no read endpoint (HAPROXY_REPLICA_PORT, RUVECTOR_READ_URL)"
        ],
    }


OWN_STEPS = """
from behave import when
from support.faults.declared import leaves_hosts

def crash(context):
    cluster = context.world.cluster
    cluster.site.hosts["a"].power_off()

@when("an own step lets a host crash")
def step_own_crash(context):
    crash(context)

@when("an own step reads on hosts")
@leaves_hosts("it reads")
def step_own_look(context):
    crash(context)

@when("an own step asks the database")
def step_own_question(context):
    context.world.cluster.leader()
"""


def test_a_step_that_declares_nothing_is_not_taken_for_harmless(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "own_steps.py"
    file.write_text(OWN_STEPS)
    cluster = rig.cluster(RemoteSite(rig.topology.hosts, Unkept()))
    lines = [number for number, line in enumerate(OWN_STEPS.splitlines(), 1) if line.startswith("@when")]
    crashing, reading, harmless = (list(acts_of(PlannedStep("", f"{file}:{line}", {}), cluster)) for line in lines)
    assert [act.words.partition(":")[0] for act in crashing] == ["not known beforehand"]
    assert reading == harmless == []


def _require_done(machine: Machine, does: Sequence[str]) -> None:
    """Each process is as the commands that were shown leave it."""
    states = {int(pid): state for pid, state in re.findall(r"(\d+) (\S)", machine.call("ps", "-A", "-o", "pid=,stat="))}
    kills = [one for text in does if (one := re.match(r"kill -(\w+)((?: \d+)+)$", text))]
    last = {int(pid): one[1] for one in kills for pid in one[2].split()}
    for pid, sent in last.items():
        assert states.get(pid, "Z") in {"KILL": "Z", "STOP": "T", "USR2": "Z"}[sent], (pid, sent)
    assert bool(machine.call("nft", "list", "tables")) == any("nft" in text for text in does)


def _require_undo(machine: Machine, undone_by: Sequence[str]) -> None:
    """The plan shows what is kept on the host, apart from the names of faults."""
    lasting = 'for one in /run/accept/*/undo; do [ ! -e "$one" ] || [ -e "${one%undo}dead" ] || cat "$one"; done'
    kept = _plain(machine.call("sh", "-c", lasting))
    assert [text for text in undone_by if _plain(text) not in kept] == []
    assert bool(kept) == bool(undone_by)


def _plain(text: str) -> str:
    """With single blanks between words, none at the start of a command, and without the names of faults."""
    return re.sub(r"accept_[0-9a-f]{8}", "accept_ID", " ".join(text.split())).replace("$( ", "$(")
