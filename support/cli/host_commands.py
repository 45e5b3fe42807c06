"""`accept run --plan --commands`: what each scenario would do on users' hosts, and how it would be undone, beforehand.

The members have the roles that they have now; a scenario chooses its victims by role when it runs.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any

from support.cli.behave_process import Planned, PlannedStep
from support.cli.console import out, say
from support.errors import AcceptError, Inconclusive, UsageError
from support.faults import network
from support.faults.nemesis import Fault
from support.faults.process import (
    DataDestroyed,
    EveryHostCrashes,
    Freeze,
    HostCrash,
    Kill,
    PatroniFrozen,
    PostgresHangs,
    PostgresKilled,
    PostmasterHangs,
    server_processes,
)
from support.faults.roles import cache_host, host_of, proxy_host
from support.hosts.interface import Site, SiteHost
from support.hosts.remote import RemoteSite
from support.hosts.remote.access import told
from support.hosts.remote.guards import GRACE, LONGEST
from support.hosts.remote.rehearsal import Rehearsal, Rehearsed, Unkept, by_host
from support.places import ROOT
from support.settings import Settings
from support.target.capabilities import why_missing
from support.target.cluster import Cluster
from support.target.discovery import user_cluster
from support.target.member_files import files_of
from support.target.members import NO_ANSWER
from support.target.synchronous import standbys_waited_for
from support.target.topology import Topology
from support.vocabulary import counted
from support.waiting import describe

Arguments = Mapping[str, Any]
Rows = Sequence[Mapping[str, str]]
Act = tuple[str, Callable[[], object]]
"""What happens, in words, and what does it to the hosts."""


class _Rehearsed(Cluster):
    """A cluster on whose hosts faults are rehearsed."""

    def __init__(self, topology: Topology, site: RemoteSite, group: int = 0) -> None:
        super().__init__(topology, group)
        self._rehearsed = site

    @cached_property
    def site(self) -> Site:
        """See Cluster."""
        return self._rehearsed

    @cached_property
    def groups(self) -> tuple[Cluster, ...]:
        """See Cluster."""
        others = (_Rehearsed(self.topology, self._rehearsed, group) for group in self.topology.groups if group)
        return (self if self.group == 0 else _Rehearsed(self.topology, self._rehearsed), *others)


def show(planned: Sequence[Planned], settings: Settings) -> int:
    """Print every command that these scenarios would run on the user's hosts. Changes nothing. Returns the exit status.

    Raises UsageError without [hosts], and what the discovery raises.
    """
    if not settings.accept_hosts:
        raise UsageError("--commands is for hosts of yours: --target names a file that has [hosts], or ACCEPT_HOSTS")
    topology = user_cluster.discover(settings)
    names = {access.reach: name for name, access in topology.hosts.items()}
    changing = 0
    for scenario in planned:
        cluster = _Rehearsed(topology, RemoteSite(topology.hosts, Unkept()))
        out.print(f"{scenario.location}: {scenario.name}", style="bold", markup=False)
        if why := why_missing({name: why for name, why in topology.lacks.items() if name in scenario.tags}):
            out.print(f"  cannot run: {why}", markup=False)
            continue
        acts = [act for step in scenario.steps for act in acts_of(step, cluster)]
        changing += bool(acts)
        for words, act in acts:
            out.print(f"  {words}", style="cyan", markup=False)
            for line in _rehearsed(act, names):
                out.print(f"    {line}", markup=False, highlight=False)
        if not acts:
            out.print("  no command on any host", markup=False)
    say(
        f"{counted(len(planned), 'scenario')}; {counted(changing, 'changes', 'change')} something on hosts. "
        "Processes and roles are those of now."
    )
    say(
        "Each undo is on its host before anything is done. A guard there runs it "
        f"after {GRACE} s without the suite, and after {LONGEST} s in any case."
    )
    return 0


def _rehearsed(act: Callable[[], object], names: Mapping[str, str]) -> Iterator[str]:
    """The commands host by host, or why they cannot be told beforehand."""
    try:
        with Rehearsal() as rehearsal:
            act()
    except (AcceptError, Inconclusive, LookupError, *NO_ANSWER) as error:
        yield f"not known beforehand: {_why(error)}"
    for host, heard in by_host(rehearsal.heard, names):
        yield f"on {host} ({told(heard[0].reach)})"
        for one in heard:
            yield from _lines(one)


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no host {error} in [hosts] that may be broken (`accept doctor` says why)"
    return describe(error)


def _lines(one: Rehearsed) -> Iterator[str]:
    for text in one.does:
        yield f"  do    {text}"
    for text in one.undone_by:
        yield f"  undo  {text}"


def acts_of(step: PlannedStep, cluster: Cluster) -> list[Act]:
    """What a step would do to hosts; nothing for one that does nothing to them."""
    make = ACTS.get(function_of(step.function))
    if make is None:
        return []
    rows = [dict(zip(step.table[0], row, strict=False)) for row in step.table[1:]] if step.table else []
    try:
        return list(make(cluster, step.arguments, rows))
    except (AcceptError, Inconclusive, LookupError, *NO_ANSWER) as error:
        return [(f"not known beforehand: {_why(error)}", lambda: None)]


@cache
def function_of(location: str) -> str:
    """The name of the step function at that file:line; empty if there is none."""
    file, _, line = location.rpartition(":")
    if not file:
        return ""
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first <= int(line) <= node.lineno:
                return node.name
    return ""


def _on_host_of_role(kind: Callable[[SiteHost], Fault]) -> Callable[[Cluster, Arguments, Rows], Iterator[Act]]:
    """What a step does whose fault hits the host of the member with a role."""

    def acts(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
        fault = kind(host_of(cluster, said["role"]))
        yield f"{fault} ({said['role']})", fault.inject

    return acts


_crash, _freeze = _on_host_of_role(HostCrash), _on_host_of_role(Freeze)
_patroni_frozen, _postgres_killed = _on_host_of_role(PatroniFrozen), _on_host_of_role(PostgresKilled)
_postgres_hangs, _postmaster_hangs = _on_host_of_role(PostgresHangs), _on_host_of_role(PostmasterHangs)


def _killed_in_turn(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    for row in rows:
        yield from _postgres_killed(cluster, {"role": row["who"]}, ())


def _data_destroyed(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = DataDestroyed(host_of(cluster, said["role"]))
    yield f"{fault} ({said['role']})", fault.inject


def _replicas_crash(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = EveryHostCrashes([cluster.site.hosts[name] for name in cluster.followers()])
    yield str(fault), fault.inject


def _everything_crashes(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = EveryHostCrashes(cluster.site.hosts.values())
    yield str(fault), fault.inject


def _dcs_crashes(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = network.crash_in_dcs(cluster, said["part"])
    yield str(fault), fault.inject


def _dcs_link(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = network.broken_link_of_dcs(cluster, said["link"])
    yield str(fault), fault.inject


def _proxy_restarts(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = Kill(proxy_host(cluster).processes["haproxy"])
    yield f"{fault}, and started again", fault.inject


def _proxy_reloaded(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    host = proxy_host(cluster)
    yield f"HAProxy on {host.name} reads its configuration again", host.processes["haproxy"].reload


def _links_degrade(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = network.poor_links(cluster, said["degradation"])
    yield str(fault), fault.inject


def _cut_off(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = network.partition_of_leader(cluster, said["others"])
    yield str(fault), fault.inject


def _cut_off_from_clients(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    return _cut_off(cluster, {"others": "all but its clients"}, rows)


def _cut_off_from_all(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    return _cut_off(cluster, {"others": "every other host"}, rows)


def _answers_lost(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = network.OneWayCut(cluster.site, cluster.leader(), proxy_host(cluster).name)
    yield str(fault), fault.inject


def _stream_lost(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    replica = cluster.followers()[0]
    fault = network.Partition(cluster.site, [replica], [cluster.leader()])
    yield f"{fault} (or another replica)", fault.inject


def _one_behind(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    replica = sorted(cluster.followers())[0]
    fault = network.OneWayCut(cluster.site, cluster.leader(), replica)
    yield f"{fault} (or another replica, chosen at random)", fault.inject


def _one_away(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    waited_for = standbys_waited_for(cluster)
    replica = next((name for name in cluster.followers() if name not in waited_for), cluster.followers()[0])
    fault = HostCrash(cluster.site.hosts[replica])
    yield f"{fault} (or another replica)", fault.inject


def _leader_and_standbys(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    fault = EveryHostCrashes([cluster.site.hosts[name] for name in (cluster.leader(), *standbys_waited_for(cluster))])
    yield str(fault), fault.inject


def _tagged(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    for replica in cluster.followers():
        files = files_of(cluster.site.hosts[replica])
        barred = partial(files.change_configuration, {"tags": {"nofailover": True}})
        yield f"{replica} is tagged nofailover, unless it is the replica that is behind", barred


def _replay_stuck(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    host = cluster.site.hosts[cluster.followers()[0]]
    stuck = server_processes(host, "startup")
    yield f"the replay process of {host.name} is suspended (or that of another replica)", lambda: host.suspend(stuck)


def _losses(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    how = {"its host crashes": _crash, "its host freezes": _freeze, "its data directory is destroyed": _data_destroyed}
    for row in rows:
        yield from how[row["how"]](cluster, {"role": "the leader"}, ())


def _halfway(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    if said["who"] == "Patroni on the leader":
        fault = Kill(host_of(cluster, "the leader").processes["patroni"])
        yield str(fault), fault.inject


def _redis_fails(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    if said["fails"] == "freezes":
        freeze = Freeze(cache_host(cluster))
        yield str(freeze), freeze.inject
    elif said["fails"] in ("is killed", "is restarted empty"):
        kill = Kill(cache_host(cluster).processes["redis"])
        yield str(kill), kill.inject


def _decoys(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    for host in cluster.site.hosts.values():
        yield f"a program that sleeps, with a decoy as its argument, on {host.name}", lambda: None


def _move_interrupted(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    if str(said["victim"]).startswith("PostgreSQL"):
        for group in cluster.groups[1:3]:
            fault = PostgresKilled(group.site.hosts[group.leader()])
            yield f"{fault}, if it is {said['victim'].removeprefix('PostgreSQL on ')}", fault.inject


def _rebalance_interrupted(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    if "coordinator" in str(said["how"]):
        host = host_of(cluster, "the leader")
        fault = HostCrash(host) if "host" in str(said["how"]) else PostgresKilled(host)
        yield str(fault), fault.inject


def _worker_dies(cluster: Cluster, said: Arguments, rows: Rows) -> Iterator[Act]:
    if "between" in str(said["moment"]):
        for name in standbys_waited_for(cluster):
            host = cluster.site.hosts[name]
            held = server_processes(host, "walreceiver")
            yield f"the WAL receiver of {name} is suspended", lambda host=host, held=held: host.suspend(held)  # type: ignore[misc]
    for group in cluster.groups[1:2]:
        host = group.site.hosts[group.leader()]
        fault = HostCrash(host) if "host" in str(said["what"]) else PostgresKilled(host)
        yield f"{fault} (or that of another worker group)", fault.inject


ACTS: Mapping[str, Callable[[Cluster, Arguments, Rows], Iterator[Act]]] = {
    "step_host_crashes": _crash,
    "step_down_until_replaced": _crash,
    "step_host_freezes": _freeze,
    "step_frozen_until_replaced": _freeze,
    "step_patroni_frozen_until_replaced": _patroni_frozen,
    "step_postgres_killed": _postgres_killed,
    "step_postgres_hangs": _postgres_hangs,
    "step_postmaster_hangs": _postmaster_hangs,
    "step_missed": _one_away,
    "step_killed_in_turn": _killed_in_turn,
    "step_data_destroyed": _data_destroyed,
    "step_replicas_crash": _replicas_crash,
    "step_every_host_crashes": _everything_crashes,
    "step_dcs_crashes": _dcs_crashes,
    "step_dcs_link_breaks": _dcs_link,
    "step_proxy_restarts": _proxy_restarts,
    "step_reloaded": _proxy_reloaded,
    "step_links_degrade": _links_degrade,
    "step_leader_cut_off": _cut_off,
    "step_write_lost": _cut_off_from_clients,
    "step_commits_unreplicated": _cut_off_from_all,
    "step_answers_lost": _answers_lost,
    "step_loses_stream": _stream_lost,
    "step_one_is_behind": _one_behind,
    "step_replica_away": _one_away,
    "step_lost_together": _leader_and_standbys,
    "step_others_are_barred": _tagged,
    "step_falls_behind": _replay_stuck,
    "step_lose_leaders": _losses,
    "step_orchestrator_dies": _halfway,
    "step_redis_fails": _redis_fails,
    "step_decoy_argument": _decoys,
    "step_interrupt_move": _move_interrupted,
    "step_interrupt_rebalance": _rebalance_interrupted,
    "step_dies": _worker_dies,
}
"""Step function -> what it does to hosts, with its arguments and the rows of its table."""
