"""Compare a table of a scenario with what was observed, cell by cell."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from support.engine.finding import Finding
from support.errors import Inconclusive
from support.target.members import NoAnswer, heard_and_silent

Table = Mapping[str, Mapping[str, str]]
"""Row -> column -> value."""


class GherkinTable(Protocol):
    """A table of a scenario, as behave passes it to a step."""

    headings: list[str]
    rows: Iterable[Any]
    """Each has its `cells`."""


def rows_of(table: GherkinTable) -> dict[str, dict[str, str]]:
    """A table as a mapping: first column -> heading -> value."""
    return {row.cells[0]: dict(zip(table.headings[1:], row.cells[1:], strict=True)) for row in table.rows}


def transposed(table: Table) -> dict[str, dict[str, str]]:
    """The table with rows and columns exchanged."""
    columns = dict.fromkeys(column for row in table.values() for column in row)
    return {column: {name: row[column] for name, row in table.items()} for column in columns}


def alike(names: Iterable[str], row: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """A table that has the same row for each of these names."""
    return dict.fromkeys(names, row)


def of_each(kinds: Mapping[str, str], rows: Table) -> dict[str, Mapping[str, str]]:
    """A table by name, from one by kind; `kinds` is name -> kind. Raises Inconclusive for a kind without a row."""
    unnamed = [f"{name} is {kind}" for name, kind in kinds.items() if kind not in rows]
    if unnamed:
        raise Inconclusive(f"the table has no row for it: {', '.join(unnamed)}")
    return {name: rows[kind] for name, kind in kinds.items()}


def as_tabled(expected: Table, observed: Table) -> Finding:
    """The observed table is the expected one, cell by cell; a missing or additional cell is a difference, too.

    "this or that" in an expected cell allows either value. Unknown if nothing is expected.
    """
    if not any(expected.values()):
        return Finding.unknown("the table has no cells")
    rows = dict.fromkeys([*expected, *observed])
    different = [line for row in rows for line in _differences(row, expected.get(row, {}), observed.get(row, {}))]
    return Finding.false("; ".join(different)) if different else Finding.true(f"all {len(rows)} rows are as expected")


def all_answer_as_tabled(expected: Table, answers: Mapping[str, Mapping[str, str] | NoAnswer]) -> Finding:
    """Every answer that was given is the row that the table expects.

    Unknown if an answer is missing and no other differs.
    """
    heard, silent = heard_and_silent(answers)
    finding = as_tabled({name: row for name, row in expected.items() if name not in silent}, heard)
    if finding.holds is False or not silent:
        return finding
    return Finding.unknown("; ".join(f"{name}: no answer ({why})" for name, why in silent.items()))


def all_answer(expected: object, answers: Mapping[str, object], what: str) -> Finding:
    """Every member's answer is the expected one.

    `what` names the question in messages. Unknown if nobody was asked, or if a member did not answer and none of the
    answers differs.
    """
    if not answers:
        return Finding.unknown(f"nobody was asked for {what}")
    different = [f"{name}: {answer}" for name, answer in answers.items() if answer != expected]
    if different:
        told = f"{what}: expected {expected}, observed {'; '.join(different)}"
        heard = any(answer != expected and not isinstance(answer, NoAnswer) for answer in answers.values())
        return Finding.false(told) if heard else Finding.unknown(told)
    return Finding.true(f"{what}: {expected} on all of {', '.join(answers)}")


def _differences(name: str, expected: Mapping[str, str], observed: Mapping[str, str]) -> list[str]:
    if expected and expected.keys().isdisjoint(observed):  # not observed at all: the row has the reason instead
        return [f"{name}: {', '.join(observed.values()) or 'there is nothing'}"]
    pairs = (
        (column, expected.get(column, "nothing"), observed.get(column, "nothing"))
        for column in {**expected, **observed}
    )
    return [
        f"{name}, {column}: expected {wanted}, observed {seen}"
        for column, wanted, seen in pairs
        if not fits(wanted, seen)
    ]


def fits(wanted: str, seen: str) -> bool:
    """Whether a cell has the wanted value, or one of "this or that"."""
    return seen in wanted.split(" or ")
