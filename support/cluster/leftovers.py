"""What runs that were killed have left in a user's cluster: found by their names, and removed.

A run's rows are in namespaces `accept-<id>...`, its schemas are `accept_<id>...`, and the id tells when it began. A run
of this machine leaves a folder that tells whether it lives; of one elsewhere nothing more is known than its age.
"""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from support import sql
from support.application import schema
from support.application.profile import quoted
from support.cluster.cluster import Cluster
from support.errors import ConnectFailed
from support.run import RUNS, Life, begun_at, life_of
from support.waiting import describe

TOO_OLD = 24 * 3600.0
"""Seconds after which a run elsewhere is taken to be over."""
_NAMESPACES = (
    "SELECT DISTINCT substring({mark} FROM '^accept-[0-9a-f]{{12}}') FROM {table} WHERE {mark} LIKE 'accept-%'"
)
_SCHEMAS = (
    "SELECT nspname FROM pg_namespace WHERE nspname ~ '^accept_[0-9a-f]{12}(_|$)' AND pg_has_role(nspowner, 'USAGE')"
)
_ID = re.compile(r"^accept[-_]([0-9a-f]{12})")


@dataclass(frozen=True)
class Leftovers:
    """What a look for leftovers came to; each line tells of one run."""

    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Not removed: the run may still be going on elsewhere, or removing failed."""

    @property
    def facts(self) -> dict[str, str]:
        """For the report's environment; nothing where nothing was found."""
        found = {"Removed from earlier runs": self.removed, "Left by earlier runs": self.kept}
        return {name: "; ".join(lines) for name, lines in found.items() if lines}


def remove(cluster: Cluster, own: str) -> Leftovers:
    """Remove what dead runs have left; `own` is the id of this run. Nothing that goes wrong with it is raised."""
    removed, kept = [], []
    try:
        found = _found(cluster)
    except (sql.Error, ConnectFailed) as error:
        return Leftovers(kept=(f"what earlier runs left was not looked for: {describe(error)}",))
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
            removed.append(f"what run {run} left {ago} ago was removed ({rows} rows)")
        except (sql.Error, ConnectFailed) as error:
            kept.append(f"what run {run} left {ago} ago cannot be removed: {describe(error)}")
    return Leftovers(tuple(removed), tuple(kept))


def _found(cluster: Cluster) -> set[str]:
    with sql.session(cluster.write) as session:
        return {match[1] for name in _names(cluster, session) if name and (match := _ID.match(name))}


def _names(cluster: Cluster, session: sql.Session) -> Iterator[str]:
    for statement in _looks(cluster):
        yield from (name for (name,) in sql.rows(session, statement))


def _looks(cluster: Cluster) -> Iterator[str]:
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
