"""`accept load`: a master and workers write one ledger; then it must hold each acknowledged write exactly once."""

import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from support import sql
from support.cli import clusters
from support.cli.behave_process import dies_with_us, sigterm_interrupts
from support.cli.clusters import KeptCluster
from support.cli.console import out, say
from support.engine import ledger
from support.engine.finding import Finding
from support.engine.history import Outcome
from support.errors import ConnectFailed, NothingJudged, UsageError
from support.hosts import reentry_argv
from support.load import histories
from support.load.histories import Figures, LoadLedger, WorkerHistory
from support.load.plan import CLIENTS_EACH, LoadPlan, as_json
from support.reporting.scenario import Verdict
from support.run import Run, begin_run
from support.settings import Settings
from support.target import tables
from support.target.cluster import Cluster
from support.target.stored import Notes
from support.target.topology import Topology
from support.timeouts import CONNECT, NOTICE, STATEMENT
from support.vocabulary import counted
from support.waiting import NotYet, eventually

PORT = 5557
_COLUMNS = ("acknowledged", "failed", "unknown", "per second", "p50 ms", "p95 ms", "p99 ms")
_LOCAL = "127.0.0.1"
_JOIN_LOCAL, _JOIN_REMOTE = 60.0, 600.0  # seconds that workers have to join: those started here, and those elsewhere
_STOP_TIMEOUT = 10.0  # seconds that the master has after Ctrl-C, for the operations in progress
_SAY_EVERY = 5.0  # seconds of removing rows
_UNPATCHED = {"LOCUST_SKIP_MONKEY_PATCH": "1"}
Process = subprocess.Popen[str]


@dataclass(frozen=True)
class LoadOptions:
    """What the user asked for. Raises UsageError for options that do not go together."""

    settings: Settings
    cluster: KeptCluster | None
    workers: int = 1
    """Worker processes to start on this machine."""
    clients: int | None = None
    seconds: float | None = None
    seed: int | None = None
    awaited: int | None = None
    """How many workers join from other machines."""
    join: str | None = None
    """The master to join, as host or host:port."""
    port: int | None = None

    def __post_init__(self) -> None:
        for_master = {
            "clients": self.clients,
            "seconds": self.seconds,
            "seed": self.seed,
            "await": self.awaited,
            "port": self.port,
        }
        if self.join and (given := [name for name, value in for_master.items() if value is not None]):
            raise UsageError(f"--{given[0]} is an option of the master; leave it out with --join")
        if self.workers + (self.awaited or 0) < 1:
            raise UsageError("a load needs a worker: --workers, --await or both")
        if self.clients is not None and not self.workers + (self.awaited or 0) <= self.clients <= CLIENTS_EACH:
            raise UsageError(f"--clients {self.clients}: at least one for each worker, and at most {CLIENTS_EACH}")


def load(options: LoadOptions, arguments: Sequence[str]) -> int:
    """Be the master, or start workers for one. Returns the exit status. `arguments` are the command line.

    Raises UsageError without Locust, which a checkout installs by itself.
    """
    if importlib.util.find_spec("locust") is None:
        raise UsageError("accept load needs Locust: pip install 'accept-cluster[load]'")
    cluster = options.cluster or (None if options.settings.external else clusters.find(None))
    if cluster is not None and (status := _run_inside(cluster, arguments)) is not None:
        return status
    topology = _topology(options.settings, cluster)
    with sigterm_interrupts():
        return _join(options, topology) if options.join else _lead(options, topology)


def _topology(settings: Settings, cluster: KeptCluster | None) -> Topology:
    if cluster is not None:
        return cluster.topology
    from support.target.discovery import user_cluster  # half a second that other targets need not spend

    return user_cluster.discover(settings)


def _join(options: LoadOptions, topology: Topology) -> int:
    host, _, port = (options.join or "").partition(":")
    if port and not port.isdecimal():
        raise UsageError(f"--join {options.join}: write it as host or host:port")
    master = (host, int(port or PORT))
    _await_master(master)
    with ExitStack() as cleanup:
        log = Path(begin_run().directory, "load.log")
        workers = [_start_worker(Cluster(topology).write, master, log, cleanup) for _ in range(options.workers)]
        say(f"{counted(options.workers, 'worker')} started; the master at {host} judges what they write")
        eventually(lambda: _require_ended(workers, workers, log), within=math.inf, subject="the load is over")
    return 0


