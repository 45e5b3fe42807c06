"""`accept doctor`: what the target offers, which scenarios can run there, and why the others cannot."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from support.cli.behave_process import Planned
from support.cli.boot import bindir_of, dialect_of, layout_of
from support.cli.clusters import KeptCluster
from support.cli.console import out, say
from support.cli.doctor_hosts import host_lines, waiting_for_hosts
from support.cli.limits_here import by_span, longer_here
from support.cli.run_options import RunOptions
from support.embedded import packages, programs
from support.embedded.plan import lacks, ruvector_missing
from support.errors import RequirementMissing, TargetUnreachable
from support.example_app.catalog import look_at
from support.example_app.profile_fit import missing, not_unique, unlogged, without_vector_index
from support.example_app.proposal import proposal
from support.hosts import probe, why_not_namespaces
from support.reporting.obstacles import Skip, obstacles
from support.settings import Settings
from support.target import changed_settings, dcs
from support.target.baseline import apply_baseline
from support.target.capabilities import CAPABILITIES
from support.target.changes import Note
from support.target.cluster import Cluster
from support.target.discovery import logins, user_cluster, user_hosts
from support.target.timing import Timing
from support.target.topology import MemberAddress, Topology
from support.vocabulary import counted
from support.waiting import describe


@dataclass(frozen=True)
class Diagnosis:
    """What is known about a target before a run."""

    target: str
    lacks: Mapping[str, str]
    """Why each missing capability is missing."""
    remarks: tuple[str, ...] = ()
    timing: Timing | None = None
    """The timing of a user's cluster; the scenarios' limits are meant for the embedded one."""

    def lacked_by(self, scenario: Planned) -> Mapping[str, str]:
        """The capabilities that a scenario needs and the target lacks, with the reasons; empty if it can run."""
        return {name: why for name, why in self.lacks.items() if name in scenario.tags}

    def unable(self, scenarios: Sequence[Planned]) -> "dict[Planned, Mapping[str, str]]":
        """The scenarios that cannot run, each with what the target lacks for it."""
        return {one: lacked for one in scenarios if (lacked := self.lacked_by(one))}


def diagnose(settings: Settings, cluster: KeptCluster | None) -> Diagnosis:
    """Examine the target without changing it. Raises TargetUnreachable if it does not answer."""
    if cluster is not None:
        return Diagnosis(f"the running cluster {cluster.name}", cluster.topology.lacks)
    if settings.external:
        topology, limits = apply_baseline(user_cluster.discover(settings), settings.expectations)
        where = f"your cluster at {topology.called}, database {topology.database}"
        remarks = (
            *([f"named by {settings.accept_named_by}"] if settings.accept_named_by else []),
            *_found(topology),
            *map(_changed, changed_settings.left(Cluster(topology))),
            *host_lines(topology, user_hosts.find(settings.accept_hosts, topology).looked),
            *_tables(topology, settings),
            *(f"known limit: {limit}" for limit in limits),
        )
        return Diagnosis(where, topology.lacks, remarks, topology.timing)
    kind = probe() if settings.accept_sandbox == "auto" else settings.accept_sandbox
    missing = programs.missing_extensions(bindir_of(settings))
    layout = layout_of(settings, missing.citus)
    ruvector = ruvector_missing(dialect_of(settings, layout.shape, missing))
    lacking = lacks(layout, kind, missing.citus, ruvector, programs.tls_missing(bindir_of(settings)))
    return Diagnosis("an embedded cluster, which the run boots", lacking, tuple(_machine(settings, kind)))


def unable(options: RunOptions, scenarios: Sequence[Planned]) -> Mapping[Planned, Mapping[str, str]]:
    """The scenarios that a run with these options would skip, each with what the target lacks for it, and why.

    Nobody knows in advance what a cluster like another installation offers to those outside of it, or a target that
    does not answer: then none is named. Raises RequirementMissing as the run would.
    """
    if options.settings.accept_like:
        return {}
    try:
        found = diagnose(options.settings, options.cluster)
    except TargetUnreachable as error:
        say(f"what would be skipped is not known: {describe(error)}")
        return {}
    if required := sorted(options.required & found.lacks.keys()):
        raise RequirementMissing("; ".join(f"{one} is required but missing: {found.lacks[one]}" for one in required))
    return found.unable(scenarios)


def show_obstacles(unable: Mapping[Planned, Mapping[str, str]]) -> None:
    """Print what stands in the way of these scenarios."""
    for obstacle in obstacles(Skip(sorted(one.ids), lacked) for one, lacked in unable.items()):
        out.print(f"skipped: {obstacle.extent}", style="cyan", markup=False, highlight=False)
        out.print(Padding(Text(obstacle.why), (0, 0, 0, 4)), soft_wrap=False)


def _changed(note: Note) -> str:
    return f"settings were changed by an earlier run: {note}: ./accept heal restores them"


def show(diagnosis: Diagnosis, scenarios: Sequence[Planned]) -> None:
    """Print a diagnosis, and which of the scenarios can run."""
    out.print(f"target: {diagnosis.target}", style="bold", markup=False)
    for remark in diagnosis.remarks:
        out.print(f"  {remark}", markup=False)
    out.print(_capabilities(diagnosis.lacks))
    unable = diagnosis.unable(scenarios)
    out.print(f"\n{len(scenarios) - len(unable)} of {counted(len(scenarios), 'scenario')} can run", style="bold")
    show_obstacles(unable)
    if diagnosis.timing is not None:
        if waiting := waiting_for_hosts(diagnosis.lacks, scenarios):
            ids = ", ".join(sorted({id for one in waiting for id in one.ids}))
            told = f"access to the hosts would make {counted(len(waiting), 'more scenario')} possible: {ids}"
            out.print(told, style="cyan", markup=False, highlight=False)
        for line in _longer_limits(diagnosis.timing, scenarios):
            out.print(line, markup=False, highlight=False)


def _longer_limits(timing: Timing, scenarios: Sequence[Planned]) -> Iterator[str]:
    """The limits that the cluster's own timing makes longer than the scenarios state, and how to set others."""
    longer = longer_here(scenarios, timing)
    if not longer:
        return
    yield "limits: this cluster's timing needs more time than the scenarios state, so its limits are longer:"
    for span, names in by_span(longer).items():
        yield f"  {span}: {timing.total(span):g} s ({timing.sum(span)}) for {', '.join(names)}"
    yield "  Your own limits override these, for example:"
    yield "  [limits]"
    yield f'  "{longer[0].name}" = {longer[0].stated:g}'


