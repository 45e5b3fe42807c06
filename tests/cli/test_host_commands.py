"""`accept run --plan --commands`: every step that does something to hosts is told, and nothing is done to them."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from patronis import Member, patroni
from remote_hosts import Machine, ssh_hosts

from support import sql
from support.cli import host_commands
from support.cli.behave_process import Planned, dry_run
from support.cli.host_commands import ACTS, function_of
from support.cli.reach import Place, reached
from support.errors import UsageError
from support.settings import Settings
from support.target.discovery.user_hosts import OURS_ALONE

_CLUSTER = r"(cluster|group|copies)$|(of|worker)_group\(.*\)$"
_HOLDS = ("host_of", "proxy_host", "cache_host", "crash_in_dcs", "broken_link_of_dcs", "poor_links")
CHANGES = {Place("site", _CLUSTER): "changes", **{Place(name): "changes" for name in _HOLDS}}
"""What code names that gets hold of hosts."""
NOTHING = {
    "step_accepted_with_a_replica": "heals what an earlier step did",
    "step_alone_back": "heals what an earlier step did",
    "step_led_again": "heals what an earlier step did",
    "step_search_logs": "reads",
    "step_rewind_is_configured": "reads",
    "step_own_credentials": "logs in",
    "step_silent_consumer": "runs a program of the sandbox",
    "step_search_arguments": "reads",
}
"""Step functions that get hold of hosts, and do nothing to them that lasts."""


@pytest.fixture(scope="module")
def planned() -> tuple[Planned, ...]:
    return dry_run(["features"]).scenarios


def test_every_step_that_gets_hold_of_hosts_is_told(planned: tuple[Planned, ...]) -> None:
    steps = {
        function_of(step.function): step.function
        for scenario in planned
        if not scenario.tags & {*OURS_ALONE}
        for step in scenario.steps
    }
    found = {name for name, location in steps.items() if location and reached(location, CHANGES)}
    assert sorted(found - ACTS.keys() - NOTHING.keys()) == []


def test_nothing_is_told_of_steps_that_are_gone(planned: tuple[Planned, ...]) -> None:
    names = {function_of(step.function) for scenario in planned for step in scenario.steps}
    assert {*ACTS, *NOTHING} - names == set()


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    folder = tmp_path_factory.mktemp("commands")
    with ssh_hosts(folder, "a", "b") as found:
        shutil.copy(str(shutil.which("sleep")), folder / "patroni")  # a program is known by its name
        for machine in found.values():
            machine.mark("test")
            machine.spawn(str(folder / "patroni"), "700")
        yield dict(found)


@pytest.fixture
def settings(
    postgres: sql.Endpoint, machines: dict[str, Machine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Settings]:
    """A leader and a replica by Patroni's word, whose hosts are real machines."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    here = f"127.0.0.1:{postgres.port}"
    members = [Member("a", "leader", here, "127.0.0.1:1", postgres), Member("b", "replica", here, "127.0.0.1:1", None)]
    with ExitStack() as stack:
        apis = [f"127.0.0.1:{stack.enter_context(patroni(one, members))}" for one in members]
        hosts = {
            name: {"reach": one.url, "address": one.address, "programs": {"patroni": "start it"}}
            for name, one in machines.items()
        }
        yield Settings.load(
            {
                "ruvector_host": "127.0.0.1",
                "ruvector_port": postgres.port,
                "ruvector_password": postgres.password,
                "patroni_hosts": apis,
                "hosts": hosts,
                "accept_destructive": "postgres",
            }
        )


def of_steps(planned: tuple[Planned, ...], *names: str) -> list[Planned]:
    """For each of these step functions the first scenario with it, without tags: as if nothing were lacking."""
    found = []
    for name in names:
        one = next(one for one in planned if name in {function_of(step.function) for step in one.steps})
        found.append(Planned(one.feature, one.name, one.location, frozenset(), one.steps))
    return found


def test_the_commands_of_real_machines_are_told_and_nothing_is_done(
    planned: tuple[Planned, ...],
    settings: Settings,
    machines: dict[str, Machine],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = machines["a"].call("pgrep", "-x", "patroni")
    scenarios = of_steps(planned, "step_host_crashes", "step_host_freezes", "step_loses_stream", "step_replicas_crash")
    assert host_commands.show(scenarios, settings) == 0
    said = capsys.readouterr().out
    assert f"on a ({machines['a'].url})" in said
    assert "the host a crashes (the leader)" in said
    assert f"do    kill -KILL {before.strip()}" in said
    assert "do    nft -f -" in said
    assert "undo" in said
    assert "start it" in said
    assert "b cut off from a" in said
    assert machines["a"].call("pgrep", "-x", "patroni") == before
    assert {machine.call("nft", "list", "tables") for machine in machines.values()} == {""}
    assert {name: machine.left() for name, machine in machines.items()} == {"a": [], "b": []}


def test_what_cannot_run_is_told_with_the_reason(
    planned: tuple[Planned, ...], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    crashes = [one for one in planned if "FO-01" in one.ids]
    assert host_commands.show(crashes, settings) == 0
    said = capsys.readouterr().out
    assert "cannot run: " in said
    assert "no haproxy: no read endpoint was given" in said


def test_without_hosts_there_are_no_commands(planned: tuple[Planned, ...]) -> None:
    with pytest.raises(UsageError, match=r"\[hosts\]"):
        host_commands.show(planned[:1], Settings.load({"ruvector_host": "127.0.0.1"}))
