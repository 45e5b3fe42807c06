"""Skips are settled before a scenario begins: its tags name all that its steps may find missing in their middle."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import step_code
from behave.model import Scenario
from behave.parser import parse_file

from support.cli.behave_process import Planned
from support.cli.capability_needs import CLUSTER, NEEDS, UNLESS_MISSING, WORDS, capabilities, needed, untagged
from support.cli.reach import Place, reached
from support.target.capabilities import CAPABILITIES
from support.target.discovery.host_capabilities import OURS_ALONE

ROOT = Path(__file__).parents[2]
OF_EXAMPLES = {"cache_settings", "cache_host", "poor_links"}
"""What only some values of a parameter need, in examples with a tag of their own."""
SETTLED = {
    "cluster.read": "haproxy; no step reads through the read endpoint of a worker group, which is none",
    "cluster._administrator": "admin",
    "cluster.patroni": "patroni",
    "cluster.redis_address": "redis",
    "cluster.statistics_page": "statistics",
    "cluster.sandbox": "hosts",
    "roles.in_sandbox": "disks, own_programs; a sabotage is of the embedded cluster",
    "container_hosts._require_startable": "crashes, cache_host, dcs_hosts, proxy_host",
    "containers.pid_here": "told where the suite cannot stop the first process of a container on another machine",
    "files._known": "member_files, member_data",
    "files.environment": "member_files",
    "files.edit": "a member whose Patroni is down, which a healthy cluster does not have",
    "files.run": "ends as an error that names the program",
    "member_files.files_of": "hosts",
    "machines.bring_down": "crashes, cache_host, dcs_hosts, proxy_host",
    "network._by_host": "partitions, dcs_links",
    "network.degrade": "slow_links",
    "haproxy.receptions": "statistics_login",
    "redis.facts_of": "cache_state",
    "redis_server._longest_of_fields": "a hash of which the user may not ask whether its fields expire",
    "loopback.give_disk": "disks",
    "loopback.volatile_disk": "volatile_disks",
    "namespaces.volatile_disk": "volatile_disks",
    "loopback.switch": "partitions",
    "moves.make_tables": "several_workers",
    "shards.workers_of": "workers",
    "setup.require_kept_on_each_node": "declared_sharding, declared_references",
    "exposure.passwords": "searchable_passwords",
    "exposure.attach_to_report": "report",
    "recording.execute": "backends",
    "tables._create": "what calls it catches it",
    "schema.copies": "own_tables; a search by an index of its own catches it",
    "schema._delete": "schema, related, graph, reference: a table is tried before the first scenario",
    # of no scenario: before the first, in `accept bench`, or an embedded cluster that is gone
    "vectors.dialect_of": "the target lacks the capability vector",
    "tools._find": "bench",
    "printing.browser": "accept report --pdf",
    "entering.enter": "boot",
    "state.read": "the cluster is gone",
    "rpc.call": "the cluster is gone",
    # answers of a server, which say more than that something is missing
    "patroni_commands._require_done": "Patroni refused",
    "patroni_commands._answer": "Patroni refused the login",
}
"""Function that raises NotAvailable -> the capability that settles it before, or why none can."""


@pytest.fixture(scope="module")
def planned() -> tuple[Planned, ...]:
    return step_code.scenarios()


def test_what_steps_need_is_named_by_a_tag(planned: tuple[Planned, ...]) -> None:
    missing = [f"{step.location} lacks @{name}" for scenario in planned for step, name in untagged(scenario)]
    assert missing == []


def test_a_capability_is_asked_for_that_no_tag_names(planned: tuple[Planned, ...]) -> None:
    """Without any tag of a capability, each that is looked for is missing somewhere."""
    bare = [replace(one, tags=one.tags - CAPABILITIES.keys()) for one in planned]
    missed = {name for scenario in bare for step in scenario.steps for name in needed(step.function, step.sentence)}
    assert missed == {*NEEDS.values(), *WORDS} - OF_EXAMPLES
    noticed = [one for one in bare if list(untagged(one))]
    assert len(noticed) > 0.8 * len(bare), "the others need what no code or word shows"


def test_what_only_the_sandbox_can_do_is_not_asked_of_users_hosts(planned: tuple[Planned, ...]) -> None:
    """Those have every capability of hosts but these few; steps that want the sandbox itself need one of the few."""
    sandbox = {Place("sandbox", CLUSTER): "sandbox", Place("in_sandbox"): "sandbox"}
    found = {bool(one.tags & {*OURS_ALONE}) for one in planned for step in one.steps if reached(step.function, sandbox)}
    assert found == {True}


def test_the_exceptions_are_needed(planned: tuple[Planned, ...]) -> None:
    ways = {(name, way) for one in planned for step in one.steps for name, way in reached(step.function, NEEDS).items()}
    for capability, function in UNLESS_MISSING:
        assert any(name == capability and f" {function} " in f" {way}" for name, way in ways), function


def test_what_steps_say_is_named_by_a_tag() -> None:
    missing = [
        f"{scenario.filename}:{scenario.line} lacks @{capability}: {text}"
        for scenario in _scenarios()
        for text in _texts(scenario)
        for capability, words in WORDS.items()
        if re.search(words, text)
        if capability not in capabilities([*map(str, scenario.effective_tags)])
    ]
    assert missing == []


def test_each_place_where_something_turns_out_to_be_missing_is_known() -> None:
    """A new one needs a capability, whose lack is known before the first scenario."""
    assert sorted(raising("NotAvailable")) == sorted(SETTLED)


def _scenarios() -> Iterator[Scenario]:
    for path in sorted((ROOT / "features").rglob("*.feature")):
        yield from parse_file(str(path)).walk_scenarios()


def _texts(scenario: Scenario) -> Iterator[str]:
    """Its steps, and the cells of their tables that say who is hit."""
    for step in scenario.all_steps:
        yield step.name
        if step.table and "who" in step.table.headings:
            yield from (row["who"] for row in step.table)


def raising(error: str) -> dict[str, list[str]]:
    """The functions of `support` that raise that error -> where: "module.function" -> "file:line"."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "support").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if error not in text:
            continue
        tree = ast.parse(text)
        for function in (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Raise) and node.exc and re.match(rf"(\w+\.)?{error}\(", ast.unparse(node.exc)):
                    found.setdefault(f"{path.stem}.{function.name}", []).append(f"{path.name}:{node.lineno}")
    return found


def test_a_login_of_patroni_is_asked_for_only_where_it_is_judged(planned: tuple[Planned, ...]) -> None:
    """Where its REST API requires none, or a client's certificate, commands need none either."""
    judged = {Place("_patroni_login"): "patroni_login"}
    without = [
        one.location
        for one in planned
        if "patroni_login" in one.tags and not any(reached(step.function, judged) for step in one.steps)
    ]
    assert without == []
