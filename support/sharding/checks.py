"""What must hold of queries and transactions over several workers.

Answers are correct, and plans move no rows; transfers and two-phase commits are whole, as their clients were told;
a deadlock has one victim. Where shards and rows are is judged in `placement_checks`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from support.engine.finding import Finding, listed
from support.engine.history import History, Operation, Outcome
from support.example_app.index_names import is_part
from support.vocabulary import counted

Rows = Sequence[tuple[object, ...]]


@dataclass(frozen=True)
class Compared:
    """A question, the right answer, and the answer that was given."""

    question: str
    right: Rows
    given: Rows | str
    """The rows, or the error that came instead."""
    ordered: bool = False
    """Whether the order of the rows is part of the answer."""


def all_agree(answers: Sequence[Compared]) -> Finding:
    """Every question was answered correctly. Unknown unless at least half of the right answers have any rows."""
    telling = sum(bool(one.right) for one in answers)
    if not answers or 2 * telling < len(answers):
        return Finding.unknown(f"{telling} of {len(answers)} questions have an answer with rows")
    wrong = [(one, said) for one in answers if (said := _difference(one))]
    if not wrong:
        return Finding.true(f"{len(answers)} questions are answered correctly, {telling} of them with rows")
    first, said = wrong[0]
    return Finding.false(
        f"{len(wrong)} of {len(answers)} questions are not answered correctly: {first.question}: {said}"
    )


def _difference(one: Compared) -> str:
    if isinstance(one.given, str):
        return one.given
    right, given = (Counter(map(_comparable, rows)) for rows in (one.right, one.given))
    lacking, strange = list((right - given).elements()), list((given - right).elements())
    if lacking or strange:
        parts = ((lacking, "missing"), (strange, "wrong"))
        return ", ".join(
            f"{counted(len(rows), 'row is', 'rows are')} {what} ({listed(rows, most=2)})"
            for rows, what in parts
            if rows
        )
    if one.ordered and list(map(_comparable, one.right)) != list(map(_comparable, one.given)):
        return "the rows are in another order"
    return ""


def _comparable(row: tuple[object, ...]) -> tuple[object, ...]:
    """The row with its arrays, which come as lists, made hashable."""
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)


def nothing_moves(tasks: int, moves: Sequence[str], shards: int) -> Finding:
    """The plan has one task for each shard and moves no rows between nodes first. Unknown where there is no shard."""
    if not shards:
        return Finding.unknown("the table has no shard")
    if moves:
        return Finding.false(f"rows are moved between nodes first: {listed(moves)}")
    if tasks != shards:
        return Finding.false(f"there are {tasks} tasks for {shards} shards")
    return Finding.true(f"{tasks} tasks for {shards} shards, nothing is moved")


def each_shard_by_index(
    used: Mapping[str, Collection[str]], shards: Collection[str], meant: Collection[str]
) -> Finding:
    """Every shard was read by its own part of one of the `meant` indexes; `used` is shard -> indexes.

    A shard's index is recognised by the name of the table's index and the shard's number. Unknown without any shard.
    """
    if not shards:
        return Finding.unknown("the table has no shard")
    if not meant:
        return Finding.false("there is no valid HNSW index for this metric")
    if unread := sorted(shards - used.keys()):
        return Finding.false(f"{len(unread)} of {len(shards)} shards are not read: {listed(unread)}")
    astray = sorted(shard for shard in shards if not any(is_part(one, shard, meant) for one in used[shard]))
    if not astray:
        return Finding.true(f"{len(shards)} shards by {' or '.join(sorted(meant))}")
    instead = ", ".join(sorted(used[astray[0]])) or "no index"
    return Finding.false(
        f"{len(astray)} of {len(shards)} shards are not read by {' or '.join(sorted(meant))}: "
        f"{astray[0]} by {instead}{f', and likewise {listed(astray[1:])}' if astray[1:] else ''}"
    )


def each_search_by_index(
    plans: Sequence[Mapping[str, Collection[str]]], shards: Collection[str], meant: Collection[str]
) -> Finding:
    """In each search, every shard was read by its own part of one of the `meant` indexes. Unknown without a search.

    `plans` has the indexes used by each search: shard -> indexes.
    """
    if not plans:
        return Finding.unknown("nothing was searched for")
    for number, used in enumerate(plans, 1):
        found = each_shard_by_index(used, shards, meant)
        if not found.holds:
            return Finding(found.holds, f"search {number} of {len(plans)}: {found.words}")
    return Finding.true(f"{len(plans)} searches, each of {found.words}")


@dataclass(frozen=True)
class Transfer:
    """What a transfer moves, and between which accounts."""

    source: str
    target: str
    amount: int

    @property
    def changes(self) -> Mapping[str, int]:
        """Account -> the change of its balance."""
        return {self.source: -self.amount, self.target: self.amount}


@dataclass(frozen=True)
class Account:
    """What one account holds, and the transfers that left an entry there."""

    balance: int
    transfers: Mapping[str, int]
    """Name -> the change that it made."""


def all_or_nothing(history: History, accounts: Mapping[str, Account], opened_with: int) -> Finding:
    """Every acknowledged transfer is on both its accounts, no failed one is, and none is on one account only; each
    balance is what the account was opened with and what its transfers have changed.

    A transfer is an operation with action "transfer", its name as key and a Transfer as value. Unknown when none was
    acknowledged, or when an account that took part was not read.
    """
    tried = history.of(action="transfer")
    done = [one for one in tried if one.outcome is Outcome.OK]
    if not done:
        return Finding.unknown("no transfer was acknowledged")
    unread = {account for one in tried for account in one.value.changes} - accounts.keys()
    if unread:
        return Finding.unknown(f"accounts that were not read: {listed(sorted(unread))}")
    known = {(account, one.key, change) for one in tried for account, change in one.value.changes.items()}
    faults: dict[str, list[object]] = {
        "happened on one account only": [one.key for one in tried if _places(one, accounts) == 1],
        "acknowledged but not there": [one.key for one in done if not _places(one, accounts)],
        "failed but there all the same": [
            f"{one.key} ({one.error})" for one in tried if one.outcome is Outcome.FAIL and _places(one, accounts) == 2
        ],
        "on an account where no client made it": [
            f"{name} on {account}"
            for account, found in accounts.items()
            for name, change in found.transfers.items()
            if (account, name, change) not in known
        ],
    }
    wrong = [f"{counted(len(those), 'transfer')} {how}: {listed(those)}" for how, those in faults.items() if those]
    off = [
        f"{account} {found.balance} instead of {expected}"
        for account, found in accounts.items()
        if found.balance != (expected := opened_with + sum(found.transfers.values()))
    ]
    if off:
        accounts_off = counted(len(off), "account does not match its", "accounts do not match their")
        wrong.append(f"{accounts_off} transfers: {listed(off)}")
    if wrong:
        return Finding.false("; ".join(wrong))
    unknown = [one for one in tried if one.outcome is Outcome.UNKNOWN]
    there = sum(_places(one, accounts) == 2 for one in unknown)
    return Finding.true(
        f"{counted(len(done), 'acknowledged transfer')} happened on both accounts, and {there} of {len(unknown)} "
        f"unknown ones; each of {len(accounts)} balances matches its transfers"
    )


def _places(transfer: Operation, accounts: Mapping[str, Account]) -> int:
    return sum(transfer.key in accounts[account].transfers for account in transfer.value.changes)


def both_or_neither(told: Outcome, found: Mapping[str, int], each: int) -> Finding:
    """A transaction is on all its nodes or on none; `found` is node -> how many of its `each` rows are there.

    All are there when the client was told that it committed, none when it was told that it failed, and either all or
    none when it was told neither. Unknown when the transaction wrote to fewer than two nodes.
    """
    there = ", ".join(f"{count} of {each} on {node}" for node, count in found.items())
    words = f"the client was told {told}, and there are {there}"
    if len(found) < 2 or each < 1:
        return Finding.unknown(f"the transaction wrote to fewer than two nodes: {words}")
    allowed = {Outcome.OK: [each], Outcome.FAIL: [0], Outcome.UNKNOWN: [0, each]}[told]
    return Finding(any(all(count == right for count in found.values()) for right in allowed), words)


DEADLOCK, WAITED_ENOUGH = "deadlock detected", "lock not available"


def one_victim(conditions: Sequence[str]) -> Finding:
    """Exactly one session was cancelled, because of a deadlock, and the others met no error.

    `conditions` has PostgreSQL's name of the error that ended each session, empty where none did. Unknown where there
    are not two, or none was stopped: then they did not block each other. Unknown, too, where a session gave up waiting
    by its own setting, maybe before the deadlock could be detected.
    """
    said = ", ".join(condition or "no error" for condition in conditions)
    if WAITED_ENOUGH in conditions:
        return Finding.unknown(
            f"the role's lock_timeout ended a session's wait ({said}): it has to be longer than deadlock_timeout x "
            "citus.distributed_deadlock_detection_factor, after which Citus looks for deadlocks over several workers"
        )
    if len(conditions) < 2 or not any(conditions):
        return Finding.unknown(f"no two sessions blocked each other: {said or 'there was none'}")
    victims = [condition for condition in conditions if condition]
    words = f"{len(victims)} of {len(conditions)} sessions were stopped: {said}"
    return Finding(victims == [DEADLOCK], words)
