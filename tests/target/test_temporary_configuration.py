"""What a fault changes in Patroni's dynamic configuration is given back by whoever comes next, on a real Patroni."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from booting import boots
from conftest import free_port
from killed_runs import disturbing_run
from patronis import Member, patroni
from real_patroni import MEMBER, real_patroni

from support import sql
from support.cli.cluster_under_test import as_configured
from support.cli.heal import heal
from support.expectations import Expectations
from support.faults.patroni import asynchronous
from support.run import Life
from support.settings import Settings
from support.target import changes
from support.target import temporary_configuration as temporary
from support.target.baseline import _read
from support.target.changes import LONGEST, Note
from support.target.cluster import Cluster
from support.target.patroni_commands import configure
from support.target.standby_names import StandbyNames
from support.target.temporary_configuration import TemporaryConfiguration
from support.waiting import eventually

WORDS = "commits wait for no standby"
NESTED = {"postgresql": {"parameters": {"max_wal_size": "64MB"}}, "slots": {"accept_1": {"type": "physical"}}}
_CHANGES = """
import signal, sys
from pathlib import Path
from support.faults.patroni import asynchronous, paused
from support.target.cluster import Cluster
from support.target.topology import Topology
cluster = Cluster(Topology.load(Path(sys.argv[1])))
asynchronous(cluster).inject()
paused(cluster).inject()
print("done", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with real_patroni(tmp_path_factory.mktemp("patroni")) as found:
        yield found


@pytest.fixture
def cluster(one: Cluster) -> Iterator[Cluster]:
    before = _configuration(one)
    yield one
    assert _configuration(one) == before


def _configuration(cluster: Cluster) -> Mapping[str, Any]:
    return configure(cluster, {"nothing": None})


@boots
def _changed_by_a_run(cluster: Cluster, folder: Path) -> "subprocess.Popen[str]":
    """Another process, which has made commits asynchronous and paused Patroni."""
    run = disturbing_run(_CHANGES, cluster, folder)
    now = _configuration(cluster)
    assert (now["synchronous_mode"], now["pause"]) == (False, True)
    return run


def _some(notes: list[Note]) -> list[Note]:
    assert notes
    return notes


def _kill(run: "subprocess.Popen[str]") -> None:
    run.kill()
    run.communicate()


def test_everything_is_as_before_afterwards(cluster: Cluster) -> None:
    configure(cluster, {"slots": {"theirs": {"type": "physical"}}})
    try:
        before = _configuration(cluster)
        changes = [TemporaryConfiguration(cluster, WORDS, what) for what in ({"synchronous_mode": False}, NESTED)]
        for one in changes:
            one.begin()
        during = _configuration(cluster)
        assert (during["synchronous_mode"], during["postgresql"]["parameters"]["max_wal_size"]) == (False, "64MB")
        assert set(during["slots"]) == {"theirs", "accept_1"}
        for one in changes:
            one.end()
            one.end()
        assert _configuration(cluster) == before
    finally:
        configure(cluster, {"slots": None})


def test_what_others_add_to_a_section_that_was_not_there_stays(cluster: Cluster) -> None:
    change = TemporaryConfiguration(cluster, WORDS, {"slots": {"accept_1": {"type": "physical"}}})
    assert "slots" not in _configuration(cluster)
    change.begin()
    configure(cluster, {"slots": {"theirs": {"type": "physical"}}})
    change.end()
    try:
        assert _configuration(cluster)["slots"] == {"theirs": {"type": "physical"}}
    finally:
        configure(cluster, {"slots": None})


def test_commits_wait_for_nobody_by_postgresqls_own_setting_either(cluster: Cluster) -> None:
    def is_shown(expected: str) -> None:
        assert sql.value(cluster.of_member(MEMBER), "SHOW synchronous_standby_names") == expected

    own = TemporaryConfiguration(
        cluster,
        "PostgreSQL waits past Patroni",
        {"synchronous_mode": False, "postgresql": {"parameters": {"synchronous_standby_names": "nobody"}}},
    )
    own.begin()
    try:
        eventually(partial(is_shown, "nobody"), within=20, subject="PostgreSQL has the setting")
        assert _read(cluster, Expectations()).own_standbys == {0: StandbyNames.parse("nobody")}
        fault = asynchronous(cluster)
        fault.inject()
        eventually(partial(is_shown, ""), within=20, subject="PostgreSQL has it no longer")
        fault.heal()
        eventually(partial(is_shown, "nobody"), within=20, subject="PostgreSQL has it again")
    finally:
        own.end()


def test_patroni_goes_on_with_a_note_in_its_configuration(cluster: Cluster) -> None:
    change = TemporaryConfiguration(cluster, WORDS, {"synchronous_mode_strict": True})
    change.begin()
    seen = cluster.patroni(MEMBER).status()["dcs_last_seen"]

    def two_loops_later() -> None:
        assert cluster.patroni(MEMBER).status()["dcs_last_seen"] > seen + 1

    eventually(two_loops_later, within=20, subject="it looks at the DCS")
    assert cluster.leader() == MEMBER
    change.end()


def test_the_next_run_gives_back_what_a_killed_one_has_changed(cluster: Cluster, tmp_path: Path) -> None:
    run = _changed_by_a_run(cluster, tmp_path)
    (first, second) = temporary.give_back(cluster).kept
    assert "synchronous_mode (commits wait for no standby" in first + second
    assert "./accept heal" in first, "that run is going on"
    _kill(run)
    found = temporary.give_back(cluster)
    assert (len(found.done), found.kept) == (2, ())
    assert temporary.notes_in(_configuration(cluster)) == []


def test_a_run_begins_with_the_configuration_as_it_was(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _changed_by_a_run(cluster, tmp_path)
    assert "by a run on" in as_configured(cluster.topology).lacks["destructive"]
    _kill(run)
    assert "destructive" not in as_configured(cluster.topology).lacks
    assert "synchronous_mode (commits wait for no standby" in capsys.readouterr().err


def test_accept_heal_gives_it_back_without_any_host(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _kill(_changed_by_a_run(cluster, tmp_path))
    rest = str(cluster.address_of(MEMBER).rest)
    assert heal(Settings.load({"patroni_hosts": [rest]})) == 0
    told = capsys.readouterr().out
    assert "Patroni of staging: pause (failover is paused" in told
    assert heal(Settings.load({"patroni_hosts": [rest]})) == 0
    assert "Patroni of staging: nothing was left" in capsys.readouterr().out


def test_a_process_that_was_killed_and_not_reaped_is_over() -> None:
    """As in a container whose first process does not wait for others."""
    with subprocess.Popen(["sleep", "600"]) as process:
        began = changes._started(str(process.pid))
        note = Note("n", "why", changes._this_machine(), "here", began, 0.0, {})
        assert note.life is Life.GOING_ON
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert note.life is Life.OVER


def test_accept_heal_says_what_group_it_has_not_looked_at(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that answers has one member, so the other address is not of its group."""
    _kill(_changed_by_a_run(cluster, tmp_path))
    rests = [str(cluster.address_of(MEMBER).rest), f"127.0.0.1:{free_port()}"]
    assert heal(Settings.load({"patroni_hosts": rests})) == 1
    told = capsys.readouterr().out
    assert "Patroni of staging: pause (failover is paused" in told
    assert f"not every configuration was checked: {rests[1]}" in told


def test_accept_heal_is_not_misled_by_a_member_that_knows_less(capsys: pytest.CaptureFixture[str]) -> None:
    """As a member does that has just started. Both have answered, so the silent one belongs to another group."""
    with ExitStack() as ending:
        members = [
            Member(f"pg{n}", "leader" if n == 1 else "replica", f"pg{n}:5432", f"pg{n}:8008", None) for n in (1, 2)
        ]
        ports = [
            ending.enter_context(patroni(members[0], members)),
            ending.enter_context(patroni(members[1], members[1:])),
        ]
        rests = [f"127.0.0.1:{port}" for port in (*ports, free_port())]
        assert heal(Settings.load({"patroni_hosts": rests})) == 1
    assert f"not every configuration was checked: {rests[2]}" in capsys.readouterr().out


def test_accept_heal_owes_nothing_where_nobody_says_that_there_is_a_patroni(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert heal(Settings.load({"ruvector_host": "127.0.0.1", "patroni_port": free_port()})) == 0
    assert "none answers beside the database" in capsys.readouterr().out


def test_accept_heal_says_where_no_patroni_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert heal(Settings.load({"patroni_hosts": [f"127.0.0.1:{free_port()}"]})) == 1
    assert "not everything could be undone" in capsys.readouterr().out


def test_a_run_on_another_machine_may_go_on_for_some_time(cluster: Cluster) -> None:
    change = TemporaryConfiguration(cluster, WORDS, {"synchronous_mode": False})
    change.begin()
    (note,) = eventually(lambda: _some(temporary.left(cluster)), within=10, subject="Patroni tells of it")
    assert note.life is Life.GOING_ON
    elsewhere = replace(note, machine="another")
    assert elsewhere.life is Life.UNKNOWN
    assert replace(elsewhere, since=note.since - LONGEST).life is Life.OVER
    assert replace(note, process=f"{os.getpid()}:1").life is Life.OVER, "another process has its id by now"
    change.end()


def test_what_is_not_understood_is_no_note() -> None:
    assert temporary.notes_in({"accept_before_1": {}, "accept_before_2": "{", "accept_before_3": '{"why": ""}'}) == []


def test_a_command_without_an_answer_is_undone_all_the_same(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    change = TemporaryConfiguration(cluster, WORDS, {"synchronous_mode": False})
    sent = list[str]()

    def silent(*arguments: Any) -> Mapping[str, Any]:
        done = configure(*arguments)
        sent.append("")
        if len(sent) == 2:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(temporary, "configure", silent)
    with pytest.raises(KeyboardInterrupt):
        change.begin()
    assert _configuration(cluster)["synchronous_mode"] is False
    change.end()
