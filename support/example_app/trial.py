"""A trial of the application's tables: whether scenarios can store, change and delete their rows there.

Columns and privileges do not tell. A constraint, a domain, row security or a trigger refuses a row; a trigger, a rule
or row security keeps what is deleted, without an error. So rows are stored, changed and deleted as scenarios do it, in
transactions that are rolled back. What remains are the numbers that sequences have given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from random import Random

from psycopg2 import errorcodes

from support import sql
from support.example_app.catalog import TableFacts
from support.example_app.profile import Part, Profile, columns_of, quoted
from support.example_app.profile_fit import CAPABILITY, Fit
from support.example_app.samples import Rows, related_rows, store_part
from support.example_app.schema import KEPT, condition_of, go_by_index, values_of
from support.timeouts import SEARCH
from support.waiting import describe

_CHANGED = {"entries": "value", "reference": "note"}
"""Part -> the field that scenarios change."""
_REFUSALS = ("0A", "22", "23", "27", "44", "P0")
"""The classes of SQLSTATE with which a table refuses a statement: what is not supported, data, constraints, triggers, a
view's check, and what a function raises. Any other error may be due to the state of the cluster, which scenarios judge.
"""
_FROM_WORKER = "while executing command on"
"""Citus says so of an error that a worker reported: a right that one worker alone denies is not the table's fault."""
_ROW_SECURITY = (
    "; row security is on: if its policies are about other columns, give their values in the fill of [schema], and the "
    'settings that they read as options = "-c app.tenant=..." in [ruvector_options] (docs/schema.md)'
)


def tried(where: sql.Endpoint, fitted: Fit, facts: Mapping[str, TableFacts], namespace: str) -> Fit:
    """What fits by its columns, without the parts whose tables refuse or keep rows of scenarios.

    Such rows are stored in that namespace and in one below it. An error that is no refusal ends the trial, and proves
    nothing.
    """
    if "schema" in fitted.lacks:
        return fitted
    lacks, refused = dict(fitted.lacks), _refused(where, fitted.profile, facts, [namespace, f"{namespace}-1"])
    for name, why in refused.items():
        lacks.setdefault(CAPABILITY[name], why)
    if "reference" in refused:
        lacks["computed_reference"] = refused["reference"]
    without = {name: None for name in refused if name != "entries"}
    return Fit(replace(fitted.profile, **without), lacks)  # type: ignore[arg-type]


def _refused(
    where: sql.Endpoint, profile: Profile, facts: Mapping[str, TableFacts], namespaces: Sequence[str]
) -> dict[str, str]:
    """Part -> why scenarios cannot use its table."""
    rows, stored, refused = _rows(namespaces), list[str](), dict[str, str]()
    try:
        with sql.session(where, statement_timeout=SEARCH, autocommit=False) as session:
            for name, part in profile.parts():
                _begin(session)
                for earlier in stored:  # the rows of this part may refer to them
                    store_part(session, profile, earlier, rows[earlier])
                secured = facts[part.table].row_security
                if why := _refusal(session, profile, name, part, rows[name], namespaces, secured):
                    refused[name] = why + (_ROW_SECURITY if secured else "")
                else:
                    stored.append(name)
                session.rollback()
    except sql.Error:
        return refused
    return refused


def _rows(namespaces: Sequence[str]) -> dict[str, Rows]:
    """Part -> rows as scenarios store them, among them entries with the same key in several namespaces."""
    keys = product(namespaces, ("entry-1", "entry-2"))
    entries = [{"namespace": where, "key": key, "value": f"text of {key}"} for where, key in keys]
    return {**related_rows(Random(1), namespaces[0], namespaces, 8), "entries": entries}


def _begin(session: sql.Session) -> None:
    """Begin a transaction that sees a refusal at once, and in which Citus allows statements of every kind."""
    sql.execute(session, "SET CONSTRAINTS ALL IMMEDIATE")
    sql.rows(session, "SELECT set_config('citus.multi_shard_modify_mode', 'sequential', true)")
    go_by_index(session)


def _refusal(
    session: sql.Session, profile: Profile, name: str, part: Part, rows: Rows, namespaces: Sequence[str], secured: bool
) -> str:
    """Why scenarios cannot use the table of a part; empty if they can. Raises sql.Error where that is not known.

    `secured`: whether row security is on.
    """
    values = {**values_of(namespaces), "new": "changed"}
    table, ours = quoted(part.table), condition_of(part).format(mark=quoted(profile.mark(part)))
    counting = f"SELECT count(*) FROM {table} WHERE {ours}"
    doing = "a row"
    try:
        store_part(session, profile, name, rows)
        if sql.value(session, counting, values) != len(rows):
            return f"{part.table} does not have the rows that were stored in it"
        if name in _CHANGED:
            doing, column = "a change", columns_of(part)[_CHANGED[name]]
            sql.execute(session, f"UPDATE {table} SET {quoted(column)} = %(new)s WHERE {ours}", values)
            if sql.value(session, f"{counting} AND {quoted(column)} = %(new)s", values) != len(rows):
                return f"{part.table}.{column} does not have the value to which it was changed"
        doing = "a deletion"
        sql.execute(session, f"DELETE FROM {table} WHERE {ours}", values)
        if sql.value(session, counting, values):
            return f"{part.table} still has rows that were deleted: {KEPT}"
    except sql.Error as error:
        if not _refuses(error, secured):
            raise
        return f"{part.table} refuses {doing}: {describe(error)}"
    return ""


def _refuses(error: sql.Error, secured: bool) -> bool:
    """Whether an error of a statement is due to the table, whatever the state of the cluster is."""
    code = error.pgcode or ""
    if code == errorcodes.INSUFFICIENT_PRIVILEGE:
        return secured or _FROM_WORKER not in (error.diag.context or "")
    return code[:2] in _REFUSALS
