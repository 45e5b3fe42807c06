"""Leftovers of killed runs in a user's cluster: found by their names, and removed.

The rows of a run are in namespaces `accept-<id>...`, its schemas are called `accept_<id>...`, and the id tells when the
run began. A run on this machine also leaves a folder, which tells whether it is still going on. Of a run on another
machine, only the age is known.
"""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from support import sql
from support.errors import ConnectFailed
from support.example_app import schema
from support.example_app.profile import quoted
from support.run import RUNS, Life, begun_at, life_of
from support.target.cluster import Cluster
from support.waiting import describe

TOO_OLD = 24 * 3600.0
"""Seconds after which a run on another machine is taken to be over."""
_NAMESPACES = (
    "SELECT DISTINCT substring({mark} FROM '^accept-[0-9a-f]{{12}}') FROM {table} WHERE {mark} LIKE 'accept-%'"
)
_SCHEMAS = (
    "SELECT nspname FROM pg_namespace WHERE nspname ~ '^accept_[0-9a-f]{12}(_|$)' AND pg_has_role(nspowner, 'USAGE')"
)
_ID = re.compile(r"^accept[-_]([0-9a-f]{12})")


@dataclass(frozen=True)
class Leftovers:
    """The result of a search for leftovers; each line is about one run."""

    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Not removed: the run may still be going on elsewhere, or the removal failed."""

    @property
    def facts(self) -> dict[str, str]:
        """For the report's environment; empty where nothing was found."""
        found = {"Removed from earlier runs": self.removed, "Left by earlier runs": self.kept}
        return {name: "; ".join(lines) for name, lines in found.items() if lines}


def remove(cluster: Cluster, own: str) -> Leftovers:
    """Remove the leftovers of dead runs; `own` is the id of this run. Never raises."""
    removed, kept = [], []
    try:
        found = _runs_with_leftovers(cluster)
    except (sql.Error, ConnectFailed) as error:
        return Leftovers(kept=(f"the search for leftovers of earlier runs failed: {describe(error)}",))
    for run in sorted(found - {own}):
        began, life = begun_at(run), life_of(run)
        ago = timedelta(seconds=round(time.time() - began))
        if life is Life.GOING_ON:
            continue
        if life is Life.UNKNOWN and ago.total_seconds() < TOO_OLD:
            kept.append(f"run {run}, which began {ago} ago on another machine, has rows there")
            continue
        try:
            rows = _remove(cluster, run)
            shutil.rmtree(RUNS / run, ignore_errors=True)
            removed.append(f"the leftovers of run {run}, which began {ago} ago, were removed ({rows} rows)")
        except (sql.Error, ConnectFailed) as error:
            kept.append(f"the leftovers of run {run}, which began {ago} ago, cannot be removed: {describe(error)}")
    return Leftovers(tuple(removed), tuple(kept))


def _runs_with_leftovers(cluster: Cluster) -> set[str]:
    with sql.session(cluster.write) as session:
        names = [name for statement in _searches(cluster) for (name,) in sql.rows(session, statement)]
    return {match[1] for name in names if name and (match := _ID.match(name))}


def _searches(cluster: Cluster) -> Iterator[str]:
    yield _SCHEMAS
    if "schema" not in cluster.topology.lacks:
        for _, part in cluster.profile.parts():
            mark = quoted(cluster.profile.mark(part))
            yield _NAMESPACES.format(mark=mark, table=quoted(part.table))


def _remove(cluster: Cluster, run: str) -> int:
    rows = 0
    if "schema" not in cluster.topology.lacks:
        rows = schema.sweep(cluster.write, cluster.profile, f"accept-{run}")
    with sql.session(cluster.write) as session:
        for (name,) in sql.rows(session, _SCHEMAS):
            if name.startswith(f"accept_{run}"):
                sql.execute(session, f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE")
    return rows
