"""A database in a few lines, to make histories with: serializable, or with one kind of fault built in.

Transactions are cut into steps that are interleaved at random. The real thing is tested by scenarios; this makes sure
that the checks raise no alarm on what is serializable, and find what is not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from support.engine.history import Outcome
from support.isolation.transactions import FINAL_READER, Access, Item, Kind, Transaction

ITEMS: Sequence[Item] = (
    (Kind.LIST, "a"),
    (Kind.LIST, "b"),
    (Kind.REGISTER, "x"),
    (Kind.REGISTER, "y"),
    (Kind.SET, "s"),
)
State = dict[Item, tuple[int, ...]]


def planned(chance: Random, count: int) -> list[list[Access]]:
    """What so many transactions mean to do; no value is written twice."""
    values = iter(range(1, 100_000))
    return [
        [
            Access(*chance.choice(ITEMS), wrote=next(values) if chance.random() < 0.5 else None)
            for _ in range(chance.randint(1, 4))
        ]
        for _ in range(count)
    ]


def applied(state: State, access: Access) -> Access:
    """Execute one statement on a state; returns it with its answer."""
    before = state.get(access.item, ())
    if access.wrote is None:
        shown = before[-2:] if access.kind is Kind.REGISTER else before
        return Access(*access.item, saw=tuple(sorted(shown)) if access.kind is Kind.SET else shown)
    state[access.item] = (*before, access.wrote)
    replaced = (before or (0,))[-1] if access.kind is Kind.REGISTER else None
    return Access(*access.item, wrote=access.wrote, replaced=replaced)


@dataclass
class Serial:
    """Executes one transaction after another, however their times overlap: each takes effect within its own time."""

    chance: Random
    state: State = field(default_factory=dict)
    done: list[Transaction] = field(default_factory=list)

    def run(self, plans: Sequence[Sequence[Access]]) -> "Serial":
        for plan in plans:
            number = len(self.done)
            outcome = self.chance.choices(list(Outcome), [8, 1, 1])[0]
            happens = outcome is Outcome.OK or (outcome is Outcome.UNKNOWN and self.chance.random() < 0.5)
            state = dict(self.state)
            accesses = tuple(applied(state, access) for access in plan)
            if happens:
                self.state = state
            told = accesses if outcome is Outcome.OK else tuple(plan)
            begun, ended = number - 3 * self.chance.random(), number + 3 * self.chance.random()
            self.done.append(Transaction(number, number % 4, told, outcome, begun, ended))
        return self

    def read_everything(self) -> tuple[Transaction, ...]:
        """All transactions, and one that reads everything at the end."""
        last = len(self.done) + 10.0
        seen = tuple(applied(self.state, Access(*item)) for item in ITEMS)
        end = Transaction(len(self.done), FINAL_READER, seen, Outcome.OK, last, last + 1)
        return (*self.done, end)


Fault = Callable[[Serial, int], None]
"""Adds transactions with one anomaly; the number is one that no value has reached."""


def add(history: Serial, *accesses: Access) -> None:
    """A committed transaction that is told to have done that; its writes take effect."""
    number = len(history.done)
    for access in accesses:
        if access.wrote is not None:
            history.state[access.item] = (*history.state.get(access.item, ()), access.wrote)
    history.done.append(Transaction(number, number % 4, accesses, Outcome.OK, number - 3.0, number + 3.0))
