"""What users can write: names that are known, and the values that a parameter of a step can have.

A name that is not known is never ignored. The message for it names the nearest one that is.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches  # noqa: TID251 - here alone
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

OWN = "own."
"""The prefix of users' own tags and of their own names after behave's -D, which the suite does not check."""


QUOTED = "'{}'"
"""How `suggestion` shows a name in quotes."""
MOST_LISTED = 12
"""The most values of a kind that a message lists."""
_MOST_SIMILAR = 4


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, regardless of case; empty if none is like it."""
    by_lower = {one.lower(): one for one in sorted(known, reverse=True)}
    found = get_close_matches(name.lower(), by_lower, 1)
    return by_lower[found[0]] if found else ""


def suggestion(name: str, known: Iterable[str], shown: str = "{}", otherwise: str = "") -> str:
    """The end of a message about a name that is not known: "; did you mean NAME?", or `otherwise` if none is like it.

    `shown` is how the known name is written: "@{}", or QUOTED.
    """
    near = nearest(name, known)
    return f"; did you mean {shown.format(near)}?" if near else otherwise


def similar(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known words that are most like a word, in lower case, or that begin as it does; the most alike first."""
    words = {one.lower() for one in known}
    alike = get_close_matches(word.lower(), sorted(words), _MOST_SIMILAR, cutoff=0.7)
    stem = word.lower()[: max(4, len(word) * 2 // 3)]
    return tuple(dict.fromkeys([*alike, *sorted(one for one in words if one.startswith(stem))]))[:_MOST_SIMILAR]


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: "1 scenario", "2 scenarios"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def joined(words: Iterable[str]) -> str:
    """A list as it is said: "a", "a and b", "a, b and c"."""
    every = list(words)
    return " and ".join([", ".join(every[:-1]), every[-1]] if len(every) > 1 else every)


def with_article(noun: str) -> str:
    """A noun with "a" or "an"."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def is_slip(name: str, meant: str) -> bool:
    """Whether `name` is `meant` with a slip of the keyboard: a character too many, too few, wrong, or two swapped."""
    longer, shorter = (name, meant) if len(name) >= len(meant) else (meant, name)
    at = next((at for at, one in enumerate(shorter) if one != longer[at]), len(shorter))
    if len(longer) == len(shorter) + 1:
        return shorter[at:] == longer[at + 1 :]
    swapped = longer[at : at + 2] == shorter[at : at + 2][::-1] and longer[at + 2 :] == shorter[at + 2 :]
    return len(longer) == len(shorter) and (longer[at + 1 :] == shorter[at + 1 :] or swapped)


@dataclass(frozen=True)
class Kind:
    """The values that a parameter of a step, or a column of its table, can have.

    Registered with behave (`register_type(Role=ROLE)`), a step matches only with one of them: `{role:Role}`.
    """

    noun: str
    """What a value is called in messages: "role"."""
    values: tuple[str, ...]
    more: str = ""
    """A regular expression for values that cannot be listed; empty if there are none."""
    shown: tuple[str, ...] = ()
    """How `more` is shown in messages."""

    @classmethod
    def of(cls, noun: str, values: Iterable[str]) -> "Kind":
        """A kind with these values, such as the keys of the table that says what each of them means."""
        return cls(noun, tuple(map(str, values)))

    @property
    def pattern(self) -> str:
        """For the parse module, which matches a step with it."""
        listed = [re.escape(one) for one in sorted(self.values, key=len, reverse=True)]
        return "|".join([*([self.more] if self.more else []), *listed])

    def __call__(self, text: str) -> str:
        """The value, as behave's parameter types convert it."""
        return text

    def allows(self, value: str) -> bool:
        """Whether a parameter can have this value."""
        return re.fullmatch(self.pattern, value) is not None

    def complaint(self, value: str) -> str:
        """Why a parameter cannot have this value, with the values that it can have."""
        known = (*self.values, *self.shown)
        listed = "; ".join(known) if len(known) <= MOST_LISTED else "; ".join([*known[:MOST_LISTED], "..."])
        return f"unknown {self.noun} {value!r}{suggestion(value, known, QUOTED)} (known: {listed})"


@dataclass(frozen=True)
class Columns:
    """Which kind of value the cells of a step's table have."""

    kinds: Mapping[str, Kind | None]
    """Heading -> kind, or None for free text. The table needs these columns."""
    others: Kind | None = None
    """The kind of the cells in all other columns."""
    headings: Kind | None = None
    """The kind of the headings of the other columns."""

    def misfits(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
        """What is wrong with a table: columns that are missing or unknown, and cells that are not of their kind."""
        for name in [name for name in self.kinds if name not in headings]:
            near = nearest(name, headings)
            yield f"the table needs a column {name!r}" + (f", and has {near!r}" if near else "")
        for name in headings:
            if name not in self.kinds and self.headings is not None and not self.headings.allows(name):
                yield f"column {self.headings.complaint(name)}"
        for row in rows:
            for name, cell in zip(headings, row, strict=True):
                kind = self.kinds.get(name, self.others)
                if kind is not None and not all(map(kind.allows, cell.split(" or "))):
                    yield kind.complaint(cell)


def columns(
    kinds: Mapping[str, Kind | None], others: Kind | None = None, headings: Kind | None = None
) -> Callable[[F], F]:
    """Declare the columns of a step's table, below the decorator with the step's wording.

    `accept lint` and every `accept run` check the tables before anything boots.
    """

    def declared(step: F) -> F:
        step.columns = Columns(kinds, others, headings)  # type: ignore[attr-defined]
        return step

    return declared
