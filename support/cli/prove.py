"""`accept prove`: does the suite notice a broken promise? Sabotages embedded clusters, and prints the trust matrix.

Several processes can work side by side, each on a cluster of its own. Each takes the next sabotage that no other has
claimed, and appends its results to one file.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Column, Table

from support.cli import clusters
from support.cli.behave_process import Planned, dies_with_us, dry_run, sigterm_interrupts
from support.cli.boot import boot_cluster, provide_citus
from support.cli.clusters import KeptCluster
from support.cli.console import Progress, err, out, say
from support.cli.paths import FEATURES, REPORT, RESULTS, STATE
from support.cli.prover import Prover, is_destructive
from support.cli.report import JOURNAL
from support.embedded import programs
from support.errors import AcceptError, UsageError
from support.reporting import journal
from support.reporting.rendering import render
from support.reporting.trust import Proof, Trust, note, read, write_page
from support.run import WorkQueue, new_id
from support.sabotage import catalogue
from support.sabotage.sabotage import Sabotage
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.inventory import inventory_of
from support.target.topology import Topology

TRUST = STATE / "trust.jsonl"
"""The results of the last `accept prove`."""
LOG = STATE / "prove.log"
"""The output of behave."""
CITUS = "citus"
"""Sabotages that need Citus run on a sharded cluster. All others run on one that is not: there every member holds all
rows."""
FAST_SECONDS, DESTRUCTIVE_SECONDS = 8.0, 75.0
"""Estimated seconds for a sabotage, by whether a destructive scenario must notice it."""
CLUSTER_DONE = 4
"""Exit status of a process that is done with its cluster, while there may be work for another one."""
DESTRUCTIVE_WEIGHT = 3
"""How many sabotages one with a destructive scenario stands for when healthy runs are due."""


@dataclass(frozen=True)
class ProveOptions:
    """What the user asked for. Raises UsageError for a requirement other than Citus."""

    words: tuple[str, ...]
    settings: Settings
    cluster: KeptCluster | None = None
    all_fast: bool = False
    """Run every fast scenario each time."""
    jobs: int = 1
    healthy_every: int = 20
    """Sabotages between two runs on the healthy cluster."""
    required: Collection[str] = ()
    claims: Path | None = None
    """The folder in which processes claim their sabotages; None in the process that the user started."""

    def __post_init__(self) -> None:
        if other := sorted({*self.required} - {CITUS}):
            raise UsageError(f"--require {', '.join(other)}: prove boots its clusters, and they can only lack {CITUS}")


def prove(options: ProveOptions, arguments: Sequence[str]) -> int:
    """Try the sabotages, and return the exit status. `arguments` are the command line, for further processes."""
    if options.cluster is not None:
        clusters.continue_inside(options.cluster, ["prove", *arguments])
    scenarios = dry_run([str(FEATURES)]).scenarios
    chosen = catalogue.chosen(options.words, {id for one in scenarios for id in one.ids})
    clusters.sweep()
    if options.claims is not None:
        return _run_share(options, options.claims, chosen, scenarios)
    if CITUS in options.required and options.cluster is None:
        provide_citus(options.settings, Progress())
    begun = time.monotonic()
    TRUST.unlink(missing_ok=True)
    LOG.unlink(missing_ok=True)
    claims = (STATE / f"claims-{new_id()}").absolute()
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, claims, ignore_errors=True)
        claims.mkdir(parents=True)
        note(TRUST, "plan", Trust(planned=tuple(one.name for one in chosen)))
        try:
            if options.cluster is not None:
                _run_share(options, claims, chosen, scenarios)
                ended = 0
            else:
                ended = _run_shares(options.jobs, [*arguments, "--claims", str(claims)])
        except KeyboardInterrupt:
            say("stopped; this is what was found so far:")
            conclude(TRUST, time.monotonic() - begun)
            raise
        return conclude(TRUST, time.monotonic() - begun) or ended


def _run_shares(jobs: int, arguments: Sequence[str]) -> int:
    """Run processes side by side until no sabotage is left, and return the worst exit status.

    A process ends when nothing is left for its cluster, or when its cluster did not recover, which would spoil all
    further results. Another process takes its place as long as there may be more to do.
    """
    program = dies_with_us(clusters.accept_argv(["prove", *arguments]))

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(program, stdin=subprocess.DEVNULL)

    shares, worst = [start() for _ in range(jobs)], 0
    while shares:
        status = shares.pop(0).wait()
        if status == CLUSTER_DONE:
            shares.append(start())
        else:
            worst = max(worst, abs(status))
    return worst


def _run_share(options: ProveOptions, folder: Path, chosen: Sequence[Sabotage], scenarios: Sequence[Planned]) -> int:
    """Try the sabotages that nobody has claimed on one cluster: first those for a cluster without shards.

    Returns CLUSTER_DONE, or 0 if there was nothing to do.
    """
    claims = WorkQueue(folder)
    left = {
        sharded: [one for one in chosen if (CITUS in one.needs) is sharded and not claims.taken(one.name)]
        for sharded in (False, True)
    }
    for sharded, those in left.items():
        if (why := _unfit(options, sharded)) and claims.take(f"the-plan-{sharded}"):
            note(TRUST, "plan", Trust(passed_over={one.name: why for one in those}))
    for sharded, those in left.items():
        if those and not _unfit(options, sharded):
            fitting = [one for one in scenarios if (CITUS in one.tags) is sharded]
            _run_on_one_cluster(options, folder, those, fitting, sharded)
            return CLUSTER_DONE
    return 0


def _run_on_one_cluster(
    options: ProveOptions, folder: Path, chosen: Sequence[Sabotage], scenarios: Sequence[Planned], sharded: bool
) -> None:
    claims = WorkQueue(folder)
    with ExitStack() as cleanup, sigterm_interrupts():
        topology = _target(options, folder, sharded, cleanup)
        lacking = {one.name: why for one in chosen if (why := _lacking(one, topology))}
        possible = [one for one in chosen if one.name not in lacking]
        possible.sort(key=lambda one: is_destructive(one, scenarios))
        if claims.take(f"the-plan-{sharded}"):
            uncovered = {} if options.words else _uncovered(scenarios, possible, topology)
            facts = inventory_of(Cluster(topology))
            note(TRUST, "plan", Trust(passed_over=lacking, uncovered=uncovered, facts=facts))
        for name in lacking:
            claims.take(name)
        prover = Prover(topology, scenarios, LOG, options.all_fast)
        _Share(claims, options.healthy_every, prover, possible, narrowed=bool(options.words)).work()


def _unfit(options: ProveOptions, sharded: bool) -> str:
    """Why there can be no cluster with (or without) shards; empty if there can."""
    if options.cluster is not None:
        lacking = options.cluster.topology.lacks.get(CITUS, "")
        if sharded or lacking:
            return lacking if sharded else ""
        return "it needs a cluster without worker groups (./accept up --workers 0)"
    if not sharded:
        return ""
    if options.settings.accept_workers == 0:
        return "--workers 0 asks for no worker groups"
    return programs.citus_missing(options.settings.accept_pg_bindir)


def _target(options: ProveOptions, folder: Path, sharded: bool, cleanup: ExitStack) -> Topology:
    if options.cluster is not None:
        return options.cluster.topology
    if options.settings.external:
        raise UsageError("accept prove breaks the cluster that it tests; it works only on embedded clusters")
    place = folder / f"cluster-{os.getpid()}-{'sharded' if sharded else 'plain'}"
    place.mkdir(mode=0o700)
    cleanup.callback(shutil.rmtree, place, ignore_errors=True)
    settings = options.settings if sharded else options.settings.model_copy(update={"accept_workers": 0})
    sandbox, topology = boot_cluster(settings, place, Progress())
    cleanup.callback(sandbox.close)
    return topology


class _Share:
    """The work of one process on one cluster."""

    def __init__(
        self, claims: WorkQueue, every: int, prover: Prover, sabotages: Sequence[Sabotage], narrowed: bool
    ) -> None:
        self._claims, self._every = claims, every
        self._prover, self._sabotages = prover, sabotages
        self._begun = time.monotonic()
        wanted = {id for one in sabotages for id in one.ids}
        self._fast = [one for one in prover.scenarios if not one.is_destructive and (not narrowed or wanted & one.ids)]

    def work(self) -> None:
        """Try sabotages, with healthy runs before, between and after, until the cluster does not recover from one."""
        self._run_healthy()
        since = 0
        for sabotage, number in self._claimed():
            self._tell(f"{number}/{len(self._sabotages)} {sabotage.name}: {sabotage.description}")
            proof = self._prover.prove(sabotage)
            note(TRUST, "proof", proof)
            lines = [
                f"    {one.id}: {'noticed' if one.noticed else 'NOT NOTICED'}: {one.message}" for one in proof.heard
            ]
            for line in [*lines, *([f"    FAILED: {proof.failed}"] if proof.failed else [])]:
                err.print(line, markup=False, style="green" if proof.noticed else "red")
            if not proof.recovered:
                return
            since += DESTRUCTIVE_WEIGHT if is_destructive(sabotage, self._prover.scenarios) else 1
            if since >= self._every:
                self._run_healthy()
                since = 0
        if since:
            self._run_healthy()

    def _claimed(self) -> Iterator[tuple[Sabotage, int]]:
        for number, sabotage in enumerate(self._sabotages, 1):
            if self._claims.take(sabotage.name):
                yield sabotage, number

    def _run_healthy(self) -> None:
        if not self._fast:
            return
        self._tell(f"healthy: {len(self._fast)} scenarios")
        run = self._prover.run_healthy(self._fast)
        note(TRUST, "healthy", run)
        for alarm in run.alarms:
            err.print(f"    FALSE ALARM: {alarm}", markup=False, style="red")

    def _tell(self, what: str) -> None:
        left = sum(
            DESTRUCTIVE_SECONDS if is_destructive(one, self._prover.scenarios) else FAST_SECONDS
            for one in self._sabotages
            if not self._claims.taken(one.name)
        )
        elapsed = time.monotonic() - self._begun
        say(f"{elapsed:6.0f} s, about {left / 60:.0f} min left  {what}")


def _lacking(sabotage: Sabotage, topology: Topology) -> str:
    return "; ".join(topology.lacks[one] for one in sorted(sabotage.needs) if one in topology.lacks)


def _uncovered(scenarios: Sequence[Planned], possible: Sequence[Sabotage], topology: Topology) -> dict[str, str]:
    """The promises that this target can keep, but that too few sabotages break: none, or for a blocker only one."""
    missing = {}
    for scenario in scenarios:
        if scenario.tags & topology.lacks.keys():
            continue
        for id in scenario.ids:
            found = sum(id in one.ids for one in possible)
            wanted = 2 if scenario.is_blocker else 1
            if found < wanted:
                missing[id] = f"{found} of {wanted} sabotages"
    return dict(sorted(missing.items()))


def conclude(results: Path, seconds: float) -> int:
    """Print the trust matrix, write it as a page beside the report, and return the exit status."""
    trust = replace(read(results), seconds=seconds)
    _show(trust)
    page = write_page(trust, REPORT)
    _link_from_dashboard()
    out.print(f"trust matrix: {page}", markup=False, soft_wrap=True)
    out.print(trust.score, markup=False, style="green" if trust.passed else "red")
    return 0 if trust.passed else 1


def _link_from_dashboard() -> None:
    """Render the report of the last run again, if there is one, so that it links to the trust matrix."""
    if JOURNAL.exists() and RESULTS.exists():
        with suppress(AcceptError, OSError, ValueError):
            render(RESULTS, journal.read(JOURNAL), REPORT, in_history=True)


def _show(trust: Trust) -> None:
    """Print the matrix: a line for each sabotage, with the promises that must notice it."""
    table = Table("part", Column("sabotage", no_wrap=True), "noticed by", "not noticed by", "seconds", box=None)
    for proof in trust.proofs:
        table.add_row(proof.part, proof.sabotage, *_who(proof), f"{proof.seconds:.0f}")
    out.print(table)
    for proof in trust.proofs:
        if proof.failed:
            out.print(f"{proof.sabotage}: {proof.failed}", markup=False, style="red")
        for one in proof.heard:
            if not one.noticed:
                out.print(f"{proof.sabotage}, {one.id}: {one.verdict}: {one.message}", markup=False, style="red")
    for alarm in trust.alarms:
        out.print(f"false alarm: {alarm}", markup=False, style="red")
    for id, why in trust.uncovered.items():
        out.print(f"not covered: {id}: {why}", markup=False, style="red")
    for name in trust.missing:
        out.print(f"not tried: {name}", markup=False, style="red")
    for name, why in trust.passed_over.items():
        out.print(f"left out: {name}: {why}", markup=False, style="yellow")


def _who(proof: Proof) -> tuple[str, str]:
    noticed = [one.id for one in proof.heard if one.noticed] + [f"({id})" for id in proof.others]
    return " ".join(noticed), f"[red]{' '.join(one.id for one in proof.heard if not one.noticed)}[/]"


def show_sabotages() -> None:
    """Print every sabotage, what it breaks, and which promises must notice."""
    for one in catalogue.SABOTAGES.values():
        out.print(f"[bold]{one.name}[/]  {' '.join(one.ids)}")
        out.print(f"    {one.description}", markup=False)
