"""`accept prove`: does the suite notice when a promise is broken? On one embedded cluster, or several side by side."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from support.cli import behaving, clusters, reaching
from support.cli.behaving import Planned
from support.cli.booting import Progress, boot_cluster, provide_citus
from support.cli.clusters import Kept
from support.cli.console import err, say
from support.cli.places import FEATURES, STATE
from support.cli.proving import Prover, destructive, ids_of
from support.cli.trusting import conclude
from support.embedded import programs
from support.errors import UsageError
from support.reporting.trust import Trust, note
from support.run import Claims, new_id
from support.sabotage import catalogue
from support.sabotage.sabotage import Sabotage
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.inventory import inventory_of
from support.target.topology import Topology

TRUST = STATE / "trust.jsonl"
"""What the last `accept prove` found."""
LOG = STATE / "prove.log"
"""What its runs of behave printed."""
CITUS = "citus"
"""Sabotages that need it run on a sharded cluster, all others on one that is not, where members hold every row."""
CHEAP, DEAR = 8.0, 75.0
"""Seconds that a sabotage is thought to take before any was seen: with fast scenarios, with destructive ones."""
MORE = 4
"""Exit status of a process that is done with its cluster, and has not looked what else there is to do."""
DEAR_COUNTS = 3
"""So many times a sabotage with destructive scenarios brings the next healthy run nearer than another."""


@dataclass(frozen=True)
class Order:
    """What the user asked for."""

    words: tuple[str, ...]
    settings: Settings
    cluster: Kept | None = None
    wide: bool = False
    jobs: int = 1
    healthy_every: int = 20
    """So many sabotages, and there is a healthy run."""
    required: Collection[str] = ()
    """What the cluster must have; of all capabilities it can lack citus alone."""
    claims: Path | None = None
    """The folder in which several processes claim their sabotages; None in the process that the user started."""

    def __post_init__(self) -> None:
        if other := sorted({*self.required} - {CITUS}):
            raise UsageError(f"--require {', '.join(other)}: a sabotaged cluster is embedded, it can lack citus alone")


def carry_out(order: Order, arguments: Sequence[str]) -> int:
    """Prove what was asked for; the exit status. `arguments` are the command line, for processes of ours."""
    if order.cluster is not None:
        reaching.go_inside(order.cluster, ["prove", *arguments])
    scenarios = behaving.plan([str(FEATURES)]).scenarios
    chosen = catalogue.chosen(order.words, {id for one in scenarios for id in ids_of(one)})
    clusters.sweep()
    if order.claims is not None:
        return _share(order, chosen, scenarios)
    if CITUS in order.required and order.cluster is None:
        provide_citus(order.settings, Progress())
    begun = time.monotonic()
    TRUST.unlink(missing_ok=True)
    LOG.unlink(missing_ok=True)
    claims = (STATE / f"claims-{new_id()}").absolute()
    order = replace(order, claims=claims)
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, claims, ignore_errors=True)
        claims.mkdir(parents=True)
        note(TRUST, "plan", Trust(planned=tuple(one.name for one in chosen)))
        try:
            if order.cluster is not None:
                _share(order, chosen, scenarios)
                ended = 0
            else:
                ended = _side_by_side(order, arguments)
        except KeyboardInterrupt:
            say("stopped; this is what was found so far:")
            conclude(TRUST, time.monotonic() - begun)
            raise
        return conclude(TRUST, time.monotonic() - begun) or ended


def _side_by_side(order: Order, arguments: Sequence[str]) -> int:
    """Each process boots a cluster, and takes sabotage after sabotage that nobody has claimed; the gravest exit status.

    It ends when there is none left for such a cluster, or when the cluster did not recover: what it said from then on
    would mean nothing. Another takes its place as long as there may be more to do.
    """
    assert order.claims is not None
    program = [sys.executable, "-P", "-m", "support.cli", "prove", *arguments, "--claims", str(order.claims)]
    shares, gravest = [_begin_share(program) for _ in range(order.jobs)], 0
    while shares:
        status = shares.pop(0).wait()
        if status == MORE:
            shares.append(_begin_share(program))
        else:
            gravest = max(gravest, abs(status))
    return gravest


def _begin_share(program: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(behaving.mortal(program), stdin=subprocess.DEVNULL)


def _share(order: Order, chosen: Sequence[Sabotage], scenarios: Sequence[Planned]) -> int:
    """Prove what nobody else has claimed: what needs no shards on a cluster without, and then the rest on another.

    Returns 0 when there is nothing to do, and MORE after one cluster.
    """
    assert order.claims is not None
    claims = Claims(order.claims)
    left = {
        sharded: [one for one in chosen if (CITUS in one.needs) is sharded and not claims.taken(one.name)]
        for sharded in (False, True)
    }
    for sharded, those in left.items():
        if (why := _unfit(order, sharded)) and claims.take(f"the-plan-{sharded}"):
            note(TRUST, "plan", Trust(passed_over={one.name: why for one in those}))
    for sharded, those in left.items():
        if those and not _unfit(order, sharded):
            _share_on_one(order, those, [one for one in scenarios if (CITUS in one.tags) is sharded], sharded)
            return MORE
    return 0


def _share_on_one(order: Order, chosen: Sequence[Sabotage], scenarios: Sequence[Planned], sharded: bool) -> None:
    """Prove, on one cluster, what nobody else has claimed."""
    assert order.claims is not None
    claims = Claims(order.claims)
    with ExitStack() as cleanup, behaving.interruptible():
        topology = _target(order, sharded, cleanup)
        lacking = {one.name: why for one in chosen if (why := _lacking(one, topology))}
        possible = sorted(
            (one for one in chosen if one.name not in lacking), key=lambda one: destructive(one, scenarios)
        )
        if claims.take(f"the-plan-{sharded}"):
            uncovered = {} if order.words else _uncovered(scenarios, possible, topology)
            facts = inventory_of(Cluster(topology))
            note(TRUST, "plan", Trust(passed_over=lacking, uncovered=uncovered, facts=facts))
        for name in lacking:
            claims.take(name)
        _Share(order, Prover(topology, scenarios, LOG, order.wide), possible).work()


def _unfit(order: Order, sharded: bool) -> str:
    """Why no sabotage can be tried on a cluster that is (or is not) sharded; empty where it can."""
    if order.cluster is not None:
        lacking = order.cluster.topology.lacks.get(CITUS, "")
        return lacking if sharded else "" if lacking else "tried on a cluster that is not sharded (--workers 0)"
    if not sharded:
        return ""
    if order.settings.accept_workers == 0:
        return "no worker groups are wanted (--workers 0)"
    return programs.citus_missing(order.settings.accept_pg_bindir)


def _target(order: Order, sharded: bool, cleanup: ExitStack) -> Topology:
    if order.cluster is not None:
        return order.cluster.topology
    if order.settings.external:
        raise UsageError("accept prove breaks what it tests: it takes an embedded cluster, and no other")
    assert order.claims is not None
    place = order.claims / f"cluster-{os.getpid()}-{'sharded' if sharded else 'plain'}"
    place.mkdir(mode=0o700)
    cleanup.callback(shutil.rmtree, place, ignore_errors=True)
    settings = order.settings if sharded else order.settings.model_copy(update={"accept_workers": 0})
    sandbox, topology = boot_cluster(settings, place, Progress())
    cleanup.callback(sandbox.close)
    return topology


class _Share:
    """The work of one process."""

    def __init__(self, order: Order, prover: Prover, sabotages: Sequence[Sabotage]) -> None:
        assert order.claims is not None
        self._claims, self._every = Claims(order.claims), order.healthy_every
        self._prover, self._sabotages = prover, sabotages
        self._begun = time.monotonic()
        wanted = {id for one in sabotages for id in one.ids}
        self._fast = [
            one
            for one in prover.scenarios
            if "destructive" not in one.tags and (not order.words or wanted & ids_of(one))
        ]

    def work(self) -> None:
        """Sabotage after sabotage, with healthy runs around and between, until one from which the cluster does not
        recover."""
        self._healthy()
        since = 0
        for sabotage, number in self._claimed():
            dear = destructive(sabotage, self._prover.scenarios)
            self._tell(f"{number}/{len(self._sabotages)} {sabotage.name}: {sabotage.words}")
            proof = self._prover.prove(sabotage)
            note(TRUST, "proof", proof)
            said = [
                f"    {one.id}: {'noticed' if one.noticed else 'NOT NOTICED'}: {one.message}" for one in proof.heard
            ]
            for line in [*said, *([f"    FAILED: {proof.failed}"] if proof.failed else [])]:
                err.print(line, markup=False, style="green" if proof.noticed else "red")
            if not proof.recovered:
                return
            since += DEAR_COUNTS if dear else 1
            if since >= self._every:
                self._healthy()
                since = 0
        if since:
            self._healthy()

    def _claimed(self) -> Iterator[tuple[Sabotage, int]]:
        for number, sabotage in enumerate(self._sabotages, 1):
            if self._claims.take(sabotage.name):
                yield sabotage, number

    def _healthy(self) -> None:
        if not self._fast:
            return
        self._tell(f"healthy: {len(self._fast)} scenarios")
        run = self._prover.healthy(self._fast)
        note(TRUST, "healthy", run)
        for alarm in run.alarms:
            err.print(f"    FALSE ALARM: {alarm}", markup=False, style="red")

    def _tell(self, what: str) -> None:
        left = sum(
            DEAR if destructive(one, self._prover.scenarios) else CHEAP
            for one in self._sabotages
            if not self._claims.taken(one.name)
        )
        elapsed = time.monotonic() - self._begun
        say(f"{elapsed:6.0f} s, about {left / 60:.0f} min left  {what}")


def _lacking(sabotage: Sabotage, topology: Topology) -> str:
    return "; ".join(topology.lacks[one] for one in sorted(sabotage.needs) if one in topology.lacks)


def _uncovered(scenarios: Sequence[Planned], possible: Sequence[Sabotage], topology: Topology) -> dict[str, str]:
    """Promises that this target can keep and that no sabotage (of blockers: no two) would break."""
    missing = {}
    for scenario in scenarios:
        if scenario.tags & topology.lacks.keys():
            continue
        for id in ids_of(scenario):
            found = sum(id in one.ids for one in possible)
            wanted = 2 if _is_blocker(scenario) else 1
            if found < wanted:
                missing[id] = f"{found} of {wanted} sabotages"
    return dict(sorted(missing.items()))


def _is_blocker(scenario: Planned) -> bool:
    """A scenario's own severity goes before its feature's, and behave gives both."""
    return "blocker" in scenario.tags and not scenario.tags & {"critical", "normal", "minor"}