def _lead(options: LoadOptions, topology: Topology) -> int:
    run = begin_run(options.seed)
    with ExitStack() as cleanup:
        topology = _with_tables(topology, options.settings, run, cleanup)
        where = Cluster(topology).write
        notes = Notes(run.directory, topology, own_tables=options.settings.accept_own_schema)
        cleanup.callback(_remove_rows, notes, where)
        plan = LoadPlan(
            namespace=run.namespace,
            seconds=options.seconds or 10.0,
            seed=run.seed,
            patience=STATEMENT,
            schema=as_json(topology.profile),
            session_options=topology.options.get("options", ""),
        )
        for namespace in plan.namespaces:
            notes.add(namespace, ["entries"])
        plan.mark(where)
        _run_load(options, plan, run, where)
        workers = histories.load(run.directory)
        written = LoadLedger([worker.number for worker in workers if worker.gap])
        for worker in workers:
            with suppress(FileNotFoundError), (run.directory / worker.file).open(encoding="utf-8") as lines:
                written.add(worker.number, lines)
        _read_back(where, plan, written)
    _show(workers, written)
    say(f"the workers' histories are kept for a day in {run.directory}; seed {run.seed}")
    return _conclude(written.judge(workers), written)


def _with_tables(topology: Topology, settings: Settings, run: Run, cleanup: ExitStack) -> Topology:
    topology = tables.own_tables(topology, run.id, cleanup) if settings.accept_own_schema else topology
    if "schema" in topology.lacks:
        raise NothingJudged(topology.lacks["schema"])
    return topology


def _remove_rows(notes: Notes, where: sql.Endpoint) -> None:
    """Remove the ledger, and say from time to time how far that is. Raises AcceptError if it is not possible."""
    said = begun = time.monotonic()

    def progress(deleted: int) -> None:
        nonlocal said
        if time.monotonic() - said > _SAY_EVERY:
            said = time.monotonic()
            say(f"removing what was written: {counted(deleted, 'row')} in {said - begun:.0f} s")

    notes.noted.remove_soon(where, progress)
    notes.removed()


def _run_load(options: LoadOptions, plan: LoadPlan, run: Run, where: sql.Endpoint) -> None:
    """Start the master and the local workers, and wait until the load is over."""
    awaited, log = options.awaited or 0, run.directory / "load.log"
    port = _free_port(options.port or PORT) if awaited else _free_port(options.port or 0)
    number = options.workers + awaited
    given = {
        "plan": asdict(plan),
        "host": "*" if awaited else _LOCAL,
        "port": port,
        "clients": options.clients or max(8, number),
        "workers": number,
        "joining": _JOIN_REMOTE if awaited else _JOIN_LOCAL,
        "folder": str(run.directory),
    }
    if awaited:
        here = socket.gethostname() if options.settings.external else _LOCAL  # others cannot reach an embedded cluster
        say(
            f"waiting for {counted(awaited, 'worker')}; start each with ./accept load --join {here}:{port} --target ..."
        )
    with ExitStack() as cleanup:  # workers that have not ended by themselves are killed here
        master = _start("master", given, log, cleanup)
        workers = [_start_worker(where, (_LOCAL, port), log, cleanup) for _ in range(options.workers)]
        with _stopped_by_ctrl_c(master):
            eventually(lambda: _require_ended([master], workers, log), within=math.inf, subject="the load is over")


def _read_back(where: sql.Endpoint, plan: LoadPlan, written: LoadLedger) -> None:
    """Read the whole ledger, which may take minutes; only its beginning has to be possible soon."""
    try:
        eventually(
            lambda: written.read(ledger.entries_on(where, plan.profile, plan.namespace)),
            within=NOTICE,
            subject="the ledger can be read back",
            retry_on=(sql.Error, ConnectFailed),
        )
    except AssertionError as error:
        raise NothingJudged(str(error)) from None


