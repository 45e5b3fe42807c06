"""Checks of what may be kept back: WAL and old row versions, by slots, the archive, transactions and late vacuums."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from support.engine.finding import Finding, listed

Silent = Mapping[str, str]
"""Member -> why it gave no answer."""
MEGABYTE = 2**20
UNLIMITED = -1
_NEARLY_SPENT = 1_600_000_000
"""The age at which PostgreSQL freezes rows by all means (vacuum_failsafe_age, by default); at 2.1 billion it stops."""


@dataclass(frozen=True)
class RetainingSlot:
    """A replication slot of one server, and what the server keeps for it."""

    name: str
    kind: str
    """"physical" or "logical"."""
    active: bool
    wal: str
    """"reserved", "extended", "unreserved" or "lost", which keeps nothing any more; empty for a slot never used."""
    kept: int
    """Bytes of WAL, up to the end of what the server has."""
    age: int
    """Transactions since the oldest one whose rows are kept for it."""

    def __str__(self) -> str:
        return f"{self.kind} slot {self.name} ({'active' if self.active else 'inactive'})"


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction that has not ended, and holds back vacuum."""

    name: str
    """What it is, and whose session's."""
    role: str | None
    database: str | None
    statement: str
    """Its last one, shortened; empty if that is not known."""
    age: int | None
    """Transactions that began after it."""
    seconds: float
    """For how long it has been open, or prepared."""

    def __str__(self) -> str:
        said = f": {' '.join(self.statement.split())}" if self.statement else ""
        by = f" by {self.role} in {self.database}" if self.role and self.database else ""
        return f"{self.name}{by}, for {self.seconds:.0f} s{said}"


@dataclass(frozen=True)
class UnarchivedWal:
    """The WAL of one server that waits to be archived, and is kept until then."""

    kept: int
    """In bytes."""
    fails: bool
    """Whether the last attempt to archive a segment failed."""


@dataclass(frozen=True)
class UnfrozenRows:
    """The oldest rows of a database that vacuum has not frozen."""

    database: str
    kind: str
    """What their age is counted in: "transactions" or "multixacts"."""
    age: int
    due: int
    """The age from which on autovacuum freezes them, even where it is switched off."""

    @property
    def setting(self) -> str:
        """The setting that says when they are due."""
        return f"autovacuum_{'multixact_' if self.kind == 'multixacts' else ''}freeze_max_age"

    def overdue(self, times: float) -> bool:
        """Whether they are more than that many times as old as when they were due, or nearly as old as they can be."""
        return self.age > min(times * self.due, max(self.due, _NEARLY_SPENT))


def most_kept(told: Mapping[str, Sequence[RetainingSlot]]) -> float:
    """The most WAL that any slot keeps, in megabytes."""
    return max((slot.kept / MEGABYTE for slots in told.values() for slot in slots if slot.wal != "lost"), default=0.0)


def oldest_kept(told: Mapping[str, Sequence[RetainingSlot]]) -> int:
    """The age of the oldest transaction for whose rows any slot asks, in transactions."""
    return max((slot.age for slots in told.values() for slot in slots), default=0)


def slots_keep_little_wal(told: Mapping[str, Sequence[RetainingSlot]], silent: Silent, limit: float) -> Finding:
    """No slot of any member keeps more than `limit` megabytes of WAL. Unknown if a member gave no answer."""
    found = [
        f"on {member}, the {slot} keeps {slot.kept / MEGABYTE:,.0f} MB of WAL"
        for member, slots in told.items()
        for slot in slots
        if slot.wal != "lost" and slot.kept > limit * MEGABYTE
    ]
    if found:
        return Finding.false(
            f"{listed(found)} (limit: {limit:,.0f} MB; let its consumer catch up, or drop it with "
            "pg_drop_replication_slot on that member)"
        )
    return _unless_silent(told, silent, f"the slots keep {most_kept(told):,.0f} MB of WAL at most")


def slots_keep_few_rows(told: Mapping[str, Sequence[RetainingSlot]], silent: Silent, limit: float) -> Finding:
    """No slot of any member asks for the rows of a transaction older than `limit` transactions.

    Unknown if a member gave no answer.
    """
    found = [
        f"on {member}, the {slot} keeps the rows of the last {slot.age:,} transactions from vacuum"
        for member, slots in told.items()
        for slot in slots
        if slot.age > limit
    ]
    if found:
        return Finding.false(
            f"{listed(found)} (limit: {limit:,.0f} transactions; look for old transactions on the standby that "
            "uses it, or drop a slot that nobody needs)"
        )
    return _unless_silent(told, silent, f"the slots keep the rows of {oldest_kept(told):,} transactions at most")