def _tables(topology: Topology, settings: Settings) -> Iterator[str]:
    """How the application's tables were recognised, and what is wrong with them."""
    profile, write = topology.profile, Cluster(topology).write
    if "application_schema" in topology.lacks:
        yield f"tables: {topology.lacks['application_schema']}"
        if not settings.accept_own_schema and (proposed := proposal(write)):
            yield "tables: these may be what the scenarios need; check the proposal, and add it to the target file:"
            yield from (f"  {line}" for line in proposed.splitlines())
        return
    how = "declared in [schema]" if settings.accept_schema else "recognised by its tables"
    yield f"tables: schema profile {profile.name}, {how}; entries are in {profile.entries.table}"
    facts = look_at(write, profile.tables)
    for judge in (missing, not_unique, unlogged, without_vector_index):
        for problem in judge(profile, facts):
            yield f"tables: {problem}; the run will report it"


def _machine(settings: Settings, kind: str) -> Iterator[str]:
    """What this machine offers to an embedded cluster."""
    yield f"hosts: {kind}{f' ({why})' if (why := why_not_namespaces()) else ''}"
    absent = programs.absent()
    if absent:
        yield f"the first run installs what is missing: {packages.command([one.package for one in absent])}"
        return
    found = programs.find(bindir_of(settings), lambda text: None, given=settings.accept_programs)
    yield f"PostgreSQL: {found.pg_bindir}"
    yield f"etcd, HAProxy, Redis, Patroni: {found.etcd}, {found.haproxy}, {found.redis}, {found.patroni}"


def _found(topology: Topology) -> Iterator[str]:
    """The parts of a user's cluster that were found, with their addresses."""
    for member in topology.members:
        group = f" of worker group {member.group}" if member.group else ""
        yield f"member {member.name}{group}: PostgreSQL {member.unreached or member.postgres}, {_rest(member)}"
    for why in logins.refused(topology, topology.application).values():
        yield f"the application cannot log in to {why}; the run will report it"
    for member in topology.absent:
        yield f"member {member.name}: declared, but does not answer ({_rest(member)})"
    for node, address in topology.nodes.items():
        yield f"node {node}: reached at {address}"
    if (page := topology.statistics) is not None:
        ends = {"write": (topology.write, page.write_backends)}
        if topology.read is not None:
            ends["read"] = (topology.read, page.read_backends)
        for end, (address, backends) in ends.items():
            yield f"{end} endpoint {address}: HAProxy's backend {', '.join(backends) or 'unknown'}"
        for server, name in sorted(page.servers.items()):
            which = "not known which member it is" if name == server else f"member {name}"
            yield f"HAProxy's server {server}: {which}"
    if "dcs_keys" not in topology.lacks:
        yield f"Patroni's keys in {dcs.kind(topology)}: {topology.dcs_namespace}/{topology.scope}"


def _rest(member: MemberAddress) -> str:
    return f"Patroni {member.rest}" if member.rest else "no Patroni"


def _capabilities(lacking: Mapping[str, str]) -> Table:
    table = Table("capability", "present", "what it is, or why it is missing", box=None, pad_edge=False)
    first: dict[str, str] = {}
    for name, meaning in CAPABILITIES.items():
        there = "[red]no" if name in lacking else "[green]yes"
        words = lacking.get(name, meaning)
        same = first.setdefault(words, name)
        table.add_row(name, there, escape(words if same == name else f"the same as for {same}"))
    return table
