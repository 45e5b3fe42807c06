"""In which order the versions of each item followed one another, and the anomalies that this alone shows."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from support.engine.history import Outcome
from support.isolation.levels import Anomaly
from support.isolation.transactions import Access, Item, Kind, Transaction


@dataclass(frozen=True)
class Sighting:
    """One anomaly, with the transactions that show it."""

    anomaly: Anomaly
    words: str
    """What happened, by the names of the transactions."""
    transactions: tuple[Transaction, ...]
    items: frozenset[Item] = frozenset()
    """The items on which it shows."""


@dataclass
class Versions:
    """Who wrote what, and what came after what. Transactions that failed are known as writers, too."""

    transactions: Sequence[Transaction]
    writers: dict[tuple[Item, int], Transaction] = field(default_factory=dict)
    """Item and value -> the transaction that wrote it, whatever came of it."""
    orders: dict[Item, tuple[int, ...]] = field(default_factory=dict)
    """List -> its values in their order, as the longest read shows them."""
    successors: dict[tuple[Item, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    """Register and value (0 for none) -> the values that replaced it: one, where nothing is wrong."""
    seen: dict[Item, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Item -> the values that anybody saw, or that a write replaced."""

    def __post_init__(self) -> None:
        for one in self.transactions:
            for item, values in one.writes.items():
                for value in values:
                    self.writers[item, value] = one
        for _, read in self.all_reads:
            saw = read.saw or ()
            self.seen[read.item].update(saw)
            if read.kind is Kind.LIST and len(saw) > len(self.orders.get(read.item, ())):
                self.orders[read.item] = saw
            if read.kind is Kind.REGISTER and saw:
                self._follows(read.item, saw[0] if len(saw) > 1 else 0, saw[-1])
        for one in self.transactions:
            if one.outcome is Outcome.OK:
                for access in one.accesses:
                    if access.kind is Kind.REGISTER and access.wrote and access.replaced is not None:
                        self._follows(access.item, access.replaced, access.wrote)

    def _follows(self, item: Item, before: int, after: int) -> None:
        if after not in self.successors[item, before]:
            self.successors[item, before].append(after)
        if before:
            self.seen[item].add(before)

    @cached_property
    def all_reads(self) -> list[tuple[Transaction, Access]]:
        """Every answered read of an acknowledged transaction."""
        return [(one, read) for one in self.transactions for read in one.reads]

    @cached_property
    def committed(self) -> frozenset[int]:
        """The numbers of the transactions that happened: acknowledged, or of unknown outcome and seen by somebody."""
        seen = {
            writer.number
            for item, values in self.seen.items()
            for value in values
            if (writer := self.writers.get((item, value))) is not None and writer.outcome is Outcome.UNKNOWN
        }
        return frozenset(one.number for one in self.transactions if one.outcome is Outcome.OK) | seen

    def writer(self, item: Item, value: int) -> Transaction | None:
        """The transaction that wrote a value, if it happened."""
        found = self.writers.get((item, value))
        return found if found is not None and found.number in self.committed else None

    def after(self, item: Item, value: int) -> list[int]:
        """The versions of a list or register that directly follow this one; 0 is the empty item."""
        if item[0] is Kind.REGISTER:
            return self.successors.get((item, value), [])
        order = self.orders.get(item, ())
        if value == 0:
            return list(order[:1])
        at = self._positions[item].get(value)
        return [] if at is None else list(order[at + 1 : at + 2])

    @cached_property
    def _positions(self) -> Mapping[Item, Mapping[int, int]]:
        found: dict[Item, dict[int, int]] = defaultdict(dict)
        for item, order in self.orders.items():
            found[item] = {value: at for at, value in enumerate(order)}
        return found

    def before_own(self, reader: Transaction, read: Access) -> tuple[int, ...]:
        """What a list held before the reader itself appended to it, if it did so before this read."""
        saw = read.saw or ()
        own, end = set(reader.writes.get(read.item, ())), len(saw)
        while end and saw[end - 1] in own:
            end -= 1
        return saw[:end]

    def agrees(self, read: Access) -> bool:
        """Whether what was read of a list is a beginning of its order."""
        saw = read.saw or ()
        return saw == self.orders.get(read.item, ())[: len(saw)]


def sightings(versions: Versions) -> Iterator[Sighting]:
    """The anomalies that need no chain of dependencies."""
    for reader, read in versions.all_reads:
        yield from _of_read(versions, reader, read)
    for one in versions.transactions:
        if one.outcome is Outcome.OK:
            yield from _internal(one)
    yield from _forks(versions)
    yield from _lost_writes(versions)


