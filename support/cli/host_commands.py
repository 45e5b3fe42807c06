"""`accept run --plan --commands`: what each scenario would do on users' hosts, and how it would be undone, beforehand.

Each step declares what it does to hosts (support/faults/declared.py), and that declaration is rehearsed. The plan
assumes the current roles; a scenario picks the members that it disturbs by role when it runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from support.cli.behave_process import Planned, PlannedStep
from support.cli.console import out, say
from support.cli.reach import Place, reached
from support.cli.steps import function_at
from support.errors import AcceptError, Inconclusive, UsageError
from support.faults.declared import Declared, OnHosts, disturbances_of
from support.hosts.interface import Site
from support.hosts.remote import RemoteSite
from support.hosts.remote.access import told
from support.hosts.remote.guards import GRACE, LONGEST
from support.hosts.remote.rehearsal import Rehearsal, Unkept, by_host
from support.settings import Settings
from support.target.baseline import apply_baseline
from support.target.capabilities import why_missing
from support.target.cluster import Cluster
from support.target.discovery import user_cluster
from support.target.members import NO_ANSWER
from support.target.topology import Topology
from support.vocabulary import counted
from support.waiting import describe

_SITE = r"(cluster|group|copies)$|(of|worker)_group\(.*\)$"
_HOLDS = ("host_of", "proxy_host", "cache_host", "dcs_hosts", "leader_of_dcs")
HOSTS = {Place("site", _SITE): "hosts", **{Place(name): "hosts" for name in _HOLDS}}
"""Names in code that give access to hosts."""
_UNDECLARED = "not known beforehand: it may use hosts, but does not declare what it does to them (@disturbs)"


@dataclass(frozen=True)
class Act:
    """Something that a step would do to hosts."""

    words: str
    does: OnHosts | None
    """None if not known beforehand; `words` then says why."""


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
        raise UsageError("--commands is for your own hosts: give --target a file with [hosts], or set ACCEPT_HOSTS")
    topology, _ = apply_baseline(
        user_cluster.discover(settings), settings.expectations, settings.accept_timeout_multiplier
    )
    names = {access.reach: name for name, access in topology.hosts.items()}
    changing = 0
    for scenario in planned:
        cluster = _Rehearsed(topology, RemoteSite(topology.hosts, Unkept()))
        out.print(f"{scenario.location}: {scenario.name}", style="bold", markup=False)
        if why := why_missing({name: why for name, why in topology.lacks.items() if name in scenario.tags}):
            out.print(f"  cannot run: {why}", markup=False)
            continue
        acts = [(step, found) for step in scenario.steps if (found := list(acts_of(step, cluster)))]
        changing += bool(acts)
        for step, found in acts:
            out.print(f"  {step.sentence}", style="cyan", markup=False)
            for act in found:
                for line in _lines(act, names):
                    out.print(f"    {line}", markup=False, highlight=False)
        if not acts:
            out.print("  no command on any host", markup=False)
    say(
        f"{counted(len(planned), 'scenario')}; {counted(changing, 'changes', 'change')} something on hosts. "
        "Processes and roles are the current ones."
    )
    longest = max(LONGEST, round(topology.timing.longest_fault))
    say(
        "Each undo is on its host before anything is done. A guard there runs it "
        f"after {GRACE} s without the suite, and after {longest} s in any case."
    )
    return 0


def acts_of(step: PlannedStep, cluster: Cluster) -> Iterator[Act]:
    """What a step would do to hosts; nothing for one that does nothing to them."""
    file, _, line = step.function.rpartition(":")
    if not file:
        return
    function = function_at(Path(file), int(line))
    declared = disturbances_of(function) if function else None
    if declared is None:
        if function is None or reached(step.function, HOSTS):
            yield Act(_UNDECLARED, None)
        return
    rows = [dict(zip(step.table[0], row, strict=True)) for row in step.table[1:]] if step.table else [{}]
    for row in rows:
        for one in declared:
            yield from _acts(one, {"cluster": cluster, "choose": _first, **step.arguments, **row})


def _acts(declared: Declared, given: Mapping[str, object]) -> Iterator[Act]:
    chosen = f" ({declared.chosen})" if declared.chosen else ""
    try:
        for one in declared.now(given):
            yield Act(f"{one}{chosen}", one)
    except (AcceptError, Inconclusive, LookupError, *NO_ANSWER) as error:
        yield Act(f"not known beforehand: {_why(error)}{chosen}", None)


def _first(names: Sequence[str]) -> str:
    return names[0]


def _lines(act: Act, names: Mapping[str, str]) -> Iterator[str]:
    """What happens, with the commands for each host, or why they cannot be known beforehand."""
    yield act.words
    if act.does is None:
        return
    try:
        with Rehearsal() as rehearsal:
            act.does.on_hosts()
    except (AcceptError, Inconclusive, LookupError, *NO_ANSWER) as error:
        yield f"  not known beforehand: {_why(error)}"
    for host, heard in by_host(rehearsal.heard, names):
        yield f"  on {host} ({told(heard[0].reach)})"
        for one in heard:
            yield from (f"    do    {text}" for text in one.does)
            yield from (f"    undo  {text}" for text in one.undone_by)
    if not rehearsal.heard:
        yield "  no command on any host"


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no host {error} in [hosts] that may be broken (`accept doctor` says why)"
    return describe(error)
