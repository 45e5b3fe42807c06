"""`accept run --plan --commands`: every step that does something to hosts is told, and nothing is done to them."""

import ast
import inspect
import re
import shutil
import typing
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import step_code
from patronis import Member, patroni
from remote_hosts import Machine, ssh_hosts

from support import sql
from support.cli import host_commands
from support.cli.behave_process import Planned
from support.cli.host_commands import HOSTS
from support.cli.reach import Definition, Place, definitions, module, reached
from support.cli.steps import function_at
from support.errors import UsageError
from support.failover.joint_loss import require_led_again, switch_on
from support.faults.declared import Declared, OnHosts, disturbances_of
from support.settings import Settings
from support.sharding.shards import first_worker, second_worker
from support.target.discovery.host_capabilities import OURS_ALONE

HEALS = (switch_on, require_led_again)
"""Functions that end what an earlier step did."""
PLANNED_ALONE = (first_worker, second_worker)
"""Placeholders in a plan for values that are known only after the scenario has made its tables."""


@pytest.fixture(scope="module")
def planned() -> tuple[Planned, ...]:
    return step_code.scenarios()


@pytest.fixture(scope="module")
def steps(planned: tuple[Planned, ...]) -> dict[str, Callable[..., object]]:
    """Location -> function, for each step that runs on users' hosts as well."""
    found = {step.function for one in planned if not one.tags & {*OURS_ALONE} for step in one.steps if step.function}
    return {location: _function(location) for location in found}


def _function(location: str) -> Callable[..., object]:
    file, _, line = location.rpartition(":")
    function = function_at(Path(file), int(line))
    assert function is not None
    return function


def _definition(function: Callable[..., object]) -> Definition:
    where = module(Path(inspect.getfile(function)).resolve())
    return Definition(where, where.definitions[function.__name__])


def _called(declared: Declared) -> list[Callable[..., object]]:
    """The functions that a step shares with its plan."""
    known = [one for one in declared.known.values() if callable(one) and one.__name__ != "<lambda>"]
    return [declared.make, *(one for one in known if one not in PLANNED_ALONE)]


def test_every_step_that_gets_hold_of_hosts_declares_what_it_does_to_them(
    steps: dict[str, Callable[..., object]],
) -> None:
    silent = [at for at, step in steps.items() if disturbances_of(step) is None and reached(at, HOSTS)]
    assert sorted(silent) == [], (
        "these steps use hosts, and the plan of a run does not know what they do there: put @disturbs(FACTORY) "
        "below their text, with the function by which they make the fault, or @leaves_hosts(WHY); see "
        "support/faults/declared.py"
    )


def test_a_step_makes_what_it_does_to_hosts_by_what_it_declares_alone(
    steps: dict[str, Callable[..., object]],
) -> None:
    """Nothing else that it calls gives it access to a host, so its plan and its run cannot differ."""
    others, unused = dict[str, str](), dict[str, list[str]]()
    for location, step in steps.items():
        if not (declared := disturbances_of(step)):
            continue
        called = {_definition(one) for each in declared for one in _called(each)}
        closed = frozenset({*called, *map(_definition, HEALS)})
        others.update(dict.fromkeys(reached(location, HOSTS, closed).values(), step.__name__))
        if missing := {_definition(one.make) for one in declared} - definitions(location).keys():
            unused[step.__name__] = [one.node.name for one in missing]
    assert others == {}, "hosts are reached by functions that @disturbs does not name"
    assert unused == {}, "@disturbs names functions that the step does not call"


def test_what_a_step_only_is_handed_is_chosen_as_an_earlier_step_chooses_it(
    planned: tuple[Planned, ...], steps: dict[str, Callable[..., object]]
) -> None:
    strange = []
    for scenario in planned:
        found = dict[Definition, str]()
        for location in (step.function for step in scenario.steps if step.function in steps):
            found |= definitions(location)
            chosen = [one for each in disturbances_of(steps[location]) or () for one in _called(each)[1:]]
            strange += [
                f"{steps[location].__name__}: {one.__name__}" for one in chosen if _definition(one) not in found
            ]
    assert strange == []


