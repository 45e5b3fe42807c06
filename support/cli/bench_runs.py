"""The rows of the bench that are whole runs of the suite, on clusters that they boot themselves.

Their floor is what no faster suite could save: Patroni's locks must expire, and the processors must do the work.
"""

import os
import resource
import time
from collections.abc import Iterator, Sequence
from functools import partial

from support.bench.figures import Sample
from support.bench.rows import Row, Samples
from support.cli import behave_process, clusters
from support.cli.paths import STATE
from support.cli.report import last_journal
from support.engine.time_spent import LOCK
from support.errors import ProcessFailed
from support.reporting.journal import RunRecord, read
from support.settings import Settings

LOG = STATE / "bench.log"
"""What the runs print."""
_FLOOR = "lock times / clusters + CPU / cores"


def floor(lock: float, side_by_side: int, processors: float, cores: int) -> float:
    """Seconds that a run takes at least: its waits for locks, shared by the clusters, and its work, by the cores.

    `lock` and `processors` are seconds, of all scenarios and of all processes.
    """
    return lock / max(1, side_by_side) + processors / cores


def lock_time(record: RunRecord) -> float:
    """Seconds in which the scenarios waited for a lock to expire, in all."""
    return sum(one.value for result in record.results for one in result.measures if one.name == LOCK)


def side_by_side(record: RunRecord) -> int:
    """How many scenarios ran at the same time, at most: one on each cluster."""
    changes = sorted(_changes(record))
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


def _changes(record: RunRecord) -> Iterator[tuple[float, int]]:
    """When a scenario began (+1) and ended (-1)."""
    for one in record.results:
        yield one.began, 1
        yield one.began + one.seconds, -1


def _runs(suites: Sequence[str], settings: Settings) -> Samples:
    """Seconds of `accept run`, from its start to its report. Raises ProcessFailed if a scenario does not pass."""
    size = {"--members": settings.accept_members, "--workers": settings.accept_workers, "--etcd": settings.accept_etcd}
    given = [word for name, value in size.items() if value is not None for word in (name, str(value))]
    while True:
        before, begun = _processor_time(), time.monotonic()
        STATE.mkdir(exist_ok=True)
        status = behave_process.run(clusters.accept_argv(["run", *suites, *given]), {}, LOG)
        figure, worked = time.monotonic() - begun, _processor_time() - before
        if status:
            raise ProcessFailed(f"accept run ended with status {status}, so its time is meaningless; see {LOG}")
        record = read(last_journal())
        cores = len(os.sched_getaffinity(0))
        yield Sample(figure, floor(lock_time(record), side_by_side(record), worked, cores))


def _processor_time() -> float:
    """Seconds of all processes that this one, or one of its descendants, has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


WHOLE_RUN = Row("whole run", "every scenario, on clusters of its own", "s", _FLOOR, None, only_by_name=True)
SMOKE = Row("smoke", "the suite smoke, on clusters of its own", "s", _FLOOR, None, only_by_name=True)
RUNS = {WHOLE_RUN: partial(_runs, ["all"]), SMOKE: partial(_runs, ["smoke"])}
"""How each is measured, from the settings of the bench. They replace the last run's report."""
