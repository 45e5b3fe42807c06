"""Leftovers of killed runs in a target. What a run noted is removed by name; anything else is searched for.

The rows of a run are in namespaces `accept-<id>...`, its schemas, publications and replication slots are called
`accept_<id>...`, and the id tells when the run began. A schema may note what else has to be undone (see emptied.py). A
run on this machine leaves a folder, which tells whether it is still active, and what it stored where. A run on another
machine, or one whose folder is gone, is known only by what can be found in the target, and by its age.
"""

import re
import shutil
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from psycopg2 import errorcodes

from support import sql
from support.errors import ConnectFailed, NotAvailable, NotInTime
from support.example_app import schema
from support.example_app.profile import quoted
from support.run import RUNS, STORED, Life, begun_at, life_of
from support.target import emptied, left_slots, stored
from support.target.changes import LONGEST
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.stored import Noted
from support.timeouts import SEARCH
from support.vocabulary import counted
from support.waiting import describe

TOO_OLD = 24 * 3600.0
"""Seconds after which a run of which nothing is known here is taken to be over. A replication slot is not left for that
long, as it keeps WAL: see `changes.LONGEST`, after which Patroni's configuration is given back."""
_NAMESPACES = """
    SELECT DISTINCT substring({mark} FROM '^accept-[0-9a-f]{{12}}[^/]*') FROM {table}
     WHERE {mark} >= 'accept-0' AND {mark} < 'accept-a' AND {mark} LIKE 'accept-%'
"""
"""The range is for an index: LIKE uses one only in the C collation. An id begins with a digit until the year 2055, and
in any collation its digits are between these two bounds."""
_SCHEMAS = (
    "SELECT nspname FROM pg_namespace WHERE nspname ~ '^accept_[0-9a-f]{12}(_|$)' AND pg_has_role(nspowner, 'USAGE')"
)
_PUBLICATIONS = "SELECT pubname FROM pg_publication WHERE pubname ~ '^accept_[0-9a-f]{12}_'"
_ID = re.compile(r"^accept[-_]([0-9a-f]{12})")


@dataclass(frozen=True)
class Leftovers:
    """The result of a search for leftovers; each line is about one run, or one table."""

    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Not removed: the run may still be going on elsewhere, or the removal failed."""
    unsearched: tuple[str, ...] = ()
    """Tables that could not be searched for leftovers of runs on other machines."""

    @property
    def facts(self) -> dict[str, str]:
        """For the report's environment; empty where nothing was found."""
        found = {
            "Removed from earlier runs": self.removed,
            "Left by earlier runs": self.kept,
            "Not searched for leftovers": self.unsearched,
        }
        return {name: "; ".join(lines) for name, lines in found.items() if lines}


