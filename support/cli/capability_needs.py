"""Which capabilities steps need: read from their code, and from words that no other cluster can go through.

`accept steps` shows them, and `accept lint` requires their tags. What a step needs of an object that it was handed, or
only says in words that are not listed here, is not found: a tag can be right that nothing here asks for.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from support.cli.behave_process import Planned, PlannedStep
from support.cli.paths import STEPS
from support.cli.reach import Place, reached
from support.target.capabilities import CAPABILITIES

CLUSTER = r"(cluster|group|copies)$|(of|worker)_group\(.*\)$"
COMMANDS = "patroni_commands"
NEEDS = {
    **dict.fromkeys((Place(one, CLUSTER) for one in ("leader", "followers", "replicas", "view", "patroni")), "patroni"),
    **dict.fromkeys(map(Place, ("configure", "switch_over", "reload_configuration", "HalfwaySwitchover")), COMMANDS),
    Place("require_patroni_accepts_login"): COMMANDS,
    Place("read", CLUSTER): "haproxy",
    Place("redis", CLUSTER): "redis",
    Place("redis_address", CLUSTER): "redis",
    Place("facts_of"): "cache_state",
    Place("replica_facts"): "cache_state",
    Place("refusal_of_a_write"): "cache_keys",
    Place("remaining_lifetimes"): "cache_keys",
    Place("memory_pressure"): "small_cache",
    Place("open_repository"): "cache_keys",
    Place("of_peers"): "peer_certificates",
    Place("Full"): "cache_settings",
    Place("WritesRefused"): "cache_settings",
    Place("cache_host"): "cache_host",
    Place("statistics_page", CLUSTER): "statistics",
    Place("receptions"): "statistics_login",
    Place("administration", CLUSTER): "admin",
    Place("administration_of", CLUSTER): "admin",
    Place("sandbox", CLUSTER): "hosts",
    Place("site", CLUSTER): "hosts",
    **{Place(one, CLUSTER): "members" for one in ("of_member", "administration_of", "monitoring_of")},
    Place("prompt_replicas"): "prompt_replicas",
    Place("experiment", r"\bworld$"): "destructive",
    Place("entries", r"\bworld$"): "schema",
    Place("profile", r"\bworld$"): "schema",
    Place("namespaces", r"\bworld$"): "schema",
    Place("EntryStore"): "schema",
    Place("operations", "counter"): "unique_key",
    Place("dialect_of"): "vector",
    Place("went_by_index"): "indexed_embedding",
    Place("each_search_by_index"): "indexed_embedding",
    Place("cut_all", "."): "partitions",
    Place("PoorLinks"): "poor_links",
    Place("proxy_host"): "proxy_host",
    Place("dcs_hosts"): "dcs_hosts",
    Place("leader_of_dcs"): "dcs_hosts",
    Place("broken_link_of_dcs"): "dcs_links",
    Place("asynchronous"): "asynchronous_commits",
    Place("ArchivingFails"): "archiving",
    Place("DataDestroyed"): "member_data",
    Place("reinitialize"): "rebuildable",
    Place("Tagged"): "member_files",
    Place("try_logins"): "member_files",
    Place("SilentConsumer"): "own_programs",
    Place("HostCrash"): "crashes",
    Place("crash_of_replicas"): "dcs_apart",
    Place("joint_crash"): "dcs_apart",
    Place("give_disk", "."): "disks",
    Place("set_volatile", "."): "volatile_disks",
    Place("own_copies"): "own_tables",
    Place("local_tables"): "own_tables",
    Place("make_tables"): "several_workers",
    Place("on_several_nodes"): "several_workers",
    Place("let_one_lag"): "several_candidates",
    Place("await_replaced"): "spare_standby",
    Place("spare_replica"): "spare_replica",
    Place("members_with_every_commit"): "spare_replica",
    Place("replica_to_rebuild"): "spare_direct_replica",
    Place("replica_in_reads"): "serving_replicas",
    Place("serving_through_proxy"): "serving_replicas",
    Place("stuck_replay"): "small_read_lag",
    Place("slotless"): "streaming_replicas",
    Place("end_and_await"): "streaming_replicas",
    Place("start_readers"): "prompt_reads",
    Place("read_while_written"): "prompt_reads",
    Place("follow"): "prompt_reads",
    Place("require_received"): "prompt_replicas",
    Place("require_at_work"): "several_workers",
    Place("workers_of"): "workers",
    Place("settled", "reference_copies"): "several_copies",
    Place("namespaces_over_workers"): "sharded_entries",
    Place("namespace_on"): "sharded_entries",
    Place("home", "citus"): "sharded_entries",
    Place("shard_count", "shards"): "sharded_entries",
    Place("co_located_pair"): "sharded_entries",
}
"""What code names -> the capability without which that fails, or is judged to be broken."""
IMPLIED = {
    "worker_replicas": {"workers", "replicas"},
    "cache_host": {"redis", "hosts"},
    "cache_keys": {"redis"},
    "cache_state": {"redis"},
    "small_cache": {"cache_state"},
    "cache_settings": {"redis"},
    "several_workers": {"workers"},
    "sharded_entries": {"citus", "schema"},
    "statistics_login": {"statistics"},
    "several_replicas": {"replicas"},
    "several_candidates": {"several_replicas"},
    "spare_standby": {"several_replicas"},
    "spare_replica": {"several_replicas"},
    "spare_direct_replica": {"spare_replica"},
    "streaming_replicas": {"replicas"},
    "prompt_replicas": {"replicas"},
    "serving_replicas": {"prompt_replicas"},
    "synchronous": {"patroni"},
    COMMANDS: {"patroni"},
}
"""Capability -> those that no target with it lacks."""
WORDS = {
    "replicas": r"another member leads|until another|a switchover to|\ba replica\b|replicas crash"
    r"|one leader after another|synchronous standby crashes|every replica streams",
    "several_candidates": r"lacks WAL|other replicas",
    "spare_standby": r"another standby",
    "spare_replica": r"no commit waits for|leader and its synchronous standby crash",
    "streaming_replicas": r"streams to every replica|stream of each replica",
    "proxy_apart": r"all but its clients|of the DCS crashes",
    "prompt_replicas": r"data directory of a replica|on every replica",
    "serving_replicas": r"replica that serves reads|every healthy replica|leaves the read endpoint",
    "prompt_reads": r"(reading|visible) through the read endpoint|through the read endpoint, while"
    r"|each endpoint is asked|replica that serves reads",
    "several_workers": r"worker group 2|different worker|two workers|several workers|more than one worker|both workers"
    r"|another worker group|over the workers",
    "worker_replicas": r"a switchover of worker group \d+",
    "backends": r"halfway the rebalance is cancelled|the session that moves it is killed",
    "partitions": r"is cut off|answers are lost|no other host can receive|loses its stream",
    "redis": r"\bRedis\b|\bthe cache\b",
    "volatile_cache": r"Redis is restarted empty",
}
"""Capability -> words of steps that no cluster without it can go through."""
UNLESS_MISSING = {
    ("patroni", "purposes"): "tags, where the group has Patroni",
    ("patroni", "_waiting"): "its own list, where the group has Patroni",
    ("patroni", "node_leaders"): "the leader of a group that has Patroni; else the group's only member",
    ("patroni", "extra_worker"): "spare_worker, which only an embedded cluster has",
    ("haproxy", "ways_in"): "the read endpoint, if there is one",
    ("hosts", "extra_worker"): "spare_worker",
    ("schema", "_require_none"): "application_schema",
    ("members", "ways_in"): "every way in that there is",
    ("members", "node_leaders"): "the coordinator's group, whose leader is reached through the write endpoint as well",
    ("members", "slots"): "of members that there are",
    ("members", "_start"): "the new worker, which is embedded",
    ("prompt_replicas", "replica_in_reads"): "any replica in the read endpoint, if none is prompt",
    ("statistics", "require_all"): "of an embedded cluster",
    ("redis", "require_all"): "a Redis, if there is one",
    ("hosts", "hand_over_halfway"): "only where the leader's Patroni dies, in examples with a tag of their own",
    ("hosts", "own_setting"): "only with member_files, which needs hosts",
    ("hosts", "_of_members_as_clients"): "only with member_files, which needs hosts",
    ("hosts", "_server"): "only where the server of Redis dies, in examples with a tag of their own",
    ("cache_host", "_server"): "only where the server of Redis dies, in examples with a tag of their own",
    ("hosts", "host_of"): "only where a host dies, in examples with a tag of their own",
    ("crashes", "step_dies"): "only where a host dies, in examples with a tag of their own",
    ("crashes", "crash_in_dcs"): "of hosts of the DCS, which dcs_hosts settles",
    ("hosts", "fault_of_move"): "only where PostgreSQL is killed, in examples with a tag of their own",
}
"""(capability, function): what is asked for only if it is there, or is settled by another tag."""


def capabilities(tags: Collection[str]) -> set[str]:
    """What a target has that can run scenarios with those tags."""
    there = CAPABILITIES.keys() & set(tags)
    while more := {one for name in there for one in IMPLIED.get(name, ())} - there:
        there |= more
    return there


def needed_by_code(function: str) -> Mapping[str, str]:
    """Capability -> the way to the code that needs it, from the step function at file:line."""
    return {
        name: way
        for name, way in reached(function, NEEDS).items()
        if not any(name == capability and f" {passed} " in f" {way}" for capability, passed in UNLESS_MISSING)
    }


def needed(function: str, sentence: str) -> tuple[str, ...]:
    """The capabilities that a step needs, without those that come with others; in the order of CAPABILITIES.

    Only in sentences of our own steps is it known what the words mean.
    """
    names = set(needed_by_code(function))
    if STEPS in Path(function).parents:
        names |= {name for name, words in WORDS.items() if re.search(words, sentence)}
    implied = {other for name in names for other in capabilities({name}) - {name}}
    return tuple(name for name in CAPABILITIES if name in names - implied)


def untagged(scenario: Planned) -> Iterator[tuple[PlannedStep, str]]:
    """The capabilities that a scenario needs and has no tag for, each with the first step that needs it."""
    there = capabilities(scenario.tags)
    for step in scenario.steps:
        for name in needed(step.function, step.sentence) if step.function else ():
            if name not in there:
                there |= capabilities({name})
                yield step, name
