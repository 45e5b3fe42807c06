"""Skips are settled before a scenario begins: its tags name all that its steps may find missing in their middle."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from behave.model import Scenario
from behave.parser import parse_file
from reaching import Place, raising, reached

from support.cli.behave_process import Planned, dry_run
from support.target.capabilities import CAPABILITIES
from support.target.discovery.user_hosts import OURS_ALONE

ROOT = Path(__file__).parents[2]
CLUSTER = r"(cluster|group|copies)$|of_group\(.*\)$"
NEEDS = {
    **dict.fromkeys((Place(one, CLUSTER) for one in ("leader", "followers", "replicas", "view", "patroni")), "patroni"),
    Place("read", CLUSTER): "haproxy",
    Place("redis", CLUSTER): "redis",
    Place("facts_of"): "cache_state",
    Place("refusal_of_a_write"): "cache_keys",
    Place("remaining_lifetimes"): "cache_keys",
    Place("open_repository"): "cache_keys",
    Place("Full"): "cache_settings",
    Place("cache_host"): "cache_host",
    Place("statistics_page", CLUSTER): "statistics",
    Place("receptions"): "statistics_login",
    Place("administration", CLUSTER): "admin",
    Place("administration_of", CLUSTER): "admin",
    Place("sandbox", CLUSTER): "hosts",
    Place("site", CLUSTER): "hosts",
    Place("cut_all", "."): "partitions",
    Place("PoorLinks"): "poor_links",
    Place("proxy_host"): "proxy_host",
    Place("dcs_hosts"): "dcs_hosts",
    Place("leader_of_dcs"): "dcs_hosts",
    Place("broken_link_of_dcs"): "dcs_links",
    Place("ArchivingFails"): "archiving",
    Place("DataDestroyed"): "member_data",
    Place("Tagged"): "member_files",
    Place("try_logins"): "member_files",
    Place("SilentConsumer"): "own_programs",
    Place("HostCrash"): "crashes",
    Place("give_disk", "."): "disks",
    Place("set_volatile", "."): "volatile_disks",
    Place("own_copies"): "own_tables",
    Place("make_tables"): "several_workers",
    Place("on_several_nodes"): "several_workers",
    Place("let_one_lag"): "several_candidates",
    Place("await_replaced"): "spare_standby",
    Place("spare_replica"): "spare_replica",
    Place("members_with_every_commit"): "spare_replica",
    Place("replica_in_reads"): "serving_replicas",
    Place("serving_through_proxy"): "serving_replicas",
    Place("slotless"): "streaming_replicas",
    Place("end_and_await"): "streaming_replicas",
    Place("start_readers"): "prompt_reads",
    Place("read_while_written"): "prompt_reads",
    Place("follow"): "prompt_reads",
    Place("require_received"): "prompt_replicas",
    Place("require_at_work"): "several_workers",
    Place("workers_of"): "workers",
    Place("namespaces_over_workers"): "sharded_entries",
    Place("namespace_on"): "sharded_entries",
    Place("home", "citus"): "sharded_entries",
}
"""What code names -> the capability without which that fails, or is judged to be broken."""
IMPLIED = {
    "worker_replicas": {"workers", "replicas"},
    "cache_host": {"redis", "hosts"},
    "cache_keys": {"redis"},
    "cache_state": {"redis"},
    "cache_settings": {"redis"},
    "several_workers": {"workers"},
    "sharded_entries": {"citus", "schema"},
    "statistics_login": {"statistics"},
    "several_replicas": {"replicas"},
    "several_candidates": {"several_replicas"},
    "spare_standby": {"several_replicas"},
    "spare_replica": {"several_replicas"},
    "streaming_replicas": {"replicas"},
    "prompt_replicas": {"replicas"},
    "serving_replicas": {"prompt_replicas"},
    "synchronous": {"patroni"},
}
"""Capability -> those that no target with it lacks."""
WORDS = {
    "replicas": r"another member leads|until another|hand over|\ba replica\b|replicas crash|one leader after another"
    r"|synchronous standby crashes|every replica streams",
    "several_replicas": r"another standby|lacks WAL|other replicas",
    "several_candidates": r"lacks WAL|other replicas",
    "spare_standby": r"another standby",
    "spare_replica": r"no commit waits for|leader and its synchronous standby crash",
    "streaming_replicas": r"streams to every replica|stream of each replica",
    "prompt_replicas": r"data directory of a replica|on every replica",
    "serving_replicas": r"replica that serves reads|every healthy replica|leaves the read endpoint",
    "prompt_reads": r"(reading|visible) through the read endpoint|through the read endpoint, while"
    r"|each endpoint is asked|replica that serves reads",
    "several_workers": r"worker group 2|different worker|two workers|several workers|more than one worker|both workers"
    r"|another worker group|over the workers",
    "worker_replicas": r"leader of worker group \d+ is asked to hand over",
    "partitions": r"is cut off|answers are lost|no other host can receive|loses its stream",
    "redis": r"\bRedis\b|\bthe cache\b",
}
"""Capability -> words of steps that no cluster without it can go through."""
SETTLED = {
    "cluster.read": "haproxy; no step reads through the read endpoint of a worker group, which is none",
    "cluster._administrator": "admin",
    "cluster.patroni": "patroni",
    "cluster.redis": "redis",
    "cluster.statistics_page": "statistics",
    "cluster.sandbox": "hosts",
    "roles.in_sandbox": "disks, own_programs; a sabotage is of the embedded cluster",
    "containers.pid_here": "told where the suite cannot stop the first process of a container on another machine",
    "files._known": "member_files, member_data",
    "files.edit": "a member whose Patroni is down, which a healthy cluster does not have",
    "files.run": "ends as an error that names the program",
    "member_files.files_of": "hosts",
    "machines.bring_down": "crashes, cache_host, dcs_hosts, proxy_host",
    "network._by_host": "partitions, dcs_links",
    "network.degrade": "slow_links",
    "haproxy.receptions": "statistics_login",
    "clients.open": "redis",
    "redis.facts_of": "cache_state",
    "roles.cache_host": "redis",
    "outages.server_of": "redis",
    "loopback.give_disk": "disks",
    "loopback.volatile_disk": "volatile_disks",
    "namespaces.volatile_disk": "volatile_disks",
    "loopback.switch": "partitions",
    "moves.make_tables": "several_workers",
    "shards.workers_of": "workers",
    "setup.require_kept_on_each_node": "declared_sharding, declared_references",
    "exposure.passwords": "searchable_passwords",
    "exposure.attach_to_report": "report",
    "sql.execute": "backends",
    "tables._create": "what calls it catches it",
    "schema.copies": "own_tables; a search by an index of its own catches it",
    # of no scenario: before the first, in `accept bench`, or an embedded cluster that is gone
    "vectors.dialect_of": "the target lacks the capability vector",
    "tools._find": "bench",
    "printing.browser": "accept report --pdf",
    "entering.enter": "boot",
    "state.read": "the cluster is gone",
    "rpc.call": "the cluster is gone",
    # answers of a server, which say more than that something is missing
    "login._request": "an unknown method of authentication",
    "patroni_commands._require_done": "Patroni refused",
    "patroni_commands._answer": "Patroni refused the login",
}
"""Function that raises NotAvailable -> the capability that settles it before, or why none can."""
UNLESS_MISSING = {
    ("patroni", "purposes"): "tags, where the group has Patroni",
    ("patroni", "_waiting"): "its own list, where the group has Patroni",
    ("patroni", "node_leaders"): "the leader of a group that has Patroni; else the group's only member",
    ("patroni", "extra_worker"): "spare_worker, which only an embedded cluster has",
    ("haproxy", "ways_in"): "the read endpoint, if there is one",
    ("hosts", "extra_worker"): "spare_worker",
    ("admin", "require_settled"): "of an embedded cluster",
    ("statistics", "require_all"): "of an embedded cluster",
    ("redis", "require_all"): "a Redis, if there is one",
    ("hosts", "hand_over_halfway"): "only where the leader's Patroni dies, in examples with a tag of their own",
    ("hosts", "own_setting"): "only with member_files, which needs hosts",
    ("crashes", "step_dies"): "only where a host dies, in examples with a tag of their own",
    ("hosts", "fault_of_move"): "only where PostgreSQL is killed, in examples with a tag of their own",
}
"""(capability, function): what is asked for only if it is there, or is settled by another tag."""


@pytest.fixture(scope="module")
def planned() -> tuple[Planned, ...]:
    return dry_run(["features"]).scenarios


def capabilities(tags: frozenset[str]) -> set[str]:
    """What a target has that can run scenarios with those tags."""
    there = set(tags & CAPABILITIES.keys())
    while more := {one for name in there for one in IMPLIED.get(name, ())} - there:
        there |= more
    return there


def test_what_steps_reach_is_named_by_a_tag(planned: tuple[Planned, ...]) -> None:
    missing = set()
    for scenario in planned:
        there = capabilities(scenario.tags)
        for step in scenario.steps:
            for capability, way in reached(step.function, NEEDS).items():
                if capability not in there and not any(
                    capability == name and f" {function} " in f" {way}" for name, function in UNLESS_MISSING
                ):
                    missing.add(f"{scenario.location} lacks @{capability}: {way}")
    assert sorted(missing) == []


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
        if capability not in capabilities(frozenset(map(str, scenario.effective_tags)))
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


def test_a_login_of_patroni_is_asked_for_only_where_it_is_judged(planned: tuple[Planned, ...]) -> None:
    """Where its REST API requires none, or a client's certificate, commands need none either."""
    judged = {Place("_patroni_login"): "patroni_login"}
    without = [
        one.location
        for one in planned
        if "patroni_login" in one.tags and not any(reached(step.function, judged) for step in one.steps)
    ]
    assert without == []
