"""The rows of a bench: those of the program itself, and all others."""

import shutil
import time
from collections.abc import Sequence

from support.bench import tools
from support.bench.disturbances import DISTURBING
from support.bench.figures import Sample
from support.bench.row import Row, Samples, Site
from support.bench.rows import QUIET
from support.cli import behaving, clusters, upkeep
from support.cli.booting import Progress
from support.cli.running import FORMATTER
from support.embedded import programs
from support.errors import ClusterDidNotStart, UsageError
from support.run import begin_run, new_id
from support.settings import Settings


def starts(settings: Settings) -> Samples:
    """Seconds of `accept up`, each time from nothing; beside it one PostgreSQL making a database."""
    bindir = programs.find(settings.accept_pg_bindir, Progress()).pg_bindir
    while True:
        cluster = clusters.kept(f"bench-{new_id()}")
        begun = time.monotonic()
        try:
            if upkeep.up(cluster, settings):
                raise ClusterDidNotStart("accept up failed")
            figure = time.monotonic() - begun
        finally:
            upkeep.down(cluster)
        yield Sample(figure, tools.initdb(bindir))


def _empty_suites(site: Site) -> Samples:
    """Seconds of behave with the whole suite loaded and no scenario selected."""
    while True:
        run = begin_run()
        try:
            site.cluster.topology.save(run.topology)
            told = [
                "-D",
                f"accept_run={run.file}",
                "--format",
                FORMATTER,
                "--outfile",
                str(run.results),
                "--no-summary",
            ]
            figure = tools.seconds_of([*behaving.BEHAVE, *told, "--tags", "@nothing"])
        finally:
            shutil.rmtree(run.directory, ignore_errors=True)
        yield Sample(figure, tools.seconds_of([*behaving.BEHAVE, "--version"]))


START = Row("start", "an embedded cluster, from nothing to ready", "s", "initdb", None)
EMPTY = Row("empty suite", "behave, with no scenario selected", "s", "behave --version", _empty_suites)
ROWS = (START, EMPTY, *QUIET, *DISTURBING)


def chosen(words: Sequence[str], rows: Sequence[Row] = ROWS) -> list[Row]:
    """The rows that the words name, wholly or by their first word; all without words. Raises UsageError for others."""

    def meant(row: Row, word: str) -> bool:
        return word.lower() in (row.name.lower(), row.name.lower().split()[0])

    if unknown := [word for word in words if not any(meant(row, word) for row in rows)]:
        names = ", ".join(row.name for row in rows)
        raise UsageError(f"there is no row {', '.join(unknown)}; the rows are {names}")
    return [row for row in rows if not words or any(meant(row, word) for word in words)]
