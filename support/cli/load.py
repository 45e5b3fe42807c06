"""`accept load`: a master and workers that write one ledger together, and whether it kept every acknowledged write."""

import math
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from support import sql
from support.cli import behaving, clusters
from support.cli import load_processes as processes
from support.cli.clusters import Kept
from support.cli.console import out, say
from support.engine import ledger
from support.engine.finding import Finding
from support.engine.history import History, Operation, Outcome, durations
from support.errors import ConnectFailed, NothingJudged, UsageError
from support.load import judging
from support.load.judging import Part
from support.load.plan import CLIENTS_EACH, Plan, as_json
from support.reporting.verdict import Verdict
from support.run import Run, begin_run
from support.settings import Settings
from support.target import tables
from support.target.cluster import Cluster
from support.target.topology import Topology
from support.timeouts import NOTICE, STATEMENT
from support.waiting import eventually

PORT = 5557
_COLUMNS = ("acknowledged", "failed", "unknown", "a second", "p50 ms", "p95 ms", "p99 ms")
_LOCAL = "127.0.0.1"
_JOIN_HERE, _JOIN = 60.0, 600.0  # seconds that workers have to join: those that are started here, and from elsewhere


@dataclass(frozen=True)
class Order:
    """What the user asked for."""

    settings: Settings
    cluster: Kept | None
    workers: int = 1
    """Processes that are started here."""
    clients: int | None = None
    seconds: float | None = None
    seed: int | None = None
    awaited: int | None = None
    """Workers that join from elsewhere."""
    join: str | None = None
    """The master, as host or host:port, whose worker this is to be."""
    port: int | None = None

    def __post_init__(self) -> None:
        masters = {"clients": self.clients, "seconds": self.seconds, "seed": self.seed, "await": self.awaited}
        if self.join and (
            said := [name for name, value in {**masters, "port": self.port}.items() if value is not None]
        ):
            raise UsageError(f"--{said[0]} is for the master to say, not for one that joins it")
        if self.workers + (self.awaited or 0) < 1:
            raise UsageError("a load needs a worker: --workers, --await or both")
        if self.clients is not None and not self.workers + (self.awaited or 0) <= self.clients <= CLIENTS_EACH:
            raise UsageError(f"--clients {self.clients}: at least one for each worker, and at most {CLIENTS_EACH}")


def carry_out(order: Order, arguments: Sequence[str]) -> int:
    """Be a master, or workers of one; the exit status. `arguments` are the command line."""
    cluster = order.cluster or (None if order.settings.external else clusters.find(None))
    if cluster is not None and (status := processes.inside(cluster, arguments)) is not None:
        return status
    topology = _topology(order.settings, cluster)
    with behaving.interruptible():
        return _join(order, topology) if order.join else _lead(order, topology)


def _topology(settings: Settings, cluster: Kept | None) -> Topology:
    if cluster is not None:
        return cluster.topology
    from support.target.discovery import user_cluster  # half a second of imports that other targets need not wait for

    return user_cluster.discover(settings)


def _join(order: Order, topology: Topology) -> int:
    host, _, port = (order.join or "").partition(":")
    if port and not port.isdecimal():
        raise UsageError(f"--join {order.join}: not like host or host:port")
    master = (host, int(port or PORT))
    processes.await_master(master)
    with ExitStack() as cleanup:
        log = Path(begin_run().directory, "load.log")
        workers = [processes.worker(Cluster(topology).write, master, log, cleanup) for _ in range(order.workers)]
        say(f"workers here: {order.workers}; the master at {host} judges what they write")
        eventually(lambda: processes.over(workers, workers, log), within=math.inf, subject="the load is over")
    return 0


