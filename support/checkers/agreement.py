"""Whether two answers to one question are the same."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from support.checkers.finding import Finding, listed

Rows = Sequence[tuple[object, ...]]


@dataclass(frozen=True)
class Compared:
    """One question, the right answer, and the one that was given."""

    question: str
    right: Rows
    given: Rows | str
    """Or what was said instead of an answer."""
    ordered: bool = False
    """Whether the order of the rows is part of the answer."""


def all_agree(answers: Sequence[Compared]) -> Finding:
    """Every question was answered right. Unknown unless at least half of the right answers have any rows."""
    telling = sum(bool(one.right) for one in answers)
    if not answers or 2 * telling < len(answers):
        return Finding.unknown(f"{telling} of {len(answers)} questions have an answer with rows in it")
    wrong = [(one, said) for one in answers if (said := _difference(one))]
    if not wrong:
        return Finding.true(f"{len(answers)} questions are answered right, {telling} of them by rows")
    first, said = wrong[0]
    return Finding.false(f"{len(wrong)} of {len(answers)} questions are not answered right: {first.question}: {said}")


def _difference(one: Compared) -> str:
    if isinstance(one.given, str):
        return one.given
    right, given = (Counter(map(_comparable, rows)) for rows in (one.right, one.given))
    lacking, strange = list((right - given).elements()), list((given - right).elements())
    if lacking or strange:
        parts = ((lacking, "missing"), (strange, "wrong"))
        return ", ".join(f"{len(rows)} rows are {what} ({listed(rows, most=2)})" for rows, what in parts if rows)
    if one.ordered and list(map(_comparable, one.right)) != list(map(_comparable, one.given)):
        return "the rows are in another order"
    return ""


def _comparable(row: tuple[object, ...]) -> tuple[object, ...]:
    """A row that can be counted: arrays come as lists."""
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)
