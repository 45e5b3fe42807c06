"""What transactions read and wrote: the facts from which anomalies are inferred.

Every written value is unique, so a read tells whose writes it saw. There are three kinds of items:

- a **list** is one row to which values are appended. Whoever reads it learns in which order they were appended.
- a **register** is one row with a value that is overwritten. Each version names the one that it replaced, so the order
  of the versions is known even where nobody read them.
- a **set** is many rows, found by a condition: reading it shows which rows a transaction misses (phantoms).

Lists are Elle's "list-append"; see `anomalies` for the sources.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from support.engine.history import History, Outcome

TRANSACTION = "transaction"
"""The action of an operation that is a transaction; its value is a tuple of `Access`."""
FINAL_READER = -1
"""The client that reads everything when all others have ended."""


class Kind(enum.StrEnum):
    """What an item is."""

    LIST = "list"
    REGISTER = "register"
    SET = "set"


Item = tuple[Kind, str]
"""An item, by its kind and its name."""


@dataclass(frozen=True)
class Access:
    """One statement of a transaction: it reads an item, or writes one value to it."""

    kind: Kind
    name: str
    wrote: int | None = None
    """The value that was appended, set or added; None for a read. Values are positive."""
    saw: tuple[int, ...] | None = None
    """What was read: a list in its order, the members of a set, or a register's value and before it, if known, the one
    that this value replaced; an item that was never written is empty. None if no answer came."""
    replaced: int | None = None
    """For a write to a register: the value that it replaced, as the server says; 0 for none before, None if unknown."""

    @property
    def item(self) -> Item:
        return self.kind, self.name

    def __str__(self) -> str:
        if self.wrote is not None:
            verb = {Kind.LIST: "append", Kind.REGISTER: "set", Kind.SET: "add"}[self.kind]
            return f"{verb} {self.wrote} to {self.kind} {self.name}"
        if self.saw is None:
            return f"read {self.kind} {self.name}"
        last = self.saw[-1:] if self.kind is Kind.REGISTER else self.saw
        shown = " ".join(map(str, last[-_SHOWN:])) or "nothing"
        return f"read {self.kind} {self.name}: {'... ' if len(last) > _SHOWN else ''}{shown}"


_SHOWN = 6
"""How many values of a list or set are shown: the last ones."""


@dataclass(frozen=True)
class Transaction:
    """One transaction of one client. Times are seconds on the machine's monotonic clock."""

    number: int
    """Its position in the history."""
    client: int
    accesses: tuple[Access, ...]
    outcome: Outcome
    begun: float
    ended: float

    @property
    def name(self) -> str:
        return f"T{self.number}"

    @cached_property
    def writes(self) -> Mapping[Item, tuple[int, ...]]:
        """Item -> the values that it wrote to it, in their order."""
        found: dict[Item, tuple[int, ...]] = {}
        for one in self.accesses:
            if one.wrote is not None:
                found[one.item] = (*found.get(one.item, ()), one.wrote)
        return found

    @property
    def reads(self) -> Iterator[Access]:
        """Its answered reads; none unless it was acknowledged."""
        if self.outcome is Outcome.OK:
            yield from (one for one in self.accesses if one.wrote is None and one.saw is not None)

    def __str__(self) -> str:
        who = "the final reader" if self.client == FINAL_READER else f"client {self.client}"
        end = {Outcome.OK: "committed", Outcome.FAIL: "did not commit", Outcome.UNKNOWN: "outcome unknown"}
        return f"{self.name} ({who}): {'; '.join(map(str, self.accesses))}; {end[self.outcome]}"


def transactions_of(history: History) -> tuple[Transaction, ...]:
    """The transactions of a history, in the order in which they ended."""
    return tuple(
        Transaction(number, one.client, tuple(one.value), one.outcome, one.begun, one.ended)
        for number, one in enumerate(history.of(action=TRANSACTION))
    )


def overlapping(transactions: Iterable[Transaction]) -> int:
    """How many pairs of transactions ran at the same time and used the same item, at least one to write it.

    Without such pairs a history proves nothing about isolation: transactions that do not overlap cannot interfere.
    Failed transactions count as well, since at a high isolation level one of two is often refused.
    """
    count, running = 0, list[Transaction]()
    for one in sorted(transactions, key=lambda one: one.begun):
        if one.client == FINAL_READER:
            continue
        running = [other for other in running if other.ended > one.begun]
        count += sum(_conflict(one, other) for other in running)
        running.append(one)
    return count


def _conflict(one: Transaction, other: Transaction) -> bool:
    used, also_used = ({access.item for access in each.accesses} for each in (one, other))
    return any(item in one.writes or item in other.writes for item in used & also_used)