def test_every_argument_of_what_is_declared_is_known(planned: tuple[Planned, ...]) -> None:
    """Parameters come from the sentence, the table or the declaration; `given` are the names in any of them."""
    missing = []
    for step in (step for one in planned for step in one.steps if step.function):
        given = {"cluster", "choose", *step.arguments, *(step.table[0] if step.table else ())}
        for declared in disturbances_of(_function(step.function)) or ():
            wanted = [declared.make, *(one for one in declared.known.values() if callable(one))]
            names = {name for one in wanted for name in inspect.signature(one).parameters}
            missing += [f"{step.location}: {name}" for name in sorted(names - given - declared.known.keys())]
    assert missing == []


def test_what_a_fault_does_on_hosts_reaches_nothing_else(
    steps: dict[str, Callable[..., object]],
) -> None:
    """What is rehearsed must not reach the database, Patroni or Redis: there it would be done for real."""
    talks = {Place(name): name for name in ("reload_configuration", "switch_over", "client_of")}
    talks |= {Place(name, r"^sql$"): name for name in ("execute", "value", "rows", "session")}
    talks |= {Place(name): name for name in ("redis", "begin", "Popen")}
    faults = {one for step in steps.values() for each in disturbances_of(step) or () for one in _classes(each.make)}
    assert len(faults) > 15
    found = []
    for fault in faults:
        kind = next(one for one in fault.__mro__ if "on_hosts" in vars(one))  # may be inherited
        (method,) = [
            one
            for one in ast.walk(_definition(kind).node)
            if isinstance(one, ast.FunctionDef) and one.name == "on_hosts"
        ]
        named = [one for one in ast.walk(method) if isinstance(one, ast.Name | ast.Attribute)]
        found += [
            f"{fault.__name__}: {what}" for one in named for place, what in talks.items() if place.is_named_by(one)
        ]
    assert found == []


def _classes(make: Callable[..., object]) -> set[type[OnHosts]]:
    """The classes of what a function returns."""
    if isinstance(make, type):
        return {make}

    def of(kind: object) -> set[type[OnHosts]]:
        arguments = set().union(*map(of, typing.get_args(kind))) if typing.get_args(kind) else set()
        return arguments | ({kind} if isinstance(kind, type) and hasattr(kind, "on_hosts") else set())

    return of(typing.get_type_hints(make)["return"])


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
        one = next(
            one for one in planned if name in {_function(step.function).__name__ for step in one.steps if step.function}
        )
        found.append(Planned(one.feature, one.name, one.location, frozenset(), one.steps))
    return found


def test_the_commands_of_real_machines_are_told_and_nothing_is_done(
    planned: tuple[Planned, ...],
    settings: Settings,
    machines: dict[str, Machine],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = machines["a"].call("pgrep", "-x", "patroni")
    scenarios = of_steps(
        planned, "step_host_crashes", "step_host_freezes", "step_commits_unreplicated", "step_replicas_crash"
    )
    assert host_commands.show(scenarios, settings) == 0
    said = capsys.readouterr().out
    assert f"on a ({machines['a'].url})" in said
    assert "the host of the leader crashes\n    the host a crashes\n" in said
    assert f"do    kill -KILL {before.strip()}" in said
    assert "do    nft -f -" in said
    assert "undo" in said
    assert "start it" in said
    assert "a cut off from b" in said
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


def test_how_long_a_fault_may_last_is_told_as_the_timing_asks_for_it(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """With Patroni's default timing, by which a start may last 5 minutes, guards wait for longer than their usual 5
    minutes; on a slow machine even longer."""

    def told(multiplier: float) -> int:
        assert host_commands.show([], settings.model_copy(update={"accept_timeout_multiplier": multiplier})) == 0
        said = " ".join(capsys.readouterr().err.split())
        return int(re.findall(r"without the suite, and after (\d+) s in any case", said)[0])

    assert 600 < told(1.0) < 700
    assert told(10.0) > 2000


def test_without_hosts_there_are_no_commands(planned: tuple[Planned, ...]) -> None:
    with pytest.raises(UsageError, match=r"\[hosts\]"):
        host_commands.show(planned[:1], Settings.load({"ruvector_host": "127.0.0.1"}))
