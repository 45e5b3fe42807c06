"""`accept bench`: how fast the cluster is, beside floors that were measured with it, and since a baseline."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from support.bench.figures import Bench, Change, Measured, changes
from support.bench.row import Row, Samples, Site
from support.cli import behaving, bench_table, clusters, reaching
from support.cli.bench_rows import START, chosen, starts
from support.cli.booting import Progress, boot_cluster
from support.cli.clusters import Kept
from support.cli.console import say
from support.cli.places import STATE
from support.errors import UsageError
from support.run import RUNS, new_id
from support.settings import Settings
from support.target import tables
from support.target.cluster import Cluster
from support.target.inventory import inventory_of
from support.target.topology import Topology
from support.waiting import describe

KEPT = STATE / "bench.json"
"""The baseline, unless another is named."""
INCOMPLETE = 3
"""The exit status when a row could not be measured."""
_FAILED = "failed: "
_OTHERWISE_EACH_TIME = ("Target", "Members", "synchronous_standby_names")


@dataclass(frozen=True)
class Order:
    """What to measure, and where."""

    words: Sequence[str]
    runs: int
    settings: Settings
    cluster: Kept | None = None
    """One that is up; otherwise the settings' target, or an embedded cluster of its own."""
    save: Path | None = None
    against: Path | None = None


def carry_out(order: Order) -> int:
    """Measure, show, compare, save. The exit status: 1 when something got worse, 3 when a row could not be measured."""
    rows = chosen(order.words)
    if order.save and not order.save.parent.is_dir():
        raise UsageError(f"--save {order.save}: there is no folder {order.save.parent}")
    known = order.against or (KEPT if KEPT.exists() else None)
    before = Bench.load(known) if known else None
    if order.cluster is not None:
        reaching.go_inside(order.cluster, ["bench", *_arguments(order, order.cluster)])
    clusters.sweep()
    bench, missing = _measure(order, rows)
    bench_table.show(bench, [row for row in rows if row.name in bench.rows], missing, before)
    if order.save:
        bench.save(order.save)
        say(f"saved to {order.save}")
    if before and Change.WORSE in changes(bench, before).values():
        return 1
    return INCOMPLETE if any(why.startswith(_FAILED) for why in missing.values()) else 0


def _arguments(order: Order, cluster: Kept) -> Iterator[str]:
    """The command line for the same inside the cluster's sandbox, where relative paths may mean others."""
    yield from order.words
    yield from ("--runs", str(order.runs), "--target", cluster.name)
    for option, path in (("--save", order.save), ("--against", order.against)):
        if path:
            yield from (option, str(path.absolute()))


def _measure(order: Order, rows: Sequence[Row]) -> tuple[Bench, dict[str, str]]:
    """What was measured, and by row why it was not."""
    found: dict[str, Measured] = {}
    missing: dict[str, str] = {}
    embedded = order.cluster is None and not order.settings.external
    if START in rows and embedded:
        _note(START, lambda: starts(order.settings), order.runs, found, missing)
    elif START in rows:
        missing[START.name] = "the target is up already"
    others = [row for row in rows if row is not START]
    if not others:
        return Bench(_machine(), found), missing
    with ExitStack() as cleanup, behaving.interruptible():
        site = _site(order, cleanup)
        for row in others:
            if lacking := sorted(row.needs & site.cluster.topology.lacks.keys()):
                missing[row.name] = "; ".join(site.cluster.topology.lacks[one] for one in lacking)
            elif row.measure is not None:
                _note(row, partial(row.measure, site), order.runs, found, missing)
        return Bench({**_machine(), **_versions(site.cluster)}, found), missing


def _note(
    row: Row, measure: Callable[[], Samples], runs: int, found: dict[str, Measured], missing: dict[str, str]
) -> None:
    """Measure a row; what goes wrong with it costs no other row."""
    say(f"{row.name}: {row.words}")
    try:
        with closing(measure()) as samples:
            found[row.name] = Measured(row.unit, tuple(islice(samples, runs)))
    except Exception as error:
        missing[row.name] = f"{_FAILED}{describe(error)}"


def _site(order: Order, cleanup: ExitStack) -> Site:
    topology, name = _target(order, cleanup), new_id()
    if order.settings.accept_own_schema and not topology.embedded:
        topology = tables.own_tables(topology, name, cleanup)
    site = Site(Cluster(topology), f"accept-bench-{name}", order.settings.accept_cache_repository)
    if order.cluster or order.settings.external:  # one of our own ends with all that is in it
        cleanup.callback(site.cluster.forget_cached, site.namespace)
        if "schema" not in site.cluster.topology.lacks:
            cleanup.callback(tables.sweep, site.cluster.write, site.cluster.profile, site.namespace)
    return site


def _target(order: Order, cleanup: ExitStack) -> Topology:
    if order.cluster is not None:
        return order.cluster.topology
    if order.settings.external:
        from support.target.discovery import (
            user_cluster,  # half a second of imports that other targets need not wait for
        )

        return user_cluster.discover(order.settings)
    place = RUNS.absolute() / f"bench-{new_id()}"
    place.mkdir(parents=True, mode=0o700)
    cleanup.callback(shutil.rmtree, place, ignore_errors=True)
    sandbox, topology = boot_cluster(order.settings, place, Progress())
    cleanup.callback(sandbox.close)
    return topology


def _machine() -> dict[str, str]:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.machine()
    return {"Machine": f"{os.cpu_count()} x {processor}", "Python": platform.python_version()}


def _versions(cluster: Cluster) -> Mapping[str, str]:
    return {name: value for name, value in inventory_of(cluster).items() if not name.startswith(_OTHERWISE_EACH_TIME)}