def _lead(order: Order, topology: Topology) -> int:
    run = begin_run(order.seed)
    with ExitStack() as cleanup:
        topology = _with_tables(topology, order.settings, run, cleanup)
        where = Cluster(topology).write
        cleanup.callback(tables.sweep, where, topology.profile, run.namespace)
        plan = Plan(
            namespace=run.namespace,
            seconds=order.seconds or 10.0,
            seed=run.seed,
            patience=STATEMENT,
            schema=as_json(topology.profile),
            session_options=topology.options.get("options", ""),
        )
        plan.mark(where)
        _carry_out(order, plan, run, where)
        found = judging.parts(run.directory)
        histories = [part.history(run.directory) for part in found]
        merged = judging.merged(
            histories, _final_read(where, plan), frozenset(part.number for part in found if part.gap)
        )
    _show(found, histories, merged)
    say(f"the history of each worker is in {run.directory}, for a day; seed {run.seed}")
    return _conclude(judging.judged(merged, found), merged)


def _with_tables(topology: Topology, settings: Settings, run: Run, cleanup: ExitStack) -> Topology:
    topology = tables.own_tables(topology, run.id, cleanup) if settings.accept_own_schema else topology
    if "schema" in topology.lacks:
        raise NothingJudged(topology.lacks["schema"])
    return topology


def _carry_out(order: Order, plan: Plan, run: Run, where: sql.Endpoint) -> None:
    """The load, from the first process to the last."""
    awaited, log = order.awaited or 0, run.directory / "load.log"
    port = processes.free(order.port or PORT) if awaited else processes.free(order.port or 0)
    number = order.workers + awaited
    told = {
        "plan": asdict(plan),
        "host": "*" if awaited else _LOCAL,
        "port": port,
        "clients": order.clients or max(8, number),
        "workers": number,
        "joining": _JOIN if awaited else _JOIN_HERE,
        "folder": str(run.directory),
    }
    if awaited:
        here = socket.gethostname() if order.settings.external else _LOCAL  # nobody else reaches an embedded cluster
        say(f"workers to come: {awaited}; each by ./accept load --join {here}:{port} --target ...")
    with ExitStack() as cleanup:  # at its end workers have said theirs, and end; or they hang, and are killed
        master = processes.start("master", told, log, cleanup)
        workers = [processes.worker(where, (_LOCAL, port), log, cleanup) for _ in range(order.workers)]
        with processes.ended_early_by_ctrl_c(master):
            eventually(lambda: processes.over([master], workers, log), within=math.inf, subject="the load is over")


def _final_read(where: sql.Endpoint, plan: Plan) -> Operation:
    history = History()
    try:
        eventually(
            lambda: ledger.read_back(where, plan.profile, plan.namespace, history),
            within=NOTICE,
            subject="the ledger can be read back",
            retry_on=(sql.Error, ConnectFailed),
        )
    except AssertionError as error:
        raise NothingJudged(str(error)) from None
    return next(iter(history))


def _show(found: Sequence[Part], histories: Sequence[History], merged: History) -> None:
    """How much each worker wrote, and all of them; durations are of acknowledged writes."""
    table = Table("", *_COLUMNS, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for part, history in zip(found, histories, strict=True):
        table.add_row(f"worker {part.number} on {part.machine}", *_figures(history))
    table.add_row("all", *_figures(merged))
    out.print(table)


def _figures(history: History) -> list[str]:
    counts = [len(history.of(action=ledger.APPEND, outcome=outcome)) for outcome in Outcome]
    times = durations(history, ledger.APPEND)
    percentiles = [f"{times.percentile(share):.1f}" if times.milliseconds else "-" for share in (50, 95, 99)]
    return [*(f"{count:,}" for count in counts), f"{judging.rate(history):,.0f}", *percentiles]


def _conclude(finding: Finding, merged: History) -> int:
    """Print the verdict; returns the exit status."""
    verdict = {True: Verdict.PASSED, False: Verdict.BROKEN, None: Verdict.INCONCLUSIVE}[finding.holds]
    out.print(f"{verdict}: {finding.words}", markup=False)
    if verdict.failed and not merged.of(action=ledger.APPEND, outcome=Outcome.OK):
        return NothingJudged.exit_status
    return int(verdict.failed)
