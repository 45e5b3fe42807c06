"""A trial of the application's tables: whether scenarios can store, change and delete their rows there.

Columns and privileges do not tell. A constraint, a domain, row security or a trigger refuses a row; a trigger, a rule
or row security keeps what is deleted, without an error. So rows are stored, changed and deleted as scenarios do it, in
transactions that are rolled back. What remains are the numbers that sequences have given.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from random import Random

from psycopg2 import errorcodes

from support import sql
from support.example_app import samples
from support.example_app.catalog import TableFacts
from support.example_app.entries import Entry, EntryStore
from support.example_app.profile import Part, Profile, columns_of, quoted
from support.example_app.profile_fit import CAPABILITY, Fit
from support.example_app.samples import Rows, related_rows, store_part
from support.example_app.schema import KEPT, condition_of, go_by_index, values_of
from support.timeouts import SEARCH
from support.waiting import describe

_CHANGED = {"entries": "value", "reference": "note"}
"""Part -> the field that scenarios change."""
_OPTIONAL = {"metadata": "json", "embedding": "vector"}
"""Field of the entries -> the capability that a target lacks without it."""
_OF_TEXT = ("empty_values", "any_text", "any_key", "long_values")
"""Capabilities that depend on which texts the table of entries takes."""
_TOLD = {
    "json": "JSON",
    "vector": "an embedding",
    "empty_values": "an empty value",
    "any_text": "a value with spaces at both ends, quotes or any script",
    "any_key": "a key or a namespace of any text",
    "long_values": "a value of a megabyte",
}
_UNUSUAL_KEYS = ("", ":", "a:a", "\\a", "a,a", '"a"')
_REFUSALS = ("0A", "22", "23", "27", "44", "54", "P0")
"""The classes of SQLSTATE with which a table refuses a statement: what is not supported, data, constraints, triggers, a
view's check, limits (of an index, for instance), and what a function raises. Any other error may be due to the state of
the cluster, which scenarios judge.
"""
_FROM_WORKER = "while executing command on"
"""Citus says so of an error that a worker reported: a right that one worker alone denies is not the table's fault."""
_ROW_SECURITY = (
    "; row security is on: if its policies are about other columns, give their values in the fill of [schema], and the "
    'settings that they read as options = "-c app.tenant=..." in [ruvector_options] (docs/schema.md)'
)


def tried(where: sql.Endpoint, fitted: Fit, facts: Mapping[str, TableFacts], namespace: str) -> Fit:
    """What fits by its columns, without the parts whose tables refuse or keep rows of scenarios, and without what the
    table of entries refuses of what some scenarios store there.

    Such rows are stored in that namespace and in those whose names begin with it. An error that is no refusal ends the
    trial, and proves nothing.
    """
    if "schema" in fitted.lacks:
        return fitted
    profile, namespaces = fitted.profile, [namespace, f"{namespace}-1"]
    refused, limits = dict[str, str](), dict[str, str]()
    with suppress(sql.Error), sql.session(where, statement_timeout=SEARCH, autocommit=False) as session:
        for name, why in _refused(session, profile, facts, namespaces):
            refused[name] = why
        if "entries" not in refused:
            secured = facts[profile.entries.table].row_security
            for capability, why in _limits(session, profile, fitted.lacks, namespace, secured):
                limits[capability] = why
    lacks = {**fitted.lacks, **limits}
    for name, why in refused.items():
        lacks.setdefault(CAPABILITY[name], why)
    if "reference" in refused:
        lacks["computed_reference"] = refused["reference"]
    if "vector" in limits:
        lacks["indexed_embedding"] = limits["vector"]
    entries = profile.entries
    for optional, capability in _OPTIONAL.items():
        entries = entries.without(optional) if capability in limits else entries
    without = {name: None for name in refused if name != "entries"}
    return Fit(replace(profile, entries=entries, **without), lacks)  # type: ignore[arg-type]


def _refused(
    session: sql.Session, profile: Profile, facts: Mapping[str, TableFacts], namespaces: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Part, and why scenarios cannot use its table."""
    rows, stored = _rows(namespaces), list[str]()
    for name, part in profile.parts():
        _begin(session)
        for earlier in stored:  # the rows of this part may refer to them
            store_part(session, profile, earlier, rows[earlier])
        secured = facts[part.table].row_security
        why = _refusal(session, profile, name, part, rows[name], namespaces, secured)
        session.rollback()
        if why:
            yield name, why + (_ROW_SECURITY if secured else "")
        else:
            stored.append(name)


def _rows(namespaces: Sequence[str]) -> dict[str, Rows]:
    """Part -> rows as scenarios store them, among them entries with the same key in several namespaces."""
    mark, rows = namespaces[0], related_rows(Random(1), namespaces[0], namespaces, 8)
    contents = {"entry-1": "text of entry-1", "entry-2": "text of entry-2", "1-1": "0"}
    stored = product(namespaces, contents.items())
    entries = [{"namespace": where, "key": key, "value": value} for where, (key, value) in stored]
    topics = list(enumerate(samples.TOPICS))
    related = [{"namespace": mark, "name": topic, "number": number} for number, topic in topics]
    reference = [
        {"namespace": mark, "key": f"{mark}/{topic}", "number": number, "note": "topic"} for number, topic in topics
    ]
    return {
        **rows,
        "entries": entries,
        "related": [*rows["related"], *related],
        "reference": [*rows["reference"], *reference],
    }


def _limits(
    session: sql.Session, profile: Profile, lacks: Collection[str], namespace: str, secured: bool
) -> Iterator[tuple[str, str]]:
    """Capability, and why the table of entries does not have it, of those that it does not lack by its columns."""
    entries = profile.entries
    for optional, capability in _OPTIONAL.items():  # each with those before it, if they were not refused
        if getattr(entries, optional) is None:
            continue
        alone = entries.without("embedding") if optional == "metadata" else entries
        if why := _refusal_of(session, replace(profile, entries=alone), capability, namespace, secured):
            yield capability, why
            entries = entries.without(optional)
    for capability in _OF_TEXT:
        if capability in lacks:
            continue
        if why := _refusal_of(session, replace(profile, entries=entries), capability, namespace, secured):
            yield capability, why


def _refusal_of(session: sql.Session, profile: Profile, capability: str, namespace: str, secured: bool) -> str:
    """Why the table of entries refuses what scenarios with that capability store; empty if it does not.

    Raises sql.Error where that is not known.
    """
    _begin(session)
    why = ""
    try:
        EntryStore(session, profile).add_many(_entries_with(capability, profile, namespace))
    except sql.Error as error:
        if not _refuses(error, secured):
            raise
        why = f"{profile.entries.table} refuses {_TOLD[capability]}: {describe(error)}"
    session.rollback()
    return why


def _entries_with(capability: str, profile: Profile, namespace: str) -> list[Entry]:
    """Entries as scenarios with that capability store them, with the embedding and the metadata that they can have."""
    if capability == "any_key":
        return [Entry(where, key, "text") for where, key in product((namespace, f"{namespace}:"), _UNUSUAL_KEYS)]
    contents = samples.NEEDED_FOR[capability]
    made = [samples.entry_with(content, Random(1), namespace, profile) for content in contents]
    if capability in _OPTIONAL.values():  # beside such entries, scenarios store some without
        made += [*samples.entries(Random(1), namespace, 2, profile), Entry(namespace, "", "text")]
    return [replace(one, key=f"entry-{number}") for number, one in enumerate(made)]


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
