"""`accept bench`: how fast the cluster is, compared with floors on the same machine and with a baseline."""

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from rich.table import Table
from rich.text import Text

from support.bench import tools
from support.bench.figures import Bench, Measured, Sample, changes, differences
from support.bench.idle import IDLE
from support.bench.rows import DISRUPTIVE, QUIET, Row, Samples, Site
from support.cli import bench_runs, clusters, up
from support.cli.behave_process import behave_argv, going_on, run_arguments, sigterm_interrupts
from support.cli.boot import bindir_of, boot_cluster
from support.cli.clusters import KeptCluster
from support.cli.console import Progress, out, say
from support.cli.paths import STATE
from support.embedded import programs
from support.errors import ClusterDidNotStart, UsageError
from support.reporting.chance import Change, spread
from support.run import RUNS, begin_run, forget, new_id
from support.settings import Settings
from support.target import tables
from support.target.cluster import Cluster
from support.target.inventory import inventory_of
from support.target.stored import Notes
from support.target.topology import Topology
from support.waiting import describe

BASELINE = STATE / "bench.json"
"""The baseline, if no other is named."""
INCOMPLETE = 3
"""The exit status if a row could not be measured."""
AGREEMENT = 0.2
"""How much two programs that measure the same thing may differ."""
_FAILED = "failed: "
_VOLATILE_FACTS = ("Target", "Members", "synchronous_standby_names")
_STYLES = {Change.WORSE: "bold red", Change.BETTER: "green"}


@dataclass(frozen=True)
class BenchOptions:
    """What to measure, and where."""

    words: Sequence[str]
    runs: int
    settings: Settings
    cluster: KeptCluster | None = None
    """A running cluster. Without one: the target of the settings, or an embedded cluster."""
    save: Path | None = None
    against: Path | None = None


def bench(options: BenchOptions) -> int:
    """Measure, print, compare and save.

    Returns the exit status: 1 if something got worse, 3 if a row could not be measured.
    """
    rows = chosen(options.words)
    if options.save and not options.save.parent.is_dir():
        raise UsageError(f"--save {options.save}: there is no folder {options.save.parent}")
    path = options.against or (BASELINE if BASELINE.exists() else None)
    baseline = Bench.load(path) if path else None
    if options.cluster is not None:
        clusters.continue_inside(options.cluster, ["bench", *_arguments(options, options.cluster)])
    clusters.sweep()
    measured, missing = _measure(options, rows)
    show(measured, [row for row in rows if row.name in measured.rows], missing, baseline)
    if options.save:
        measured.save(options.save)
        say(f"saved to {options.save}")
    if baseline and Change.WORSE in changes(measured, baseline).values():
        return 1
    return INCOMPLETE if any(why.startswith(_FAILED) for why in missing.values()) else 0


def _arguments(options: BenchOptions, cluster: KeptCluster) -> Iterator[str]:
    """The arguments of `accept bench` for the process inside the cluster's sandbox: the same, with absolute paths."""
    yield from options.words
    yield from ("--runs", str(options.runs), "--target", cluster.name)
    for option, path in (("--save", options.save), ("--against", options.against)):
        if path:
            yield from (option, str(path.absolute()))


def _measure(options: BenchOptions, rows: Sequence[Row]) -> tuple[Bench, dict[str, str]]:
    """The measured rows, and for each other row why it was not measured."""
    found: dict[str, Measured] = {}
    missing: dict[str, str] = {}
    embedded = options.cluster is None and not options.settings.external
    if BOOT in rows and embedded:
        _measure_row(BOOT, lambda: _starts(options.settings), options.runs, found, missing)
    elif BOOT in rows:
        missing[BOOT.name] = "the target is already up"
    for row in rows:
        if row in bench_runs.RUNS and embedded:
            _measure_row(row, partial(bench_runs.RUNS[row], options.settings), options.runs, found, missing)
        elif row in bench_runs.RUNS:
            missing[row.name] = "only on clusters that the run boots itself"
    others = [row for row in rows if row is not BOOT and row not in bench_runs.RUNS]
    if not others:
        return Bench(_machine(), found), missing
    with ExitStack() as cleanup, sigterm_interrupts():
        site = _site(options, cleanup)
        for row in others:
            if lacking := sorted(row.needs & site.cluster.topology.lacks.keys()):
                missing[row.name] = "; ".join(site.cluster.topology.lacks[one] for one in lacking)
            elif row.embedded and not site.cluster.topology.embedded:
                missing[row.name] = "only for an embedded cluster"
            elif row.measure is not None:
                _measure_row(row, partial(row.measure, site), options.runs, found, missing)
        return Bench({**_machine(), **_versions(site.cluster)}, found), missing


