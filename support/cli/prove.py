"""`accept prove`: does the suite notice a broken promise? Sabotages embedded clusters, and prints the trust matrix.

Several processes can work side by side, each on a cluster of its own. Each takes the next sabotage that no other has
claimed, and appends its results to one file. In a second round a single process tries what needs the machine to itself:
what measures speed, and once more what was inconclusive.
"""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.table import Column, Table

from support import own_folder
from support.cli import clusters
from support.cli.behave_process import Planned, dies_with_us, dry_run, sigterm_interrupts
from support.cli.boot import bindir_of, boot_cluster, provide_citus
from support.cli.clusters import KeptCluster
from support.cli.console import Progress, out, say
from support.cli.job_plan import measures_speed
from support.cli.paths import FEATURES, REPORT, RESULTS, STATE, TRUST
from support.cli.proof_basis import basis_of, claim_done, require_continuable
from support.cli.prove_share import STYLES, PlannedRun, Share, Work, needs_quiet, ordered, repeated, speed_run
from support.cli.prover import Prover, forget_old_alarms
from support.cli.report import knowledge, last_journal, one_at_a_time
from support.embedded import programs
from support.engine.saturation import watched_for_all
from support.errors import AcceptError, UsageError
from support.reporting import journal
from support.reporting.rendering import render
from support.reporting.trust import Proof, ScenarioUnderTest, Trust, note, read, write_page
from support.run import new_id
from support.sabotage import catalogue
from support.sabotage.sabotage import Sabotage
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.inventory import inventory_of
from support.target.topology import Topology
from support.vocabulary import counted
from support.work import WorkQueue

LOG = STATE / "prove.log"
"""The output of behave."""
CITUS = "citus"
"""Sabotages that need Citus run on a sharded cluster. All others run on one that is not: there every member holds all
rows."""
BLOCKER_SABOTAGES = 2
"""How many sabotages a promise needs whose severity is blocker."""
ALONE = "alone"
"""The name of the folder in which the second round claims its work: one cluster, which has the machine to itself."""
CLUSTER_DONE = 4
"""Exit status of a process that is done with its cluster, while there may be work for another one."""


@dataclass(frozen=True)
class ProveOptions:
    """What the user asked for.

    Raises UsageError for a requirement other than Citus, and if no destructive scenario is to run on the healthy
    cluster in a proof of everything.
    """

    words: tuple[str, ...]
    settings: Settings
    cluster: KeptCluster | None = None
    all_fast: bool = False
    """Run every fast scenario each time."""
    jobs: int = 1
    healthy_every: int = 20
    """Run the fast scenarios on the healthy cluster after this many sabotages."""
    healthy_destructive: int = 1
    """Runs of the destructive scenarios on the healthy cluster."""
    required: Collection[str] = ()
    also: tuple[str, ...] = ()
    """The promises on whose scenarios the sabotages are tried, in place of those that must notice them."""
    continues: bool = False
    """Try only what the last, interrupted proof did not reach."""
    claims: Path | None = None
    """The folder in which processes claim their sabotages; None in the process that the user started."""

    def __post_init__(self) -> None:
        if other := sorted({*self.required} - {CITUS}):
            raise UsageError(f"--require {', '.join(other)}: prove boots its own clusters, which can lack only {CITUS}")
        if self.also and not self.words:
            raise UsageError("--also: name the sabotages to try; ./accept prove --list shows them")
        if not self.words and not self.healthy_destructive:
            raise UsageError("--healthy-destructive 0: only when sabotages or promises are named")