def slots_are_limited(told: Mapping[str, int], silent: Silent) -> Finding:
    """The WAL that slots can keep is limited on every member. `told` is member -> the limit in MB, or UNLIMITED.

    Unknown if a member gave no answer.
    """
    if without := [member for member, limit in told.items() if limit == UNLIMITED]:
        return Finding.false(
            f"a replication slot can fill the disk of {' and '.join(without)}: max_slot_wal_keep_size is -1 there, "
            "which sets no limit; set it to less than the disk has room for"
        )
    limits = ", ".join(f"{limit:,} MB on {member}" for member, limit in told.items())
    return _unless_silent(told, silent, f"max_slot_wal_keep_size is {limits}")


def most_unarchived(told: Mapping[str, UnarchivedWal]) -> float:
    """The most WAL of any member that waits to be archived, in megabytes."""
    return max((one.kept / MEGABYTE for one in told.values()), default=0.0)


def little_wal_unarchived(told: Mapping[str, UnarchivedWal], silent: Silent, limit: float) -> Finding:
    """On no member more than `limit` megabytes of WAL wait to be archived. Unknown if a member gave no answer."""
    found = [
        f"{member} keeps {one.kept / MEGABYTE:,.0f} MB of WAL that waits to be archived"
        + (", and archiving fails" if one.fails else "")
        for member, one in told.items()
        if one.kept > limit * MEGABYTE
    ]
    if found:
        return Finding.false(
            f"{listed(found)} (limit: {limit:,.0f} MB; pg_stat_archiver and the server's log say what archive_command "
            "or archive_library does)"
        )
    return _unless_silent(told, silent, f"{most_unarchived(told):,.0f} MB of WAL at most wait to be archived")


def oldest_unfrozen(told: Mapping[str, Sequence[UnfrozenRows]]) -> float:
    """The age of the oldest unfrozen rows, as a multiple of the age at which they are due."""
    return max((one.age / one.due for found in told.values() for one in found), default=0.0)


def rows_are_frozen(told: Mapping[str, Sequence[UnfrozenRows]], silent: Silent, limit: float) -> Finding:
    """No database has unfrozen rows beyond `limit` times the age at which vacuum freezes them.

    Unknown if a member gave no answer.
    """
    found = [
        f"on {member}, vacuum has not frozen rows of database {one.database} for {one.age:,} {one.kind} "
        f"({one.setting} is {one.due:,})"
        for member, there in told.items()
        for one in there
        if one.overdue(limit)
    ]
    if found:
        return Finding.false(
            f"{listed(found)} (limit: {limit:g} times as many, but at most {_NEARLY_SPENT:,}; look for a table that "
            "vacuum cannot finish in the server's log, and run VACUUM FREEZE before the server stops accepting writes)"
        )
    return _unless_silent(
        told, silent, f"vacuum freezes rows by {oldest_unfrozen(told):.2g} times the age at which they are due"
    )


def longest_open(told: Mapping[str, Sequence[OpenTransaction]]) -> float:
    """For how long the oldest of the transactions has been open, in seconds."""
    return max((one.seconds for found in told.values() for one in found), default=0.0)


def none_open_longer(
    told: Mapping[str, Sequence[OpenTransaction]], silent: Silent, limit: float, advice: str
) -> Finding:
    """No transaction has held back vacuum for more than `limit` seconds. Unknown if a member gave no answer."""
    found = [f"{one} on {member}" for member, open_there in told.items() for one in open_there if one.seconds > limit]
    if found:
        return Finding.false(f"vacuum is held back by {listed(found)} (limit: {limit:g} s; {advice})")
    return _unless_silent(told, silent, f"the oldest transaction is {longest_open(told):.0f} s old")


def _unless_silent(told: Collection[str], silent: Silent, words: str) -> Finding:
    if silent or not told:
        why = "; ".join(f"{member}: {reason}" for member, reason in silent.items())
        return Finding.unknown(f"nothing is known about {why or 'any member'}")
    return Finding.true(f"{words}, on {', '.join(told)}")


@dataclass(frozen=True)
class MissedWal:
    """A member that was away for longer than WAL was kept, some time after its return."""

    member: str
    streams: bool
    """By its own answer, and it has the leader's WAL."""
    said_to_stream: bool
    """By Patroni's view of the cluster."""
    serves_reads: bool
    """The read endpoint leads to it."""
    may_take_over: bool
    """By Patroni's rules."""


def back_or_known_to_be_out(found: MissedWal) -> Finding:
    """The member streams, or nobody is led to believe that it does."""
    if found.streams:
        return Finding.true(f"{found.member} streams again")
    believed = {
        "Patroni says that it streams": found.said_to_stream,
        "the read endpoint leads to it": found.serves_reads,
        "nothing keeps it from taking over": found.may_take_over,
    }
    if wrong := [said for said, so in believed.items() if so]:
        return Finding.false(f"{found.member} has missed WAL and does not stream, and yet {' and '.join(wrong)}")
    return Finding.true(f"{found.member} does not stream, serves no reads and cannot take over, and Patroni says so")
