"""The share of a feature that one process takes, and a run that ends before it has begun."""

import errno
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from behave.parser import parse_feature

import environment
from support import sql
from support.cli.behave_process import RUNNER
from support.engine.saturation import Period
from support.errors import AcceptError, LimitExceeded, RequirementMissing
from support.example_app import schema
from support.example_app.vectors import PGVECTOR
from support.hosts.processors import Usage
from support.places import ROOT
from support.run import begin_run, forget
from support.settings import Settings
from support.suite import Suite, _part
from support.target import leftovers
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

TEXT = """
@redis
Feature: A feature

  Background:
    Given a sum

  Scenario: one
    Then it is so

  @slow
  Scenario Outline: <what> of an outline
    Then it is so

    Examples:
      | what  |
      | two   |
      | three |

  @citus
  Rule: A rule
    Scenario: four
      Then it is so

    Scenario: five
      Then it is so
"""


def line_of(words: str) -> int:
    return 1 + next(at for at, line in enumerate(TEXT.splitlines()) if words in line)


ONE, TWO, THREE = line_of("Scenario: one"), line_of("| two"), line_of("| three")
FOUR, FIVE = line_of("Scenario: four"), line_of("Scenario: five")


@pytest.mark.parametrize("lines", [{ONE}, {TWO}, {THREE, FIVE}, {ONE, TWO, THREE, FOUR, FIVE}])
def test_a_part_has_only_the_wanted_scenarios(lines: set[int]) -> None:
    whole = parse_feature(TEXT, filename="features/a.feature")
    part = _part(whole, lines)
    assert {one.line for one in part.walk_scenarios()} == lines
    assert {one.line for one in whole.walk_scenarios()} == {ONE, TWO, THREE, FOUR, FIVE}, "the whole stays as it is"
    assert all(len([*one.all_steps]) == 2 for one in part.walk_scenarios()), "the background's step, and its own"


def test_scenarios_of_a_part_inherit_the_tags_of_the_whole() -> None:
    part = _part(parse_feature(TEXT, filename="features/a.feature"), {TWO, FOUR})
    assert [sorted(one.effective_tags) for one in part.walk_scenarios()] == [["redis", "slow"], ["citus", "redis"]]


def test_two_parts_share_no_scenario() -> None:
    whole = parse_feature(TEXT, filename="features/a.feature")
    one, other = _part(whole, {TWO, FOUR}), _part(whole, {THREE, FIVE})
    assert not {*map(id, one.walk_scenarios())} & {*map(id, other.walk_scenarios())}
    assert _part(whole, {1}) is None