def prove(options: ProveOptions, arguments: Sequence[str]) -> int:
    """Try the sabotages, and return the exit status. `arguments` are the command line, for further processes."""
    if options.cluster is not None:
        clusters.continue_inside(options.cluster, ["prove", *arguments])
    scenarios = _every_scenario()
    ids = {id for one in scenarios for id in one.ids}
    chosen = catalogue.chosen(options.words, ids)
    if options.also:
        chosen = catalogue.tried_on(chosen, options.also, ids)
    clusters.sweep()
    if options.claims is not None:
        return _run_share(options, options.claims, chosen, scenarios)
    if CITUS in options.required and options.cluster is None:
        provide_citus(options.settings, Progress())
    begun = time.monotonic()
    claims = (STATE / f"claims-{new_id()}").absolute()
    with ExitStack() as cleanup:
        cleanup.enter_context(_only_proof())
        cleanup.enter_context(sigterm_interrupts())
        cleanup.callback(shutil.rmtree, claims, ignore_errors=True)
        _begin(options, chosen, claims)
        try:
            if options.cluster is not None:
                _run_share(options, claims, chosen, scenarios)
                _run_share(options, claims / ALONE, chosen, scenarios)
                ended = 0
            else:
                ended = max(
                    _run_shares(jobs, [*arguments, "--claims", str(folder)], folder)
                    for jobs, folder in ((options.jobs, claims), (1, claims / ALONE))
                )
        except KeyboardInterrupt:
            say("stopped; ./accept prove --continue tries the rest. This is what was found so far:")
            conclude(TRUST, time.monotonic() - begun)
            raise
        return conclude(TRUST, time.monotonic() - begun) or ended