def _show(workers: Sequence[WorkerHistory], written: LoadLedger) -> None:
    """Print what each worker wrote, and all of them. Durations are those of acknowledged writes."""
    table = Table("", *_COLUMNS, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for worker in workers:
        table.add_row(f"worker {worker.number} on {worker.machine}", *_cells([written.figures.get(worker.number)]))
    table.add_row("all", *_cells(list(written.figures.values())))
    out.print(table)


def _cells(figures: Sequence[Figures | None]) -> list[str]:
    """The figures of some workers together. They wrote at the same time, so that their rates add up."""
    those = [one for one in figures if one is not None]
    counts = [sum(one.counts[outcome] for one in those) for outcome in Outcome]
    every = Figures()
    for one in those:
        every.milliseconds.extend(one.milliseconds)
    percentiles = [f"{one:.1f}" for one in every.percentiles((50, 95, 99))] or ["-"] * 3
    return [*(f"{count:,}" for count in counts), f"{sum(one.rate for one in those):,.0f}", *percentiles]


def _conclude(finding: Finding, written: LoadLedger) -> int:
    """Print the verdict, and return the exit status."""
    verdict = {True: Verdict.PASSED, False: Verdict.BROKEN, None: Verdict.INCONCLUSIVE}[finding.holds]
    out.print(f"{verdict}: {finding.words}", markup=False)
    if verdict.failed and not any(one.counts[Outcome.OK] for one in written.figures.values()):
        return NothingJudged.exit_status
    return int(verdict.failed)


def _run_inside(cluster: KeptCluster, arguments: Sequence[str]) -> int | None:
    """Run this program inside the cluster's sandbox, and return its exit status. None if we are there already.

    It is a child, and we send it Ctrl-C: nsenter, which stands in between, would end at once and leave it alone.
    """
    program = dies_with_us(clusters.accept_argv(arguments))
    argv = reentry_argv(cluster.sandbox_directory, program)
    if argv == program:
        return None
    with sigterm_interrupts():
        entering = subprocess.Popen(dies_with_us(argv), stdin=subprocess.DEVNULL, process_group=0)
        try:
            return entering.wait()
        except KeyboardInterrupt:
            for child in psutil.Process(entering.pid).children():
                child.send_signal(signal.SIGINT)
            return entering.wait()


def _start_worker(where: sql.Endpoint, master: tuple[str, int], log: Path, cleanup: ExitStack) -> Process:
    """Start a worker on this machine, for the master at that address."""
    return _start("worker", {"endpoint": asdict(where), "host": master[0], "port": master[1]}, log, cleanup)


def _start(module: str, given: Mapping[str, Any], log: Path, cleanup: ExitStack) -> Process:
    """Start a program of support/load until `cleanup`. Its input goes through a pipe, which nobody else can read."""
    command = dies_with_us([sys.executable, "-P", "-m", f"support.load.{module}"])
    variables = {**os.environ, **_UNPATCHED}
    with log.open("a") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, process_group=0, env=variables, text=True
        )
    cleanup.callback(process.wait)
    cleanup.callback(process.kill)
    if process.stdin is not None:
        with process.stdin as line:
            json.dump(given, line)
    return process


def _require_ended(these: Sequence[Process], workers: Sequence[Process], log: Path) -> None:
    """Raises NotYet while one of `these` is running, and NothingJudged if one of them or a worker failed.

    A worker that was killed is not an error here: its history is incomplete, and the verdict says so.
    """
    for process in {*these, *workers}:
        if process.poll() is not None and (process.returncode > 0 or (process in these and process.returncode)):
            last = (log.read_text(errors="replace").strip().splitlines() or ["it was killed"])[-1]
            raise NothingJudged(f"a process of the load ended with status {process.returncode}: {last} (see {log})")
    if any(process.poll() is None for process in these):
        raise NotYet("it is still running")


@contextmanager
def _stopped_by_ctrl_c(master: Process) -> Iterator[None]:
    """On Ctrl-C, let the master stop all workers, wherever they are, and wait for them."""
    try:
        yield
    except KeyboardInterrupt:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            master.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                master.wait(_STOP_TIMEOUT)
        finally:
            signal.signal(signal.SIGINT, before)
        raise


def _free_port(port: int) -> int:
    """The port, or for 0 one on which nobody listens. Raises UsageError if it is taken."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UsageError(
                f"the master cannot listen on port {port} ({error.strerror}); choose another with --port"
            ) from None
        return int(probe.getsockname()[1])


def _await_master(address: tuple[str, int]) -> None:
    """Wait for the master, which may be starting. Raises NothingJudged if there is none."""
    try:
        eventually(
            lambda: socket.create_connection(address, timeout=CONNECT).close(),
            within=CONNECT,
            subject=f"a master at {address[0]}:{address[1]}",
            retry_on=(OSError,),
        )
    except AssertionError as error:
        raise NothingJudged(f"{error}; ./accept load --await 1 starts one") from None