def _measure_row(
    row: Row, measure: Callable[[], Samples], runs: int, found: dict[str, Measured], missing: dict[str, str]
) -> None:
    """Measure a row. An error is noted, so that the other rows are measured all the same."""
    say(f"{row.name}: {row.words}")
    try:
        with closing(measure()) as samples:
            found[row.name] = Measured(row.unit, tuple(islice(samples, runs)))
    except Exception as error:
        missing[row.name] = f"{_FAILED}{describe(error)}"


def _site(options: BenchOptions, cleanup: ExitStack) -> Site:
    topology, run = _topology(options, cleanup), begin_run()
    cleanup.callback(forget, run.directory)
    own = options.settings.accept_own_schema and not topology.embedded
    topology = tables.own_tables(topology, run.id, cleanup) if own else topology
    site = Site(Cluster(topology), run.namespace, options.settings.accept_cache_repository)
    if not (options.cluster or options.settings.external):  # an embedded cluster of our own ends with its data
        return site
    notes = Notes(run.directory, topology, own_tables=own)
    cleanup.callback(site.cluster.forget_cached, site.namespace)
    if "schema" not in site.cluster.topology.lacks:
        cleanup.callback(_remove_rows, notes, site.cluster)
    return replace(site, note_namespace=lambda namespace: notes.add(namespace, ["entries"]))


def _remove_rows(notes: Notes, cluster: Cluster) -> None:
    notes.noted.remove_soon(cluster.write)
    notes.removed()


def _topology(options: BenchOptions, cleanup: ExitStack) -> Topology:
    if options.cluster is not None:
        return options.cluster.topology
    if options.settings.external:
        from support.target.discovery import user_cluster  # half a second that other targets need not spend

        return user_cluster.discover(options.settings)
    place = RUNS.absolute() / f"bench-{new_id()}"
    place.mkdir(parents=True, mode=0o700)
    cleanup.callback(shutil.rmtree, place, ignore_errors=True)
    sandbox, topology = boot_cluster(options.settings, place, Progress())
    cleanup.callback(sandbox.close)
    return topology


def _machine() -> dict[str, str]:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.machine()
    return {"Machine": f"{os.cpu_count()} x {processor}", "Python": platform.python_version()}


def _versions(cluster: Cluster) -> Mapping[str, str]:
    return {name: value for name, value in inventory_of(cluster).items() if not name.startswith(_VOLATILE_FACTS)}


def _starts(settings: Settings) -> Samples:
    """Seconds of `accept up` from nothing. The floor is one PostgreSQL that initialises a data directory."""
    bindir = programs.find(bindir_of(settings, Progress()), Progress(), given=settings.accept_programs).pg_bindir
    while True:
        cluster = clusters.named(f"bench-{new_id()}")
        begun = time.monotonic()
        try:
            if up.up(cluster, settings):
                raise ClusterDidNotStart("accept up failed")
            figure = time.monotonic() - begun
        finally:
            up.down(cluster)
        yield Sample(figure, tools.initdb(bindir))


def _empty_suites(site: Site) -> Samples:
    """Seconds of behave with the whole suite loaded and no scenario selected."""
    while True:
        with going_on(begin_run(), site.cluster.topology, notes=False) as run:
            figure = tools.seconds_of([*behave_argv(), *run_arguments(run, ["--tags", "@nothing"])])
        yield Sample(figure, tools.seconds_of([*behave_argv(), "--version"]))