@contextmanager
def _only_proof() -> Iterator[None]:
    """Raises UsageError if another proof is running in the same folder: both would write their results to one file."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "prove.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("another proof is running here: wait until it ends, or use another folder") from None
        yield


def _begin(options: ProveOptions, chosen: Sequence[Sabotage], claims: Path) -> None:
    """Prepare the results file and the claims folder; when continuing, include what the earlier proof has done.

    Raises UsageError if that proof cannot be continued.
    """
    asked = (options.words, options.also, options.all_fast, options.healthy_every, options.healthy_destructive)
    basis = basis_of(options.settings, (*asked, options.jobs > 1))
    earlier = Trust()
    if options.continues:
        earlier = read(TRUST)
        require_continuable(earlier, basis)
    else:
        TRUST.unlink(missing_ok=True)
        LOG.unlink(missing_ok=True)
        forget_old_alarms()
    (claims / ALONE).mkdir(parents=True)
    if options.continues:
        claim_done(earlier, WorkQueue(claims), WorkQueue(claims / ALONE))
        say(f"continuing: {counted(len(earlier.proofs), 'sabotage')} of {len(chosen)} tried before")
        if earlier.began:  # it was killed, after what it noted last
            note(TRUST, "plan", Trust(seconds=max(0.0, TRUST.stat().st_mtime - earlier.began)))
        note(TRUST, "plan", Trust(began=time.time()))
    else:
        note(TRUST, "plan", Trust(planned=tuple(one.name for one in chosen), basis=basis, began=time.time()))


def _every_scenario() -> tuple[Planned, ...]:
    """The suite's scenarios, and those of the user's own folder."""
    own = own_folder.given()
    return dry_run([str(FEATURES), *([str(own.features)] if own else [])]).scenarios


def _run_shares(jobs: int, arguments: Sequence[str], folder: Path) -> int:
    """Run processes side by side until no sabotage is left, and return the worst exit status.

    A process ends when nothing is left for its cluster, or when its cluster did not recover, which would spoil all
    further results. Another process takes its place as long as there may be more to do.
    """
    program = dies_with_us(clusters.accept_argv(["prove", *arguments]))

    def start() -> "subprocess.Popen[bytes]":
        # In a separate process group: on Ctrl-C each gets one signal, from here, and removes its cluster.
        return subprocess.Popen(program, stdin=subprocess.DEVNULL, process_group=0)

    with watched_for_all(folder / "saturation.jsonl"):
        shares, worst = [start() for _ in range(jobs)], 0
        try:
            while shares:
                status = shares[0].wait()
                del shares[0]
                if status == CLUSTER_DONE:
                    shares.append(start())
                else:
                    worst = max(worst, abs(status))
        except KeyboardInterrupt:
            for share in shares:
                share.terminate()
            for share in shares:
                share.wait()
            raise
        return worst


def _run_share(options: ProveOptions, folder: Path, chosen: Sequence[Sabotage], scenarios: Sequence[Planned]) -> int:
    """Try the sabotages that nobody has claimed on one cluster: first those for a cluster without shards.

    Returns CLUSTER_DONE, or 0 if there was nothing to do.
    """
    claims, alone = WorkQueue(folder), folder.name == ALONE
    for sharded in (False, True):
        fitting = [one for one in scenarios if (CITUS in one.tags) is sharded]
        sabotages = [one for one in chosen if (CITUS in one.needs) is sharded]
        if why := _unfit(options, sharded):
            if not alone and claims.take(f"the-plan-{sharded}"):
                never = _to_be_seen(options.words, fitting, {one.name: why for one in fitting})
                note(TRUST, "plan", Trust(passed_over={one.name: why for one in sabotages}, scenarios=never))
            continue
        plan = _plan(options, sabotages, fitting, sharded, alone)
        if any(not claims.taken(one.name) for one in plan.work):
            _run_on_one_cluster(options, folder, plan, sharded)
            return CLUSTER_DONE
    return 0


@dataclass(frozen=True)
class _Plan:
    """What is done on clusters of one kind, in one of the two rounds of a proof."""

    scenarios: Sequence[Planned]
    """All that fit the cluster."""
    sabotages: Sequence[Sabotage]
    """All for such a cluster, those of the other round included."""
    work: Sequence[Work]
    fast: Sequence[Planned]
    """The scenarios that run on the healthy cluster in between."""
    later: Sequence[PlannedRun] = ()
    """Runs on the healthy cluster that are left to the second round."""


def _plan(
    options: ProveOptions, sabotages: Sequence[Sabotage], fitting: Sequence[Planned], sharded: bool, alone: bool
) -> _Plan:
    """Beside other clusters all but what measures speed; then, alone, that, and what was inconclusive."""
    narrowed, beside = bool(options.words), options.jobs > 1
    wanted = [one for one in fitting if not narrowed or any(one.ids & {*sabotage.ids} for sabotage in sabotages)]
    quiet = [one for one in sabotages if beside and needs_quiet(one, fitting)]
    speed = speed_run(wanted, sharded) if beside else None
    later = [speed] if speed else []
    if alone:
        work = [*later, *quiet, *repeated(read(TRUST), sabotages, fitting, sharded)]
        return _Plan(fitting, sabotages, work, fast=())
    first = [one for one in sabotages if one not in quiet]
    fast = [one for one in wanted if not one.is_destructive and not (beside and measures_speed(one))]
    return _Plan(fitting, sabotages, ordered(first, fitting, options.healthy_destructive, narrowed), fast, later)


def _run_on_one_cluster(options: ProveOptions, folder: Path, plan: _Plan, sharded: bool) -> None:
    claims = WorkQueue(folder)
    with ExitStack() as cleanup, sigterm_interrupts():
        topology = _target(options, folder, sharded, cleanup)
        lacking = {one.name: why for one in plan.sabotages if (why := _lacking(one, topology))}
        if folder.name != ALONE and claims.take(f"the-plan-{sharded}"):
            possible = [one for one in plan.sabotages if one.name not in lacking]
            runs = [*(one for one in plan.work if isinstance(one, PlannedRun)), *plan.later]
            found = Trust(
                passed_over=lacking,
                uncovered={} if options.words else _uncovered(plan.scenarios, possible, topology),
                scenarios=_to_be_seen(options.words, plan.scenarios, _impossible(plan.scenarios, topology)),
                planned_healthy=tuple(one.name for one in runs),
                facts=inventory_of(Cluster(topology)),
            )
            note(TRUST, "plan", found)
        for name in lacking:
            claims.take(name)
        prover = Prover(topology, plan.scenarios, LOG, options.all_fast)
        todo = [one for one in plan.work if one.name not in lacking]
        Share(claims, options.healthy_every, prover, todo, plan.fast).work()


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
    return programs.citus_missing(bindir_of(options.settings))


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


def _lacking(sabotage: Sabotage, topology: Topology) -> str:
    return "; ".join(topology.lacks[one] for one in sorted(sabotage.needs) if one in topology.lacks)


def _impossible(scenarios: Sequence[Planned], topology: Topology) -> dict[str, str]:
    """The titles of the scenarios that this target cannot run -> why."""
    lacks = topology.lacks
    return {
        one.name: "; ".join(dict.fromkeys(lacks[tag] for tag in sorted(one.tags & lacks.keys())))
        for one in scenarios
        if one.tags & lacks.keys()
    }


def _to_be_seen(
    words: Sequence[str], scenarios: Sequence[Planned], lacking: Mapping[str, str]
) -> tuple[ScenarioUnderTest, ...]:
    """The scenarios that some sabotage has to make fail: all, or those of the promises that were named.

    Each row of an outline counts, because each row is a different fault, component or value to be checked.
    """
    return tuple(
        ScenarioUnderTest(", ".join(sorted(one.ids)), one.name, lacking.get(one.name, ""))
        for one in scenarios
        if not words or one.ids & {*words}
    )


def _uncovered(scenarios: Sequence[Planned], possible: Sequence[Sabotage], topology: Topology) -> dict[str, str]:
    """The blockers that this target can keep, but that fewer than two sabotages break."""
    missing = {}
    for scenario in scenarios:
        if scenario.is_blocker and not scenario.tags & topology.lacks.keys():
            for id in scenario.ids:
                if (found := sum(id in one.ids for one in possible)) < BLOCKER_SABOTAGES:
                    missing[id] = f"{found} of {BLOCKER_SABOTAGES} sabotages of a blocker"
    return dict(sorted(missing.items()))


def conclude(results: Path, seconds: float) -> int:
    """Print the trust matrix, write it as a page beside the report, and return the exit status.

    `seconds`: how long it took, not counting the time before it was continued.
    """
    note(results, "plan", Trust(seconds=seconds))
    trust = read(results)
    _show(trust)
    page = write_page(trust, REPORT, known=len(catalogue.every_sabotage()))
    _link_from_dashboard()
    out.print(f"trust matrix: {page}", markup=False, soft_wrap=True)
    out.print(trust.score, markup=False, style="green" if trust.passed else "red")
    return 0 if trust.passed else 1


def _link_from_dashboard() -> None:
    """Render the report of the last run again, if there is one, so that it links to the trust matrix."""
    with suppress(AcceptError, OSError, ValueError), one_at_a_time():
        record = journal.read(last_journal())
        render(RESULTS, record, REPORT, in_history=True, knowledge=knowledge(record.options))


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
                said = f"{proof.sabotage}, {one.id} {one.scenario}: {one.verdict}: {one.message}"
                out.print(said, markup=False, style=STYLES.get(one.label, "red"))
    for alarm in trust.alarms:
        out.print(f"false alarm: {alarm}", markup=False, style="red")
    for seen in trust.never_seen:
        out.print(f"never seen to fail: {seen.id} {seen.title}", markup=False, style="red")
    for seen in trust.scenarios:
        if seen.lacking:
            out.print(f"cannot run here: {seen.id} {seen.title}: {seen.lacking}", markup=False, style="yellow")
    for id, why in trust.uncovered.items():
        out.print(f"not covered: {id}: {why}", markup=False, style="red")
    for name in trust.missing:
        out.print(f"not tried: {name}", markup=False, style="red")
    for name, why in trust.passed_over.items():
        out.print(f"left out: {name}: {why}", markup=False, style="yellow")


def _who(proof: Proof) -> tuple[str, str]:
    """The promises whose scenarios all noticed, and those with a scenario that did not."""
    silent = dict.fromkeys(one.id for one in proof.heard if not one.noticed)
    noticed = [*dict.fromkeys(one.id for one in proof.heard if one.noticed), *(f"({id})" for id in proof.others)]
    return " ".join(noticed), f"[red]{' '.join(silent)}[/]"


def show_sabotages(words: Sequence[str]) -> None:
    """Print the sabotages that names and ids of promises select (all if there are none), and who must notice each.

    Raises UsageError for a word that is neither.
    """
    ids = {id for one in _every_scenario() for id in one.ids} if words else ()
    known = catalogue.every_sabotage()
    for chosen in catalogue.chosen(words, ids):
        one = known[chosen.name]  # with all that must notice it
        out.print(f"[bold]{one.name}[/]  {' '.join(one.ids)}")
        out.print(f"    {one.description}", markup=False)