@dataclass
class _Found:
    """What the searches found."""

    schemas: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Run -> its schemas."""
    publications: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Run -> its publications, which an administrator has made."""
    slots: dict[str, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    """Run -> its replication slots -> the members that have them, though Patroni's configuration does not."""
    rows: dict[str, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    """Run -> namespace -> the parts that have rows of it."""
    unsearched: list[str] = field(default_factory=list)
    without_slots: str = ""
    """Why the replication slots could not be looked at, if some were found."""

    def without(self, run: str, dropped: Collection[str]) -> None:
        """These slots are dropped, each with the publication that has its name."""
        self.slots[run] = {name: on for name, on in self.slots.get(run, {}).items() if name not in dropped}
        self.publications[run] = [name for name in self.publications.get(run, ()) if name not in dropped]

    def of(self, run: str) -> str:
        """What a run has left, in words."""
        rows = ["rows"] if run in self.rows else []
        schemas = [f"the schema {name}" for name in self.schemas.get(run, ())]
        publications = [f"the publication {name}" for name in self.publications.get(run, ())]
        left = [f"the slot {name} on {' and '.join(on)}" for name, on in self.slots.get(run, {}).items()]
        return ", ".join([*rows, *schemas, *publications, *left])


def remove(cluster: Cluster, own: str, search: bool = True) -> Leftovers:
    """Remove the leftovers of dead runs; `own` is the id of this run. Never raises.

    `search`: whether the tables are searched for leftovers of runs on other machines.
    """
    removed, kept = list[str](), list[str]()
    noted = _noted(cluster)
    try:
        found = _search(cluster, search and "schema" not in cluster.topology.lacks)
    except (sql.Error, ConnectFailed) as error:
        return Leftovers(kept=(f"the search for leftovers of earlier runs failed: {describe(error)}",))
    if found.without_slots:
        kept.append(f"it is not known whether replication slots of earlier runs are left: {found.without_slots}")
    for run in sorted({*noted, *found.schemas, *found.publications, *found.slots, *found.rows} - {own}):
        began, life = begun_at(run), life_of(run)
        ago = timedelta(seconds=round(time.time() - began))
        if life is Life.GOING_ON:
            continue
        over, dropped = life is Life.OVER or ago.total_seconds() >= TOO_OLD, list[str]()
        if over or ago.total_seconds() >= LONGEST:
            dropped, failed = _drop_slots(cluster, found.slots.get(run, {}))
            found.without(run, dropped)
            kept += [f"a slot of run {run}, which began {ago} ago, is left: {why}" for why in failed]
        if not over:
            removed += [f"the slot {name} of run {run}, which began {ago} ago, was dropped" for name in dropped]
            if left := found.of(run):
                kept.append(f"run {run}, which began {ago} ago and may be going on elsewhere, has {left} in the target")
            continue
        try:
            rows = _remove(cluster, noted.get(run, ()), found.rows.get(run, {}), found.schemas.get(run, ()))
            _drop(cluster, found.publications.get(run, ()))
        except (sql.Error, ConnectFailed, NotAvailable) as error:
            kept.append(f"the leftovers of run {run}, which began {ago} ago, cannot be removed: {describe(error)}")
            continue
        if not found.slots.get(run) and (run in noted or not (RUNS / run / STORED).exists()):
            shutil.rmtree(RUNS / run, ignore_errors=True)  # else it may have notes about another target
        if rows or run in found.schemas or found.publications.get(run) or dropped:
            removed.append(f"the leftovers of run {run}, which began {ago} ago, were removed ({counted(rows, 'row')})")
    return Leftovers(tuple(removed), tuple(kept), tuple(found.unsearched))


def _noted(cluster: Cluster) -> dict[str, list[Noted]]:
    """Run -> what it has noted for this target."""
    target = stored.identity(cluster.topology)
    notes = {file.parent.name: stored.noted(file.parent, target) for file in RUNS.glob(f"*/{STORED}")}
    return {run: found for run, found in notes.items() if found and _ID.match(f"accept-{run}")}


def _search(cluster: Cluster, tables: bool) -> _Found:
    """Search the catalogue, and the tables if wanted; each table for a short time, since it may be of any size."""
    found = _Found()
    if cluster.topology.administrator is not None:
        try:
            for name, members in left_slots.find(cluster).on.items():
                found.slots[_ID.match(name)[1]][name] = members  # type: ignore[index]
        except (NotAvailable, *NO_ANSWER) as error:
            found.without_slots = describe(error)
    with sql.session(cluster.write, statement_timeout=SEARCH, autocommit=False) as session:
        names = sql.rows(session, _SCHEMAS)
        session.commit()
        publications = sql.rows(session, _PUBLICATIONS) if cluster.topology.administrator else []
        session.commit()
        for (name,) in names:
            found.schemas[_ID.match(name)[1]].append(name)  # type: ignore[index]
        for (name,) in publications:
            found.publications[_ID.match(name)[1]].append(name)  # type: ignore[index]
        for part, table, statement in _searches(cluster) if tables else ():
            try:
                schema.go_by_index(session)
                names = sql.rows(session, statement)
            except sql.Error as error:
                if error.pgcode is None:  # the connection is lost
                    raise
                session.rollback()
                if error.pgcode != errorcodes.UNDEFINED_TABLE:
                    found.unsearched.append(f"{table}: {describe(error)}")
                continue
            session.commit()
            for (name,) in names:
                if name and (match := _ID.match(name)):
                    found.rows[match[1]][name].add(part)
    return found


def _searches(cluster: Cluster) -> Iterator[tuple[str, str, str]]:
    for name, part in cluster.profile.parts():
        mark = quoted(cluster.profile.mark(part))
        yield name, part.table, _NAMESPACES.format(mark=mark, table=quoted(part.table))


def _remove(cluster: Cluster, noted: Sequence[Noted], found: Mapping[str, set[str]], schemas: Sequence[str]) -> int:
    by_search = Noted(cluster.profile, {name: frozenset(parts) for name, parts in found.items()})
    rows: int = sum(one.remove(cluster.write) for one in (*noted, by_search))
    if cluster.topology.embedded and "citus" not in cluster.topology.lacks:
        local = cluster.with_tables_of(schema.LOCAL)
        rows += sum(Noted(local.profile, one.namespaces).remove(local.write) for one in noted)
    others = [name for name in schemas if not emptied.give_back(cluster, name)]
    with sql.session(cluster.write) as session:
        for name in others:
            sql.execute(session, f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE")
    return rows


def _drop(cluster: Cluster, publications: Sequence[str]) -> None:
    for name in publications:
        sql.execute(cluster.administration, f"DROP PUBLICATION IF EXISTS {quoted(name)}")


def _drop_slots(cluster: Cluster, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The slots that were dropped on every member, and why the others were not."""
    dropped, failed = [], []
    for name in names:
        try:
            left_slots.drop(cluster, name)
            dropped.append(name)
        except NotInTime as error:
            failed.append(describe(error))
    return dropped, failed