BOOT = Row("boot", "starting an embedded cluster from nothing", "s", "initdb", None)
EMPTY = Row("empty suite", "behave, with no scenario selected", "s", "behave --version", _empty_suites)
ROWS = (BOOT, EMPTY, IDLE, *QUIET, *DISRUPTIVE, *bench_runs.RUNS)


def chosen(words: Sequence[str], rows: Sequence[Row] = ROWS) -> list[Row]:
    """The rows that the words name, in full or by the first word. Without words: all but those that take minutes.

    Raises UsageError for words that name none.
    """

    def meant(row: Row, word: str) -> bool:
        return word.lower() in (row.name.lower(), row.name.lower().split()[0])

    if unknown := [word for word in words if not any(meant(row, word) for row in rows)]:
        names = ", ".join(row.name for row in rows)
        raise UsageError(f"there is no row {', '.join(unknown)}; the rows are {names}")
    return [row for row in rows if (any(meant(row, word) for word in words) if words else not row.only_by_name)]


def show_rows() -> None:
    """Print what each row measures."""
    table = Table("row", "what it measures", "unit", "floor", box=None, pad_edge=False, header_style="bold")
    for row in ROWS:
        table.add_row(row.name, row.words, row.unit, row.floor)
    out.print(table)


def show(measured: Bench, rows: Sequence[Row], missing: Mapping[str, str], baseline: Bench | None) -> None:
    """Print the results; they fit into 80 columns."""
    since = changes(measured, baseline) if baseline else {}
    if rows:
        out.print(_table(measured, rows, since))
    for line in _remarks(measured, rows, missing, baseline):
        out.print(line, markup=False)


def _table(measured: Bench, rows: Sequence[Row], since: Mapping[str, Change]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("row", no_wrap=True)
    for title in ("median", "quartiles", "floor", "ratio"):
        table.add_column(title, justify="right", no_wrap=True)
    if since:
        table.add_column("since the baseline", no_wrap=True)
    for row in rows:
        change = since.get(row.name)
        last = [Text(change or "", style=_STYLES.get(change, "") if change else "")] if since else []
        table.add_row(row.name, *_cells(measured.rows[row.name]), *last)
    return table


def _cells(row: Measured) -> Iterator[str]:
    yield f"{_number(row.figure.median)} {row.unit}"
    yield f"{_number(row.figure.low)} .. {_number(row.figure.high)}"
    yield f"{_number(row.floor)} {row.unit}" if row.floor else "-"
    yield f"{spread(row.ratios).median:.2f}" if row.ratios else "-"


def _remarks(measured: Bench, rows: Sequence[Row], missing: Mapping[str, str], baseline: Bench | None) -> Iterator[str]:
    for row in rows:
        yield from _floor_remarks(row, measured.rows[row.name])
    for name, why in missing.items():
        yield f"{name}: not measured: {why}"
    if baseline is None:
        return
    for difference in differences(measured.facts, baseline.facts):
        yield f"different from the baseline: {difference}"
    for name, change in changes(measured, baseline).items():
        if change is not Change.NONE:
            yield f"{name}: {change}{_medians(baseline.rows[name], measured.rows[name])}"


def _medians(then: Measured, now: Measured) -> str:
    if not then.ratios or not now.ratios:
        return ""
    return f": {spread(then.ratios).median:.2f} times its floor then, {spread(now.ratios).median:.2f} now"


def _floor_remarks(row: Row, measured: Measured) -> Iterator[str]:
    if measured.paired_ratio is None:
        whys = {one.why for one in measured.samples if one.why}
        yield f"{row.name}: no floor ({row.floor}): {'; '.join(sorted(whys)) or 'it was measured as 0'}"
    elif row.peer:
        verdict = "agree" if abs(measured.paired_ratio - 1) <= AGREEMENT else "DO NOT agree"
        difference = f"{measured.paired_ratio - 1:+.0%} (limit: {AGREEMENT:.0%})"
        yield f"{row.name}: our figure and that of {row.floor} {verdict}: {difference}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