@pytest.fixture
def own_tables(postgres: sql.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Topology:
    """A user's database in which the suite creates its own tables."""
    monkeypatch.chdir(tmp_path)
    sql.execute(postgres, "DROP DATABASE IF EXISTS own_tables")
    sql.execute(postgres, "CREATE DATABASE own_tables")
    sql.execute(replace(postgres, database="own_tables"), "CREATE EXTENSION vector")
    at = Address(postgres.host, postgres.port)
    lacks = dict.fromkeys(("patroni", "citus", "redis", "dcs"), "there is none")
    return Topology("own_tables", Login(postgres.user, postgres.password), at, lacks=lacks)


def own_schemas(topology: Topology) -> list[object]:
    where = topology.endpoint("write", topology.application)
    return [row[0] for row in sql.rows(where, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'accept%'")]


def test_a_run_that_cannot_begin_leaves_no_tables(own_tables: Topology) -> None:
    wanting = Settings.load({"accept_own_schema": "true", "accept_expect": '{"synchronous": true}'})
    with pytest.raises(RequirementMissing, match="synchronous declares something that does not exist"):
        Suite.on(begin_run(), own_tables, wanting, report=False)
    assert own_schemas(own_tables) == []


def test_a_run_that_ends_before_it_has_a_journal_leaves_no_tables(own_tables: Topology) -> None:
    suite = Suite.on(begin_run(), own_tables, Settings.load({"accept_own_schema": "true"}), report=False)
    assert len(own_schemas(own_tables)) >= 1
    environment.after_all(SimpleNamespace(suite=suite, aborted=True))
    assert own_schemas(own_tables) == []
    environment.after_all(SimpleNamespace(aborted=True))


@pytest.mark.parametrize("runner", [(), RUNNER], ids=["plain behave", "our runner"])
def test_nothing_runs_in_a_python_that_leaves_out_asserts(runner: tuple[str, ...]) -> None:
    behave = [sys.executable, "-B", "-O", "-m", "behave", *runner, "features/cache/redis.feature"]
    ended = subprocess.run(behave, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "Python leaves out assert statements, so no step could fail: unset PYTHONOPTIMIZE, omit -O" in ended.stdout


def test_rows_that_a_table_keeps_are_told_at_the_end(own_tables: Topology) -> None:
    where = own_tables.endpoint("write", own_tables.application)
    schema.create(where, PGVECTOR)
    suite = Suite.on(begin_run(), own_tables, Settings.load({}), report=False)
    suite._notes.add(suite.run.namespace)
    insert = "INSERT INTO memory_entries (namespace, key, value) VALUES (%s, 'key', 'value')"
    sql.execute(where, insert, [suite.run.namespace])
    sql.execute(where, "CREATE RULE keep AS ON DELETE TO memory_entries DO INSTEAD NOTHING")
    with pytest.raises(AcceptError, match="the next run tries again to remove them: memory_entries still has 1 row"):
        suite.close()
    forget(suite.run.directory)
    told = leftovers.remove(Cluster(own_tables), begin_run().id).kept
    assert ["cannot be removed: memory_entries still has 1 row" in line for line in told] == [True]


@pytest.mark.parametrize(
    ("faults", "excused"),
    [
        ([], True),  # all the time counts
        ([50.0], True),
        ([50.0, 8.0], False),  # others had left the machine when the last fault began
    ],
)
def test_a_late_step_is_excused_by_what_happened_since_the_last_fault(faults: list[float], excused: bool) -> None:
    """Others saturated the machine from 60 to 10 seconds ago; the faults began so many seconds ago."""
    now, busy = time.monotonic(), Usage(50, 2, ours=0.1, others=1.9, stolen=0, idle=0)
    suite: Any = SimpleNamespace(_saturated=lambda: [Period(now - 60, now - 10, busy)], _scenario_begun=now - 70)
    injected = [SimpleNamespace(begun=now - ago) for ago in faults]
    attached = list[str]()
    world: Any = SimpleNamespace(
        experiment_or_none=SimpleNamespace(faults=injected) if faults else None,
        evidence=SimpleNamespace(attach=lambda name, text: attached.append(text)),
    )
    found = Suite.excuse(suite, world, LimitExceeded("commits waited for 10.3 s (limit: 10 s)"))
    assert (found is not None, len(attached)) == (excused, int(excused))


@pytest.mark.parametrize("writable", [True, False], ids=["", "nor can the report be written"])
def test_where_nobody_can_tell_what_others_did_nothing_is_excused(writable: bool) -> None:
    """And the cluster can still be healed."""
    attached = list[str]()

    def periods() -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    def attach(name: str, text: str) -> None:
        if not writable:
            raise OSError(errno.EIO, "Input/output error")
        attached.append(text)

    suite: Any = SimpleNamespace(_saturated=periods, _scenario_begun=0.0)
    world: Any = SimpleNamespace(experiment_or_none=None, evidence=SimpleNamespace(attach=attach))
    assert Suite.excuse(suite, world, LimitExceeded("commits waited for 10.3 s (limit: 10 s)")) is None
    words = "it is not known whether others saturated the machine: [Errno 24] Too many open files"
    assert attached == ([words] if writable else [])