def _of_read(versions: Versions, reader: Transaction, read: Access) -> Iterator[Sighting]:
    item, saw = read.item, read.saw or ()
    for value in saw:
        writer = versions.writers.get((item, value))
        if writer is None:
            words = f"{reader.name} read {value} in {_called(item)}, which no transaction wrote"
            yield Sighting(Anomaly.UNWRITTEN_VALUE, words, (reader,), frozenset({item}))
        elif writer.outcome is Outcome.FAIL and writer is not reader:
            words = f"{reader.name} read {value} in {_called(item)}, and {writer.name}, which wrote it, did not commit"
            yield Sighting(Anomaly.ABORTED_READ, words, (writer, reader), frozenset({item}))
    for value, times in Counter(saw).items():
        if times > 1:
            words = f"{reader.name} read {value} {times} times in {_called(item)}"
            yield Sighting(Anomaly.DUPLICATE, words, (reader,), frozenset({item}))
    if item[0] is Kind.SET:
        yield from _fractured(versions, reader, read)
        return
    if item[0] is Kind.LIST and not versions.agrees(read):
        longest = next(one for one, other in versions.all_reads if other.saw == versions.orders[item])
        words = f"{reader.name} and {longest.name} read {_called(item)} with different beginnings"
        yield Sighting(Anomaly.INCOMPATIBLE_ORDER, words, (reader, longest), frozenset({item}))
    if saw and (writer := versions.writers.get((item, saw[-1]))) and writer is not reader:
        wrote = writer.writes[item]
        if saw[-1] != wrote[-1]:
            words = (
                f"{reader.name} read {saw[-1]} as the last value in {_called(item)}; {writer.name}, which wrote it, "
                f"wrote {wrote[wrote.index(saw[-1]) + 1]} after it"
            )
            yield Sighting(Anomaly.INTERMEDIATE_READ, words, (writer, reader), frozenset({item}))


def _fractured(versions: Versions, reader: Transaction, read: Access) -> Iterator[Sighting]:
    """A single query shows some of the elements that one transaction added to a set, and misses others."""
    saw = set(read.saw or ())
    checked = {reader.number}
    for value in sorted(saw):
        writer = versions.writers.get((read.item, value))
        if writer is None or writer.number in checked:
            continue
        checked.add(writer.number)
        if missed := [one for one in writer.writes[read.item] if one not in saw]:
            words = f"{reader.name} read {value} in {_called(read.item)} and not {missed[0]}; {writer.name} added both"
            yield Sighting(Anomaly.FRACTURED_STATEMENT, words, (writer, reader), frozenset({read.item}))


def _internal(one: Transaction) -> Iterator[Sighting]:
    """After a transaction wrote to an item, its reads show that. A row that it has written stays locked until its end,
    so nobody else's value can come after its own, at any level."""
    wrote: dict[Item, list[int]] = defaultdict(list)
    for access in one.accesses:
        if access.wrote is not None:
            wrote[access.item].append(access.wrote)
        elif access.saw is not None and (own := wrote.get(access.item)):
            expected = own[-1:] if access.kind is Kind.REGISTER else own
            shown = [*access.saw][-len(expected) :] if access.kind is not Kind.SET else access.saw
            if (set(expected) - set(shown)) if access.kind is Kind.SET else (list(shown) != list(expected)):
                written = " and ".join(map(str, expected))
                words = f"{one.name} wrote {written} to {_called(access.item)}, and did not find it there afterwards"
                yield Sighting(Anomaly.INTERNAL, words, (one,), frozenset({access.item}))


def _forks(versions: Versions) -> Iterator[Sighting]:
    """Two writes that replaced the same version of a register: one of the two is gone."""
    for (item, before), after in versions.successors.items():
        happened = [one for value in after if (one := versions.writer(item, value)) is not None]
        if len(happened) > 1:
            first, second = happened[:2]
            words = f"{after[0]} and {after[1]} both replaced {before or 'the initial value'} in {_called(item)}"
            yield Sighting(Anomaly.INCOMPATIBLE_ORDER, words, (first, second), frozenset({item}))


def _lost_writes(versions: Versions) -> Iterator[Sighting]:
    """Acknowledged writes to lists and sets that nobody ever saw, although the item was read later.

    Registers keep no old values; that a write to one was lost shows in what the next one replaced, or in a stale read.
    """
    last: dict[Item, tuple[Transaction, Access]] = {}
    for reader, read in versions.all_reads:
        if read.item not in last or reader.begun > last[read.item][0].begun:
            last[read.item] = (reader, read)
    for one in versions.transactions:
        if one.outcome is not Outcome.OK:
            continue
        for item, values in one.writes.items():
            if item[0] is Kind.REGISTER or item not in last or last[item][0].begun < one.ended:
                continue
            reader, read = last[item]
            if missing := [value for value in values if value not in (read.saw or ())]:
                words = (
                    f"{one.name} wrote {missing[0]} to {_called(item)} and was acknowledged, and {reader.name}, the "
                    "last to read it, did not find it"
                )
                yield Sighting(Anomaly.LOST_WRITE, words, (one, reader), frozenset({item}))


def _called(item: Item) -> str:
    return f"{item[0]} {item[1]}"
